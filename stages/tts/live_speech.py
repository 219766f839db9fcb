"""Writes a speech to the outbox while it is spoken, so that whoever asked for it by `stream: true` hears it before it is whole.

The file is a help for a door that listens just then: it goes when the speech is whole, and a disk that cannot take it costs
nothing else. Its sound is that of the result but for the loudness: that is known only at the end, so the first sentence sets it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import structlog

from daemon.jobs.video_files import LIVE_FRAME, LIVE_HEADER, LIVE_MARK, live_speech_file
from stages.media.loudness import CEILING_DB, MAX_GAIN_DB, TARGET_LUFS, Block

log = structlog.get_logger()

#: Peaks above this are bent, so that none is above the ceiling. Full scale is 1.
_BENT_FROM = 0.6
_CEILING = 10.0 ** (CEILING_DB / 20.0)
#: Loudness is measured in blocks of this length; those that are so much softer than all, or than this level, are pauses.
_BLOCK_S, _PAUSE_LU, _PAUSE_LUFS = 0.4, 10.0, -70.0
#: The filter of ITU-R BS.1770 at 48 kHz: numerators and denominators of its two parts.
_WEIGHTING = (
    ((1.53512485958697, -2.69169618940638, 1.19839281085285), (1.0, -1.69065929318241, 0.73248077421585)),
    ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621)),
)
_WEIGHTING_RATE = 48_000


class LiveSpeech:
    """The file of one speech. Use it as a context manager.

    Args:
        folder: the outbox.
        job_id: of the job.
        rate: Hz.
    """

    def __init__(self, folder: Path, job_id: str, rate: int) -> None:
        self._path = folder / live_speech_file(job_id)
        self._rate = rate
        self._fd: int | None = None
        #: Silence before the first sound.
        self._before: list[Block] = []
        self._gain: float | None = None

    def __enter__(self) -> Self:
        try:
            self._path.unlink(missing_ok=True)  # of an earlier try
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
            os.fchmod(self._fd, 0o640)
        except OSError as exc:
            self._give_up(exc)
        self._write(LIVE_HEADER.pack(LIVE_MARK, self._rate))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the speech; after an error it stays without an end, by which a listener knows."""
        if kind is None:
            self._write(LIVE_FRAME.pack(0))
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
            with contextlib.suppress(OSError):
                self._path.unlink()

    def add(self, block: Block) -> None:
        """Add the next sound or silence, ±1."""
        if self._fd is None:
            return
        if self._gain is None:
            if not block.any():
                self._before.append(block)
                return
            self._gain = 10.0 ** (min(TARGET_LUFS - loudness(block, self._rate), MAX_GAIN_DB) / 20.0)
            block = np.concatenate([*self._before, block])
        data = (bent(block * self._gain) * 32767.0).round().astype("<i2").tobytes()
        if data:
            self._write(LIVE_FRAME.pack(len(data)) + data)

    def _write(self, data: bytes) -> None:
        if self._fd is None:
            return
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as exc:
            self._give_up(exc)

    def _give_up(self, exc: OSError) -> None:
        log.warning("speech not streamed", path=str(self._path), why=exc.strerror)
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        with contextlib.suppress(OSError):
            self._path.unlink()


def loudness(sound: Block, rate: int) -> float:
    """Return the loudness of a mono sound in LUFS, pauses left out (ITU-R BS.1770); `TARGET_LUFS` for silence."""
    size = min(len(sound), round(_BLOCK_S * rate))
    blocks = sound[: len(sound) // size * size].reshape(-1, size)
    frequencies = np.exp(-2j * np.pi * np.fft.rfftfreq(size, 1 / rate) / _WEIGHTING_RATE)
    power = np.ones(len(frequencies))
    for above, below in _WEIGHTING:
        power *= np.abs(np.polyval(above[::-1], frequencies) / np.polyval(below[::-1], frequencies)) ** 2
    spectra = np.abs(np.fft.rfft(blocks, axis=1)) ** 2 * power
    energy = (2 * spectra.sum(axis=1) - spectra[:, 0]) / size**2
    heard = energy[energy > _energy(_PAUSE_LUFS)]
    if not len(heard):
        return TARGET_LUFS
    return float(_lufs(heard[heard >= heard.mean() * 10.0 ** (-_PAUSE_LU / 10)].mean()))


def bent(sound: Block) -> Block:
    """Return a sound whose peaks are bent below the ceiling; what is softer stays as it is."""
    over = np.abs(sound) - _BENT_FROM
    room = _CEILING - _BENT_FROM
    return np.where(over > 0, np.sign(sound) * (_BENT_FROM + room * np.tanh(over / room)), sound).astype(np.float32)


def _lufs(energy: float) -> float:
    return -0.691 + 10.0 * float(np.log10(energy))


def _energy(lufs: float) -> float:
    return float(10.0 ** ((lufs + 0.691) / 10.0))
