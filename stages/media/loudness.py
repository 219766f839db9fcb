"""Measures the loudness of speech and normalises it, for sound of any length.

Loudness is defined by ITU-R BS.1770 and measured by ffmpeg (EBU R 128). ffmpeg's look-ahead limiter holds the peaks, at an
oversampled rate, so that peaks between the samples are held, too.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from stages.media.ffmpeg import FfmpegProcess, ffmpeg_error, ffmpeg_path
from stages.media.limiter_loss import LimiterLoss

Block = npt.NDArray[np.float32]

#: Integrated loudness that speech is normalised to: the usual one of podcasts and video platforms. LUFS
TARGET_LUFS = -16.0
#: Accepted deviation from the target; each further attempt writes and measures the whole signal again. LU
_NEAR = 0.1
_TRIES = 5
#: Maximum peak; it leaves headroom for what AAC adds. dB of full scale
CEILING_DB = -1.5
#: Maximum gain; a softer signal is mostly noise. dB
MAX_GAIN_DB = 20.0
#: Value that ffmpeg prints for silence.
_NOTHING_LUFS = -70.0
_INTEGRATED = re.compile(r"lavfi\.r128\.I=(-?[\d.]+)")
#: ffmpeg's filters that measure loudness and print it, line by line.
METER = "ebur128=metadata=1:framelog=quiet,ametadata=print:key=lavfi.r128.I"
_NO_OUTPUT = ["-f", "null", "-"]
#: Minimum rate at which peaks are limited, to catch those between the samples. Hz
_OVERSAMPLED = 96_000
#: Attack and release of the limiter, both shorter than a syllable. ms
_ATTACK_MS, _RELEASE_MS = 5, 50

#: Returns the signal from its start each time it is called: mono float32 blocks, ±1.
Blocks = Callable[[], Iterable[Block]]


class LoudnessMeter:
    """Measures a mono signal while it is made, so that nothing is left to measure at its end. Use it as a context manager."""

    def __init__(self, rate: int, folder: Path) -> None:
        """`rate`: Hz. `folder`: working folder of ffmpeg; nothing is written there.

        Raises:
            MachineError: `ffmpeg-missing`.
        """
        self._loss = LimiterLoss(rate, CEILING_DB, _RELEASE_MS)
        self._ffmpeg = FfmpegProcess(_command(rate, METER, _NO_OUTPUT), folder, feed=True)

    def __enter__(self) -> Self:
        self._ffmpeg.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ffmpeg.__exit__(kind, error, trace)

    def add(self, block: Block) -> None:
        """Add the signal's next block, ±1."""
        self._loss.add(block)
        _feed(self._ffmpeg, [block])

    def gain_db(self) -> float:
        """End the signal, and return the gain after which it has about `TARGET_LUFS`; 0 for silence.

        Raises:
            MachineError: `out-of-memory`.
            UnknownError: `ffmpeg-failed`.
        """
        away = TARGET_LUFS - _lufs(_end(self._ffmpeg))
        return self._loss.gain_for(away, MAX_GAIN_DB) if np.isfinite(away) else 0.0


def measure_loudness(blocks: Iterable[Block], rate: int, folder: Path) -> float:
    """Measure the integrated loudness of a mono signal in LUFS; -inf for silence.

    Args:
        blocks: the signal, ±1 floats.
        rate: Hz.
        folder: working folder of ffmpeg; nothing is written there.

    Raises:
        MachineError: `ffmpeg-missing`, `out-of-memory`.
        UnknownError: `ffmpeg-failed`.
    """
    return _lufs(_run(blocks, rate, folder, METER, _NO_OUTPUT))


