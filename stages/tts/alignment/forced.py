"""Forced alignment: finds the times of the words of a text in recordings, and in speech of engines without times.

The sound may contain other speech, and may lack parts of the text. Words that are not found between others are spread over
the sound there, as phones named `UNKNOWN_PHONE`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from daemon.errors import JobError
from stages.media.resample import resample
from stages.media.wav import open_wav, to_pcm
from stages.tts.alignment.hmm import (
    ATTEMPTS,
    FRAMES_PER_S,
    OTHER_SPEECH,
    OTHER_SPEECH_FOREIGN,
    RATE,
    Clause,
    FoundWord,
    load_aligner,
)
from stages.tts.alignment.languages import alignment_missing
from stages.tts.phonemes import FrontEnd, front_end, sound_replacements
from stages.tts.phonemes.arpabet import WordSounds, sounds_of_misaki
from stages.tts.phonemes.reading import NO_WORD, EnglishFrontEnd
from stages.tts.text.sentences import split_pieces
from stages.tts.timing import FLOOR_DB, RELATIVE_SILENCE_DB, UNKNOWN_PHONE, Phone, Samples

#: Offset from the first sample of a frame to the middle of its window. s
_FRAME_CENTRE_S = 0.0128
#: Share of the vowel in "əɹ", which is one sound to the model.
_FIRST_PART = 0.55
#: Shortest sound that a missing word may have. s
_MIN_WORD_S = 0.08
_CLAUSE_ENDS = tuple(",;:.!?…—–")
_MAX_CLAUSE_WORDS = 12  # of a clause without punctuation

Pcm = npt.NDArray[np.int16]


def align_words(samples: Samples, rate: int, words: Sequence[str], language: str) -> list[Phone]:
    """Find the time of each word in a sound.

    Args:
        samples: float32 [n], mono, nominally within ±1.
        rate: Hz.
        words: as written, punctuation attached.
        language: BCP 47 tag. Where `alignment_missing` gives a reason, all words are spread over the sound.

    Returns:
        Phones in order, times in s from the first sample; `word` indexes `words`.
    """
    return _align_pcm(_to_model_pcm([samples], rate), words, language)


def align_file(path: Path, words: Sequence[str], language: str) -> list[Phone]:
    """Align words with a 16-bit mono WAV of any length; resamples it in blocks to save memory. See `align_words`."""
    with open_wav(path) as file:
        pcm = _to_model_pcm(file.blocks(), file.rate)
    return _align_pcm(pcm, words, language)


def _to_model_pcm(blocks: Iterable[Samples], rate: int) -> Pcm:
    return np.frombuffer(b"".join(map(to_pcm, resample(blocks, rate, RATE))), np.int16)


def _align_pcm(pcm: Pcm, words: Sequence[str], language: str) -> list[Phone]:
    phones: list[Phone] = []
    if alignment_missing(language) is None:
        owners, clauses = _clauses(words, language)
        other = OTHER_SPEECH if _is_english(language) else OTHER_SPEECH_FOREIGN
        phones = [phone for one in _find_words(pcm, clauses, other) for phone in _phones(one, owners[one.word])]
    return list(_with_missing(phones, words, pcm))


def _find_words(pcm: Pcm, clauses: Sequence[Clause], other: float) -> list[FoundWord]:
    """Search with wider beams until half of the words are found; the first search usually suffices."""
    total = sum(map(len, clauses))
    found: list[FoundWord] = []
    for attempt in range(ATTEMPTS if total and len(pcm) else 0):
        found = load_aligner(attempt).find_words(pcm.tobytes(), clauses, other)
        if 2 * len(found) >= total:
            break
    return found


def _is_english(language: str) -> bool:
    return language.casefold().partition("-")[0] == "en"


def _clauses(words: Sequence[str], language: str) -> tuple[list[int], list[Clause]]:
    """Return the index of the written word of each spoken one ("7:30" is two), and the clauses to search for."""
    tag = language.casefold()
    english = _is_english(language)
    british = tag.startswith(("en-gb", "en-au", "en-nz", "en-ie", "en-za"))
    reader: FrontEnd = EnglishFrontEnd(british) if english else front_end(language)
    owners: list[int] = []
    clauses: list[list[list[WordSounds]]] = []
    for span in split_pieces(words):
        clauses.append([])
        spoken = list(_word_sounds(reader, words, span, sound_replacements(language)))
        for at, (owner, main) in enumerate(spoken):
            alone = [other for other, _ in spoken[max(0, at - 1) : at + 2]].count(owner) == 1
            plain = "".join(char for char in words[owner].casefold() if char.isalpha() or char == "'")
            owners.append(owner)
            clauses[-1].append(list(load_aligner().pronunciations(plain, main)) if alone and english else [main])
            last = at + 1 == len(spoken) or spoken[at + 1][0] != owner
            ends = words[owner].rstrip("\"'”’»)]").endswith(_CLAUSE_ENDS)
            if last and (ends or len(clauses[-1]) >= _MAX_CLAUSE_WORDS):
                clauses.append([])
    return owners, [clause for clause in clauses if clause]


def _word_sounds(
    reader: FrontEnd, words: Sequence[str], span: range, letters: Mapping[str, str]
) -> Iterator[tuple[int, WordSounds]]:
    try:
        reading = reader.read(words[span.start : span.stop], {})
    except JobError:  # a person may have spoken what the front end cannot read
        return
    characters = [*zip(reading.chars, reading.owners, strict=True), (" ", NO_WORD)]
    for is_space, group in groupby(characters, lambda character: character[0] == " "):
        if not is_space:
            phonemes, owned = zip(*group, strict=True)
            if sounds := sounds_of_misaki("".join(letters.get(char, char) for char in phonemes)):
                yield span.start + owned[0], sounds


def _phones(word: FoundWord, owner: int) -> Iterator[Phone]:
    edges = [edge / FRAMES_PER_S + _FRAME_CENTRE_S for edge in word.edges]
    for sound, (start, end) in zip(word.reading, pairwise(edges), strict=True):
        if len(sound.symbols) == 1:
            yield Phone(sound.symbols[0], start, end, owner, sound.stress)
        else:
            turn = start + _FIRST_PART * (end - start)
            yield Phone(sound.symbols[0], start, turn, owner, sound.stress)
            yield Phone(sound.symbols[1], turn, end, owner, 0)


def _with_missing(phones: Sequence[Phone], words: Sequence[str], pcm: Pcm) -> Iterator[Phone]:
    """Yield the phones, and between them one for each word that was not found, if there is enough sound for it."""
    end = len(pcm) / RATE
    bounds = [Phone(UNKNOWN_PHONE, 0.0, 0.0, -1, 0), *phones, Phone(UNKNOWN_PHONE, end, end, len(words), 0)]
    known = {phone.word for phone in phones}
    sound = _audible_frames(pcm)
    for before, after in pairwise(bounds):
        missing = [word for word in range(before.word + 1, after.word) if word not in known and _is_spoken(words[word])]
        if missing:
            yield from _spread_words(missing, words, sound, before.end, after.start)
        if after is not bounds[-1]:
            yield after


def _is_spoken(word: str) -> bool:
    return any(map(str.isalnum, word))


def _spread_words(
    missing: Sequence[int], words: Sequence[str], sound: npt.NDArray[np.bool_], begin: float, end: float
) -> Iterator[Phone]:
    steps = np.arange(round(begin * FRAMES_PER_S), round(end * FRAMES_PER_S))
    steps = steps[sound[steps]]
    if len(steps) < len(missing) * _MIN_WORD_S * FRAMES_PER_S:
        return
    edges = np.cumsum([0, *(len(words[word]) for word in missing)])
    places = edges * len(steps) // edges[-1]
    for word, (first, last) in zip(missing, pairwise(places.tolist()), strict=True):
        yield Phone(UNKNOWN_PHONE, steps[first] / FRAMES_PER_S, (steps[last - 1] + 1) / FRAMES_PER_S, word, 0)


def _audible_frames(pcm: Pcm) -> npt.NDArray[np.bool_]:
    """Return which 10 ms frames are not silent, bool [frames], in constant memory."""
    size = RATE // FRAMES_PER_S
    frames = np.pad(pcm, (0, -len(pcm) % size)).reshape(-1, size)
    powers = [(frames[at : at + 6000].astype(np.float32) ** 2).mean(axis=1) for at in range(0, len(frames), 6000)]
    level = 10.0 * np.log10(np.maximum(np.concatenate([np.zeros(0, np.float32), *powers]) / 32768.0**2, 1e-12))
    return np.asarray(level > max(FLOOR_DB, float(level.max(initial=FLOOR_DB)) + RELATIVE_SILENCE_DB))
