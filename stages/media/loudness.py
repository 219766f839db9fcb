"""How loud speech is, and how it is brought to one loudness, for sound of any length.

Loudness is ITU-R BS.1770's, as ffmpeg measures it (EBU R 128): what people mean by "as loud as that other video".
Peaks are held by ffmpeg's look-ahead limiter at four times the rate, so that what lies between the samples is held, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stages.media.ffmpeg import Ffmpeg, failure, ffmpeg_path

Block = npt.NDArray[np.float32]

#: Integrated loudness that speech is brought to: that of podcasts and of most video platforms. LUFS
TARGET_LUFS = -16.0
#: How near it must come; each further try measures everything once more. LU
_NEAR = 0.1
_TRIES = 5
#: No peak passes this, which leaves room for what AAC adds. dB of full scale
CEILING_DB = -1.5
#: Most that a quiet signal is raised: what is softer than this is mostly noise. dB
MAX_GAIN_DB = 20.0
#: What ffmpeg says of sound in which nothing counts.
_NOTHING_LUFS = -70.0
_INTEGRATED = re.compile(r"lavfi\.r128\.I=(-?[\d.]+)")
_METER = "ebur128=metadata=1:framelog=quiet,ametadata=print:key=lavfi.r128.I"
#: Peaks are looked for at this rate at least, between the samples. Hz
_OVERSAMPLED = 96_000
#: How long before a peak the limiter begins to give way, and how long after it returns: under a syllable. ms
_ATTACK_MS, _RELEASE_MS = 5, 50

#: Gives the signal from its start, each time it is called: mono ±1 floats.
Blocks = Callable[[], Iterable[Block]]


def measure(blocks: Iterable[Block], rate: int, folder: Path) -> float:
    """Integrated loudness of a mono signal (±1 floats at `rate` Hz) in LUFS; -inf for silence.

    Args:
        folder: where ffmpeg runs; nothing is written there.

    Raises:
        MachineError: `ffmpeg-missing`, `out-of-memory`.
        UnknownError: `ffmpeg-failed`.
    """
    return _metered(blocks, rate, folder, "")


def level(blocks: Blocks, rate: int, samples: int, target: Path) -> None:
    """Write a signal of `samples` samples, brought to `TARGET_LUFS`, as a 16-bit mono WAV. Silence stays as it is.

    Raises:
        MachineError: `ffmpeg-missing`, `out-of-memory`, `disk-full`.
        UnknownError: `ffmpeg-failed`.
    """
    gain_db = _gain_to_target(blocks, rate, target.parent)
    # Resamplers of other versions may give a sample more or less; timing.json counts on the length.
    exact = f"{_shaped(gain_db, rate)},apad=whole_len={samples},atrim=end_sample={samples}"
    output = ["-c:a", "pcm_s16le", "-bitexact", "-map_metadata", "-1", "-f", "wav", "-y", f"file:{target}"]
    _run(blocks(), rate, target.parent, exact, output)


def _gain_to_target(blocks: Blocks, rate: int, folder: Path) -> float:
    """Gain in dB that brings a signal, limited after it, to `TARGET_LUFS`; 0 for silence."""
    gain_db = 0.0
    for _ in range(_TRIES):
        away = TARGET_LUFS - _metered(blocks(), rate, folder, f"{_shaped(gain_db, rate)},")
        if not np.isfinite(away):
            return 0.0
        wanted = min(gain_db + away, MAX_GAIN_DB)
        if abs(wanted - gain_db) < _NEAR:
            break
        gain_db = wanted
    return gain_db


def _shaped(gain_db: float, rate: int) -> str:
    """The filters that raise a signal and hold its peaks."""
    times = -(-_OVERSAMPLED // rate)
    limiter = f"alimiter=limit={10.0 ** (CEILING_DB / 20.0):.4f}:attack={_ATTACK_MS}:release={_RELEASE_MS}"
    return (
        f"volume={gain_db:.2f}dB:precision=float,aresample={times * rate},{limiter}:level=0:latency=1,aresample={rate}"
    )


def _metered(blocks: Iterable[Block], rate: int, folder: Path, filters: str) -> float:
    found = _INTEGRATED.findall(_run(blocks, rate, folder, f"{filters}{_METER}", ["-f", "null", "-"]))
    lufs = float(found[-1]) if found else _NOTHING_LUFS
    return lufs if lufs > _NOTHING_LUFS else -np.inf


def _run(blocks: Iterable[Block], rate: int, folder: Path, filters: str, output: list[str]) -> str:
    """Send a signal through ffmpeg's filters; returns the end of what it printed."""
    command = [
        ffmpeg_path(), "-hide_banner", "-nostats", "-v", "info", "-f", "f32le", "-ar", str(rate), "-ac", "1",
        "-i", "pipe:0", "-af", filters, *output,
    ]  # fmt: skip
    with Ffmpeg(command, folder, feed=True) as ffmpeg:
        try:
            for block in blocks:
                ffmpeg.stdin.write(block.astype("<f4", copy=False).tobytes())
        except BrokenPipeError:  # it ended; why is told by its exit status
            pass
        status = ffmpeg.finish()
    if status != 0:
        raise failure(status, ffmpeg.log, "the speech could not be brought to the usual loudness")
    return ffmpeg.log
