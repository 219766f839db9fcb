"""Searches a sound for given words, with the American English hidden Markov model of soundswallower."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, takewhile

import numpy as np
import soundswallower

from stages.tts.phonemes.arpabet import ARPABET, WordSounds, sounds_of_arpabet

RATE = 16_000  # Hz; 16-bit samples
FRAMES_PER_S = 100
_FRAME_BYTES = RATE // FRAMES_PER_S * 2
#: Length of a search window, and lead before a clause that is searched again. Frames
_WINDOW_FRAMES, _LEAD_FRAMES = 24 * FRAMES_PER_S, 30
_QUIET_FRAMES = 8  # frames on each side of the quietest moment
_MAX_SOUNDS_PER_S = 30  # more than anybody speaks
#: Beam widths: a path is dropped when it is this much less likely than the best; the second one for another attempt.
_BEAMS = (1e-60, 1e-150)
ATTEMPTS = len(_BEAMS)
#: Probabilities of a sound of other speech between clauses, and of a missing clause. For foreign languages other speech must
#: be much less likely, because it would otherwise win against sounds that the model only approximates.
OTHER_SPEECH, OTHER_SPEECH_FOREIGN = 1e-4, 1e-9
_CLAUSE_MISSING = 1e-20

#: The words of a clause, each with all its pronunciations.
Clause = Sequence[Sequence[WordSounds]]


@dataclass(frozen=True)
class FoundWord:
    """A word that was found.

    Attributes:
        word: its index, counted over all clauses.
        clause: index of its clause.
        reading: the pronunciation that was found.
        edges: first frame of each of its sounds, and the end of the last.
    """

    word: int
    clause: int
    reading: WordSounds
    edges: tuple[int, ...]


class Aligner:
    """The acoustic model with its dictionary. Adds words under the names of their sounds, so that each is added once.

    Args:
        beam: one of `_BEAMS`.
    """

    def __init__(self, beam: float) -> None:
        self._decoder = soundswallower.Decoder(
            hmm=soundswallower.get_model_path("en-us"),
            beam=beam, wbeam=beam, pbeam=beam,
            bestpath=False,
            loglevel="ERROR", logfn=os.devnull,  # it logs every sound that does not fit
        )  # fmt: skip
        self._others = [self._learn("?", (arpa,)) for arpa in ARPABET]

    def pronunciations(self, word: str, main: WordSounds) -> tuple[WordSounds, ...]:
        """Return the pronunciations of a word: that of the front end, `main`, and those of the dictionary."""
        found = {tuple(sound.arpa for sound in main): main}
        for number in range(1, 5):
            # Annotated as int; in fact the phones, separated by spaces.
            entry: object = self._decoder.lookup_word(word if number == 1 else f"{word}({number})")
            if not isinstance(entry, str):
                break
            phones = tuple(entry.split())
            found.setdefault(phones, sounds_of_arpabet(phones, main))
        return tuple(found.values())

    def find_words(self, sound: bytes, clauses: Sequence[Clause], other: float = OTHER_SPEECH) -> list[FoundWord]:
        """Find words in order in `sound` (16-bit mono at RATE), with silence, noise or other speech between clauses.

        Omits clauses that are not found; returns an empty list if there are none. Searches in windows, each beginning
        where the last certain clause ended, so memory does not grow with the length of the sound.

        Args:
            other: probability of other speech: `OTHER_SPEECH`, or `OTHER_SPEECH_FOREIGN` for words of another language.
        """
        frames, begin, clause, missed = len(sound) // _FRAME_BYTES, 0, 0, 0
        first = [0, *accumulate(map(len, clauses))]  # word of each clause
        heard: list[FoundWord] = []
        while begin < frames and clause < len(clauses):
            stop = _window_end(sound, begin, frames)
            ahead = clauses[clause : clause + _clauses_within(clauses[clause:], (stop - begin) * (1 + min(missed, 3)))]
            whole = stop == frames
            places = self._search(sound[begin * _FRAME_BYTES : stop * _FRAME_BYTES], ahead, whole, other)
            found = [_shifted(one, first[clause], clause, begin) for one in self._with_sounds(places)]
            sure = found if whole else [one for one in found if one.clause != found[-1].clause]
            if sure:
                begin, clause, missed = sure[-1].edges[-1], sure[-1].clause + 1, 0
            elif found and found[0].edges[0] - begin > _WINDOW_FRAMES // 3:  # the clause may continue after the window
                begin, clause, missed = found[0].edges[0] - _LEAD_FRAMES, found[0].clause, 0
            elif found:  # longer than a window
                sure = found
                begin, clause, missed = found[-1].edges[-1], found[-1].clause + 1, 0
            else:
                begin, missed = stop if whole else begin + _WINDOW_FRAMES // 2, missed + 1
            heard += sure
            if whole:
                break
        return heard

    def _search(self, sound: bytes, clauses: Sequence[Clause], whole: bool, unlike: float) -> list[FoundWord]:
        """Find words with their outer edges only. Unless `whole`, the sound may end before the clauses do."""
        decoder = self._decoder
        last = sum(map(len, clauses))
        names: list[dict[str, WordSounds]] = []  # for every word: name → pronunciation
        first: dict[str, tuple[int, int]] = {}  # name of a clause's first word → clause, word
        moves: list[tuple[object, ...]] = []
        for number, clause in enumerate(clauses):
            here = len(names)
            moves += [(here, here, unlike, other) for other in self._others]
            moves.append((here, here + len(clause), _CLAUSE_MISSING))
            if not whole:
                moves += [(here + at, last, 1.0) for at in range(len(clause)) if here + at]
            for at, readings in enumerate(clause):
                # The name of a clause's first word contains its number, which identifies the clauses on the path.
                sign = "=" if at else f"={number}:"
                names.append({self._learn(sign, [one.arpa for one in reading]): reading for reading in readings})
                moves += [(here + at, here + at + 1, 1.0, name) for name in names[-1]]
            first.update(dict.fromkeys(names[here], (number, here)))
        moves += [(last, last, unlike, other) for other in self._others]
        decoder.set_fsg(decoder.create_fsg("words", 0, last, moves))
        decoder.start_utt()
        decoder.process_raw(sound, full_utt=True)
        decoder.end_utt()
        found: list[FoundWord] = []
        number = word = 0
        for segment in decoder.seg or ():
            if segment.text.startswith("="):
                number, word = first.get(segment.text, (number, word))
                start, length = round(segment.start * FRAMES_PER_S), round(segment.duration * FRAMES_PER_S)
                found.append(FoundWord(word, number, names[word][segment.text], (start, start + length)))
                word += 1
        return found

    def _with_sounds(self, found: Sequence[FoundWord]) -> list[FoundWord]:
        """Add the edges of all sounds to the words of the last search."""
        alignment = self._decoder.alignment if found else None
        exact: list[tuple[int, ...]] = []
        # An entry is a view into the search and must be read before the next one is requested.
        for word in alignment or ():
            if word.name.startswith("="):
                edges = [phone.start for phone in word]
                exact.append((*edges, word.start + word.duration))
        if len(exact) != len(found):
            exact = [_even_edges(word) for word in found]
        return [replace(word, edges=edges) for word, edges in zip(found, exact, strict=True)]

    def _learn(self, sign: str, phones: Sequence[str]) -> str:
        name = sign + "_".join(phones)
        if self._decoder.lookup_word(name) is None:
            self._decoder.add_word(name, " ".join(phones), True)
        return name


def _clauses_within(clauses: Sequence[Clause], frames: int) -> int:
    """Return how many clauses a fast speaker could say in `frames`; at least one."""
    sounds = accumulate(sum(len(readings[0]) for readings in clause) for clause in clauses)
    return max(1, sum(1 for _ in takewhile(lambda total: total <= frames * _MAX_SOUNDS_PER_S // FRAMES_PER_S, sounds)))


def _window_end(sound: bytes, begin: int, frames: int) -> int:
    """Return the end of a window: the quietest moment of its last third, to avoid cutting a word."""
    if frames - begin <= _WINDOW_FRAMES:
        return frames
    first = begin + _WINDOW_FRAMES * 2 // 3
    samples = np.frombuffer(sound[first * _FRAME_BYTES : (begin + _WINDOW_FRAMES) * _FRAME_BYTES], "<i2").astype(
        np.float32
    )
    power = (samples.reshape(-1, _FRAME_BYTES // 2) ** 2).mean(axis=1)
    around = np.convolve(power, np.ones(2 * _QUIET_FRAMES + 1), mode="valid")
    return first + int(around.argmin()) + _QUIET_FRAMES


def _shifted(word: FoundWord, words: int, clauses: int, frames: int) -> FoundWord:
    edges = tuple(edge + frames for edge in word.edges)
    return replace(word, word=word.word + words, clause=word.clause + clauses, edges=edges)


def _even_edges(word: FoundWord) -> tuple[int, ...]:
    start, end, count = word.edges[0], word.edges[-1], len(word.reading)
    return tuple(start + (end - start) * at // count for at in range(count + 1))


@lru_cache(maxsize=len(_BEAMS))
def load_aligner(attempt: int = 0) -> Aligner:
    """Load the model of an attempt, 0 to `ATTEMPTS` - 1, once and keep it; later ones search wider and slower."""
    return Aligner(_BEAMS[attempt])
