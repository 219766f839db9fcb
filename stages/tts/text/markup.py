"""Reads SSML and stage directions: pauses and substitutes become plain text, and the rest is left out, with a warning."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from stages.tts.text.pause_marks import without_marks
from stages.tts.text.subtitle_text import without_cues

_ATTRIBUTES = r"[^<>]{0,300}?"
_BREAK = re.compile(rf"<break\b({_ATTRIBUTES})/?>(?:\s*</break>)?", re.IGNORECASE)
_SUB = re.compile(
    rf"<sub\b{_ATTRIBUTES}\balias\s*=\s*([\"'])([^<>\"']{{1,500}})\1\s*>[^<]{{0,500}}</sub>", re.IGNORECASE
)
_ATTRIBUTE = re.compile(r"\b(time|strength)\s*=\s*[\"']?([^\"'\s/>]+)", re.IGNORECASE)
_STRENGTHS = {"none": "0", "x-weak": "0.1", "weak": "0.2", "medium": "0.5", "strong": "0.8", "x-strong": "1.2"}  # s
#: Elements that ask for something that no voice here does.
_DROPPED = "emphasis|prosody|say-as|phoneme|voice|lang|audio|mark"
_TAG = re.compile(rf"</?({_DROPPED}|speak)(?:\s{_ATTRIBUTES})?/?>|<\?xml{_ATTRIBUTES}>", re.IGNORECASE)
_TAG_NAMES = re.compile(rf"<({_DROPPED})(?:\s{_ATTRIBUTES})?/?>", re.IGNORECASE)
#: Words for what a person does beside speaking.
_ACTS = (
    r"laugh(?:s|ing|ter)?|chuckl(?:es?|ing)|giggl(?:es?|ing)|whisper(?:s|ing|ed)?|sigh(?:s|ing)?|cough(?:s|ing)?|gasp(?:s|ing)?"
    r"|groan(?:s|ing)?|sob(?:s|bing)?|sniff(?:s|ing)?|yawn(?:s|ing)?|shout(?:s|ing)?|scream(?:s|ing)?|cr(?:ies|ying)|smil(?:es|ing)"
    r"|clears? (?:his |her |their )?throat|breath(?:es?|ing)?(?: in| out)?|applause|music|lacht|lachen|flüstert|seufzt|hustet"
    r"|rires?|chuchote|soupir(?:e|s)?|risas?|susurra|suspira|ride|sospira"
)
_ADVERB = r"(?:\w{2,12}ly|again|leise|laut)"
_DIRECTION = re.compile(
    rf"(?:\[\s*(?:{_ADVERB}\s)?(?:{_ACTS})(?:\s{_ADVERB})?\s*\]|\(\s*(?:{_ADVERB}\s)?(?:{_ACTS})(?:\s{_ADVERB})?\s*\))",
    re.IGNORECASE,
)

#: Other ways to write a pause: [2s], [wait 2s], (pause), <pause 1s>, <#0.5#>, [Pause 2 Sekunden].
_OTHER_PAUSE = re.compile(
    r"(?:[\[<{]\s*(?:pause|pausa|pauze|break|wait|silence|stille|silencio)|\(\s*(?:pause|pausa|pauze|silence))"
    r"(?:\s*[:=]?\s*(?P<named>\d{1,3}(?:[.,]\d{1,3})?))?\s*"
    r"(?P<unit>s|secs?|seconds?|sekunden?|secondes?|segundos?|secondi|ms)?\s*/?[\])>}]"
    r"|\[\s*(?P<bare>\d{1,2}(?:[.,]\d{1,3})?)\s*(?:s|secs?|seconds?|sekunden?)\s*\]|<#(?P<hashed>\d{1,2}(?:\.\d{1,3})?)#>",
    re.IGNORECASE,
)
#: A pause mark as `stages.tts.text.pause_marks` reads it, right or wrong.
_OWN_PAUSE = re.compile(r"\[\s*pause\b\s*[:=]?\s*[\d.]*\s*(?:s|sec|seconds?|ms)?\s*\]", re.IGNORECASE)
#: A place that was to be filled in: {{company}}, {name}, ${name}, [NAME], [Your Name], %NAME%, <your name here>, <name>.
_FILLED_IN = r"(?:name|company|date|title|email|city|address|topic|product|role|position|customer|client|user|username|recipient)"
_PLACEHOLDER = re.compile(
    r"\{\{[^{}\n]{1,40}\}\}|\$?\{[^\W\d]\w{0,30}(?:[ .-]\w{1,30}){0,3}\}|%[A-Z][A-Z_]{1,40}%|%\([a-z_]{1,40}\)s"
    r"|\[[A-Z][A-Z_ ]{3,40}\]|\[(?i:your|insert|name of)\b[^\]\n]{1,40}\]|<(?i:your|insert)\b[^<>\n]{1,40}>"
    rf"|[\[<](?i:(?:\w{{1,20}}[ _-]?)?{_FILLED_IN})[\]>]"
)

#: A line break that YAML did not read, because the text is not in double quotes: after an end mark or before a capital letter.
#: A path such as C:\new or \\host\News is passed over.
_ESCAPED_LINE = re.compile(
    r"(?:\b[A-Za-z]:\\|(?<!\S)\\(?![nr]))\S*"
    r"|(?P<line>(?:\\r)?(?:(?<=[.!?…:;,\"'”’)\]。！？])|(?<=\\r)|(?<=\\n)|(?=\\n(?:[^\Wa-z\d_]|\s|\\n|$)))\\n)"
)
#: What is left of C:\temp in double quotes.
_LOST_PATH = re.compile(r"\b[C-Z]:(?=[\t\n][a-z])")

_LEFT_OUT = re.compile(rf"[^\S\n]*{_DIRECTION.pattern}", re.IGNORECASE)


def read_markup(text: str) -> str:
    """Return a text in which breaks are pause marks, substitutes stand for what they replace, and other markup is left out."""
    text = _ESCAPED_LINE.sub(lambda found: "\n" if found["line"] else found[0], without_cues(text))
    text = _SUB.sub(lambda found: html.unescape(found[2]), _BREAK.sub(_pause_mark, text))
    text = _OTHER_PAUSE.sub(_other_pause_mark, text)
    return _LEFT_OUT.sub("", _TAG.sub("", text))


def markup_warnings(text: str) -> Iterator[str]:
    """Yield a warning for what `read_markup` leaves out of a text."""
    if dropped := dict.fromkeys(f"<{name.lower()}>" for name in _TAG_NAMES.findall(text)):
        yield f"The markup {', '.join(dropped)} has no effect; its words are spoken as usual. `speed` changes the pace of a job."
    if directions := dict.fromkeys(_DIRECTION.findall(text)):
        yield f"Stage directions are not spoken: {', '.join(directions)}."
    if (words := without_cues(text)) != text:
        yield "The text comes from a subtitle file: its numbers and times are not spoken."
    if any(found["line"] for found in _ESCAPED_LINE.finditer(words)):
        yield "\\n in the text is read as a new line. To write lines as they are, begin the text with `text: |`."
    if drive := _LOST_PATH.search(words):
        yield f"A blank follows {drive[0]} in the text: in double quotes \\t and \\n are no letters of a path. Use single quotes."
    if places := dict.fromkeys(found for found in _PLACEHOLDER.findall(words) if not _OTHER_PAUSE.fullmatch(found)):
        yield f"The text has a place that was to be filled in, and it is spoken as it stands: {', '.join(places)}."


def recording_markup_warnings(text: str) -> Iterator[str]:
    """Yield a warning for what asks for another way of speaking in the words of a recording, which is heard as it is."""
    found = dict.fromkeys(f"<{name.lower()}>" for name in _TAG_NAMES.findall(text))
    found |= dict.fromkeys(["<break>"] if _BREAK.search(text) else [])
    found |= dict.fromkeys(["[pause]"] if without_marks(text) != text else [])
    if found:
        yield f"{', '.join(found)} in `text` has no effect, because the sound file `audio` is heard with its own pauses."
    if directions := dict.fromkeys(_DIRECTION.findall(text)):
        yield f"Stage directions are not looked for in the sound, and captions leave them out: {', '.join(directions)}."


def _other_pause_mark(found: re.Match[str]) -> str:
    if _OWN_PAUSE.fullmatch(found[0]):
        return found[0]
    length = (found["named"] or found["bare"] or found["hashed"] or "").replace(",", ".")
    unit = "ms" if (found["unit"] or "").casefold() == "ms" else "s"
    return f" [pause {length}{unit if length else ''}] "


def _pause_mark(found: re.Match[str]) -> str:
    given = {name.lower(): value for name, value in _ATTRIBUTE.findall(found[1])}
    strength = given.get("strength", "").lower()
    return f" [pause {given.get('time') or _STRENGTHS.get(strength, strength)}] "
