"""Which of the encoder's steps each frame of the video hears, from exact time, and the tokens made of them."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

#: Encoder steps per second, and per frame's window: 200 ms, of which 80 ms lie before the frame's time.
STEPS_PER_S = 50
WINDOW = 10
LEAD = 4


def steps_of(samples: int, rate: int = 16000) -> int:
    """Encoder steps that a sound has; what the encoder says beyond them is of padding."""
    return samples * STEPS_PER_S // rate


def window_starts(first: int, last: int, fps: Fraction, lead: int = LEAD) -> npt.NDArray[np.int64]:
    """The step at which the window of each of the frames first … last-1 begins; negative before the sound.

    Frame k is shown at k / fps seconds, whatever the fraction: nothing drifts at 23.976 or 29.97 frames a second, and
    every rate hears the same 80 ms ahead. (The reference rounds fps down to a whole number, and below 25 fps it begins
    two steps earlier.)
    """
    return np.array([math.floor(frame * STEPS_PER_S / fps) for frame in range(first, last)], np.int64) - lead


def gather(hidden: Tensor, starts: npt.NDArray[np.int64], offset: int = 0) -> Tensor:
    """Windows [frames, 50, 384] of hidden states [steps, 5, 384] whose first step is number `offset`.

    Tokens are ordered by time and then by layer. Steps outside of `hidden` are zeros.
    """
    steps = torch.as_tensor(starts, device=hidden.device)[:, None] + torch.arange(WINDOW, device=hidden.device) - offset
    inside = (steps >= 0) & (steps < hidden.shape[0])
    padded = torch.cat([hidden, hidden.new_zeros(1, *hidden.shape[1:])])
    return padded[torch.where(inside, steps, hidden.shape[0])].flatten(1, 2)


def positions(count: int = 50, width: int = 384) -> Tensor:
    """The sinusoidal table that is added to the tokens, [count, width]: even columns sine, odd ones cosine."""
    rates = torch.exp(torch.arange(0, width, 2).float() * (-math.log(10000.0) / width))
    angles = torch.arange(count).float()[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)
