"""`duration`: speech is made as long as it is to be, or it is said by how many words it is too long or too short."""

from __future__ import annotations

from pathlib import Path

import pytest

import stages.tts
from daemon.errors import JobError
from daemon.jobs.manifest import Manifest
from stages.tts.fit_length import FASTEST, LONGEST_PAUSE, SHORTEST_PAUSE, SLOWEST, Length, fit_length
from tests.support.stages.sound_jobs import job, refused, sound, timing

FRAME_S = 1 / 25
TEXT = (
    "The north wind and the sun were disputing which was the stronger. A traveller came along. [pause 1s] "
    "They agreed to let him judge. Did he?\n\nYes, he did, at last!"
)


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("change", [0.87, 0.97, 1.0, 1.05, 1.24])
def test_speech_is_as_long_as_it_is_to_be(tmp_path: Path, change: float) -> None:
    usual = job(tmp_path / "usual", kind="speech", image=None, text=TEXT)
    wanted = round(stages.tts.run(usual)["audio_s"] * change, 2)
    ctx = job(tmp_path / "fitted", kind="speech", image=None, text=TEXT, duration=wanted)
    facts = stages.tts.run(ctx)
    # Then it is that long, to a frame, with all its words in it, by a natural speed and natural pauses
    samples, rate = sound(ctx.path("speech.wav"))
    assert abs(len(samples) / rate - wanted) <= FRAME_S
    assert abs(facts["audio_s"] - wanted) <= FRAME_S
    assert SLOWEST <= facts["speed"] <= FASTEST
    assert SHORTEST_PAUSE <= facts["pauses"] <= LONGEST_PAUSE
    fitted = timing(ctx)
    assert [word["text"] for word in fitted["words"]] == [word["text"] for word in timing(usual)["words"]]
    # And a pause that the text itself asks for is as long as it says
    at = next(index for index, word in enumerate(fitted["words"]) if word["text"] == "They")
    assert 0.9 < fitted["words"][at]["start"] - fitted["words"][at - 1]["end"] < 1.25
    # And the speech of other speeds is not kept
    assert len(list(ctx.path("said").iterdir())) == 5


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize(("duration", "says"), [(3, "Take out about "), ("1:30", "Add about ")])
def test_what_cannot_be_is_refused_with_the_number_of_words(tmp_path: Path, duration: object, says: str) -> None:
    error = refused(job(tmp_path, kind="speech", image=None, text=TEXT, duration=duration))
    assert error.code == "duration-unreachable"
    assert error.hint.startswith(says)


def spoken(words: int, speed: float, *, obeys: bool = True) -> Length:
    """Two words a second, and a pause of 0.3 s after every ten."""
    sound_s, pauses_s = words / 2 / (speed if obeys else 1.0), words / 10 * 0.3
    return Length(sound_s + pauses_s + 0.25, sound_s, pauses_s, words)


@pytest.mark.parametrize("wanted_s", [15.0, 20.0])
def test_the_number_of_words_is_what_makes_it_fit(wanted_s: float) -> None:
    for words in (20, 60):
        with pytest.raises(JobError) as caught:
            fit_length(wanted_s, 1.0, lambda speed, words=words: spoken(words, speed))  # type: ignore[misc]
        much = int(caught.value.hint.split(" about ")[1].split()[0])
        changed = words - much if words == 60 else words + much + 1
        fit = fit_length(wanted_s, 1.0, lambda speed, words=changed: spoken(words, speed))  # type: ignore[misc]
        assert SHORTEST_PAUSE <= fit.pauses <= LONGEST_PAUSE


def test_a_text_of_one_word_gets_the_words_that_people_say_in_that_time() -> None:
    with pytest.raises(JobError) as caught:
        fit_length(90.0, 1.0, lambda speed: spoken(1, speed))
    much = int(caught.value.hint.split("Add about ")[1].split()[0])
    fit = fit_length(90.0, 1.0, lambda speed: spoken(1 + much, speed))
    assert SHORTEST_PAUSE <= fit.pauses <= LONGEST_PAUSE


def test_a_voice_that_keeps_to_no_speed_is_fitted_by_pauses_alone() -> None:
    fit = fit_length(17.0, 1.0, lambda speed: spoken(30, speed, obeys=False))
    assert 1 < fit.pauses <= LONGEST_PAUSE
    # And the limits of `speed` itself hold
    assert fit_length(8.6, 1.9, lambda speed: spoken(30, speed)).speed <= 2.0


@pytest.mark.parametrize(("written", "seconds"), [(15, 15.0), ("15s", 15.0), ("0:15", 15.0), ("1:02.5", 62.5)])
def test_a_duration_is_seconds_or_minutes_and_seconds(written: object, seconds: float) -> None:
    assert Manifest.model_validate({"kind": "speech", "text": "Hi.", "duration": written}).duration == seconds
