"""Computes how many results of which kind this machine makes in a day, from what the daemon has learned of its stages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any, Final

from daemon.jobs.kinds import KINDS
from daemon.jobs.stages import LaneName, Stage
from daemon.outbox.backlog import LaneWork, field_of
from daemon.outbox.estimator import Work
from daemon.outbox.learned_times import Conditions, LearnedTimes

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
        measured: part of the run times that was measured here, at about this size, 0 to 1; `alike`: that was measured here, at
            another size. The rest are first guesses.
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


def capacity(
    learned: LearnedTimes, slots: Mapping[LaneName, int], lengths: Sequence[float], sizes: Sequence[tuple[int, int]]
) -> Iterator[Made]:
    """Yield what a day makes of videos, for each pair of engines that has made one here, or for those that are not known.

    Args:
        lengths: of the speech, s; `sizes`: of the video, px.
    """
    pairs = product(*([engines_of(learned, stage) for stage in ("tts", "lipsync")]))
    for (voice, mouth), seconds, size in product(list(pairs), lengths, sizes):
        engines = {stage: engine for stage, engine in (("tts", voice), ("lipsync", mouth)) if engine}
        yield made("video", engines, seconds, size, learned, slots)


def slots_here(state: Mapping[str, Any], cpus: int) -> dict[LaneName, int]:
    """Return the slots of each lane. `state`: what `read_state` returned, which has a record for each GPU; `cpus`: as set."""
    return {"gpu": max(1, len(state.get("slots") or ())), "voice": 1, "cpu": cpus}


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
    slots: Mapping[LaneName, int],
) -> Made:
    """Return what a day makes of one kind."""
    work = Work.of_video(seconds, size, RATE)
    stages: dict[Stage, float] = {}
    fields = dict.fromkeys(LaneWork._fields, 0.0)
    known, alike = 0.0, 0.0
    for stage in KINDS[kind].stages_of(lambda key: False):
        guess_s = work.first_guess_s(stage)
        engine, device = learned.usual(stage, engines.get(stage, ""))
        where = Conditions.of(stage, guess_s, engine, device)
        found = learned.expect(where)
        stages[stage] = guess_s * found.factor
        fields[field_of(stage, engine)] += stages[stage]
        if found.jobs and learned.is_known(where):
            known += stages[stage]
        elif found.jobs:
            alike += stages[stage]
    times = LaneWork(**fields).time_in(slots)._asdict()
    limit = max(times, key=lambda field: times[field])
    total = sum(stages.values())
    return Made(kind, engines, seconds, size, stages, DAY_S / times[limit], limit, known / total, alike / total)
