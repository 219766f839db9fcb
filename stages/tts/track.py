"""Collects speech in a scratch file and writes it as a levelled 16-bit WAV, in constant memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from daemon.errors import JobError
from daemon.system.fs import artifact
from stages.media.loudness import Block, LoudnessMeter, normalise_loudness

#: Length of the fades at both ends of appended sound, which prevent clicks. s
FADE_S = 0.005

_CHUNK = 1 << 16  # samples copied at once


class SpeechTrack:
    """The growing sound track of a job: append sound and silence, then save. Its loudness is measured as it grows.

    Args:
        folder: for the scratch file, which has no name, so that nothing remains however the stage ends.
        rate: Hz.
        max_s: longest allowed track, s.
        listener: is given all that is appended.
    """

    def __init__(
        self, folder: Path, rate: int, max_s: float, listener: Callable[[Block], None] = lambda block: None
    ) -> None:
        self.rate = rate
        self._listener = listener
        self.samples = 0
        self._limit = round(max_s * rate)
        self._scratch = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by __exit__)
        self._meter = LoudnessMeter(rate, folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._meter.__exit__(kind, error, trace)
        self._scratch.close()

    @property
    def seconds(self) -> float:
        """Length of the sound so far, s."""
        return self.samples / self.rate

    def append_sound(self, samples: Block) -> None:
        """Append sound (float32 [n]), faded at both ends.

        Raises:
            JobError: `audio-too-long`.
        """
        self._write(_faded(samples, round(FADE_S * self.rate)))

    def append_silence(self, seconds: float) -> None:
        """Append silence.

        Raises:
            JobError: `audio-too-long`.
        """
        self._write(np.zeros(round(seconds * self.rate), np.float32))

    def save_wav(self, path: Path) -> None:
        """Write the track, levelled to the target loudness, as a 16-bit mono WAV, atomically."""
        with artifact(path) as temporary:
            normalise_loudness(self._blocks, self.rate, self.samples, temporary, self._meter)

    def _blocks(self) -> Iterator[Block]:
        self._scratch.seek(0)
        while chunk := self._scratch.read(_CHUNK * 4):
            yield np.frombuffer(chunk, np.float32)

    def _write(self, samples: Block) -> None:
        check_speech_length(self.samples + len(samples), self._limit, self.rate)
        self._scratch.write(samples.astype(np.float32, copy=False).tobytes())
        self._meter.add(samples)
        self.samples += len(samples)
        self._listener(samples)


def check_speech_length(samples: int, limit: int, rate: int) -> None:
    """Check the length of speech.

    Raises:
        JobError: `audio-too-long`: more than `limit` samples.
    """
    if samples > limit:
        raise JobError(
            "audio-too-long",
            f"The speech is longer than {limit / rate:g} s.",
            "Shorten it, or split it into several jobs. Whoever runs avatard can raise `stages.tts.max_audio_s` in config.yaml.",
        )


def _faded(samples: Block, length: int) -> Block:
    length = min(length, len(samples) // 2)
    if not length:
        return samples
    rise = (0.5 - 0.5 * np.cos(np.pi * np.arange(length) / length)).astype(np.float32)
    faded = samples.copy()
    faded[:length] *= rise
    faded[-length:] *= rise[::-1]
    return faded
