"""A recording keeps its voice when it is mixed to mono, whichever track and channel it is in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import stages.tts
from stages.context import Context
from stages.media.wav import read_wav_blocks
from tests.support.stages.sound_jobs import ffmpeg, job

pytestmark = pytest.mark.usefixtures("processes")

#: A tone that swells, as a voice does; its peak is half of full scale.
VOICE = "aevalsrc='0.5*sin(2*PI*220*t)*(0.6+0.4*sin(2*PI*3*t))':d=2:s=48000"
LOW = "aevalsrc='0.002*sin(2*PI*50*t)':d=2:s=48000"


def made(tmp_path: Path, *arguments: str) -> tuple[Context, float]:
    """The job of a sound file that ffmpeg makes, and the peak of its decoded speech."""
    ctx = job(tmp_path, audio="speech.mkv")
    file = tmp_path / "speech.mkv"
    ffmpeg(*arguments, str(file))
    file.rename(ctx.path("source.audio"))
    stages.tts.run(ctx)
    return ctx, max(float(np.abs(block).max()) for block in read_wav_blocks(ctx.path("speech.wav")))


@pytest.mark.parametrize(
    "channels",
    [
        "[0:a]pan=mono|c0=c0",
        "[0:a]pan=stereo|c0=c0|c1=c0",
        "[0:a]pan=stereo|c0=c0|c1=-1*c0",  # of opposite phase
        "[0:a]pan=stereo|c0=c0|c1=0*c0",  # on the left only
        "[0:a]pan=stereo|c0=0.01*c0|c1=c0",  # crosstalk on the left
        "[0:a]pan=5.1|c0=0*c0|c1=0*c0|c2=c0|c3=0*c0|c4=0*c0|c5=0*c0",  # in the centre
        "[0:a][1:a]amerge=2,pan=5.1|c0=c1|c1=c1|c2=c0|c3=30*c1|c4=c1|c5=c1",  # in the centre, with noise and a deep channel
    ],
)
def test_a_voice_keeps_its_level_in_whichever_channel_it_is(tmp_path: Path, channels: str) -> None:
    inputs = ["-f", "lavfi", "-i", VOICE, "-f", "lavfi", "-i", LOW]
    _, peak = made(tmp_path, *inputs, "-filter_complex", f"{channels}[out]", "-map", "[out]", "-c:a", "pcm_f32le")
    assert peak == pytest.approx(0.5, rel=0.05)


def test_the_track_that_has_sound_is_used_and_told(tmp_path: Path) -> None:
    ctx, peak = made(
        tmp_path, "-f", "lavfi", "-i", "anullsrc=d=2", "-f", "lavfi", "-i", VOICE, "-map", "0:a", "-map", "1:a",
        "-c:a", "pcm_s16le",
    )  # fmt: skip
    assert peak == pytest.approx(0.5, rel=0.05)
    assert "The first sound track of the file is silent; track 2 is used." in ctx.warnings


def test_a_float_recording_above_full_scale_is_scaled_and_told(tmp_path: Path) -> None:
    # Given floats that are 6 dB too high: unscaled, a part of them would be cut off at full scale
    ctx, peak = made(tmp_path, "-f", "lavfi", "-i", VOICE, "-af", "volume=4:precision=float", "-c:a", "pcm_f32le")
    assert peak == pytest.approx(1.0, abs=0.01)
    assert any("6.0 dB above full scale" in warning for warning in ctx.warnings)
    # Then hardly a sample stands at full scale
    full = sum(int(np.count_nonzero(np.abs(block) > 0.9999)) for block in read_wav_blocks(ctx.path("speech.wav")))
    assert full < 50
