"""The tts stage on sound files that people bring: decoded as they are, or refused with the reason."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stages.tts
from daemon.errors import JobError
from stages.context import Context
from tests.support.stages.sound_jobs import ffmpeg, job, refused, sound, timing

#: The sounds are made and decoded by ffmpeg, many times.
pytestmark = pytest.mark.usefixtures("models")


@pytest.mark.parametrize("ending", ["mp3", "flac", "ogg", "m4a", "wav"])
def test_a_brought_sound_is_decoded_as_it_is(tmp_path: Path, ending: str) -> None:
    # Given two seconds of tone in stereo, in a usual format
    made = tmp_path / f"tone.{ending}"
    ffmpeg("-f", "lavfi", "-i", "sine=440:duration=2", "-ac", "2", str(made))
    ctx = job(tmp_path / "job", audio=made.name)
    made.rename(ctx.path("source.audio"))
    # When it is brought
    facts = stages.tts.run(ctx)
    # Then it is mono at 48 kHz, as long as it was (but for what a lossy coder adds), and nothing is known of its words
    samples, rate = sound(ctx.path("speech.wav"))
    assert rate == 48_000
    assert abs(len(samples) / rate - 2.0) < 0.06
    assert facts["engine"] == "brought"
    found = timing(ctx)
    assert (found["method"], found["phones"], found["words"]) == ("energy", [], [])
    assert found["duration"] == len(samples) / rate


@pytest.mark.parametrize(
    "playlist",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nother.wav\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile other.wav\n",
        "#EXTM3U\n#EXTINF:2,\nfile:other.wav\n",
        ";FFMETADATA1\ntitle=x\n",
    ],
)
def test_a_playlist_opens_no_other_file(tmp_path: Path, playlist: str) -> None:
    # Given a playlist that calls itself a sound file and names one that is there
    ctx = job(tmp_path, audio="speech.wav")
    ffmpeg("-f", "lavfi", "-i", "sine=440:duration=2", str(tmp_path / "other.wav"))
    ctx.path("source.audio").write_text(playlist)
    # Then it is not a sound file
    with pytest.raises(JobError) as caught:
        stages.tts.run(ctx)
    assert caught.value.code == "audio-unreadable"
    assert not ctx.path("speech.wav").exists()


def _bring(tmp_path: Path, *arguments: str, **settings: Any) -> Context:
    made = tmp_path / arguments[-1]
    ffmpeg(*arguments[:-1], str(made))
    ctx = job(tmp_path / "job", settings, audio="brought")
    made.rename(ctx.path("source.audio"))
    return ctx


def test_sounds_without_a_voice_are_refused(tmp_path: Path) -> None:
    tone = ("-f", "lavfi", "-i", "sine=440:duration=3")
    # Given silence, a moment of sound, a picture without sound, and more than is allowed
    silent = _bring(tmp_path, "-f", "lavfi", "-i", "anullsrc=duration=2", "a.wav")
    assert refused(silent).code == "audio-silent"
    assert refused(_bring(tmp_path, *tone, "-t", "0.02", "a.wav")).code == "audio-empty"
    mute = _bring(tmp_path, "-f", "lavfi", "-i", "testsrc=size=64x64:duration=1", "a.mp4")
    assert refused(mute).code == "audio-unreadable"
    long = _bring(tmp_path, *tone, "a.wav", stages={"tts": {"max_audio_s": 1}})
    assert refused(long).code == "audio-too-long"


def test_a_small_file_that_sounds_for_an_hour_is_ended_while_it_is_decoded(tmp_path: Path) -> None:
    # Given an hour of silence in a small file, where 25 s are allowed
    ctx = _bring(tmp_path, "-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono", "-t", "3600", "a.flac",
                 stages={"tts": {"max_audio_s": 25}})  # fmt: skip
    assert ctx.path("source.audio").stat().st_size < 1_000_000
    asked: list[float] = []
    # When it is brought / Then it is refused when the 25 s are decoded: time was asked for twice, for 10 s each, when its
    # channels were measured and when it was mixed
    assert refused(replace(ctx, allow_seconds=asked.append)).code == "audio-too-long"
    assert asked == [ctx.settings.lanes.timeout.base_s] * 4
    # And nothing is left of what was decoded
    assert not ctx.path("speech.wav").exists()


def test_a_sound_file_is_given_time_by_what_is_decoded_of_it(tmp_path: Path) -> None:
    asked: list[float] = []
    ctx = _bring(tmp_path, "-f", "lavfi", "-i", "sine=440:duration=12", "a.wav")
    stages.tts.run(replace(ctx, allow_seconds=asked.append))
    timeout = ctx.settings.lanes.timeout
    assert asked == [timeout.base_s, timeout.base_s, timeout.base_s + timeout.per_audio_s * 12]


@pytest.mark.parametrize("content", [b"", b"not a sound at all, only some text\n" * 50, bytes(5000)])
def test_what_is_no_sound_file_is_refused(tmp_path: Path, content: bytes) -> None:
    ctx = job(tmp_path, audio="speech.wav")
    ctx.path("source.audio").write_bytes(content)
    assert refused(ctx).code == "audio-unreadable"


@pytest.mark.parametrize("value", [np.nan, 3e38, -np.inf])
def test_a_sound_file_whose_values_are_no_sound_is_refused(tmp_path: Path, value: float) -> None:
    # Given a WAV file of 32-bit floats that are not finite, or far beyond full scale
    samples = np.full(48_000, value, "<f4").tobytes()
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(samples), b"WAVE", b"fmt ", 16, 3, 1, 48_000, 192_000, 4, 32,
                       b"data", len(samples))  # fmt: skip
    ctx = job(tmp_path, audio="speech.wav")
    ctx.path("source.audio").write_bytes(head + samples)
    assert refused(ctx).code == "audio-unreadable"
