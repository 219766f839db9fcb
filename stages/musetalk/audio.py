"""What the network hears: a WAV of any length and rate, piece by piece, as tokens for each frame of the video."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from daemon.errors import UnknownError
from stages.media.resample import resample
from stages.media.wav import WavError, WavReader, open_wav
from stages.musetalk.audio_windows import WINDOW, gather, positions, steps_of, window_starts
from stages.musetalk.mel import PIECE, RATE, log_mel
from stages.musetalk.whisper import WhisperEncoder

FloatArray = npt.NDArray[np.float32]


class Speech:
    """A 16-bit WAV, read at 16 kHz in the pieces of 30 s that the encoder takes; nothing is kept between them."""

    def __init__(self, path: Path) -> None:
        """Look at the file.

        Raises:
            UnknownError: it is not such a file; the tts stage must run again.
        """
        self._path = path
        with self._open():
            pass

    @contextlib.contextmanager
    def _open(self) -> Iterator[WavReader]:
        try:
            with open_wav(self._path) as file:
                yield file
        except WavError as exc:
            raise UnknownError(
                "speech-unreadable", f"{self._path.name} is not a 16-bit WAV ({exc}).", "Retry the job."
            ) from exc

    def pieces(self) -> Iterator[FloatArray]:
        """Samples from -1 to 1, 480,000 at a time; the last piece is shorter."""
        held = np.zeros(0, np.float32)
        with self._open() as file:
            for block in resample(file.blocks(), file.rate, RATE):
                held = np.concatenate([held, block])
                while len(held) >= PIECE:
                    yield held[:PIECE]
                    held = held[PIECE:]
        if len(held):
            yield held


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
