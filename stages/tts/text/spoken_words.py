"""Converts written words to spoken ones: removes layout and emoji, expands addresses, applies the lexicon and rules.

Every spoken word refers to its written one, so that captions show the written text.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from stages.tts.text import english
from stages.tts.text.addresses import spoken_address
from stages.tts.text.capitals import lower_capitals
from stages.tts.text.rules import Rule, apply_rules
from stages.tts.text.scripts import plain_text, script_of, scripts_of

# Longer figures have no name in the front end (it ends at decillions) and are read figure by figure.
_LONG_NUMBER = re.compile(r"\d[\d,.]{15,}")
# Front ends' patterns take time that grows with the square of a word's length, and their models only know real words.
_LONG_WORD = re.compile(r"\S{1,48}")
#: Unicode categories without sound or pause: control and format characters, private use, emoji, modifier letters.
_SILENT_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "So", "Sk", "Me", "Lm"})
_READ_SYMBOLS = frozenset("°№©®™^`´℃℉ー々〻ゝゞヽヾ")

BULLET = re.compile(r"[-*•–+>▪▫◦●○■□‣⁃◆►▶➔➤→⇒✓✔✗✘★☆]|\[[ xX]?\]")
#: Marks of headings, tables and lines: "##", "---", "|", and any three signs that are not a pause.
LAYOUT = re.compile(r"#{1,6}|[-=_*~^+]{3,}|[-:|]*\|[-:|]*|[^\w\s.,;:!?…'\"“”‘’()$€£%]{3,}|[―─━═⎯⸺⸻—–-]{2,}")
# Not "83", "8)" or "XP", which are a number, a list's item and a name.
_SMILEY = re.compile(r"(?:[:;]['-]?[)(\]\[DPpOo3/|\\]+|=[)(D]+|8-[)D]|[xX]D+|<3+|\^_?\^)[.,!?]*")
EMPHASIS = re.compile(r"(?<![\w*_`~])(?!~\d)([*_`~]{1,3})(?=[^\s*_`~])|(?<=[^\s*_`~])([*_`~]{1,3})(?![\w*_`~])")
_LINK = re.compile(r"\]\((?:https?:|mailto:|www\.|/|#|\.)[^\s)]*\)")
#: Separates a word from what surrounds it, for the lexicon: punctuation ("C++,"), or else all signs ("—nginx—").
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
#: Exponents: "10⁶". Voices read "²" and "³" alone correctly.
_RAISED = re.compile(r"(?<=\d)⁻?(?:[⁰¹⁴-⁹][⁰¹²³⁴-⁹]*|[²³][⁰¹²³⁴-⁹]+)|(?<=\d)⁻[²³]")


@dataclass(frozen=True)
class PreparedWords:
    """The spoken words of a sentence.

    Attributes:
        words: as spoken.
        owners: index of the written word of each; never decreasing.
        sounds: index of a spoken word → its sound in the lexicon: /phonemes/, or a respelling such as AV-uh-tar.
    """

    words: tuple[str, ...]
    owners: tuple[int, ...]
    sounds: Mapping[int, str]


@dataclass
class WordPreparer:
    """Converts the sentences of one text to spoken words.

    Attributes:
        language: BCP 47 tag.
        lexicon: word → its spoken form or sound.
        is_word: whether an English word, in small letters, is in a dictionary; None: words in capitals stay as they are.
        in_words: write English times, dates and years in words too, for a voice that misreads them.
        left_out: counts words with unreadable characters, by script or "emoji and signs".
        unclear: numbers that are read as decimal ones, and that people of another country write for thousands.
        unclear_dates: dates as written → how they are read, and how else they may be meant.
    """

    language: str
    lexicon: Mapping[str, str] = field(default_factory=dict)
    is_word: Callable[[str], bool] | None = None
    in_words: bool = False
    left_out: Counter[str] = field(default_factory=Counter)
    unclear: list[str] = field(default_factory=list)
    unclear_dates: dict[str, tuple[str, str]] = field(default_factory=dict)

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
        """Return the spoken words of one sentence; empty if nothing in it can be spoken."""
        if self._primary == "en":
            sentence = " ".join(written)
            self.unclear += english.unclear_numbers(sentence)
            self.unclear_dates |= english.unclear_dates(sentence, self.language)
            if self.is_word is not None and any(len(word) > 1 and word.isupper() for word in written):
                written = lower_capitals(written, self.is_word)
        words: list[str] = []
        owners: list[int] = []
        sounds: dict[int, str] = {}
        run: list[tuple[str, int]] = []  # words that the rules see together
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

    def warnings(self) -> Iterator[str]:
        """Yield a warning for what could not be spoken, or may be meant otherwise than it was read."""
        if self.left_out:
            yield _left_out_warning(self.left_out)
        if self.unclear:
            yield _unclear_warning(self.unclear)
        if self.unclear_dates:
            yield _unclear_date_warning(self.unclear_dates)

    def _split_at_entries(self, written: Sequence[str]) -> Iterator[tuple[int, str]]:
        """Yield words with their indices; splits off entries of the lexicon in languages without spaces."""
        for index, word in enumerate(written):
            parts = self._entries.split(word) if self._entries else [word]
            yield from ((index, part) for part in parts if part)

    def _flush_run(self, run: list[tuple[str, int]], words: list[str], owners: list[int]) -> None:
        """Apply the rules to a run of words, append the result, and clear the run."""
        for text, place in apply_rules([text for text, _ in run], self._rules):
            said = _LONG_WORD.findall(_LONG_NUMBER.sub(lambda number: " ".join(filter(str.isdigit, number[0])), text))
            words += said
            owners += [run[place][1]] * len(said)
        run.clear()

    def _spoken_form(self, word: str, *, first: bool) -> tuple[str, list[str] | None, str]:
        """Return a written word as text for the rules; or as spoken words, with the sound if the lexicon gives it."""
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
        """Remove unreadable characters from a word and count it in `left_out`; the result may be empty."""
        text = plain_text(word)
        scripts = {script for script in map(script_of, text) if script and script not in self._readable}
        if scripts == {"Greek"} and sum(map(str.isalpha, text)) == 1:  # "π", "5Ω": voices read their names
            scripts = set()
        mute = [char for char in text if unicodedata.category(char) in _SILENT_CATEGORIES and char not in _READ_SYMBOLS]
        if any(unicodedata.category(char) == "So" for char in mute):
            self.left_out["emoji and signs"] += 1
        self.left_out.update(f"{script} letters" for script in scripts)
        dropped = set(mute) | {char for char in text if script_of(char) in scripts}
        # A sign such as an emoji or a drawn line has separated the letters around it.
        signs = {char for char in mute if unicodedata.category(char) in ("So", "Co")}
        kept = ("" if char in dropped - signs else " " if char in signs else char for char in text)
        return " ".join("".join(kept).split())


def _power(raised: re.Match[str]) -> str:
    return "^" + "".join("-" if char == "⁻" else str(unicodedata.digit(char)) for char in raised[0])


def _from_lexicon(entry: str, before: str, word: str, after: str) -> tuple[list[str], str]:
    """Return spoken words, and the sound if the entry gives one. Voices without phonemes read the words."""
    if not is_sound(entry):
        return f"{before}{entry}{after}".split(), ""
    return [f"{before}{word if entry.startswith('/') else entry.lower()}{after}"], entry


def is_sound(entry: str) -> bool:
    """Return whether a lexicon's entry is a sound (/phonemes/, AV-uh-tar), False if it is other words (engine ex)."""
    if entry.startswith("/"):
        return True
    syllables = entry.split("-")
    return len(syllables) > 1 and all(map(str.isalpha, syllables)) and sum(map(str.isupper, syllables)) == 1


def _left_out_warning(counts: Counter[str]) -> str:
    """Return a warning about the counts of `WordPreparer.left_out`."""
    what = " and ".join(f"{name} ({count} {'word' if count == 1 else 'words'})" for name, count in counts.items())
    return f"The voice cannot read {what}; they are left out of the speech."


def _unclear_warning(numbers: Sequence[str]) -> str:
    """Return a warning about the numbers of `WordPreparer.unclear`."""
    numbers = list(dict.fromkeys(numbers))
    first = numbers[0]
    return (
        f"'{first}' is read as a decimal number{f', and {len(numbers) - 1} more likewise' if len(numbers) > 1 else ''}. "
        f"If you mean thousands, write {first.replace('.', ',')}."
    )


def _unclear_date_warning(dates: Mapping[str, tuple[str, str]]) -> str:
    written, (read, other) = next(iter(dates.items()))
    more = f", and {len(dates) - 1} more likewise" if len(dates) > 1 else ""
    return (
        f"'{written}' is read as {read}{more}. If you mean {other}, write so, or write `language: en-GB` for dates with the day "
        "first (`en-US`: with the month first)."
    )