def normalise_loudness(
    blocks: Blocks, rate: int, samples: int, target: Path, meter: LoudnessMeter | None = None
) -> float:
    """Normalise a signal to `TARGET_LUFS` and write it as a 16-bit mono WAV. Silence stays as it is.

    Returns the loudness of what was written, as `measure_loudness` does.

    Args:
        blocks: returns the signal from its start.
        rate: Hz.
        samples: length of the signal.
        target: the file to write.
        meter: has been given the whole signal; without one, the signal is read once more.

    Raises:
        MachineError: `ffmpeg-missing`, `out-of-memory`, `disk-full`.
        UnknownError: `ffmpeg-failed`.
    """
    gain_db = meter.gain_db() if meter else _gain_db(blocks(), rate, target.parent)
    for _ in range(_TRIES):
        loudness = _write_shaped(blocks(), rate, samples, target, gain_db)
        away = TARGET_LUFS - loudness
        wanted = min(gain_db + away, MAX_GAIN_DB)
        if not np.isfinite(away) or abs(wanted - gain_db) < _NEAR:
            break
        gain_db = wanted
    return loudness


def _write_shaped(blocks: Iterable[Block], rate: int, samples: int, target: Path, gain_db: float) -> float:
    """Apply the gain, limit the peaks and write the WAV file; returns its loudness, as `measure_loudness` does."""
    # The resamplers of some versions return a sample more or less; timing.json relies on the exact length.
    exact = f"{_shaped(gain_db, rate)},apad=whole_len={samples},atrim=end_sample={samples}"
    output = ["-c:a", "pcm_s16le", "-bitexact", "-map_metadata", "-1", "-f", "wav", "-y", f"file:{target}"]
    return _lufs(_run(blocks, rate, target.parent, f"{exact},{METER}", output))


def _shaped(gain_db: float, rate: int) -> str:
    """Return the ffmpeg filters that apply the gain and limit the peaks."""
    times = -(-_OVERSAMPLED // rate)
    limiter = f"alimiter=limit={10.0 ** (CEILING_DB / 20.0):.4f}:attack={_ATTACK_MS}:release={_RELEASE_MS}"
    return (
        f"volume={gain_db:.2f}dB:precision=float,aresample={times * rate},{limiter}:level=0:latency=1,aresample={rate}"
    )


def _gain_db(blocks: Iterable[Block], rate: int, folder: Path) -> float:
    with LoudnessMeter(rate, folder) as meter:
        for block in blocks:
            meter.add(block)
        return meter.gain_db()


def _lufs(printed: str) -> float:
    lufs = integrated_loudness(printed)
    return -np.inf if lufs is None else lufs


def integrated_loudness(printed: str) -> float | None:
    """Return the integrated loudness in LUFS that `METER` printed last; None for silence, and for too little sound."""
    found = _INTEGRATED.findall(printed)
    lufs = float(found[-1]) if found else _NOTHING_LUFS
    return lufs if lufs > _NOTHING_LUFS else None


def _run(blocks: Iterable[Block], rate: int, folder: Path, filters: str, output: list[str]) -> str:
    """Send a signal through ffmpeg's filters; returns the last lines that it printed."""
    with FfmpegProcess(_command(rate, filters, output), folder, feed=True) as ffmpeg:
        _feed(ffmpeg, blocks)
        return _end(ffmpeg)


def _command(rate: int, filters: str, output: list[str]) -> list[str]:
    return [
        ffmpeg_path(), "-hide_banner", "-nostats", "-v", "info", "-f", "f32le", "-ar", str(rate), "-ac", "1",
        "-i", "pipe:0", "-af", filters, *output,
    ]  # fmt: skip


def _feed(ffmpeg: FfmpegProcess, blocks: Iterable[Block]) -> None:
    with contextlib.suppress(BrokenPipeError):  # ffmpeg ended; its exit status says why
        for block in blocks:
            ffmpeg.stdin.write(block.astype("<f4", copy=False).tobytes())


def _end(ffmpeg: FfmpegProcess) -> str:
    """Let an ffmpeg end; returns the last lines that it printed."""
    status = ffmpeg.finish()
    if status != 0:
        raise ffmpeg_error(status, ffmpeg.log, "the loudness of the speech could not be normalised")
    return ffmpeg.log
