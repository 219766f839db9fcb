"""Computes the log-mel spectrogram that Whisper expects. Source: openai/whisper, transformers' WhisperFeatureExtractor."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

RATE = 16_000  # Hz
PIECE_S = 30
PIECE = PIECE_S * RATE  # samples per pass of the encoder
N_FFT, HOP, BANDS = 400, 160, 80  # 25 ms, 10 ms

#: Slaney's mel scale: linear to 1000 Hz, then logarithmic, 27 steps to a factor of 6.4.
_HZ_PER_MEL, _BREAK_HZ = 200.0 / 3, 1000.0
_BREAK_MEL = _BREAK_HZ / _HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27


def log_mel(samples: Tensor) -> Tensor:
    """Compute spectrograms, [batch, 80, 3000], of sound, [batch, up to 480,000], at 16 kHz, padded with silence."""
    sound = functional.pad(samples.float(), (0, PIECE - samples.shape[-1]))
    window = torch.hann_window(N_FFT, device=sound.device)
    spectrum = torch.stft(sound, N_FFT, HOP, window=window, center=True, pad_mode="reflect", return_complex=True)
    power = spectrum[..., :-1].abs() ** 2
    level = (_filters().to(sound.device) @ power).clamp(min=1e-10).log10()
    level = torch.maximum(level, level.amax(dim=(-2, -1), keepdim=True) - 8.0)
    return (level + 4.0) / 4.0


@functools.cache
def _filters() -> Tensor:
    """Triangular filters of equal area, [80, 201]."""
    corners = _hertz(np.linspace(0.0, _mel(RATE / 2), BANDS + 2))
    bins = np.linspace(0.0, RATE / 2, N_FFT // 2 + 1)
    rising = (bins - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    falling = (corners[2:, None] - bins) / (corners[2:] - corners[1:-1])[:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (corners[2:] - corners[:-2]))[:, None]
    return torch.from_numpy(triangles.astype(np.float32))


def _mel(hertz: float) -> float:
    return float(_BREAK_MEL + np.log(hertz / _BREAK_HZ) / _LOG_STEP) if hertz >= _BREAK_HZ else hertz / _HZ_PER_MEL


def _hertz(mel: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    logarithmic = _BREAK_HZ * np.exp(_LOG_STEP * (mel - _BREAK_MEL))
    return np.where(mel >= _BREAK_MEL, logarithmic, mel * _HZ_PER_MEL)
