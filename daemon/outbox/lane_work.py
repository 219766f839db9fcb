"""Seconds of work of jobs, by lane, and how long the slots take for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from daemon.config.engines import lane_of_engine
from daemon.jobs.stages import BY_NAME, LaneName, Stage, long_at_once


class LaneWork(NamedTuple):
    """Seconds of work, by lane. `long`: in the cpu lane, of stages for which one of its workers stays free."""

    gpu: float = 0.0
    voice: float = 0.0
    cpu: float = 0.0
    long: float = 0.0

    def plus(self, other: LaneWork, sign: float = 1.0) -> LaneWork:
        """Return the sum of the two; with `sign` -1 the difference."""
        return LaneWork(*(max(0.0, one + sign * more) for one, more in zip(self, other, strict=True)))

    def times(self, factor: float) -> LaneWork:
        """Return so many times the work."""
        return LaneWork(*(factor * seconds for seconds in self))

    def time_in(self, slots: Mapping[LaneName, int], apart: int = 0) -> LaneWork:
        """Return how long the work takes in each lane where all its slots are busy, s; `cpu`: with the long stages.

        Args:
            slots: of each lane; those of the cpu lane that run short stages, too.
            apart: slots that run long stages only, on other machines.
        """
        cpu = max(1, slots.get("cpu", 1))
        return LaneWork(
            self.gpu / max(1, slots.get("gpu", 1)),
            self.voice / max(1, slots.get("voice", 1)),
            max(self.cpu / cpu, (self.cpu + self.long) / (cpu + apart)),
            self.long / (long_at_once(cpu) + apart),
        )


def field_of(stage: Stage, engine: str) -> str:
    """Return in which field of `LaneWork` a stage counts that an engine does; empty: it is not known which."""
    row = BY_NAME[stage]
    if row.lanes == ("cpu",):
        return "long" if row.turn == "long" else "cpu"
    lane = lane_of_engine(engine) if engine else row.lanes[0]
    return lane if lane in row.lanes else row.lanes[0]
