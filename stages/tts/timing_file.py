"""The file timing.json: times of sentences, words and phones, in one form for synthesized and recorded speech."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from daemon.errors import TRIED_AGAIN, UnknownError, first_invalid
from daemon.system.fs import artifact
from stages.tts.text.sentences import Sentence
from stages.tts.timing import UNKNOWN_PHONE, Phone, Word, timed_words

_Timed = TypeVar("_Timed", Word, Phone)


@dataclass(frozen=True)
class TimedSentence:
    """One sentence: its text as written, and its first and last moment, s."""

    text: str
    start: float
    end: float


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The content of timing.json. All times are in s from the start of speech.wav.

    Attributes:
        engine: the voice engine; "brought" for a recording.
        method: source of the times: "exact" (the engine), "aligned" (forced alignment), or "energy": the phones are not known,
            and the mouth follows the loudness.
        sample_rate: of speech.wav, Hz.
        duration: of speech.wav, s.
        language: tag of the text's language, such as "en-GB".
        words: `sentence` is an index into `sentences`.
        phones: in the order of time; `word` is an index into `words`.
    """

    version: int = 1
    engine: str
    method: Literal["exact", "aligned", "energy"]
    sample_rate: int
    duration: float
    language: str
    sentences: tuple[TimedSentence, ...]
    words: tuple[Word, ...]
    phones: tuple[Phone, ...]

    def save(self, path: Path) -> None:
        """Write the file, atomically. A word's `glued` is written only where it is true."""
        with artifact(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.writelines(self._written())

    def _written(self) -> Iterator[str]:
        """Yield the file's text in small pieces, since as dictionaries the whole of an hour takes 60 MB."""
        encode = json.JSONEncoder(ensure_ascii=False).encode
        lists = ("sentences", "words", "phones")
        yield encode({name: value for name, value in vars(self).items() if name not in lists})[:-1]
        for name, form in zip(lists, (TimedSentence, Word, Phone), strict=True):
            yield f', "{name}": ['
            keys = [field.name for field in fields(form)]  # `vars` would give each item a dictionary that stays
            for number, item in enumerate(getattr(self, name)):
                told = {key: getattr(item, key) for key in keys if key != "glued" or item.glued}
                yield f"{', ' if number else ''}{encode(told)}"
            yield "]"
        yield "}\n"


def read_timing(path: Path) -> Timing:
    """Read and check timing.json. Keys that this version does not know are ignored.

    Raises:
        UnknownError: `timing-unreadable`: it is damaged.
    """
    data = path.read_bytes()
    try:
        return _adapter().validate_json(data)
    except ValidationError as exc:
        why = first_invalid(exc, "the file")
        raise UnknownError("timing-unreadable", f"timing.json cannot be read ({why}).", TRIED_AGAIN) from exc


@functools.cache
def _adapter() -> TypeAdapter[Timing]:
    return TypeAdapter(Timing)


def write_timing(
    path: Path,
    engine: str,
    method: Literal["exact", "aligned"],
    rate: int,
    duration: float,
    language: str,
    sentences: Sequence[Sentence] = (),
    phones: Sequence[Phone] = (),
) -> Timing:
    """Write timing.json and return its content.

    Phones named `UNKNOWN_PHONE` give times to their words and are left out of the file. Where most words have only these,
    the method becomes "energy": the mouth then follows the loudness.

    Args:
        rate: Hz.
        duration: s.
        phones: times in s; `word` counts the words of all sentences.
    """
    said, words, found = timed_words(sentences, phones)
    known = [phone for phone in found if phone.phone != UNKNOWN_PHONE]
    enough = 2 * len({phone.word for phone in known}) >= max(1, len(words))
    timing = Timing(
        engine=engine,
        method=method if enough else "energy",
        sample_rate=rate,
        duration=duration,
        language=language,
        sentences=_timed_sentences(said, words),
        words=tuple(map(_rounded, words)),
        phones=tuple(map(_rounded, known)) if enough else (),
    )
    timing.save(path)
    return timing


def _timed_sentences(said: Sequence[Sentence], words: Sequence[Word]) -> tuple[TimedSentence, ...]:
    spans, index = [], 0
    for sentence in said:
        last = index + len(sentence.words) - 1
        spans.append(TimedSentence(sentence.text, round(words[index].start, 4), round(words[last].end, 4)))
        index = last + 1
    return tuple(spans)


def _rounded(timed: _Timed) -> _Timed:
    return replace(timed, start=round(timed.start, 4), end=round(timed.end, 4))
