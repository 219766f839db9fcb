"""The label in a video says the truth: whether anything in it is of a trained model."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import stages.tts
from daemon.profiles.avatars import JOB_RECORD
from stages.context import Context
from stages.encode.video import write_video
from stages.media.ai_label import TRAINED, Origin, jpeg_bytes, png_bytes
from tests.support.stages.sound_jobs import Stripes, beep_job, ffmpeg, job, look, save_timing, timing

pytestmark = pytest.mark.usefixtures("models")

WITH, WITHOUT = "digitalsourcetype/compositeWithTrainedAlgorithmicMedia", "digitalsourcetype/algorithmicMedia"


def label_of(ctx: Context) -> str:
    write_video(ctx, Stripes(ctx))
    (term,) = {word for word in look(ctx.path("video.mp4")).split() if word.startswith("http://cv.iptc.org/")}
    return term.removeprefix("http://cv.iptc.org/newscodes/")


def recorded(ctx: Context) -> Context:
    """The job, with a recording in place of its voice."""
    found = timing(ctx)
    save_timing(ctx, engine="brought", sample_rate=48_000, duration=found["duration"])
    return ctx


@pytest.mark.parametrize(
    ("generated", "synthetic", "term"),
    [(False, False, WITHOUT), (False, True, WITH), (True, False, WITH), (True, True, WITH)],
    ids=["real and recorded", "real and synthetic", "generated and recorded", "generated and synthetic"],
)
def test_a_person_and_a_voice_are_labelled_by_what_they_are(
    tmp_path: Path, generated: bool, synthetic: bool, term: str
) -> None:
    ctx = beep_job(tmp_path, image=None, avatar="anna")
    ctx.path(JOB_RECORD).write_text(json.dumps({"generated": {"model": "sdxl"}} if generated else {}))
    assert label_of(ctx if synthetic else recorded(ctx)) == term


def test_a_painted_mouth_is_of_a_trained_model(tmp_path: Path) -> None:
    ctx = recorded(beep_job(tmp_path))
    assert label_of(ctx) == WITHOUT
    ctx.path("mouth.npz").write_bytes(b"painted")
    assert label_of(ctx) == WITH


@pytest.mark.parametrize("encode", [png_bytes, partial(jpeg_bytes, quality=90)], ids=["png", "jpeg"])
def test_a_picture_that_says_that_it_is_generated_is_believed(tmp_path: Path, encode: Any) -> None:
    ctx = recorded(beep_job(tmp_path))
    picture = next(Stripes(ctx).pictures())
    ctx.source("image").write_bytes(encode(picture, Origin("Made by a machine", TRAINED)))
    assert label_of(ctx) == WITH


@pytest.mark.parametrize("form", ["wav", "mp3", "opus", "flac"])
def test_a_synthetic_voice_stays_one_when_it_comes_back_as_a_recording(tmp_path: Path, form: str) -> None:
    # Given speech of ours, and the same sound as somebody else recorded it
    labels = {"stages": {"tts": {"label": "Made by a machine; é", "transcribe": False}}}
    ours = job(tmp_path / "ours", labels, kind="speech", image=None, text="Hello there.", format=form)
    stages.tts.run(ours)
    sound = ours.path(f"speech.{form}")
    ffmpeg("-i", str(sound), "-map_metadata", "-1", "-fflags", "+bitexact", str(tmp_path / f"plain.{form}"))
    for name, path, said in (("again", sound, True), ("plain", tmp_path / f"plain.{form}", False)):
        # When it is a job's recording
        ctx = job(tmp_path / name, labels, kind="speech", image=None, audio=f"a.{form}")
        ctx.source("audio").write_bytes(path.read_bytes())
        stages.tts.run(ctx)
        # Then the result says of itself what the recording says
        assert ("trainedAlgorithmicMedia" in look(ctx.path("speech.wav"))) is said
        film = recorded(beep_job(tmp_path / f"{name}-film", audio=f"a.{form}"))
        film.source("audio").write_bytes(path.read_bytes())
        assert label_of(film) == (WITH if said else WITHOUT)
