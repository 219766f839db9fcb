"""Reads SSML, stage directions and names of speakers: pauses and substitutes become plain text, the rest is left out or told."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator

from stages.tts.text.markup.markdown_signs import (
    find_footnotes,
    find_latex,
    front_matter,
    has_table,
    without_escapes,
    without_markdown,
)
from stages.tts.text.markup.placeholders import find_placeholders
from stages.tts.text.markup.speaker_names import find_speakers, without_speakers
from stages.tts.text.markup.stage_directions import find_directions, without_directions
from stages.tts.text.markup.subtitle_text import without_cues
from stages.tts.text.pause_marks import without_marks

_ATTRIBUTES = r"[^<>]{0,300}?"
_BREAK = re.compile(rf"<break\b({_ATTRIBUTES})/?>(?:\s*</break>)?", re.IGNORECASE)
_SUB = re.compile(
    rf"<sub\b{_ATTRIBUTES}\balias\s*=\s*([\"'])([^<>\"']{{1,500}})\1\s*>[^<]{{0,500}}</sub>", re.IGNORECASE
)
_ATTRIBUTE = re.compile(r"\b(time|strength)\s*=\s*[\"']?([^\"'\s/>]+)", re.IGNORECASE)
_STRENGTHS = {"none": "0", "x-weak": "0.1", "weak": "0.2", "medium": "0.5", "strong": "0.8", "x-strong": "1.2"}  # s
#: Elements that ask for something that no voice here does.
_DROPPED = "emphasis|prosody|say-as|phoneme|voice|lang|audio|mark"
_TAG = re.compile(rf"</?({_DROPPED}|speak|break)(?:\s{_ATTRIBUTES})?/?>|<\?xml{_ATTRIBUTES}>", re.IGNORECASE)
_TAG_NAMES = re.compile(rf"<({_DROPPED})(?:\s{_ATTRIBUTES})?/?>", re.IGNORECASE)
#: The box of a task in a list of Markdown, after the mark of the item: `- [ ] Milk`, `1. [x] Bread`.
_TASK_BOX = re.compile(r"^([^\S\n]*(?:[-*+•]|\d{1,2}[.)])[^\S\n]+)\[[ xX]?\][^\S\n]+", re.MULTILINE)
#: A picture of Markdown: `![a cat](cat.png)`.
_PICTURE = re.compile(r"!\[[^\[\]\n]{0,200}\]\([^()\s]{1,500}(?:[^\S\n]+\"[^\"\n]{0,200}\")?\)")
#: The code of an emoji, as chats have it: `:smile:`, `:+1:`, `<:party:123456789>`.
_EMOJI_CODE = re.compile(
    r"[^\S\n]{0,3}(?P<code>(?<![\w:/]):(?:[a-z][a-z0-9_+-]{1,40}|[+-]1|100|1234):(?![\w:/])|<a?:\w{2,40}:\d{5,25}>)"
)
#: Other ways to write a pause: [2s], [wait 2s], (pause), (beat), [long pause], <pause 1s>, <#0.5#>, [Pause 2 Sekunden].
_OTHER_PAUSE = re.compile(
    r"[\[(<]\s*(?:(?:a|short|brief|dramatic|(?P<long>long))\s+)?(?:beat|(?<=\s)pause)\s*[\])>]|"
    r"(?:[\[<{]\s*(?:pause|pausa|pauze|break|wait|silence|stille|silencio)|\(\s*(?:pause|pausa|pauze|silence))"
    r"(?:\s*[:=]?\s*(?P<named>\d{1,3}(?:[.,]\d{1,3})?))?\s*"
    r"(?P<unit>s|secs?|seconds?|sekunden?|secondes?|segundos?|secondi|ms)?\s*/?[\])>}]"
    r"|\[\s*(?P<bare>\d{1,2}(?:[.,]\d{1,3})?)\s*(?:s|secs?|seconds?|sekunden?)\s*\]|<#(?P<hashed>\d{1,2}(?:\.\d{1,3})?)#>",
    re.IGNORECASE,
)
#: A pause mark as `stages.tts.text.pause_marks` reads it, right or wrong.
_OWN_PAUSE = re.compile(r"\[\s*pause\b\s*[:=]?\s*[\d.]*\s*(?:s|sec|seconds?|ms)?\s*\]", re.IGNORECASE)
#: A line break that YAML did not read, because the text is not in double quotes: after an end mark or before a capital letter.
#: A path such as C:\new or \\host\News is passed over.
_ESCAPED_LINE = re.compile(
    r"(?:\b[A-Za-z]:\\|(?<!\S)\\(?![nr]))\S*"
    r"|(?P<line>(?:\\r)?(?:(?<=[.!?…:;,\"'”’)\]。！？])|(?<=\\r)|(?<=\\n)|(?=\\n(?:[^\Wa-z\d_]|\s|\\n|$)))\\n)"
)
#: Most directions or names in one warning.
_MOST_SHOWN = 8
#: What is left of C:\temp in double quotes.
_LOST_PATH = re.compile(r"\b[C-Z]:(?=[\t\n][a-z])")


def read_markup(text: str) -> str:
    """Return a text in which breaks are pause marks, substitutes stand for what they replace, and other markup is left out."""
    return without_directions(without_speakers(without_directions(_plain(text), beside_names=False)))


def markup_warnings(text: str) -> Iterator[str]:
    """Yield a warning for what `read_markup` leaves out of a text, and for what it leaves in it though that may be wrong."""
    text = without_escapes(text)
    if dropped := dict.fromkeys(f"<{name.lower()}>" for name in _TAG_NAMES.findall(text)):
        yield f"The markup {', '.join(dropped)} has no effect; its words are spoken as usual. `speed` changes the pace of a job."
    if pictures := dict.fromkeys(_PICTURE.findall(text)):
        yield f"Pictures in the text are not spoken or shown: {_some(pictures)}. The manifest names its picture with `image`."
    if notes := dict.fromkeys(find_footnotes(text)):
        yield f"Footnotes and their marks are not spoken: {_some(notes)}."
    if codes := dict.fromkeys(found["code"] for found in _EMOJI_CODE.finditer(without_cues(text))):
        yield f"Codes of emoji are not spoken: {_some(codes)}."
    if page := front_matter(text):
        yield f"What stands between lines of three hyphens at the beginning is not spoken: {_some(page.splitlines()[1:-1])}."
    if has_table(text):
        yield "A table is read row by row, each as a sentence."
    if commands := dict.fromkeys(find_latex(text)):
        yield f"Commands of LaTeX are not read as formulas: {_some(commands)}. Write in words what is to be said."
    plain = _plain(text)
    plain_of_names = without_directions(plain, beside_names=False)
    found = [*find_directions(plain, beside_names=False), *find_directions(without_speakers(plain_of_names))]
    if left_out := dict.fromkeys(one.text for one in found if not one.spoken):
        yield f"Stage directions are not spoken: {_some(left_out)}. To have them spoken, write them as plain sentences."
    if spoken := dict.fromkeys(one.text for one in found if one.spoken):
        yield (
            f"Words that may be stage directions are spoken: {_some(spoken)}. If they are not to be spoken, remove them, or "
            "write them in square brackets on a line of their own."
        )
    yield from _speaker_warnings(plain_of_names)
    if (words := without_cues(text)) != text:
        yield "The text comes from a subtitle file: its numbers and times are not spoken."
    if any(found["line"] for found in _ESCAPED_LINE.finditer(words)):
        yield "\\n in the text is read as a new line. To write lines as they are, begin the text with `text: |`."
    if drive := _LOST_PATH.search(words):
        yield f"A blank follows {drive[0]} in the text: in double quotes \\t and \\n are no letters of a path. Use single quotes."
    left = without_directions(words)
    if places := dict.fromkeys(one for one in find_placeholders(left) if not _OTHER_PAUSE.fullmatch(one)):
        yield f"The text has a place that was to be filled in, and it is spoken as it stands: {', '.join(places)}."


def recording_markup_warnings(text: str) -> Iterator[str]:
    """Yield a warning for what asks for another way of speaking in the words of a recording, which is heard as it is."""
    found = dict.fromkeys(f"<{name.lower()}>" for name in _TAG_NAMES.findall(text))
    found |= dict.fromkeys(["<break>"] if _BREAK.search(text) else [])
    found |= dict.fromkeys(["[pause]"] if without_marks(text) != text else [])
    if found:
        yield f"{', '.join(found)} in `text` has no effect, because the sound file `audio` is heard with its own pauses."
    plain = _plain(text)
    if directions := dict.fromkeys(one.text for one in find_directions(plain, beside_names=False) if not one.spoken):
        yield f"Stage directions are not looked for in the sound, and captions leave them out: {_some(directions)}."
    speakers = find_speakers(without_directions(plain, beside_names=False))
    if names := dict.fromkeys(one.name for one in speakers if not one.spoken):
        yield f"The names of speakers are not looked for in the sound, and captions leave them out: {_some(names)}."


def _plain(text: str) -> str:
    """Return the text with pauses as marks, and without the marks of subtitle files, SSML and Markdown."""
    text = without_markdown(without_cues(without_escapes(text)))
    text = _ESCAPED_LINE.sub(lambda found: "\n" if found["line"] else found[0], text)
    text = _SUB.sub(lambda found: html.unescape(found[2]), _BREAK.sub(_pause_mark, text))
    text = _EMOJI_CODE.sub("", _TASK_BOX.sub(r"\1", _PICTURE.sub("", text)))
    return _TAG.sub("", _OTHER_PAUSE.sub(_other_pause_mark, text))


def _speaker_warnings(text: str) -> Iterator[str]:
    speakers = list(find_speakers(text))
    if names := dict.fromkeys(one.name for one in speakers if not one.spoken):
        yield (
            f"The names of speakers before their lines are not spoken: {_some(names)}. One voice says all the lines. To have a "
            "name spoken, write it within a sentence."
        )
    if names := dict.fromkeys(f"“{one.name}:”" for one in speakers if one.spoken):
        yield (
            f"Words before a colon that may be names of speakers are spoken: {_some(names)}. If they only say who speaks, "
            "remove them."
        )


def _some(written: Iterable[str]) -> str:
    """Return the first few of what was written."""
    shown = list(written)
    more = f" and {len(shown) - _MOST_SHOWN} more" if len(shown) > _MOST_SHOWN else ""
    return (", ".join(shown[:_MOST_SHOWN]) + more).removesuffix(".")  # a sentence ends after it


def _other_pause_mark(found: re.Match[str]) -> str:
    if _OWN_PAUSE.fullmatch(found[0]):
        return found[0]
    length = (found["named"] or found["bare"] or found["hashed"] or (found["long"] and "1") or "").replace(",", ".")
    unit = "ms" if (found["unit"] or "").casefold() == "ms" else "s"
    return f" [pause {length}{unit if length else ''}] "


def _pause_mark(found: re.Match[str]) -> str:
    given = {name.lower(): value for name, value in _ATTRIBUTE.findall(found[1])}
    strength = given.get("strength", "").lower()
    return f" [pause {given.get('time') or _STRENGTHS.get(strength, strength)}] "
