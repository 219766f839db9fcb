"""Small jobs for the tests of the sound and encode stages."""

from __future__ import annotations

import json
import re
import subprocess
import wave
from collections.abc import Iterator
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import stages.tts
from daemon.config import Settings
from daemon.errors import JobError
from daemon.jobs.manifest import Manifest
from stages.context import Context
from stages.encode.planes import PlanarFrame
from stages.media.ffmpeg import ffmpeg_path
from stages.tts.timing import Word
from stages.tts.timing_file import TimedSentence, Timing

Samples = npt.NDArray[np.float64]
Picture = npt.NDArray[np.uint8]


def job(folder: Path, settings: dict[str, Any] | None = None, **manifest: Any) -> Context:
    """Return a job that says or brings something, in its own folder; `settings` are those of config.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    return Context(
        job_id="job-20260101T000000Z-abcdef12",
        name="hello",
        job_dir=folder,
        manifest=Manifest.model_validate({"image": "portrait.png", **manifest}),
        settings=Settings.model_validate({"paths": {"cache": str(folder / "cache")}, **(settings or {})}),
    )


def sound(path: Path) -> tuple[Samples, int]:
    """Return a 16-bit mono WAV as ±1 floats, and its rate."""
    with wave.open(str(path)) as source:
        assert (source.getnchannels(), source.getsampwidth()) == (1, 2)
        data = np.frombuffer(source.readframes(source.getnframes()), "<i2")
        return data.astype(np.float64) / 32768.0, source.getframerate()


def meter(path: Path) -> tuple[float, float]:
    """Integrated loudness in LUFS and true peak in dB of full scale, by ffmpeg's meter."""
    told = subprocess.run(
        [ffmpeg_path(), "-hide_banner", "-nostats", "-i", str(path), "-af", "ebur128=peak=true", "-f", "null", "-"],
        capture_output=True, text=True, check=True,
    ).stderr.rpartition("Summary:")[2]  # fmt: skip
    loudness, peak = re.search(r"I: +(\S+) LUFS", told), re.search(r"Peak: +(\S+) dBFS", told)
    assert loudness is not None
    assert peak is not None
    return float(loudness[1]), float(peak[1])


def timing(ctx: Context) -> dict[str, Any]:
    """Return timing.json of a job."""
    found: dict[str, Any] = json.loads(ctx.path("timing.json").read_text(encoding="utf-8"))
    return found


def refused(ctx: Context) -> JobError:
    """The error, with message and hint, with which the tts stage refuses a job; nothing is left of its work."""
    with pytest.raises(JobError) as caught:
        stages.tts.run(ctx)
    assert caught.value.message
    assert caught.value.hint
    assert not list(ctx.job_dir.glob("*.wav"))
    assert not list(ctx.job_dir.glob(".*"))
    return caught.value


def ffmpeg(*arguments: str) -> None:
    """Make a test file."""
    subprocess.run([ffmpeg_path(), "-v", "error", "-y", *arguments], check=True)


def look(path: Path) -> str:
    """Return what ffmpeg prints about a file."""
    done = subprocess.run([ffmpeg_path(), "-hide_banner", "-i", str(path)], capture_output=True, check=False)
    return done.stderr.decode()


class Stripes:
    """A frame source: a grey picture with a moving bar. `stop_after` frames it raises, as a broken composer would."""

    def __init__(self, ctx: Context, width: int = 128, height: int = 96, stop_after: int | None = None) -> None:
        self.width, self.height = width, height
        self.transparent = False
        self.frame_count = ceil(Fraction(timing(ctx)["duration"]) * ctx.manifest.frame_rate)
        self.stop_after = stop_after
        self.background = (90, 120, 150)  # BGR

    def frames(self) -> Iterator[PlanarFrame]:
        """Yield the pictures as frames, as the composer does."""
        yield from map(PlanarFrame.from_bgr, self.pictures())

    def pictures(self) -> Iterator[Picture]:
        """Yield the frames as BGR, or as BGRA with straight alpha."""
        frame = np.empty((self.height, self.width, 3), np.uint8)
        for index in range(self.frame_count):
            if index == self.stop_after:
                raise RuntimeError("the composer broke")
            frame[:] = self.background
            frame[10:20, index % self.width] = 255
            yield frame


def beep_job(folder: Path, seconds: float = 1.0, settings: dict[str, Any] | None = None, **manifest: Any) -> Context:
    """Return a job after its tts stage: a tone of exactly `seconds` at 48 kHz, and timing.json with three words."""
    ctx = job(folder, settings, text="One two three.", **manifest)
    samples = round(seconds * 48_000)
    tone = 8000 * np.sin(np.arange(samples) * 0.06)
    with wave.open(str(ctx.path("speech.wav")), "wb") as sink:
        sink.setnchannels(1)
        sink.setsampwidth(2)
        sink.setframerate(48_000)
        sink.writeframes(tone.astype("<i2").tobytes())
    third = seconds / 3
    save_timing(
        ctx,
        sample_rate=48_000,
        duration=samples / 48_000,
        sentences=(TimedSentence("One two three.", 0.0, seconds),),
        words=tuple(
            Word(text, third * number, third * (number + 1), 0) for number, text in enumerate(["One", "two", "three."])
        ),
    )
    return ctx


def save_timing(ctx: Context, **content: Any) -> None:
    """Give a job a timing.json: nothing said by hibari with exact times, unless `content` says otherwise."""
    usual = {"engine": "hibari", "method": "exact", "language": "en", "sentences": (), "words": (), "phones": ()}
    Timing(**{**usual, **content}).save(ctx.path("timing.json"))
