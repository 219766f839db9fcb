"""Says which lane runs the jobs of an engine: the gpu lane only where the engine needs a GPU.

The daemon imports no stage, so this is a table of its own beside the engines' records.
"""

from __future__ import annotations

from typing import Final

from daemon.jobs.stages import LaneName

#: The lanes of the voice and lip-sync engines that are part of this program.
_LANES: Final[dict[str, LaneName]] = {
    "hibari": "voice",
    "kokoro": "voice",
    "piper": "voice",
    "coqui": "gpu",
    "xtts": "gpu",
    "warp": "voice",
    "musetalk": "gpu",
}


def lane_of_engine(engine: str) -> LaneName:
    """Return the lane of an engine; of an external one, which may use the GPU, that is the gpu lane."""
    return _LANES.get(engine, "gpu")
