"""Every stage, in the order in which a job goes through them: a row each, and nothing of a stage is told anywhere else.

A stage's room is the package (or module) of its name in `stages`, whose `run(ctx)` does the work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

#: The name of a stage; one of `STAGES`.
Stage: TypeAlias = str
LaneName = Literal["gpu", "cpu"]
#: How the cpu lane takes a stage: "first", before all others; "feeds", to keep the gpu lane busy; "long", while at least one
#: process stays free for the others.
Turn = Literal["first", "feeds", "long"]
#: What the time that a stage may take follows, beside `lanes.timeout.base_s`: nothing (what it needs more, it asks for itself),
#: the length of the speech (or the size of a sound file that is brought), the pixels of the video, or the size of the results.
Follows = Literal["nothing", "speech", "video", "results"]


@dataclass(frozen=True)
class StageRow:
    """One stage.

    Attributes:
        name: of its package in `stages`, its folder in the spool, and its label in metrics.
        lane: that runs it. The gpu lane runs one job at a time, and stays with a stage whose model is loaded.
        start_s, per_speech_s: a first guess of its time on a 2-core machine: at its start, and for each second of speech.
        follows: what the time that it may take follows.
        turn: how the cpu lane takes it; of no meaning in the gpu lane.
    """

    name: Stage
    lane: LaneName
    start_s: float
    per_speech_s: float
    follows: Follows
    turn: Turn = "first"


#: The last stage of every kind of job. Once it runs, the job cannot be cancelled.
DELIVER: Final[Stage] = "deliver"

TABLE: Final[tuple[StageRow, ...]] = (
    StageRow("face", "cpu", 1.0, 0.0, "nothing", "feeds"),
    StageRow("tts", "gpu", 1.0, 0.05, "speech"),
    StageRow("lipsync", "gpu", 0.5, 0.05, "speech"),
    StageRow("encode", "cpu", 1.0, 0.7, "video", "long"),
    StageRow(DELIVER, "cpu", 0.1, 0.01, "results", "first"),
)

BY_NAME: Final[dict[Stage, StageRow]] = {row.name: row for row in TABLE}
STAGES: Final[tuple[Stage, ...]] = tuple(BY_NAME)


def stages_of_lane(lane: LaneName) -> tuple[Stage, ...]:
    """The stages that a lane runs."""
    return tuple(row.name for row in TABLE if row.lane == lane)
