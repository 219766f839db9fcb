"""Defines every stage, one table row each, in the order in which a job passes them.

The code of a stage is the package (or module) of its name in `stages`, whose `run(ctx)` does the work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

#: The name of a stage; one of `STAGES`.
Stage: TypeAlias = str
LaneName = Literal["gpu", "voice", "cpu"]
#: When the cpu lane runs a stage: "first": before all others; "feeds": to keep the gpu lane busy; "long": while at least one of
#: several workers stays free for other stages.
Turn = Literal["first", "feeds", "long"]
#: What the time limit of a stage depends on, beside `lanes.timeout.base_s`: nothing (the stage asks for more time itself), the
#: length of the speech (or the size of a sound file), the pixels of the video, or the size of the results.
Follows = Literal["nothing", "speech", "video", "results"]


@dataclass(frozen=True)
class StageRow:
    """One stage.

    Attributes:
        name: of its package in `stages`, its folder in the spool, and its label in metrics.
        lanes: the lanes that can run it. Where they are several, the job's engine decides (`daemon.config.engines`); the first
            one finds out which engine that is.
        start_s, per_speech_s, per_megapixel_s: first guess of its run time in s on a 2-core machine: fixed, for each second of
            speech (of a conversion: of its video), and for each megapixel of its frames.
        follows: what its time limit depends on.
        turn: when the cpu lane runs it; ignored in the gpu lane.
        uses: manifest keys that change what it makes. People are warned of a key that no stage of their job uses.
    """

    name: Stage
    lanes: tuple[LaneName, ...]
    start_s: float
    per_speech_s: float
    follows: Follows
    turn: Turn = "first"
    uses: tuple[str, ...] = ()
    per_megapixel_s: float = 0.0


#: The last stage of every kind of job. A job in this stage cannot be cancelled.
DELIVER: Final[Stage] = "deliver"

#: Keys that say how a voice speaks a text.
VOICE_KEYS = ("voice", "speed", "duration", "lexicon")
#: Keys that say how a portrait is generated from a prompt.
PROMPT_KEYS = ("prompt", "negative", "seed", "enhance_prompt")

#: The first stage of most kinds: it refuses within seconds what could not be made when its turn came.
CHECK: Final[Stage] = "check"

TABLE: Final[tuple[StageRow, ...]] = (
    StageRow(CHECK, ("cpu",), 0.05, 0.0, "nothing", "first"),
    StageRow("generate", ("voice", "gpu"), 60.0, 0.0, "nothing", uses=(*PROMPT_KEYS, "size", "aspect")),
    StageRow("face", ("cpu",), 1.0, 0.0, "nothing", "feeds", uses=("image", "face", "size", "aspect", "fit")),
    StageRow("tts", ("voice", "gpu"), 1.0, 0.05, "speech", uses=("text", "audio", "language", *VOICE_KEYS)),
    StageRow("lipsync", ("voice", "gpu"), 0.5, 0.05, "speech", uses=("motion", "expressions", "fps")),
    StageRow(
        "encode", ("cpu",), 1.0, 0.08, "video", "long",
        uses=("quality", "format", "codec", "fps", "background", "captions", "title", "avatar"),
        per_megapixel_s=0.014,
    ),
    StageRow("info", ("cpu",), 2.0, 0.0, "nothing", uses=("video", "audio", "image")),
    StageRow(
        "transcode", ("cpu",), 1.0, 0.01, "nothing", "long",
        per_megapixel_s=0.01,
        uses=(
            "video", "audio", "sync_mode", "quality", "format", "codec", "fps", "crop", "size", "aspect", "fit", "subtitles",
            "captions", "language", "title",
        ),
    ),
    StageRow(DELIVER, ("cpu",), 0.1, 0.01, "results", "first"),
)  # fmt: skip

BY_NAME: Final[dict[Stage, StageRow]] = {row.name: row for row in TABLE}
STAGES: Final[tuple[Stage, ...]] = tuple(BY_NAME)


def long_at_once(slots: int) -> int:
    """Return how many of the slots of a lane run long stages at once: all but one, which stays free for short ones."""
    return max(1, slots - 1)


def stages_of_lane(lane: LaneName) -> tuple[Stage, ...]:
    """Return the stages that a lane can run."""
    return tuple(row.name for row in TABLE if lane in row.lanes)
