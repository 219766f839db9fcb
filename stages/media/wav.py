"""Opens 16-bit WAV files to read or write; no other module does."""

from __future__ import annotations

import contextlib
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

#: Mono sound, ±1, [samples].
Samples = npt.NDArray[np.float32]

_BLOCK = 1 << 16  # samples read at once


class WavError(ValueError):
    """The file is not a 16-bit WAV file."""


class WavReader:
    """A WAV file that is open for reading.

    Attributes:
        rate: Hz.
        count: number of samples per channel that the file declares.
        channels: 1 for mono.
    """

    def __init__(self, file: wave.Wave_read) -> None:
        if file.getsampwidth() != 2:
            raise WavError("its samples do not have 16 bits")
        self.rate, self.count, self.channels = file.getframerate(), file.getnframes(), file.getnchannels()
        if self.rate <= 0:
            raise WavError("it has no sample rate")
        self._file = file

    def read(self, count: int) -> Samples:
        """Read the next `count` samples, ±1, with channels averaged; fewer at the end of the file."""
        data = self._file.readframes(max(count, 0))
        whole = len(data) // (2 * self.channels) * 2 * self.channels  # a truncated file may end inside a sample
        samples = np.frombuffer(data[:whole], "<i2").astype(np.float32) / np.float32(32768)
        return samples if self.channels == 1 else samples.reshape(-1, self.channels).mean(axis=1)

    def stored_blocks(self) -> Iterator[bytes]:
        """Read the rest as it is stored, in blocks of constant size: 16 bits, little-endian, channels in turn."""
        while data := self._file.readframes(_BLOCK):
            yield data

    def blocks(self) -> Iterator[Samples]:
        """Read the rest in blocks of constant size; the last one may be smaller."""
        while len(block := self.read(_BLOCK)):
            yield block


@contextlib.contextmanager
def open_wav(source: Path | BinaryIO) -> Iterator[WavReader]:
    """Open a WAV file for reading.

    Raises:
        WavError: it is not a 16-bit WAV file.
        OSError: it cannot be opened.
    """
    try:
        file = wave.open(str(source) if isinstance(source, Path) else source, "rb")  # noqa: SIM115 (closed below)
    except (wave.Error, EOFError) as exc:
        raise WavError(str(exc) or "it is truncated") from exc
    with file:
        yield WavReader(file)


def read_wav_blocks(path: Path) -> Iterator[Samples]:
    """Read a WAV file in blocks: see `WavReader.blocks`.

    Raises:
        WavError, OSError: see `open_wav`.
    """
    with open_wav(path) as file:
        yield from file.blocks()


@contextlib.contextmanager
def open_wav_writer(target: Path | BinaryIO, rate: int, samples: int = 0) -> Iterator[wave.Wave_write]:
    """Open a 16-bit mono WAV file for writing; `samples` is its length if known."""
    with wave.open(str(target) if isinstance(target, Path) else target, "wb") as sink:
        sink.setnchannels(1)
        sink.setsampwidth(2)
        sink.setframerate(rate)
        sink.setnframes(samples)
        yield sink


def to_pcm(samples: Samples) -> bytes:
    """Convert ±1 float samples to 16-bit little-endian PCM, rounded and clipped at full scale."""
    pcm: npt.NDArray[np.int16] = np.clip(np.round(samples * 32767.0), -32768, 32767).astype("<i2")
    return pcm.tobytes()
