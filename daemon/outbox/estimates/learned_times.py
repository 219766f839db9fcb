"""Learns how long stages take on this machine: factors on the first guesses, by stage, engine, size of the work, and device.

A factor is measured time divided by the first guess (daemon/jobs/stages.py), which grows with length and pixels. Where nothing is
known of an engine, a size or a device, the stage's other jobs say what is expected.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from daemon.jobs.stages import BY_NAME, Stage

#: Weight of a new measurement against all earlier ones.
GAIN: Final = 0.3
#: Limits of what is learned of a stage: so many times its first guess.
LEAST, MOST = 0.05, 20.0
#: Sizes that differ by more than so many doublings say nothing of each other.
DOUBLINGS: Final = 20
#: Works are of about one size where neither their lengths nor their pixels differ by more than this factor.
NEAR: Final = 1.5
#: Most sizes that are remembered of the works under the same conditions, the last ones.
MET: Final = 16
#: Most conditions that are remembered; those that were met longest ago go first.
REMEMBERED: Final = 500


class Conditions(NamedTuple):
    """Under which a stage ran.

    Attributes:
        engine: that did it; empty for any.
        size_s: size of the work: its first guess, rounded up to a power of two, s; 0 for any.
        device: on which the engine ran, as the stage names it; empty for any, and where the stage names none.
    """

    stage: Stage
    engine: str = ""
    size_s: int = 0
    device: str = ""

    @classmethod
    def of(cls, stage: Stage, guess_s: float, engine: str, device: str) -> Conditions:
        """Return the conditions of a stage whose first guess is `guess_s` seconds."""
        return cls(stage, engine, 1 << max(0, math.ceil(guess_s) - 1).bit_length(), device)

    def broader(self) -> tuple[Conditions, Conditions, Conditions]:
        """Return these conditions, those of any size, and those of any engine and device, too."""
        return self, Conditions(self.stage, self.engine, 0, self.device), Conditions(self.stage)


class Size(NamedTuple):
    """How large the work of a stage is: its length in s and its megapixels a second, each 0 where the run time of the stage does
    not follow from it.
    """

    length_s: float
    megapixels_per_s: float

    def is_near(self, other: Size) -> bool:
        """Return whether another work is about as large."""
        return all(max(pair) <= NEAR * min(pair) for pair in zip(self, other, strict=True))


class Learned(NamedTuple):
    """What was learned under some conditions. `jobs`: how many were measured."""

    factor: float
    jobs: int


def carried(factor: float, stage: Stage, from_s: int, to_s: int) -> float:
    """Return the factor to expect of work of the size `to_s` where `factor` was measured at the size `from_s`.

    What a stage took longer or shorter than its first guess is due to its start, as much each time, or to its speed, in
    proportion to the work: to the speed the more, the larger the work was against the start that was guessed. So small videos,
    which are mostly start, say little of large ones.
    """
    start = BY_NAME[stage].start_s
    speed = from_s**2 / (from_s**2 + start**2)
    return min(max(1.0 + (factor - 1.0) * (speed + (1.0 - speed) * from_s / to_s), LEAST), MOST)


class LearnedTimes:
    """What was learned, the conditions met last at the end.

    Args:
        stored: what `to_json` returned; what is not valid in it is left out.
    """

    def __init__(self, stored: Any = None) -> None:
        self._known: dict[Conditions, Learned] = {}
        #: Sizes of the works that were measured under some conditions, those left out that are near to another one.
        self._met: dict[Conditions, list[Size]] = {}
        #: Engine and device that did a stage last: of all engines (empty), and of each.
        self._last: dict[tuple[Stage, str], tuple[str, str]] = {}
        for one in stored if isinstance(stored, list) else ():
            found = _parsed(one)
            if found is not None:
                self._known[found[0]] = found[1]
                self._met[found[0]] = _parsed_sizes(one)
                self._note_last(found[0])

    def observe(self, found: Conditions, ratio: float, size: Size | None = None) -> None:
        """Learn from a stage that took `ratio` times its first guess. `size`: of its work."""
        if size is not None and not self.is_known(found, size):
            self._met[found] = [*self._met.get(found, ()), size][-MET:]
        measured = min(max(ratio, LEAST), MOST)
        self._note_last(found)
        expected = {one: self.expect(one).factor for one in reversed(found.broader())}
        for one, before in expected.items():
            known = self._known.pop(one, None)
            self._known[one] = Learned(before + GAIN * (measured - before), known.jobs + 1 if known else 1)
        while len(self._known) > REMEMBERED:
            oldest = next(iter(self._known))
            del self._known[oldest]
            self._met.pop(oldest, None)

    def expect(self, wanted: Conditions) -> Learned:
        """Return the factor under some conditions, and how many jobs it was learned from: 0 for a first guess. What is known of
        other sizes only is carried over from the nearest (`carried`).
        """
        if wanted not in self._known and (size_s := self._nearest_size(wanted)):
            known = self._known[wanted._replace(size_s=size_s)]
            return Learned(carried(known.factor, wanted.stage, size_s, wanted.size_s), known.jobs)
        return next((self._known[one] for one in wanted.broader() if one in self._known), Learned(1.0, 0))

    def _nearest_size(self, wanted: Conditions) -> int:
        """Return the size nearest to the wanted one of which something is known, under the same conditions; 0 for none."""
        if not (wanted.size_s and self._known):
            return 0
        at = wanted.size_s.bit_length() - 1
        near = (1 << other for step in range(1, DOUBLINGS) for other in (at - step, at + step) if other >= 0)
        return next((size_s for size_s in near if wanted._replace(size_s=size_s) in self._known), 0)

    def is_known(self, where: Conditions, size: Size) -> bool:
        """Return whether work of about this size was measured under just these conditions."""
        return any(size.is_near(one) for one in self._met.get(where, ()))

    def usual(self, stage: Stage, engine: str = "") -> tuple[str, str]:
        """Return engine and device that did a stage last; empty where none has. `engine`: only that one."""
        return self._last.get((stage, engine), (engine, ""))

    def _note_last(self, found: Conditions) -> None:
        if found.size_s:
            self._last[found.stage, ""] = self._last[found.stage, found.engine] = found.engine, found.device

    def __iter__(self) -> Iterator[tuple[Conditions, Learned]]:
        return iter(list(self._known.items()))

    def to_json(self) -> list[dict[str, Any]]:
        """Return what is stored."""
        return [
            {**one._asdict(), "factor": round(known.factor, 4), "jobs": known.jobs}
            | ({"met": [[round(value, 3) for value in size] for size in met]} if (met := self._met.get(one)) else {})
            for one, known in self._known.items()
        ]


def from_factors(stored: Any) -> list[dict[str, Any]]:
    """Return what a daemon of an earlier version stored, one factor for each stage, in today's form."""
    return [{"stage": s, "factor": f, "jobs": 1} for s, f in stored.items()] if isinstance(stored, dict) else []


def _parsed(stored: Any) -> tuple[Conditions, Learned] | None:
    try:
        where = Conditions(stored["stage"], stored.get("engine", ""), stored.get("size_s", 0), stored.get("device", ""))
        known = Learned(stored["factor"], stored["jobs"])
        valid = where.stage in BY_NAME and LEAST <= known.factor <= MOST and known.jobs > 0 and where.size_s >= 0
        return (where, known) if valid and isinstance(where.engine + where.device, str) else None
    except (TypeError, KeyError, AttributeError):
        return None


def _parsed_sizes(stored: dict[str, Any]) -> list[Size]:
    """Return the sizes of works that are stored; none where they are not valid, or an earlier version noted none."""
    try:
        return [Size(float(length), float(pixels)) for length, pixels in stored.get("met", ())][-MET:]
    except (TypeError, ValueError):
        return []
