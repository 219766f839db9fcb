"""Splits plain text into sentences of words; joined they are the text again.

Words are joined with spaces, except `glued` ones, which have no space before them in Chinese and Japanese.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from stages.media.fullwidth import is_unspaced
from stages.tts.text.cjk_words import WordBreaker, breaker_for, join_wrapped_lines
from stages.tts.text.pause_marks import hide_marks, pause_of
from stages.tts.text.spoken_length import letters_of

#: Longest piece for a voice, in letters; longer sentences are split at clauses.
MAX_PIECE_CHARS = 280

_PARAGRAPH = re.compile(r"\n[^\S\n]*\n|[\u2028\u2029\f]")
_HEADING = re.compile(r"^([^\S\n]*#{1,6}[^\S\n]+\S.*|[^\S\n]*\S.*\n[^\S\n]*(?:={3,}|-{3,})[^\S\n]*)$", re.MULTILINE)
#: An item begins with a sign or a small picture, such as ▪, ✓ or →, a number or a letter.
_LIST_ITEM = re.compile(
    r"(?:[^\w\s\"'“”‘’«»()\[\]{}¿¡#$€£¥₹.,;:!?…&/=<>%|~^@\\`+—]{1,3}|\+(?=\s+[^\W\d])|—(?=\s+[A-ZÀ-ÖØ-Þ])|\d\ufe0f?\u20e3|\d{1,3}[.)]|\(?(?:\d{1,3}|[a-zA-Z]|[ivx]{1,5})\))\s+\S|[・①-⑳]"
)
#: A shorter line before a capital letter is a heading or an item of a list, and not broken by wrapping.
_WRAPPED_WIDTH = 40
#: Most words of a line that may be an item of a list in small letters.
_ITEM_WORDS = 3
_END = re.compile(r"([.!?…。！？।॥]+)[\"'”’»)\]」』）】》]*$")
_CLAUSE_END = re.compile(r"[,;:—–、，；：][\"'”’»)\]」』）】》]*$")
#: Ends a sentence that no space follows. A closing quote (「行こう！」と言った。) and an ellipsis do not.
_UNSPACED_END = re.compile(r"(?<!\d)\.$|[!?。！？．｡]$")
_OPENERS = "\"'“‘«([¿¡"

#: Abbreviations before a name or number, whose full stop does not end a sentence.
_LEADING = re.compile(
    r"mr|mrs|ms|mx|dr|prof|st|mt|ft|gen|gov|sen|rep|capt|lt|col|sgt|cmdr|rev|hon|pres|supt|cpl|maj|adm|fr|msgr"
    r"|vs|cf|approx|e\.g|i\.e"
    r"|sr|sra|srta|sres|srs|dra|dña|ing|núm|págs?|avda?|p\.ej|p\.ex|mme|mlle|tél|profa|डॉ|प्रो|रु"
    r"|sigg?|sig\.ra|sig\.na|dott|dott\.ssa|prof\.ssa|avv|pag|tel",
    re.IGNORECASE,
)
#: Abbreviations only before a number: "The answer is no. He left."
_NUMBERED = re.compile(
    r"no|nos|nr|rs|vol|fig|ch|pp?|est|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|mon|tues?|wed|thu|thurs?|fri|sat|sun"
    r"|rm|ext|temp|lat|eq|apt|ste|bldg|chap|sect|para|pt|ver|ref",
    re.IGNORECASE,
)
#: Abbreviations before a number in brackets: "eq. (5)".
_BEFORE_BRACKETS = frozenset({"eq", "eqs", "fig", "figs", "ref", "refs", "sect"})
_CLOCK = frozenset({"a.m", "p.m"})
#: What goes on with the hour before it: a zone of time, or a day.
_AFTER_CLOCK = re.compile(
    r"(?:[ECMP][SD]?T|GMT|UTC|BST|CES?T|IST|JST|A[EWC][SD]T)\b|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
)


@dataclass(frozen=True)
class Sentence:
    """A sentence as written.

    Attributes:
        words: punctuation attached; never empty but for a text of pause marks only.
        ends_paragraph: True if a longer pause follows.
        pauses: marked pauses: (number of words before it, length in s).
        glued: indices of words without a space before them.
    """

    words: tuple[str, ...]
    ends_paragraph: bool
    pauses: tuple[tuple[int, float], ...] = ()
    glued: frozenset[int] = frozenset()

    @property
    def text(self) -> str:
        """The sentence as it was written, without its pause marks."""
        return join_words(self.words, self.glued)


@dataclass(frozen=True)
class _Token:
    """A word or pause mark; `glued` if no space stands before it."""

    text: str
    glued: bool = False


def join_words(words: Sequence[str], glued: Collection[int]) -> str:
    """Join words with spaces, except before the indices in `glued`."""
    return "".join(word if not at or at in glued else f" {word}" for at, word in enumerate(words))


def split_text(text: str, language: str = "en") -> list[Sentence]:
    """Split a text into sentences, in order.

    Without pause marks and glued words, `" ".join(s.text for s in …) == " ".join(text.split())`.

    Args:
        language: BCP 47 tag; decides how words are separated where there are no spaces.

    Raises:
        JobError: `pause-invalid`.
    """
    found: list[Sentence] = []
    breaker = breaker_for(language, text)
    for paragraph in _paragraphs(hide_marks(text).replace("\r\n", "\n").replace("\r", "\n")):
        groups = [words for line in _lines(paragraph, breaker) for words in _sentences(_tokens(line, breaker))]
        last = len(groups) - 1
        for number, group in enumerate(groups):
            sentence = _sentence_of(group, number == last)
            if sentence.words or not found:
                found.append(sentence)
            else:  # pause marks only: attach them to the sentence before
                before = found[-1]
                after = tuple((len(before.words), seconds) for _, seconds in sentence.pauses)
                ends = before.ends_paragraph or sentence.ends_paragraph
                found[-1] = Sentence(before.words, ends, before.pauses + after, before.glued)
    return found


def _paragraphs(text: str) -> Iterator[str]:
    """Yield the parts between empty lines; a heading is a part of its own."""
    for part in _PARAGRAPH.split(text):
        yield from (piece for piece in _HEADING.split(part) if piece.strip())


def _sentence_of(group: Sequence[_Token], ends_paragraph: bool) -> Sentence:
    words: list[str] = []
    pauses: list[tuple[int, float]] = []
    glued: set[int] = set()
    for token in group:
        seconds = pause_of(token.text)
        if seconds is not None:
            pauses.append((len(words), seconds))
            continue
        if token.glued:
            glued.add(len(words))
        words.append(token.text)
    return Sentence(tuple(words), ends_paragraph, tuple(pauses), frozenset(glued))


def _lines(paragraph: str, breaker: WordBreaker | None) -> Iterator[str]:
    """Yield logical lines: a line that only wrapping has broken is joined again."""
    lines = [line.strip() for line in paragraph.split("\n") if line.strip()]
    width = max(map(len, lines), default=0)
    listed = len(lines) > 1 and not any(map(_continues_sentence, lines))
    current = ""
    for line in lines:
        if not current:
            current = line
        elif not _LIST_ITEM.match(line) and _is_wrapped(current.rsplit("\n", 1)[-1], line, width, listed, breaker):
            current = f"{current}\n{line}"
        else:
            yield current
            current = line
    if current:
        yield current


def _continues_sentence(line: str) -> bool:
    """False for what may be an item of a list: a few words in small letters, without any sign at the end."""
    return len(line.split()) > _ITEM_WORDS or line[-1] in ",;:" or not line[0].islower()


def _is_wrapped(before: str, line: str, width: int, listed: bool, breaker: WordBreaker | None) -> bool:
    """Return whether a line goes on with the sentence of the line before it. `width`: of the paragraph's longest line."""
    if line[0].islower():
        return not listed and _END.search(before) is None
    first = breaker.words(line.split()[0])[0] if breaker else line.split()[0]
    if len(before) + 1 + len(first) <= width:  # it had room in the line before
        return False
    return width >= _WRAPPED_WIDTH or not line[0].isupper()


