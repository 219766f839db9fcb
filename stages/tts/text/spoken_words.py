"""Words as written → words as said: marks of layout, addresses, emoji, the lexicon, and the rules of `stages.tts.text`.

Every spoken word knows its written one, so that captions show what was written.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from stages.tts.text import english
from stages.tts.text.addresses import spoken_address
from stages.tts.text.rules import Rule, apply_rules
from stages.tts.text.scripts import plain_text, script_of, scripts_of

# Longer figures have no name in the front end (it ends at decillions) and are read figure by figure.
_LONG_NUMBER = re.compile(r"\d[\d,.]{15,}")
# Front ends' patterns take time that grows with the square of a word's length, and their models only know real words.
_LONG_WORD = re.compile(r"\S{1,48}")
#: Unicode categories that are neither sound nor pause: controls, formats, private use, emoji, modifiers of letters.
_SILENT_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "So", "Sk", "Me", "Lm"})
_READ_SYMBOLS = frozenset("°№©®™^`´℃℉ー々〻ゝゞヽヾ")

BULLET = re.compile(r"[-*•–+>]|\[[ xX]?\]")
LAYOUT = re.compile(r"#{1,6}|[-=_*~^+]{3,}|[-:|]*\|[-:|]*")
# Not "83", "8)" or "XP", which are a number, a list's item and a name.
_SMILEY = re.compile(r"(?:[:;]['-]?[)(\]\[DPpOo3/|\\]+|=[)(D]+|8-[)D]|[xX]D+|<3+|\^_?\^)[.,!?]*")
EMPHASIS = re.compile(r"(?<![\w*_`~])([*_`~]{1,3})(?=[^\s*_`~])|(?<=[^\s*_`~])([*_`~]{1,3})(?![\w*_`~])")
_LINK = re.compile(r"\]\((?:https?:|mailto:|www\.|/|#|\.)[^\s)]*\)")
#: What stands around a word that a lexicon may know: punctuation ("C++,"), or else all signs ("—nginx—").
_EDGES = (
    re.compile(r"^([\"'“‘«(]*)(.*?)((?:['’]s)?[\"'”’»).,;:!?…।॥]*)$", re.DOTALL),
    re.compile(r"^(\W*)(.*?)((?:['’]s)?\W*)$", re.DOTALL),
)
_LONGEST_ENTRY = 100  # characters
#: Marks of footnotes: "shown [1]", "later.[2][3]", "he said¹".
_NOTE = re.compile(
    r"^(?:\[\d{1,3}\])+(?=[.,;:!?]?$)|(?<=[^\s\[(])(?:\[\d{1,3}\])+(?=\W*$)"
    r"|(?:(?<=[^\W\d_]{3})|(?<=[^\W\d_][.,;:!?\"”]))[⁰¹²³⁴-⁹]{1,3}(?=\W*$)"
)
#: Raised figures that are no footnote: "10⁶". "²" and "³" alone are read as powers by the voices.
_RAISED = re.compile(r"(?<=\d)⁻?(?:[⁰¹⁴-⁹][⁰¹²³⁴-⁹]*|[²³][⁰¹²³⁴-⁹]+)|(?<=\d)⁻[²³]")


@dataclass(frozen=True)
class PreparedWords:
    """Spoken words of a sentence.

    Attributes:
        words: as they are said.
        owners: for each the index of its written word; never decreasing.
        sounds: index of a spoken word → how the lexicon says it: /phonemes/, or a respelling such as AV-uh-tar.
    """

    words: tuple[str, ...]
    owners: tuple[int, ...]
    sounds: Mapping[int, str]


@dataclass
class WordPreparer:
    """Prepares the sentences of one text.

    Attributes:
        language: BCP 47 tag.
        lexicon: word → how it is said.
        in_words: English times, dates and years, too, are to be words, for a voice that cannot read them.
        left_out: what had no reading and was left out: script or "emoji and signs" → how many words.
    """

    language: str
    lexicon: Mapping[str, str] = field(default_factory=dict)
    in_words: bool = False
    left_out: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._primary = self.language.casefold().partition("-")[0]
        self._readable = scripts_of(self.language)
        is_english = self._primary == "en"
        known = {**(english.WORDS if is_english else {}), **self.lexicon}
        self._known = {word.casefold(): said for word, said in known.items()}
        entries = "|".join(map(re.escape, sorted(self._known, key=len, reverse=True)))
        unspaced = entries and self._primary in ("zh", "ja")
        self._entries = re.compile(f"((?<![a-z])(?:{entries})(?![a-z]))", re.IGNORECASE) if unspaced else None
        self._rules: tuple[Rule, ...] = english.english_rules(self.language) if is_english else ()
        if is_english and self.in_words:
            from stages.tts.text.english_in_words import IN_WORDS  # loads hibari

            self._rules += (IN_WORDS,)

    def prepare(self, written: Sequence[str]) -> PreparedWords:
        """The spoken words of one sentence; none where nothing in it can be said."""
        words: list[str] = []
        owners: list[int] = []
        sounds: dict[int, str] = {}
        run: list[tuple[str, int]] = []  # words for the rules, which look at several of them together
        for index, word in self._split_at_entries(written):
            text, said, sound = self._spoken_form(word, first=not words and not run)
            if text:
                run.append((text, index))
            if said is None:
                continue
            self._flush_run(run, words, owners)
            if sound:
                sounds[len(words)] = sound
            words += said
            owners += [index] * len(said)
        self._flush_run(run, words, owners)
        return PreparedWords(tuple(words), tuple(owners), sounds)

    def _split_at_entries(self, written: Sequence[str]) -> Iterator[tuple[int, str]]:
        """Words with their places; where no blanks part words, what the lexicon knows is one of its own."""
        for index, word in enumerate(written):
            parts = self._entries.split(word) if self._entries else [word]
            yield from ((index, part) for part in parts if part)

    def _flush_run(self, run: list[tuple[str, int]], words: list[str], owners: list[int]) -> None:
        """Say the words of a run, which is then over."""
        for text, place in apply_rules([text for text, _ in run], self._rules):
            said = _LONG_WORD.findall(_LONG_NUMBER.sub(lambda number: " ".join(filter(str.isdigit, number[0])), text))
            words += said
            owners += [run[place][1]] * len(said)
        run.clear()

    def _spoken_form(self, word: str, *, first: bool) -> tuple[str, list[str] | None, str]:
        """A written word as a text for the rules; or the words that it is said with, and its sound if that is known."""
        if (first and BULLET.fullmatch(word)) or LAYOUT.fullmatch(word) or _SMILEY.fullmatch(word):
            return "", None, ""
        text = _NOTE.sub("", _LINK.sub("", EMPHASIS.sub("", word)))
        if "]" not in text:  # a link of several words, or a picture
            text = text.removeprefix("!") if text.startswith("![") else text
            text = text.removeprefix("[")
        for shape in _EDGES if len(text) <= _LONGEST_ENTRY else ():
            edges = shape.match(text)
            if edges and (entry := self._known.get(plain_text(edges[2]).casefold())):
                return "", *_from_lexicon(entry, edges[1], edges[2], edges[3])
        if address := spoken_address(text, self._primary):
            return "", address, ""
        return self._legible(_RAISED.sub(_power, text)), None, ""

    def _legible(self, word: str) -> str:
        """The word with only what the voice can read; "" if that is nothing. Keeps count of what is lost."""
        text = plain_text(word)
        scripts = {script for script in map(script_of, text) if script and script not in self._readable}
        if scripts == {"Greek"} and sum(map(str.isalpha, text)) == 1:  # "π", "5Ω": voices know their names
            scripts = set()
        mute = [char for char in text if unicodedata.category(char) in _SILENT_CATEGORIES and char not in _READ_SYMBOLS]
        if any(unicodedata.category(char) == "So" for char in mute):
            self.left_out["emoji and signs"] += 1
        self.left_out.update(f"{script} letters" for script in scripts)
        dropped = set(mute) | {char for char in text if script_of(char) in scripts}
        return "".join(char for char in text if char not in dropped).strip()


def _power(raised: re.Match[str]) -> str:
    return "^" + "".join("-" if char == "⁻" else str(unicodedata.digit(char)) for char in raised[0])


def _from_lexicon(entry: str, before: str, word: str, after: str) -> tuple[list[str], str]:
    """Spoken words, and the sound where the entry gives it. A voice that reads no phonemes gets something to read."""
    if not is_sound(entry):
        return f"{before}{entry}{after}".split(), ""
    return [f"{before}{word if entry.startswith('/') else entry.lower()}{after}"], entry


def is_sound(entry: str) -> bool:
    """Whether a lexicon's entry gives the sound (/phonemes/, AV-uh-tar) and not other words (engine ex)."""
    if entry.startswith("/"):
        return True
    syllables = entry.split("-")
    return len(syllables) > 1 and all(map(str.isalpha, syllables)) and sum(map(str.isupper, syllables)) == 1


def left_out_warning(counts: Counter[str]) -> str:
    """A sentence for the person about what `Preparer.left_out` counted."""
    what = " and ".join(f"{name} ({count} {'word' if count == 1 else 'words'})" for name, count in counts.items())
    return f"The voice cannot read {what}; the speech goes around them."
