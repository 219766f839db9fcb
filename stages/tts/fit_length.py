"""Fits speech to a wanted length: first by how fast it is spoken, then by the pauses between sentences.

The speech is measured as it was made, since no engine keeps exactly to a speed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from daemon.errors import JobError

if TYPE_CHECKING:
    from stages.media.loudness import Block

#: How much slower and faster than the manifest's `speed` a text may be spoken, and the limits of `speed` itself.
SLOWEST, FASTEST = 0.85, 1.2
LEAST_SPEED, MOST_SPEED = 0.5, 2.0
#: How much shorter and longer than usual a pause between sentences may be.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 2.5
#: A change of the speed that is not worth speaking again for: pauses make up for it.
_SAME_SPEED = 0.01
#: Most times that the text is spoken again at another speed.
_TRIES = 3
#: Words in a second as people speak, and from how many on a text has a pace of its own: of one word the most is silence.
_USUAL_PACE, _MANY = 2.3, 20
#: Engines speak faster or slower than they are told by less than this; beyond it a text is refused before it is spoken again.
_UNSURE = 1.15


class Pauses:
    """The pauses that may be changed: those between sentences without a marked pause, and the one at the end.

    Args:
        scale: their length relative to the usual one.

    Attributes:
        usual_s: usual length of all of them together, s.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self._scale = scale
        self.usual_s = 0.0

    def length(self, usual_s: float) -> float:
        """Return the length of the next pause, s."""
        self.usual_s += usual_s
        return self._scale * usual_s


@dataclass
class Ruler:
    """Stands for a track that is only measured: takes what a `SpeechTrack` takes, and counts samples.

    Attributes:
        rate: Hz.
        samples: length so far.
        sound: of these, those that are no silence.
    """

    rate: int
    samples: int = 0
    sound: int = 0

    def append_sound(self, samples: Block) -> None:
        """Count sound (float32 [n])."""
        self.samples += len(samples)
        self.sound += len(samples)

    def append_silence(self, seconds: float) -> None:
        """Count silence."""
        self.samples += round(seconds * self.rate)


@dataclass(frozen=True)
class Length:
    """How long a text was when it was spoken.

    Attributes:
        total_s: all of it, s.
        sound_s: without the silence, s.
        pauses_s: the pauses that may be changed, s.
        words: number of words.
        new: the words whose sound was not kept from an earlier time.
    """

    total_s: float
    sound_s: float
    pauses_s: float
    words: int
    new: frozenset[int] = frozenset()

    def least_s(self, faster: float = 1.0) -> float:
        """Return the shortest length, s. `faster`: how much faster it is spoken."""
        return self.total_s - self.sound_s * (1 - 1 / faster) - self.pauses_s * (1 - SHORTEST_PAUSE)

    def most_s(self, slower: float = 1.0) -> float:
        """Return the greatest length, s. `slower`: as a factor of the speed, below 1."""
        return self.total_s + self.sound_s * (1 / slower - 1) + self.pauses_s * (LONGEST_PAUSE - 1)


@dataclass(frozen=True)
class Fit:
    """What makes speech as long as it is to be.

    Attributes:
        speed: the speed to speak at, as in a manifest.
        pauses: factor of the pauses.
        new: the words whose sound was not kept from an earlier time.
    """

    speed: float
    pauses: float
    new: frozenset[int]


def speed_limits(usual_speed: float) -> tuple[float, float]:
    """Return how much slower and faster than at `usual_speed` a text may be spoken, as factors of it."""
    return max(SLOWEST, LEAST_SPEED / usual_speed), min(FASTEST, MOST_SPEED / usual_speed)


def fit_length(wanted_s: float, usual_speed: float, measure: Callable[[float], Length]) -> Fit:
    """Find out how a text has to be spoken to be as long as it is to be.

    Args:
        usual_speed: `speed` of the manifest.
        measure: speaks the text at a speed and returns its length.

    Raises:
        JobError: `duration-unreachable`.
    """
    slowest, fastest = speed_limits(usual_speed)
    factor = 1.0
    length = measure(usual_speed)
    if length.least_s(fastest * _UNSURE) > wanted_s:
        raise unreachable(wanted_s, length.words, length.least_s(fastest))
    if length.most_s(slowest / _UNSURE) < wanted_s:
        raise unreachable(wanted_s, length.words, length.most_s(slowest))
    for _ in range(_TRIES):
        room_s = wanted_s - (length.total_s - length.sound_s)
        better = min(max(factor * length.sound_s / room_s if room_s > 0 else fastest, slowest), fastest)
        if abs(better / factor - 1) < _SAME_SPEED:
            break
        factor = better
        length = measure(usual_speed * factor)
    if not length.least_s() <= wanted_s <= length.most_s():
        limit_s = length.least_s() if length.least_s() > wanted_s else length.most_s()
        raise unreachable(wanted_s, length.words, limit_s)
    pauses = 1 + (wanted_s - length.total_s) / length.pauses_s if length.pauses_s else 1.0
    return Fit(usual_speed * factor, pauses, length.new)


def unreachable(wanted_s: float, count: int, limit_s: float) -> JobError:
    """Return the error of a text of `count` words that cannot be so long. `limit_s`: the nearest possible length."""
    too_long = limit_s > wanted_s
    pace = count / limit_s if too_long or count >= _MANY else max(count / limit_s, _USUAL_PACE)
    words = max(1, math.ceil(abs(limit_s - wanted_s) * pace))
    nearest = max(1, math.ceil(limit_s) if too_long else math.floor(limit_s))
    change = f"{'Take out' if too_long else 'Add'} about {words} word{'s' if words > 1 else ''}"
    return JobError(
        "duration-unreachable",
        f"The text takes {'at least' if too_long else 'at most'} about {limit_s:.1f} s; `duration` is {wanted_s:g} s.",
        f"{change}, write `duration: {nearest}`, or change `speed`.",
    )
