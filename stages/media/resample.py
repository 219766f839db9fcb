"""Sound of any length at another sample rate, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import ceil, gcd

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
#: Gives the samples from `start` to `stop`; never asked for what lies outside of the sound.
Read = Callable[[int, int], Samples]

#: Zero crossings of the sinc on each side, and the part of the band that is kept: what is above it falls by 60 dB.
_CROSSINGS, _KEPT = 24, 0.93
_BLOCK = 1 << 16


def resample(read: Read, count: int, rate: int, wanted: int) -> Iterator[Samples]:
    """`count` samples at `rate` Hz as blocks of samples at `wanted` Hz; sample 0 stays at time 0."""
    common = gcd(rate, wanted)
    up, down = wanted // common, rate // common
    bank = _filters(up, down)
    reach = bank.shape[1] // 2
    # A block starts at a whole number of periods, so that every block sees the same filters.
    period = max(1, _BLOCK // up)
    for first in range(0, ceil(count / down), period):
        begin, end = first * down - reach, (first + period) * down + reach
        known = read(max(0, begin), min(count, end)).astype(np.float32, copy=False)
        padded = np.pad(known, (max(0, -begin), max(0, end - count)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, bank.shape[1])
        phases = [windows[phase * down // up :: down][:period] @ bank[phase] for phase in range(up)]
        yield np.stack(phases, axis=1).ravel()[: count * up // down - first * up]


def _filters(up: int, down: int) -> Samples:
    """One low-pass filter for each position between two samples, [up, taps]; each passes a constant unchanged."""
    cut = min(1.0, up / down) * _KEPT
    reach = ceil(_CROSSINGS / cut)
    shift = (np.arange(up) * down % up / up)[:, None]
    time = np.arange(-reach, reach + 1)[None] - shift
    window = 0.5 + 0.5 * np.cos(np.pi * np.clip(time / (reach + 1), -1, 1))
    bank = np.sinc(cut * time) * window
    filters: Samples = (bank / bank.sum(axis=1, keepdims=True)).astype(np.float32)
    return filters
