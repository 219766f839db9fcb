"""Selects the encoder steps for each frame of the video, from exact times, and makes the tokens from them."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

#: Encoder steps per second; steps in a frame's window (200 ms); those of them before the frame's time (80 ms).
STEPS_PER_S = 50
WINDOW = 10
LEAD = 4


def step_count(samples: int, rate: int = 16000) -> int:
    """Count the encoder steps of a sound; the encoder's output beyond them belongs to the padding."""
    return samples * STEPS_PER_S // rate


def window_starts(first: int, last: int, fps: Fraction, lead: int = LEAD) -> npt.NDArray[np.int64]:
    """Compute the first step of the window of each of the frames first … last-1; negative before the sound.

    Frame k is shown at exactly k / fps seconds, so that nothing drifts at 23.976 or 29.97 frames per second, and the window
    begins 80 ms earlier at every frame rate. (The reference rounds fps down to a whole number, and below 25 fps it begins two
    steps earlier.)
    """
    return np.array([math.floor(frame * STEPS_PER_S / fps) for frame in range(first, last)], np.int64) - lead


def gather_windows(hidden: Tensor, starts: Tensor | npt.NDArray[np.int64], offset: int = 0) -> Tensor:
    """Gather the windows, [frames, 50, 384], from hidden states, [steps, 5, 384], whose first step is number `offset`.

    `starts` is the first step of each window; a tensor is on the device of `hidden`. Tokens are ordered by time, then by layer.
    Steps outside of `hidden` are zeros.
    """
    steps = torch.as_tensor(starts, device=hidden.device)[:, None] + torch.arange(WINDOW, device=hidden.device) - offset
    inside = (steps >= 0) & (steps < hidden.shape[0])
    padded = torch.cat([hidden, hidden.new_zeros(1, *hidden.shape[1:])])
    return padded[torch.where(inside, steps, hidden.shape[0])].flatten(1, 2)


def position_table(count: int = 50, width: int = 384) -> Tensor:
    """Make the sinusoidal position table that is added to the tokens, [count, width]: even columns sine, odd ones cosine."""
    rates = torch.exp(torch.arange(0, width, 2).float() * (-math.log(10000.0) / width))
    angles = torch.arange(count).float()[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)
