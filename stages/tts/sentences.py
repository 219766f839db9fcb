"""Plain text → sentences of words, losing no word: joined with spaces they are the text again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stages.tts.marks import hide_marks, pause_of

#: Longest piece, in characters, that is given to the voice at once; longer sentences are said clause by clause.
MAX_PIECE_CHARS = 280

_PARAGRAPH = re.compile(r"\n[^\S\n]*\n|[\u2028\u2029\f]")
_HEADING = re.compile(r"^([^\S\n]*#{1,6}[^\S\n]+\S.*|.*\S.*\n[^\S\n]*(?:={3,}|-{3,})[^\S\n]*)$", re.MULTILINE)
_LIST_ITEM = re.compile(r"(?:[-*•–]|\d{1,3}[.)])\s+\S")
_END = re.compile(r"([.!?…。！？।॥]+)[\"'”’»)\]]*$")
_CLAUSE_END = re.compile(r"[,;:—–][\"'”’»)\]]*$")
_OPENERS = "\"'“‘«([¿¡"

#: Abbreviations that a name or number follows, so that their full stop ends no sentence.
_LEADING = re.compile(
    r"mr|mrs|ms|mx|dr|prof|st|mt|ft|gen|gov|sen|rep|capt|lt|col|sgt|cmdr|rev|hon|pres|supt|cpl|maj|adm|fr|msgr"
    r"|no|nos|vol|fig|ch|pp|vs|cf|approx|e\.g|i\.e"
    r"|sr|sra|srta|sres|srs|dra|dña|ing|núm|págs?|avda?|p\.ej|p\.ex|mme|mlle|tél|profa|डॉ|प्रो|रु"
    r"|sigg?|sig\.ra|sig\.na|dott|dott\.ssa|prof\.ssa|avv|pag|tel",
    re.IGNORECASE,
)
_CLOCK = frozenset({"a.m", "p.m"})


@dataclass(frozen=True)
class Sentence:
    """Words as written, punctuation attached, whether a longer pause follows, and the pauses that are marked.

    Attributes:
        pauses: (how many of the words come before it, s).
    """

    words: tuple[str, ...]
    ends_paragraph: bool
    pauses: tuple[tuple[int, float], ...] = ()

    @property
    def text(self) -> str:
        return " ".join(self.words)


def split_text(text: str) -> list[Sentence]:
    """Sentences of a text, in order; where nothing is marked `" ".join(s.text for s in …) == " ".join(text.split())`.

    Raises:
        JobError: `pause-invalid`.
    """
    found: list[Sentence] = []
    for paragraph in _paragraphs(hide_marks(text).replace("\r\n", "\n").replace("\r", "\n")):
        groups = [words for line in _lines(paragraph) for words in _sentences(line.split())]
        last = len(groups) - 1
        for number, group in enumerate(groups):
            sentence = _unmarked(group, number == last)
            if sentence.words or not found:
                found.append(sentence)
            else:  # nothing but a mark: it belongs to the sentence before it
                before = found[-1]
                after = tuple((len(before.words), seconds) for _, seconds in sentence.pauses)
                ends = before.ends_paragraph or sentence.ends_paragraph
                found[-1] = Sentence(before.words, ends, before.pauses + after)
    return found


def _paragraphs(text: str) -> Iterator[str]:
    """Parts between empty lines; a heading is one by itself."""
    for part in _PARAGRAPH.split(text):
        yield from (piece for piece in _HEADING.split(part) if piece.strip())


def _unmarked(group: Sequence[str], ends_paragraph: bool) -> Sentence:
    words: list[str] = []
    pauses: list[tuple[int, float]] = []
    for word in group:
        seconds = pause_of(word)
        if seconds is None:
            words.append(word)
        else:
            pauses.append((len(words), seconds))
    return Sentence(tuple(words), ends_paragraph, tuple(pauses))


def _lines(paragraph: str) -> Iterator[str]:
    """Lines that were meant as lines. A line is a wrapped one if the next word would not have fitted on it."""
    lines = [line.strip() for line in paragraph.split("\n") if line.strip()]
    width = max(map(len, lines), default=0)
    current = ""
    for line in lines:
        before = current.rsplit("\n", 1)[-1]
        fits = len(before) + 1 + len(line.split()[0]) <= width
        if current and (fits or _LIST_ITEM.match(line)):
            yield current
            current = line
        else:
            current = f"{current}\n{line}" if current else line
    if current:
        yield current


def _sentences(words: Sequence[str]) -> Iterator[list[str]]:
    current: list[str] = []
    for index, word in enumerate(words):
        current.append(word)
        if index + 1 < len(words) and _ends_sentence(word, words[index + 1], first=len(current) == 1):
            yield current
            current = []
    if current:
        yield current


def _ends_sentence(word: str, following: str, *, first: bool) -> bool:
    match = _END.search(word)
    if match is None or following.lstrip(_OPENERS)[:1].islower():
        return False
    if match[1] != ".":
        return True
    core = word[: match.start()].lstrip(_OPENERS)
    if first and core.isdecimal():  # "1. Mix the flour."
        return False
    if _LEADING.fullmatch(core):
        return False
    initials = re.fullmatch(r"(?:[A-Za-z]\.)*[A-Za-z]", core) is not None  # "J.", "U.S."
    return not initials or core.casefold() in _CLOCK or core == "I"


def pieces(words: Sequence[str], limit: int = MAX_PIECE_CHARS) -> Iterator[range]:
    """Index ranges that cut `words` into pieces of at most `limit` characters, at clause ends where there are any."""
    start = 0
    while start < len(words):
        stop = _fitting(words, start, limit)
        if stop < len(words):
            clauses = [end for end in range(start + 1, stop + 1) if _CLAUSE_END.search(words[end - 1])]
            stop = clauses[-1] if clauses else stop
        yield range(start, stop)
        start = stop


def _fitting(words: Sequence[str], start: int, limit: int) -> int:
    """End of the longest run of words from `start` that fits; at least one word."""
    length = len(words[start])
    stop = start + 1
    while stop < len(words) and (length := length + 1 + len(words[stop])) <= limit:
        stop += 1
    return stop
