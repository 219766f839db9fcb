"""Groups timed words into readable caption cues, and writes them as SubRip or WebVTT.

The limits are common to broadcasters and streaming services: two lines of 42 characters (18 of Chinese or Japanese), at most
6 s per cue, and breaks at punctuation and pauses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from stages.encode.captions.text_direction import direction_marker
from stages.media.fullwidth import CLOSING, column_width
from stages.tts.timing import Word

MAX_LINES = 2
MAX_LINE_CHARS = 42
#: Maximum columns of a line if most characters are full-width; such a character takes two columns.
MAX_WIDE_COLUMNS = 36
MAX_CUE_S = 6.0
#: Shortest time a cue stays, where the next one allows it.
MIN_CUE_S = 1.0
#: A cue stays this long after its last word, where the next one allows it.
LINGER_S = 0.3
#: Minimum gap between two cues, which shows that the text changed.
GAP_S = 0.04
#: A pause this long always ends a cue.
PAUSE_S = 1.2

#: Punctuation inside a sentence after which a reader may pause; a full stop there belongs to an abbreviation.
_BREATH_MARKS = ",;:—–!?…、，；：。！？"
#: Characters searched backwards for a better place to cut a word that is longer than a line.
_SEARCHED = 4
#: What players of SubRip read as the start of HTML, of an entity or of an ASS command.
_MARKUP = re.compile(r"<(?=[A-Za-z/!?])|&(?=#?\w{1,31};)|[{\\](?=[\\A-Za-z])")
_CLOSERS = "\"'”’»)]」』）】》"


@dataclass(frozen=True)
class Cue:
    """A caption shown from `start` to `end` (s); `lines` holds its one or two lines."""

    start: float
    end: float
    lines: tuple[str, ...]


@dataclass(frozen=True)
class _Piece:
    """A word, or a part of one that is longer than a line."""

    text: str
    start: float
    end: float
    sentence: int
    glued: bool  # to the one before, without a space
    inside: bool  # a word: nothing should end before it


def make_cues(words: Sequence[Word], line_chars: int = MAX_LINE_CHARS) -> list[Cue]:
    """Group words into cues, in order and without overlap.

    Args:
        words: timing.json's `words`.
        line_chars: maximum columns of a line; a full-width character takes two.
    """
    text = "".join(word.text for word in words)
    if column_width(text) > 1.5 * len(text):
        line_chars = min(line_chars, MAX_WIDE_COLUMNS)
    found: list[tuple[list[_Piece], tuple[str, ...]]] = []
    for _, sentence in groupby(_pieces(words, line_chars), key=lambda piece: piece.sentence):
        found += _cut_into_cues(list(sentence), line_chars)
    starts = [pieces[0].start for pieces, _ in found]
    return [
        Cue(start, _end(start, pieces[-1].end, following), lines)
        for (pieces, lines), start, following in zip(found, starts, [*starts[1:], float("inf")], strict=True)
    ]


def _end(start: float, spoken: float, following: float) -> float:
    wanted = min(max(spoken + LINGER_S, start + MIN_CUE_S), start + MAX_CUE_S)
    return max(min(wanted, following - GAP_S), min(start + GAP_S, following))


def _pieces(words: Sequence[Word], limit: int) -> Iterator[_Piece]:
    for word in words:
        # "Smith —" is one word of the timing, but may be broken at its space.
        parts = [(part, at > 0) for bit in word.text.split() for at, part in enumerate(_slices(bit, limit))]
        step = (word.end - word.start) / max(1, len(parts))
        for number, (part, inside) in enumerate(parts):
            begin = word.start + number * step
            glued = inside or (not number and word.glued)
            yield _Piece(part, begin, begin + step, word.sentence, glued, inside)


def _slices(text: str, limit: int) -> Iterator[str]:
    """Cut a word into parts that fit on a line; if possible, none begins with closing punctuation."""
    start = 0
    while column_width(text[start:]) > limit:
        stop = start + 1
        while column_width(text[start : stop + 1]) <= limit:
            stop += 1
        good = (at for at in range(stop, max(start, stop - _SEARCHED), -1) if text[at] not in CLOSING)
        stop = next(good, stop)
        yield text[start:stop]
        start = stop
    yield text[start:]


def _cut_into_cues(pieces: list[_Piece], limit: int) -> list[tuple[list[_Piece], tuple[str, ...]]]:
    """Cut one sentence into cues at the least total cost, by dynamic programming from its end."""
    count = len(pieces)
    best: list[tuple[float, int, tuple[str, ...]]] = [(0.0, count, ())] * (count + 1)
    for start in range(count - 1, -1, -1):
        options = []
        for stop in range(start + 1, count + 1):
            lines = _lines(pieces[start:stop], limit)
            if stop > start + 1 and (lines is None or not _fits_one_cue(pieces[start:stop])):
                break
            cost = _cost(pieces, start, stop, limit) + best[stop][0]
            options.append((cost, stop, lines or (pieces[start].text,)))
        best[start] = min(options)
    found, start = [], 0
    while start < count:
        _, stop, lines = best[start]
        found.append((pieces[start:stop], lines))
        start = stop
    return found


def _fits_one_cue(pieces: Sequence[_Piece]) -> bool:
    long = pieces[-1].end - pieces[0].start > MAX_CUE_S
    return not long and pieces[-1].start - pieces[-2].end < PAUSE_S


def _cost(pieces: Sequence[_Piece], start: int, stop: int, limit: int) -> float:
    """Cost of a cue: 1, plus more for a nearly empty one and for an end without punctuation or pause."""
    length = column_width(_text(pieces[start:stop]))
    thin = max(0.0, 1.0 - length / limit)
    if stop == len(pieces):
        return 1.0 + thin
    pause = pieces[stop].start - pieces[stop - 1].end
    breath = 0.0 if _ends_with(pieces[stop - 1].text, _BREATH_MARKS) else 0.6 if pause < 0.15 else 0.2
    return 1.0 + thin + breath + (2.0 if pieces[stop].inside else 0.0)


def _text(pieces: Sequence[_Piece]) -> str:
    return "".join(piece.text if piece.glued else f" {piece.text}" for piece in pieces).lstrip(" ")


def _ends_with(text: str, marks: str) -> bool:
    return text.rstrip(_CLOSERS)[-1:] in tuple(marks)


def _lines(pieces: Sequence[_Piece], limit: int) -> tuple[str, ...] | None:
    """The pieces in one line, or in two of nearly equal length; None if they do not fit."""
    whole = _text(pieces)
    if column_width(whole) <= limit:
        return (whole,)
    options = []
    for at in range(1, len(pieces)):
        upper, lower = _text(pieces[:at]), _text(pieces[at:])
        if max(column_width(upper), column_width(lower)) <= limit:
            bonus = 8 if _ends_with(upper, _BREATH_MARKS) else 0
            options.append((abs(column_width(upper) - column_width(lower)) - bonus, (upper, lower)))
    return min(options)[1] if options else None


def to_srt(cues: Sequence[Cue]) -> str:
    """Write cues as SubRip text."""
    marked = direction_marker(line for cue in cues for line in cue.lines)
    blocks = []
    for number, cue in enumerate(cues, 1):
        lines = "\n".join(marked(_literal(line)) for line in cue.lines)
        blocks.append(f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{lines}\n")
    return "\n".join(blocks)


def _literal(line: str) -> str:
    """Keep players from reading a part of a line of SubRip, which knows no escapes, as a tag, a command, an entity or a time."""
    # A word joiner, which is not seen, after the sign that would begin it.
    return _MARKUP.sub(lambda sign: f"{sign[0]}\u2060", line.replace("-->", "→"))


def to_vtt(cues: Sequence[Cue]) -> str:
    """Write cues as WebVTT text."""
    marked = direction_marker(line for cue in cues for line in cue.lines)
    blocks = ["WEBVTT\n"]
    for cue in cues:
        lines = "\n".join(map(marked, cue.lines)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        blocks.append(f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{lines}\n")
    return "\n".join(blocks)


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"
