"""A sound that is brought with its words: captions and lips as if a voice had said them; never a pretence of it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stages.lipsync
import stages.tts
from stages.context import Context
from stages.lipsync.motion_track import MotionTrack
from tests.support.stages.picture_jobs import job as picture_job
from tests.support.stages.picture_jobs import say, track_of
from tests.support.stages.sound_jobs import ffmpeg, job, timing

pytestmark = pytest.mark.usefixtures("models")

TEXT = "Bob's baby bought 12 big blue balloons. Peter Piper made a map for my mother, and Pam may keep it."


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """The recording: a voice whose times are known exactly."""
    ctx = job(tmp_path_factory.mktemp("said"), text=TEXT)
    stages.tts.run(ctx)
    return ctx


def bring(
    folder: Path, recording: Context, settings: dict[str, Any] | None = None, **manifest: Any
) -> tuple[Context, Mapping[str, Any]]:
    ctx = job(folder, settings, audio="recording.wav", **manifest)
    shutil.copy(recording.path("speech.wav"), ctx.path("source.audio"))
    return ctx, stages.tts.run(ctx)


def closures(recording: Context, track: MotionTrack) -> list[bool]:
    """For each P, B and M of the recording whether the lips meet there: a shut frame within a frame of the sound."""
    time = np.arange(len(track.values)) / float(track.fps)
    shut = sum(track.column(name) for name in ("jaw", "round", "lower_lip", "upper_lip")) - track.column("seal") < 0.02
    shut &= track.column("press") > 0.5
    exact = [(p["start"], p["end"]) for p in timing(recording)["phones"] if p["phone"] in "pbm"]
    return [bool(shut[(time > start - 0.045) & (time < end + 0.045)].any()) for start, end in exact]


def test_markup_in_the_words_of_a_recording_is_told_and_not_shown(said: Context, tmp_path: Path) -> None:
    broken = TEXT.replace("balloons.", 'balloons.<break time="2s"/> (laughs)')
    marked = f"<speak>{broken.replace('keep', '<emphasis>keep</emphasis>')}</speak>"
    ctx, _ = bring(tmp_path / "marked", said, text=marked)
    assert [word["text"] for word in timing(ctx)["words"]] == TEXT.split()
    assert any("<emphasis>, <break> in `text` has no effect, because the sound file" in said for said in ctx.warnings)
    assert any("captions leave them out: (laughs)" in said for said in ctx.warnings)


def test_with_its_words_the_lips_close_where_they_must(said: Context, tmp_path: Path) -> None:
    # Given a recording with its text, and the same without
    told, facts = bring(tmp_path / "told", said, text=TEXT)
    untold, plain = bring(tmp_path / "untold", said, {"stages": {"tts": {"transcribe": False}}})
    # When the mouths are made
    for ctx in (told, untold):
        stages.lipsync.run(ctx)
    # Then words and times are those of the recording, and the status names the method
    words, exact = timing(told)["words"], timing(said)["words"]
    assert [word["text"] for word in words] == TEXT.split()
    errors = [abs(word["start"] - true["start"]) for word, true in zip(words, exact, strict=True)]
    assert np.mean(errors) <= 0.025
    assert (facts["method"], plain["method"]) == ("aligned", "energy")
    assert told.warnings == []
    # And lips meet at nearly every P, B and M, which nobody can hear from the sound alone
    met = closures(said, track_of(told))
    assert len(met) >= 20
    assert np.mean(met) >= 0.95
    assert np.mean(closures(said, track_of(untold))) < 0.5


def test_a_text_that_is_not_said_is_not_shown_as_if(said: Context, tmp_path: Path) -> None:
    # Given a recording, and a text that is another one
    ctx, facts = bring(tmp_path, said, text="Four score and seven years ago our fathers brought forth a new nation.")
    # Then the mouth follows the sound, and the person is told
    assert (facts["method"], timing(ctx)["phones"]) == ("energy", [])
    assert "does not match the sound" in ctx.warnings[0]


def test_in_another_language_words_are_only_estimated(said: Context, tmp_path: Path) -> None:
    ctx, facts = bring(tmp_path, said, text="Der Ball ist blau. Peter hat ihn gekauft.", language="de-DE")
    assert facts["method"] == "energy"
    assert " ".join(word["text"] for word in timing(ctx)["words"]) == ctx.manifest.text
    assert "'de-DE'" in ctx.warnings[0]


@pytest.mark.parametrize(
    ("text", "language", "told"),
    [
        ("שלום לכולם. ברוכים הבאים לגינה.", "und", "in Hebrew letters, which are not those of `language: en`"),
        ("Добрый день. Меня зовут Анна.", "ru", "it is taken for Russian. If it is, write `language: ru`."),
        ("We say shalom, שלום לכולם, to all of you.", "en", "does not match the sound"),
    ],
)
def test_words_in_other_letters_than_the_languages_are_shown(
    said: Context, tmp_path: Path, text: str, language: str, told: str
) -> None:
    ctx, _ = bring(tmp_path, said, text=text)
    found = timing(ctx)
    assert [word["text"] for word in found["words"]] == text.split()
    assert found["language"] == language
    assert any(told in warning for warning in ctx.warnings)
    assert "'und'" not in " ".join(ctx.warnings)


def test_a_book_beside_a_short_sound_is_not_searched(said: Context, tmp_path: Path) -> None:
    ctx, facts = bring(tmp_path, said, text="word " * 20_000)
    assert (facts["method"], facts["words"]) == ("energy", 0)
    assert "too long" in ctx.warnings[0]


def test_the_mouth_moves_where_more_is_said_than_the_text(tmp_path: Path) -> None:
    # Given words that were found at both ends, and between them a second of speech that no word was found in
    tracks = {}
    for method in ("exact", "aligned"):
        ctx = picture_job(tmp_path / method)
        say(ctx, [("ɑ", 0.3, 0.6), ("ɑ", 0.9, 1.9), ("ɑ", 2.2, 2.5)], 3.0, method)
        facts = timing(ctx)
        facts["phones"].pop(1)
        ctx.path("timing.json").write_text(str(facts).replace("'", '"'))
        stages.lipsync.run(ctx)
        tracks[method] = track_of(ctx).column("jaw")[round(1.1 * 25) : round(1.6 * 25)]
    # Then the mouth follows that speech if words were looked for, and rests if all that is said is known
    assert tracks["aligned"].min() > 0.05
    assert tracks["exact"].max() < 0.01


def test_a_recording_keeps_its_level_unless_config_says_otherwise(said: Context, tmp_path: Path) -> None:
    # Given a recording at a tenth of its level
    quiet = tmp_path / "quiet.wav"
    ffmpeg("-i", str(said.path("speech.wav")), "-af", "volume=0.1", str(quiet))
    facts, warnings = {}, {}
    for level in (False, True):
        ctx = job(tmp_path / str(level), {"stages": {"tts": {"level_audio": level}}}, audio="a.wav")
        shutil.copy(quiet, ctx.path("source.audio"))
        facts[level], warnings[level] = stages.tts.run(ctx), ctx.warnings
    # Then it stays quiet, with a word of warning, or is as loud as a voice
    assert facts[False]["loudness_lufs"] == pytest.approx(-36, abs=0.5)
    assert "very quiet" in warnings[False][0]
    assert facts[True]["loudness_lufs"] == pytest.approx(-16, abs=0.3)
    assert warnings[True] == []
