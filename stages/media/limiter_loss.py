"""Estimates how much softer a peak limiter makes a signal, from its envelope, so that its gain is near the right one at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Block = npt.NDArray[np.float32]

#: Length of the windows of the envelope, s: half an attack of a limiter. An hour of sound has 12 MB of them.
_WINDOW_S = 0.0025
_STEPS = 8


class LimiterLoss:
    """The envelope of a mono signal, and what a limiter that holds its peaks takes from its loudness.

    The loudness is that of the plain energy: within about a quarter of a dB of the weighted one, where a limiter acts much.
    """

    def __init__(self, rate: int, ceiling_db: float, release_ms: float) -> None:
        """Begin an envelope.

        Args:
            rate: of the signal, Hz.
            ceiling_db: the limiter's, dB of full scale.
            release_ms: in this time it lets go of a peak, in a straight line.
        """
        self._window = max(1, round(_WINDOW_S * rate))
        self._ceiling_db, self._release = ceiling_db, max(1, round(release_ms / 1000 / _WINDOW_S))
        self._rest = np.zeros(0, np.float32)
        self._peaks: list[Block] = []
        self._energies: list[Block] = []

    def add(self, block: Block) -> None:
        """Add the signal's next block to the envelope."""
        joined = np.concatenate([self._rest, block])
        whole = len(joined) // self._window * self._window
        windows, self._rest = joined[:whole].reshape(-1, self._window), joined[whole:]
        self._peaks.append(np.abs(windows).max(axis=1, initial=0))
        self._energies.append(np.square(windows).sum(axis=1))

    def gain_for(self, wanted_db: float, most_db: float) -> float:
        """Return the gain, of at most `most_db`, after which the limited signal is louder than the plain one by `wanted_db`."""
        peaks, energies = np.concatenate(self._peaks), np.concatenate(self._energies)
        gain_db = min(wanted_db, most_db)
        for _ in range(_STEPS):
            gain_db = min(wanted_db + self._loss_db(peaks, energies, gain_db), most_db)
        return gain_db

    def _loss_db(self, peaks: Block, energies: Block, gain_db: float) -> float:
        allowed = np.float32(10 ** ((self._ceiling_db - gain_db) / 20))
        if peaks.max(initial=0) <= allowed:
            return 0.0
        held = np.minimum(allowed / np.maximum(peaks, allowed), 1)
        share = held.copy()
        for after in range(1, min(self._release, len(held))):
            np.minimum(share[after:], held[:-after] + (1 - held[:-after]) * (after / self._release), out=share[after:])
        before = held[1:] + (1 - held[1:]) / 2
        np.minimum(share[:-1], before, out=share[:-1])
        return float(-10 * np.log10(np.dot(energies, np.square(share)) / energies.sum()))