def _tokens(line: str, breaker: WordBreaker | None) -> list[_Token]:
    """Split a line at spaces, and runs without spaces into words where there is a breaker."""
    if breaker is None:
        return [_Token(word) for word in line.split()]
    found: list[_Token] = []
    for run in join_wrapped_lines(line).split():
        # `hide_marks` has put spaces around a mark.
        marked = len(found) > 1 and pause_of(found[-1].text) is not None
        beside = marked and is_unspaced(found[-2].text[-1]) and is_unspaced(run[0])
        words = [run] if pause_of(run) is not None else breaker.words(run)
        found += [_Token(word, glued=bool(at) or beside) for at, word in enumerate(words)]
    return found


def _sentences(tokens: Sequence[_Token]) -> Iterator[list[_Token]]:
    current: list[_Token] = []
    for index, token in enumerate(tokens):
        current.append(token)
        if index + 1 < len(tokens) and _ends_before(token.text, tokens[index + 1], first=len(current) == 1):
            yield current
            current = []
    if current:
        yield current


def _ends_before(word: str, following: _Token, *, first: bool) -> bool:
    if following.glued:
        return _UNSPACED_END.search(word) is not None
    return _ends_sentence(word, following.text, first=first)


def _ends_sentence(word: str, following: str, *, first: bool) -> bool:
    match = _END.search(word)
    if match is None or following.lstrip(_OPENERS)[:1].islower():
        return False
    if match[1] != ".":
        return True
    core = word[: match.start()].lstrip(_OPENERS)
    if first and core.isdecimal():  # "1. Mix the flour."
        return False
    if _LEADING.fullmatch(core) or (following[:1].isdecimal() and _NUMBERED.fullmatch(core)):
        return False
    if following[:1] == "(" and following[1:2].isdecimal() and core.casefold() in _BEFORE_BRACKETS:
        return False
    if core.casefold() in _CLOCK and _AFTER_CLOCK.match(following):
        return False
    initials = re.fullmatch(r"(?:[A-Za-z]\.)*[A-Za-z]", core) is not None  # "J.", "U.S."
    return not initials or core.casefold() in _CLOCK or core == "I"


def split_pieces(words: Sequence[str], limit: int = MAX_PIECE_CHARS) -> Iterator[range]:
    """Yield index ranges of pieces of at most `limit` letters, cut at clause ends where possible."""
    start = 0
    while start < len(words):
        stop = _fitting(words, start, limit)
        if stop < len(words):
            clauses = [end for end in range(start + 1, stop + 1) if _CLAUSE_END.search(words[end - 1])]
            stop = clauses[-1] if clauses else stop
        yield range(start, stop)
        start = stop


def _fitting(words: Sequence[str], start: int, limit: int) -> int:
    """Return the end of the longest run of words from `start` that fits; at least one word."""
    length = letters_of(words[start])
    stop = start + 1
    while stop < len(words) and (length := length + 1 + letters_of(words[stop])) <= limit:
        stop += 1
    return stop
