"""Forced alignment: words of a known text are found in a sound, and only those that are in it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import stages.tts
from stages.media.resample import resample
from stages.tts.alignment.forced import align_file, align_words
from stages.tts.timing import UNKNOWN_PHONE, Phone, Samples
from tests.support.stages.sound_jobs import job, sound, timing

pytestmark = pytest.mark.usefixtures("models")

TEXT = (
    "Peter Piper paid $1,250.50 to Dr. Smith at 7:30 pm. Bob's baby bought big blue balloons! Why? Nobody knows. "
    "The quick brown fox jumps over the lazy dog, and then it rests under the old maple tree. "
    "On March 14, 2026, Maria met Professor Okonkwo in Reykjavik, which surprised everyone. They had not met for a long time."
)


class Speech:
    """A speech whose times are known to its engine."""

    def __init__(self, folder: Path) -> None:
        ctx = job(folder, text=TEXT)
        stages.tts.run(ctx)
        self.path = ctx.path("speech.wav")
        samples, self.rate = sound(self.path)
        self.samples = samples.astype(np.float32)
        self.timing = timing(ctx)
        self.words = [word["text"] for word in self.timing["words"]]
        self.starts = [word["start"] for word in self.timing["words"]]

    def cut(self, first: int, last: int) -> Samples:
        """The sound of words `first` to `last`, with half of the pause before and after."""
        return self.samples[round((self.starts[first] - 0.04) * self.rate) : round(self._end(last) * self.rate)]

    def _end(self, last: int) -> float:
        return float(self.timing["words"][last]["end"]) + 0.04


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Speech:
    return Speech(tmp_path_factory.mktemp("speech"))


def starts(phones: list[Phone]) -> dict[int, float]:
    found: dict[int, float] = {}
    for phone in phones:
        found.setdefault(phone.word, phone.start)
    return found


def test_words_begin_where_the_engine_made_them_begin(speech: Speech) -> None:
    # Given half a minute of speech, longer than is looked at in one part
    assert speech.timing["duration"] > 25
    # When its words are looked for in its file
    found = align_file(speech.path, speech.words, "en-US")
    # Then each is found within 25 ms in the mean, neither early nor late, and 19 of 20 within 70 ms
    errors = np.array([starts(found)[word] - exact for word, exact in enumerate(speech.starts)])
    assert np.abs(errors).mean() <= 0.025
    assert abs(errors.mean()) <= 0.010
    assert np.quantile(np.abs(errors), 0.95) <= 0.070
    # And the sounds are the engine's, in its alphabet, with its stress, one after the other
    assert all(a.end <= b.start + 1e-9 and a.word <= b.word for a, b in pairwise(found))
    assert all(phone.start < phone.end <= speech.timing["duration"] for phone in found)
    same = [(p.phone, p.stress) for p in found if p.word == 1]
    assert same == [("p", 0), ("I", 1), ("p", 0), ("ə", 0), ("ɹ", 0)]


def test_any_rate_gives_the_same_times(speech: Speech) -> None:
    # Given a sentence at the rate of another engine
    part = speech.cut(0, 9)
    other = np.concatenate(list(resample([part], speech.rate, 22_050)))
    # Then its words are where they were
    here, there = (
        starts(align_words(s, r, speech.words[:10], "en")) for s, r in ((part, speech.rate), (other, 22_050))
    )
    assert set(here) == set(there) == set(range(10))
    assert max(abs(here[word] - there[word]) for word in here) <= 0.03


def test_what_the_text_leaves_out_moves_no_word(speech: Speech) -> None:
    # Given a sound, and a text that lacks its second sentence
    words = speech.words[:10] + speech.words[16:27]
    # Then the words around the gap are still where they are said
    found = starts(align_words(speech.cut(0, 26), speech.rate, words, "en"))
    exact = [time - speech.starts[0] + 0.04 for time in speech.starts[:10] + speech.starts[16:27]]
    assert max(abs(found[word] - time) for word, time in enumerate(exact)) <= 0.15


def test_what_is_not_said_is_not_found(speech: Speech) -> None:
    # Given a sound without its second sentence, and the whole text
    sound_of = np.concatenate([speech.cut(0, 9), speech.cut(16, 18)])
    found = align_words(sound_of, speech.rate, speech.words[:19], "en")
    # Then that sentence has no place, and the rest has
    heard = {phone.word for phone in found if phone.phone != UNKNOWN_PHONE}
    assert heard >= {*range(10), 16, 17, 18}
    assert not heard & set(range(10, 16))


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Fourscore and seven years ago our fathers brought forth upon this continent a new nation.", "en"),
        ("Der schnelle braune Fuchs springt heute morgen über den faulen Hund.", "de-DE"),
    ],
)
def test_words_that_cannot_be_found_are_spread_over_the_sound(speech: Speech, text: str, language: str) -> None:
    # Given a sound, and words that are other ones than those in it, or of a language without a model
    words = text.split()
    found = align_words(speech.cut(10, 27), speech.rate, words, language)
    # Then every word has a place, in order, and none pretends to know its sounds
    assert [phone.word for phone in found] == list(range(len(words)))
    assert {phone.phone for phone in found} == {UNKNOWN_PHONE}
    assert all(a.end <= b.start + 1e-9 for a, b in pairwise(found))


@pytest.mark.parametrize("seconds", [0.0, 0.005, 3.0])
def test_silence_holds_no_word(seconds: float) -> None:
    assert align_words(np.zeros(round(seconds * 24_000), np.float32), 24_000, ["Hello", "there."], "en") == []
