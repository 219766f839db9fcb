"""Cuts a recording of any length into chunks that a recogniser hears whole, at the quietest moments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from stages.media.resample import resample
from stages.media.wav import Samples
from stages.transcribe.base import RATE

#: A chunk ends at the quietest moment between these lengths. s
SHORTEST_S, LONGEST_S = 12.0, 28.0
#: Length of a moment, s: that of a short pause between words.
_MOMENT_S = 0.2
#: A chunk whose loudest moment is below this contains no speech. RMS, dB of full scale
_SILENT_DB = -60.0


@dataclass(frozen=True)
class Chunk:
    """A part of a recording.

    Attributes:
        start: its first moment, s.
        samples: float32 [n], ±1, at `RATE`.
    """

    start: float
    samples: Samples

    @property
    def end(self) -> float:
        """The moment at which it ends, s."""
        return self.start + len(self.samples) / RATE


def cut_chunks(blocks: Iterable[Samples], rate: int) -> Iterator[Chunk]:
    """Yield the chunks of a mono sound that may contain speech, in order. Memory does not grow with the sound.

    Args:
        blocks: the sound, float32 [n] each, ±1.
        rate: its sample rate, Hz.
    """
    rest, start = np.zeros(0, np.float32), 0
    for block in resample(blocks, rate, RATE):
        rest = np.concatenate([rest, block])
        while len(rest) >= LONGEST_S * RATE:
            cut = _quietest(rest)
            yield from _audible(start, rest[:cut])
            rest, start = rest[cut:], start + cut
    yield from _audible(start, rest)


def _quietest(samples: Samples) -> int:
    """Return the middle of the quietest moment between `SHORTEST_S` and `LONGEST_S`, in samples."""
    first = round(SHORTEST_S * RATE)
    power = _moments(samples[first : round(LONGEST_S * RATE)])
    return first + int(power.argmin()) * _STEP + _STEP


def _audible(start: int, samples: Samples) -> Iterator[Chunk]:
    if len(samples) and 10.0 * np.log10(max(float(_moments(samples).max(initial=0.0)), 1e-12)) > _SILENT_DB:
        yield Chunk(start / RATE, samples)


_STEP = round(_MOMENT_S * RATE) // 2


def _moments(samples: Samples) -> Samples:
    """Return the mean power of each moment, float32 [n]; they overlap by half."""
    halves = np.add.reduceat(samples.astype(np.float64) ** 2, np.arange(0, max(1, len(samples)), _STEP))
    return np.asarray((halves + np.append(halves[1:], halves[-1])) / (2 * _STEP), dtype=np.float32)
