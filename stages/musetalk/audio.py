"""Turns a WAV file of any length and rate into the network's audio tokens for each frame of the video, piece by piece."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from daemon.errors import TRIED_AGAIN, UnknownError
from stages.media.read_ahead import read_ahead
from stages.media.resample import resample
from stages.media.wav import WavError, WavReader, open_wav
from stages.musetalk.audio_windows import WINDOW, gather_windows, position_table, step_count, window_starts
from stages.musetalk.device import network_switches
from stages.musetalk.mel import PIECE, RATE, log_mel
from stages.musetalk.networks.whisper import WhisperEncoder

FloatArray = npt.NDArray[np.float32]


class SpeechReader:
    """Reads a 16-bit WAV file at 16 kHz in the pieces of 30 s that the encoder takes."""

    def __init__(self, path: Path) -> None:
        """Check that the file can be opened.

        Raises:
            UnknownError: `speech-unreadable`: it is not a 16-bit WAV file; the tts stage must run again.
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
                "speech-unreadable", f"{self._path.name} is not a 16-bit WAV ({exc}).", TRIED_AGAIN
            ) from exc

    def pieces(self) -> Iterator[FloatArray]:
        """Yield samples from -1 to 1, 480,000 at a time; the last piece is shorter."""
        held = np.zeros(0, np.float32)
        with self._open() as file:
            for block in resample(file.blocks(), file.rate, RATE):
                held = np.concatenate([held, block])
                while len(held) >= PIECE:
                    yield held[:PIECE]
                    held = held[PIECE:]
        if len(held):
            yield held


class AudioEncoder:
    """Whisper's encoder with the computation of its input and of the tokens."""

    def __init__(self, encoder: WhisperEncoder, device: torch.device) -> None:
        """Move the encoder to `device` in float32; its cost is negligible compared with painting."""
        self._encoder = encoder.float().to(device)
        self._device = device
        self._positions = position_table().to(device)

    @torch.inference_mode()
    def hidden_states(self, samples: FloatArray) -> Tensor:
        """Compute the hidden states, [steps, 5, 384], of up to 30 s of sound at 16 kHz."""
        return self._encode(*_spectrogram(samples))

    def _encode(self, mel: Tensor, steps: int) -> Tensor:
        if self._device.type == "cuda":
            # From pinned memory the copy waits for no work on the GPU.
            mel = torch.empty(mel.shape, pin_memory=True).copy_(mel)
        with network_switches():  # else cuDNN would compute the convolutions in TF32
            states: Tensor = self._encoder(mel.to(self._device, non_blocking=True))[0, :steps]
        return states

    @torch.inference_mode()
    def tokens(self, speech: SpeechReader, frames: int, fps: Fraction, batch: int) -> Iterator[Tensor]:
        """Yield the tokens of all frames in groups of up to `batch` frames, [n, 50, 384]; at most a minute is in memory."""
        # Resampling half a minute takes as long as painting fifty frames on a large GPU, and its spectrogram is made there, too.
        pieces = read_ahead(map(_spectrogram, speech.pieces()))
        # At once, as each copy from memory that is not pinned waits for all work on the device.
        on_device = torch.from_numpy(window_starts(0, frames, fps)).to(self._device)
        held, offset = torch.zeros(0, 5, 384, device=self._device), 0
        for first in range(0, frames, batch):
            starts = window_starts(first, min(first + batch, frames), fps)
            while offset + len(held) < starts[-1] + WINDOW and (piece := next(pieces, None)) is not None:
                held = torch.cat([held, self._encode(*piece)])
            done = max(int(starts[0]) - offset, 0)  # no later frame needs the steps before
            held, offset = held[done:], offset + min(done, len(held))
            yield gather_windows(held, on_device[first : first + batch], offset) + self._positions


def _spectrogram(samples: FloatArray) -> tuple[Tensor, int]:
    """Make the encoder's input, [1, 80, 3000], of up to 30 s of sound at 16 kHz, and count its steps that are sound. On the
    processor: on a GPU it would stand in line with the painting.
    """
    return log_mel(torch.from_numpy(samples)[None]), step_count(len(samples))
