"""Speech on its way to a WAV file, in constant memory: first to a scratch file, then, levelled, to 16 bits."""

from __future__ import annotations

import contextlib
import json
import tempfile
import wave
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from daemon.errors import JobError
from daemon.fs import artifact

Block = npt.NDArray[np.float32]

#: Loudness that speech is brought to: mean power of its loud parts. About -18.5 LUFS for a voice. dB of full scale
TARGET_DB = -17.5
#: Peaks above the knee are bent so that none passes the ceiling, which leaves room for what AAC adds. dB of full scale
KNEE_DB, CEILING_DB = -6.0, -1.5
#: Most that a quiet signal is raised. dB
MAX_GAIN_DB = 20.0
#: Blocks this far below the mean of the audible ones are pauses and do not count. dB
GATE_DB = 10.0
#: Blocks below this are silence. dB of full scale
FLOOR_DB = -60.0
#: Length of the fades at the edges of what is appended, so that no join clicks. s
FADE_S = 0.005

_BLOCK_S = 0.1
_BINS = 1200  # levels from -120 to 0 dB in steps of 0.1
_CHUNK = 1 << 16  # samples copied at once in the second pass


@dataclass
class Meter:
    """Peak and gated loudness of a signal of any length, in constant memory."""

    rate: int
    peak: float = 0.0
    _counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(_BINS, np.int64))

    def add(self, samples: Block) -> None:
        if not len(samples):
            return
        self.peak = max(self.peak, float(np.abs(samples).max()))
        size = max(1, round(_BLOCK_S * self.rate))
        whole = samples[: len(samples) // size * size].astype(np.float64).reshape(-1, size)
        power = (whole**2).mean(axis=1) if len(whole) else np.array([(samples.astype(np.float64) ** 2).mean()])
        levels = 10.0 * np.log10(np.maximum(power, 1e-12))
        bins = np.clip(np.round((levels + 120.0) * 10.0), 0, _BINS - 1).astype(np.int64)
        self._counts += np.bincount(bins, minlength=_BINS)

    @property
    def loudness_db(self) -> float:
        """Mean power of the audible parts, in dB of full scale; -inf for silence."""
        levels = np.arange(_BINS) / 10.0 - 120.0
        mean = self._mean(levels >= FLOOR_DB)
        return self._mean(levels >= max(FLOOR_DB, mean - GATE_DB))

    def _mean(self, counted: npt.NDArray[np.bool_]) -> float:
        levels = np.arange(_BINS) / 10.0 - 120.0
        counts = self._counts * counted
        total = int(counts.sum())
        return float(10.0 * np.log10((counts * 10.0 ** (levels / 10.0)).sum() / total)) if total else -np.inf

    def gain(self) -> float:
        """Factor that brings the signal to `TARGET_DB`; 1 for silence."""
        loudness = self.loudness_db
        return 10.0 ** (min(TARGET_DB - loudness, MAX_GAIN_DB) / 20.0) if np.isfinite(loudness) else 1.0


class Track:
    """Speech being put together: sound and pauses are appended, then saved.

    Args:
        folder: where the scratch file lives; it has no name there, so nothing is left behind however the stage ends.
        rate: Hz.
        max_s: longest result.
    """

    def __init__(self, folder: Path, rate: int, max_s: float) -> None:
        self.rate = rate
        self.samples = 0
        self.meter = Meter(rate)
        self._limit = round(max_s * rate)
        self._scratch = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by __exit__)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scratch.close()

    @property
    def seconds(self) -> float:
        return self.samples / self.rate

    def add(self, samples: Block) -> None:
        """Append sound, faded at both edges.

        Raises:
            JobError: `audio-too-long`.
        """
        self.meter.add(samples)
        self._write(_faded(samples, round(FADE_S * self.rate)))

    def pause(self, seconds: float) -> None:
        """Append silence."""
        self._write(np.zeros(round(seconds * self.rate), np.float32))

    def save(self, path: Path) -> None:
        """Write the levelled signal as a 16-bit mono WAV, atomically."""
        gain = self.meter.gain()
        with artifact(path) as temporary, wav_writer(temporary, self.rate, self.samples) as sink:
            self._scratch.seek(0)
            while chunk := self._scratch.read(_CHUNK * 4):
                sink.writeframes(to_pcm(soft_limit(np.frombuffer(chunk, np.float32) * gain)))

    def _write(self, samples: Block) -> None:
        check_length(self.samples + len(samples), self._limit, self.rate)
        self._scratch.write(samples.astype(np.float32, copy=False).tobytes())
        self.samples += len(samples)


def check_length(samples: int, limit: int, rate: int) -> None:
    """Raise `audio-too-long` past `limit` samples."""
    if samples > limit:
        raise JobError(
            "audio-too-long",
            f"The speech is longer than the {limit / rate:g} s that are allowed.",
            "Shorten it, split it into several jobs, or raise `stages.tts.max_audio_s` in config.yaml.",
        )


def soft_limit(samples: Block) -> Block:
    """Bend what is above the knee smoothly towards the ceiling; speech passes it in a few peaks only."""
    knee, ceiling = 10.0 ** (KNEE_DB / 20.0), 10.0 ** (CEILING_DB / 20.0)
    size = np.abs(samples)
    over = np.maximum(size - knee, 0.0)
    bent = knee + (ceiling - knee) * np.tanh(over / (ceiling - knee))
    return np.where(size > knee, np.sign(samples) * bent, samples).astype(np.float32)


def to_pcm(samples: Block) -> bytes:
    """±1 float samples as 16-bit little-endian PCM, rounded, clipped at full scale."""
    pcm: npt.NDArray[np.int16] = np.clip(np.round(samples * 32767.0), -32768, 32767).astype("<i2")
    return pcm.tobytes()


@contextlib.contextmanager
def wav_writer(path: Path, rate: int, samples: int = 0) -> Iterator[wave.Wave_write]:
    """A 16-bit mono WAV file open for writing; `samples` is its length, where known."""
    with wave.open(str(path), "wb") as sink:
        sink.setnchannels(1)
        sink.setsampwidth(2)
        sink.setframerate(rate)
        sink.setnframes(samples)
        yield sink


def save_timing(path: Path, timing: dict[str, Any]) -> None:
    """Write timing.json, atomically."""
    with artifact(path) as temporary:
        temporary.write_text(json.dumps(timing, ensure_ascii=False) + "\n", encoding="utf-8")


def _faded(samples: Block, length: int) -> Block:
    length = min(length, len(samples) // 2)
    if not length:
        return samples
    rise = (0.5 - 0.5 * np.cos(np.pi * np.arange(length) / length)).astype(np.float32)
    faded = samples.copy()
    faded[:length] *= rise
    faded[-length:] *= rise[::-1]
    return faded
