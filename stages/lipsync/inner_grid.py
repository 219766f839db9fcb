"""The fine grid of times on which the mouth's movement is made before it is resampled to the video's frames.

It is made piece by piece, so that an hour of speech needs the memory of a minute.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from stages.lipsync.motion_track import MOUTH

FloatArray = npt.NDArray[np.float32]

#: Readings per second.
GRID_PER_S = 200
#: Length of a piece, readings.
_PIECE = 30 * GRID_PER_S
#: A Gaussian filter ends at so many sigma.
_SIGMAS = 3


def to_frames(
    course: Callable[[int, int], FloatArray], sigma_s: float, duration: float, frames: int, fps: Fraction
) -> FloatArray:
    """Make the mouth's parameters at the times of the frames, [frames, len(MOUTH)].

    Args:
        course: gives the readings from the first up to but without the second number, [readings, len(MOUTH)]. What it gives for
            a reading must not depend on where the piece begins.
        sigma_s: every parameter is smoothed over time by a Gaussian filter of this width, s.
        duration: length of the speech, s; the grid goes a little beyond it.
        frames, fps: of the video.
    """
    time, count = frame_times(frames, fps), int(duration * GRID_PER_S) + 2
    margin = math.ceil(_SIGMAS * sigma_s * GRID_PER_S) + 1
    found = np.empty((frames, len(MOUTH)), np.float32)
    for first in range(0, count, _PIECE):
        stop = first + _PIECE
        begin = int(np.searchsorted(time, first / GRID_PER_S)) if first else 0
        end = int(np.searchsorted(time, stop / GRID_PER_S)) if stop < count else frames
        low, high = max(first - margin, 0), min(stop + margin, count)
        smooth = _smooth_columns(course(low, high), sigma_s)
        grid = np.arange(low, high) / GRID_PER_S
        for number, column in enumerate(smooth.T):
            found[begin:end, number] = np.interp(time[begin:end], grid, column)
    return found


def _smooth_columns(mouth: FloatArray, sigma_s: float) -> FloatArray:
    smooth_mouth = np.empty_like(mouth)
    for number, column in enumerate(mouth.T):
        smooth_mouth[:, number] = smooth(column, sigma_s * GRID_PER_S)
    return smooth_mouth


def smooth(values: FloatArray, sigma: float) -> FloatArray:
    """Filter readings by a Gaussian, `sigma` in readings; the first and the last one go on beyond the ends."""
    reach = np.arange(-int(_SIGMAS * sigma), int(_SIGMAS * sigma) + 1)
    kernel = np.exp(-0.5 * (reach / sigma) ** 2)
    padded = np.pad(values, int(_SIGMAS * sigma), mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), mode="valid").astype(np.float32)


def frame_times(frames: int, fps: Fraction) -> npt.NDArray[np.float64]:
    """Return the time at which each frame is shown, s, [frames]."""
    return np.arange(frames) * float(1 / fps)


def frames_between(time: npt.NDArray[np.float64], start: float, end: float) -> slice:
    """Return the frames shown from `start` to `end`, s, both included. A motion is added to these alone, so that a second of
    speech costs the same in a lecture as in a greeting.
    """
    return slice(int(np.searchsorted(time, start, "left")), int(np.searchsorted(time, end, "right")))
