"""What the network hears: a WAV of any length and rate, piece by piece, as tokens for each frame of the video."""

from __future__ import annotations

import functools
import math
import wave
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from daemon.errors import UnknownError
from stages.musetalk.audio_windows import WINDOW, gather, positions, steps_of, window_starts
from stages.musetalk.mel import PIECE, RATE, log_mel
from stages.musetalk.whisper import WhisperEncoder

FloatArray = npt.NDArray[np.float32]

#: The low-pass of the resampler: it begins to fall at this part of the lower rate's band and is at -100 dB at its end.
_PASS, _STOP_DB = 0.913, 100.0


class Speech:
    """A 16-bit WAV, read at 16 kHz in the pieces of 30 s that the encoder takes; nothing is kept between them."""

    def __init__(self, path: Path) -> None:
        """Look at the file.

        Raises:
            UnknownError: it is not such a file; the tts stage must run again.
        """
        self._path = path
        with self._open() as file:
            self._rate, self._count = file.getframerate(), file.getnframes()
            if file.getsampwidth() != 2 or self._rate <= 0:
                raise UnknownError("speech-unreadable", f"{path.name} is not a 16-bit WAV.", "Retry the job.")
        self.samples = -(-self._count * RATE // self._rate)  # at 16 kHz

    def _open(self) -> wave.Wave_read:
        try:
            return wave.open(str(self._path), "rb")
        except (wave.Error, EOFError) as exc:
            raise UnknownError("speech-unreadable", f"{self._path.name} is not a WAV ({exc}).", "Retry.") from exc

    def pieces(self) -> Iterator[FloatArray]:
        """Samples from -1 to 1, 480,000 at a time; the last piece is shorter."""
        with self._open() as file:
            for first in range(0, self.samples, PIECE):
                yield self._piece(file, first, min(PIECE, self.samples - first))

    def _piece(self, file: wave.Wave_read, first: int, length: int) -> FloatArray:
        common = math.gcd(self._rate, RATE)
        up, down = RATE // common, self._rate // common
        if up == down:
            return self._read(file, first, length)
        kernels = _kernels(up, down)
        reach = kernels.shape[1] // 2
        periods = -(-length // up)
        start = first // up * down  # a piece is a whole number of periods
        source = self._read(file, start - reach, periods * down + 2 * reach + 1)
        views = np.lib.stride_tricks.sliding_window_view(source, kernels.shape[1])
        resampled = np.empty((periods, up), np.float32)
        for phase in range(up):
            resampled[:, phase] = views[phase * down // up :: down][:periods] @ kernels[phase]
        return resampled.reshape(-1)[:length]

    def _read(self, file: wave.Wave_read, first: int, length: int) -> FloatArray:
        """Mono samples at the file's own rate; silence before its start and after its end."""
        begin, end = max(first, 0), min(first + length, self._count)
        file.setpos(min(begin, self._count))
        raw = np.frombuffer(file.readframes(max(end - begin, 0)), "<i2").astype(np.float32) / 32768
        mono = raw.reshape(-1, file.getnchannels()).mean(axis=1)
        return np.pad(mono, (begin - first, length - (begin - first) - len(mono)))


@functools.lru_cache(maxsize=4)
def _kernels(up: int, down: int) -> FloatArray:
    """Kaiser-windowed sincs, one for each of the `up` places an output sample can have between two inputs."""
    nyquist = 0.5 * min(1.0, up / down)  # of the lower rate, in cycles per input sample
    width = 2 * np.pi * nyquist * (1 - _PASS)
    reach = math.ceil((_STOP_DB - 8) / (2.285 * width) / 2)
    beta = 0.1102 * (_STOP_DB - 8.7)
    cutoff = nyquist * (1 + _PASS) / 2
    places = np.arange(-reach, reach + 1) - (np.arange(up) * down % up / up)[:, None]
    inside = np.clip(1 - (places / (reach + 1)) ** 2, 0, None)
    kernels = np.sinc(2 * cutoff * places) * np.i0(beta * np.sqrt(inside))
    return np.asarray(kernels / kernels.sum(axis=1, keepdims=True), np.float32)


class Ear:
    """Whisper's encoder with what is around it."""

    def __init__(self, encoder: WhisperEncoder, device: torch.device) -> None:
        """The encoder runs in float32: beside the painting it costs nothing."""
        self._encoder = encoder.float().to(device)
        self._device = device
        self._positions = positions().to(device)

    @torch.inference_mode()
    def hidden(self, samples: FloatArray) -> Tensor:
        """Hidden states [steps, 5, 384] of up to 30 s of sound at 16 kHz."""
        mel = log_mel(torch.from_numpy(samples)[None].to(self._device))
        states: Tensor = self._encoder(mel)[0, : steps_of(len(samples))]
        return states

    @torch.inference_mode()
    def tokens(self, speech: Speech, frames: int, fps: Fraction, batch: int) -> Iterator[Tensor]:
        """The tokens of every frame, [batch, 50, 384] at a time, the last of fewer; at most a minute is in memory."""
        pieces = speech.pieces()
        held, offset = torch.zeros(0, 5, 384, device=self._device), 0
        for first in range(0, frames, batch):
            starts = window_starts(first, min(first + batch, frames), fps)
            while offset + len(held) < starts[-1] + WINDOW and (piece := next(pieces, None)) is not None:
                held = torch.cat([held, self.hidden(piece)])
            done = max(int(starts[0]) - offset, 0)  # no later frame hears what lies before
            held, offset = held[done:], offset + min(done, len(held))
            yield gather(held, starts, offset) + self._positions
