"""Where in a sound given words are: a hidden Markov model's search, with the American English model of soundswallower."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, takewhile

import numpy as np
import soundswallower

from stages.tts.phonemes.arpabet import ARPABET, WordSounds, sounds_of_arpabet

RATE = 16_000  # Hz, 16 bits: what the model hears
FRAMES_PER_S = 100
_FRAME_BYTES = RATE // FRAMES_PER_S * 2
#: What is searched at once, and what is left before a clause that is searched again. Frames
_WINDOW_FRAMES, _LEAD_FRAMES = 24 * FRAMES_PER_S, 30
_QUIET_FRAMES = 8  # frames on each side of a moment that make it quiet
_MAX_SOUNDS_PER_S = 30  # that anybody says in a second
#: How much less likely than the best a path may become before it is given up: at first, and when nothing was left.
_BEAMS = (1e-60, 1e-150)
ATTEMPTS = len(_BEAMS)
#: Between clauses any other sounds may be heard, and a clause may be missing; neither is likely. Sounds that are only near to
#: those of the model lose against any others unless these are far less likely; another sentence is still not found then.
OTHER_SPEECH, OTHER_SPEECH_FOREIGN = 1e-4, 1e-9
_CLAUSE_MISSING = 1e-20

#: The words of a clause, each with all ways of saying it.
Clause = Sequence[Sequence[WordSounds]]


@dataclass(frozen=True)
class FoundWord:
    """A word that was found.

    Attributes:
        word: its number, counted over all clauses.
        clause: the number of its clause.
        reading: how it was said.
        edges: frames where its sounds begin, and where the last one ends; one more than there are sounds.
    """

    word: int
    clause: int
    reading: WordSounds
    edges: tuple[int, ...]


class Aligner:
    """A loaded model with its dictionary. It learns words under the name of their sounds, so that it learns each once."""

    def __init__(self, beam: float) -> None:
        self._decoder = soundswallower.Decoder(
            hmm=soundswallower.get_model_path("en-us"),
            beam=beam, wbeam=beam, pbeam=beam,
            bestpath=False,
            loglevel="ERROR", logfn=os.devnull,  # it complains of every sound that does not fit
        )  # fmt: skip
        self._others = [self._learn("?", (arpa,)) for arpa in ARPABET]

    def pronunciations(self, word: str, main: WordSounds) -> tuple[WordSounds, ...]:
        """The front end's reading of a word, and those of the dictionary: people say "a", "the", "either" in two ways."""
        found = {tuple(sound.arpa for sound in main): main}
        for number in range(1, 5):
            # The package's own annotation says int; it is the phones, separated by spaces.
            entry: object = self._decoder.lookup_word(word if number == 1 else f"{word}({number})")
            if not isinstance(entry, str):
                break
            phones = tuple(entry.split())
            found.setdefault(phones, sounds_of_arpabet(phones, main))
        return tuple(found.values())

    def find_words(self, sound: bytes, clauses: Sequence[Clause], other: float = OTHER_SPEECH) -> list[FoundWord]:
        """The words in their order in `sound` (16-bit mono at RATE), with silence, noise or other speech between clauses.

        A clause that is not heard is left out. Empty where nothing in the sound is like the words. Time grows with the
        length of the sound, memory does not: it is searched in windows, each beginning where the last sure clause ended.

        Args:
            other: how likely other speech is: `OTHER_SPEECH`, or `OTHER_SPEECH_FOREIGN` for words of another language.
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
            elif found and found[0].edges[0] - begin > _WINDOW_FRAMES // 3:  # it may go on behind the window
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
        """Words with only their outer edges. Where the sound is not `whole` it may end before the clauses do."""
        decoder = self._decoder
        last = sum(map(len, clauses))
        names: list[dict[str, WordSounds]] = []  # of every word, how each of its readings is called
        first: dict[str, tuple[int, int]] = {}  # name of a clause's first word → clause, word
        moves: list[tuple[object, ...]] = []
        for number, clause in enumerate(clauses):
            here = len(names)
            moves += [(here, here, unlike, other) for other in self._others]
            moves.append((here, here + len(clause), _CLAUSE_MISSING))
            if not whole:
                moves += [(here + at, last, 1.0) for at in range(len(clause)) if here + at]
            for at, readings in enumerate(clause):
                # The first word tells its clause, so that the path found says which clauses it went through.
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
        """The words that the last search found, with the edges of all their sounds."""
        alignment = self._decoder.alignment if found else None
        exact: list[tuple[int, ...]] = []
        # An entry is a view into the search, which moves on: each must be read before the next is asked for.
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
    """How many clauses a fast speaker could say in a time; at least one."""
    sounds = accumulate(sum(len(readings[0]) for readings in clause) for clause in clauses)
    return max(1, sum(1 for _ in takewhile(lambda total: total <= frames * _MAX_SOUNDS_PER_S // FRAMES_PER_S, sounds)))


def _window_end(sound: bytes, begin: int, frames: int) -> int:
    """Where a window ends: in the quietest moment of its last third, so that hardly ever a word is cut in two."""
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
    """The model, loaded once and kept; a later attempt, below `ATTEMPTS`, searches wider and takes longer."""
    return Aligner(_BEAMS[attempt])
