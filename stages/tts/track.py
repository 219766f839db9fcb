"""Speech on its way to a WAV file, in constant memory: first to a scratch file, then, levelled, to 16 bits."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from daemon.errors import JobError
from daemon.system.fs import artifact
from stages.media.loudness import Block, level

#: Length of the fades at the edges of what is appended, so that no join clicks. s
FADE_S = 0.005

_CHUNK = 1 << 16  # samples copied at once


class SpeechTrack:
    """Speech being put together: sound and pauses are appended, then saved.

    Args:
        folder: where the scratch file lives; it has no name there, so nothing is left behind however the stage ends.
        rate: Hz.
        max_s: longest result.
    """

    def __init__(self, folder: Path, rate: int, max_s: float) -> None:
        self.rate = rate
        self.samples = 0
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

    def append_sound(self, samples: Block) -> None:
        """Append sound, faded at both edges.

        Raises:
            JobError: `audio-too-long`.
        """
        self._write(_faded(samples, round(FADE_S * self.rate)))

    def append_silence(self, seconds: float) -> None:
        """Append silence."""
        self._write(np.zeros(round(seconds * self.rate), np.float32))

    def save_wav(self, path: Path) -> None:
        """Write the signal, brought to the usual loudness, as a 16-bit mono WAV, atomically."""
        with artifact(path) as temporary:
            level(self._blocks, self.rate, self.samples, temporary)

    def _blocks(self) -> Iterator[Block]:
        self._scratch.seek(0)
        while chunk := self._scratch.read(_CHUNK * 4):
            yield np.frombuffer(chunk, np.float32)

    def _write(self, samples: Block) -> None:
        check_speech_length(self.samples + len(samples), self._limit, self.rate)
        self._scratch.write(samples.astype(np.float32, copy=False).tobytes())
        self.samples += len(samples)


def check_speech_length(samples: int, limit: int, rate: int) -> None:
    """Raise `audio-too-long` past `limit` samples."""
    if samples > limit:
        raise JobError(
            "audio-too-long",
            f"The speech is longer than the {limit / rate:g} s that are allowed.",
            "Shorten it, split it into several jobs, or raise `stages.tts.max_audio_s` in config.yaml.",
        )


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
