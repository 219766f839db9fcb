"""Computes how many results of which kind this machine makes in a day, from what the daemon has learned of its stages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, product
from typing import Any, Final

from daemon.jobs.kinds import KINDS
from daemon.jobs.stages import LaneName, Stage, stages_of_lane
from daemon.outbox.estimates.learned_times import Conditions, LearnedTimes
from daemon.outbox.estimator import Work
from daemon.outbox.lane_work import LaneWork, field_of

DAY_S: Final = 86_400.0
#: Frames in a second of a video that is computed here.
RATE: Final = Fraction(25)
#: What each field of `LaneWork` is called for people.
NAMES: Final = {"gpu": "gpu lane", "voice": "voice lane", "cpu": "cpu lane", "long": "cpu lane (drawing)"}


@dataclass(frozen=True)
class Made:
    """What a day makes of one kind, if nothing else is made.

    Attributes:
        engines: stage → engine; only stages that several engines can do. Empty: it is not known which would.
        seconds: length of each result, s; `size`: of its video, px.
        stages: run time of each stage, s.
        a_day: results in a day.
        limit: field of `LaneWork` that bounds it.
        measured: part of the run times that was measured here, at about this length and size, 0 to 1; `alike`: that was measured
            here, at another one. The rest are first guesses.
    """

    kind: str
    engines: Mapping[Stage, str]
    seconds: float
    size: tuple[int, int]
    stages: Mapping[Stage, float]
    a_day: float
    limit: str
    measured: float
    alike: float

    def to_json(self) -> dict[str, Any]:
        """Return it as `avatar capacity --json` prints it."""
        return {
            "kind": self.kind,
            "engines": dict(self.engines),
            "seconds": self.seconds,
            "size": f"{self.size[0]}x{self.size[1]}",
            "stages": {stage: round(seconds, 2) for stage, seconds in self.stages.items()},
            "a_day": int(self.a_day),
            "limit": self.limit,
            "measured": round(self.measured, 2),
            "measured_at_other_sizes": round(self.alike, 2),
        }


@dataclass(frozen=True)
class Slots:
    """What works at once.

    Attributes:
        count: slots of each lane.
        gpus: the stages that each slot of the gpu lane runs; one may be bound to some of them (`lanes.gpu.devices`).
    """

    count: Mapping[LaneName, int]
    gpus: Sequence[frozenset[Stage]]

    def time_of(self, work: LaneWork, gpu: Mapping[Stage, float]) -> dict[str, float]:
        """Return how long work takes in each field of `LaneWork` where all slots are busy, s. `gpu`: its part in the gpu lane.

        Work that only some slots may do takes as long as they need for it, and no set of stages takes less than its slots need.
        """
        sets = [frozenset(some) for size in range(1, len(gpu) + 1) for some in combinations(gpu, size)]
        needed = (
            sum(gpu[stage] for stage in some) / max(1, sum(bool(some & slot) for slot in self.gpus)) for some in sets
        )
        return {**work.time_in(self.count)._asdict(), "gpu": max(needed, default=0.0)}


def capacity(
    learned: LearnedTimes, slots: Slots, lengths: Sequence[float], sizes: Sequence[tuple[int, int]]
) -> Iterator[Made]:
    """Yield what a day makes of videos, for each pair of engines that has made one here, or for those that are not known.

    Args:
        lengths: of the speech, s; `sizes`: of the video, px.
    """
    pairs = product(*([engines_of(learned, stage) for stage in ("tts", "lipsync")]))
    for (voice, mouth), seconds, size in product(list(pairs), lengths, sizes):
        engines = {stage: engine for stage, engine in (("tts", voice), ("lipsync", mouth)) if engine}
        yield made("video", engines, seconds, size, learned, slots)


def slots_here(state: Mapping[str, Any], cpus: int) -> Slots:
    """Return the slots of this machine. `state`: what `read_state` returned, which has a record for each GPU; `cpus`: as set."""
    every = frozenset(stages_of_lane("gpu"))
    found = [frozenset(record.get("stages") or every) & every for record in state.get("slots") or ()]
    gpus = [stages for stages in found if stages] or [every]
    return Slots({"gpu": len(gpus), "voice": 1, "cpu": cpus}, gpus)


def engines_of(learned: LearnedTimes, stage: Stage) -> list[str]:
    """Return the engines that have done a stage here, the last one first; one that is not known where none has."""
    found = [
        where.engine for where, _ in learned if where.stage == stage and where.engine and where.engine != "brought"
    ]
    return list(dict.fromkeys(reversed(found))) or [""]


def made(
    kind: str,
    engines: Mapping[Stage, str],
    seconds: float,
    size: tuple[int, int],
    learned: LearnedTimes,
    slots: Slots,
) -> Made:
    """Return what a day makes of one kind."""
    work = Work.of_video(seconds, size, RATE)
    stages: dict[Stage, float] = {}
    fields = dict.fromkeys(LaneWork._fields, 0.0)
    gpu: dict[Stage, float] = {}
    known, alike = 0.0, 0.0
    for stage in KINDS[kind].stages_of(lambda key: False):
        guess_s = work.first_guess_s(stage)
        engine, device = learned.usual(stage, engines.get(stage, ""))
        where = Conditions.of(stage, guess_s, engine, device)
        found = learned.expect(where)
        stages[stage] = guess_s * found.factor
        fields[(in_field := field_of(stage, engine))] += stages[stage]
        if in_field == "gpu":
            gpu[stage] = stages[stage]
        if found.jobs and learned.is_known(where, work.size(stage)):
            known += stages[stage]
        elif found.jobs:
            alike += stages[stage]
    times = slots.time_of(LaneWork(**fields), gpu)
    limit = max(times, key=lambda field: times[field])
    total = sum(stages.values())
    return Made(kind, engines, seconds, size, stages, DAY_S / times[limit], limit, known / total, alike / total)
