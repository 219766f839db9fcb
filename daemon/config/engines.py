"""Lists the engines that are part of this program, with the lane that runs their jobs: "gpu" only for those that need one.

The daemon imports no stage, so these tables stand beside the engines' records. Each name is that of a package or module in
`stages.tts.engines` or `stages.lipsync.engines`.
"""

from __future__ import annotations

from typing import Final, Literal

#: The lanes in which engines run.
EngineLane = Literal["voice", "gpu"]
#: The voice engines. Of two voices of the same name the first engine's is taken.
TTS_ENGINES: Final[dict[str, EngineLane]] = {
    "hibari": "voice",
    "kokoro": "voice",
    "piper": "voice",
    "coqui": "gpu",
    "xtts": "gpu",
}
#: The lip-sync engines.
LIPSYNC_ENGINES: Final[dict[str, EngineLane]] = {"warp": "voice", "musetalk": "gpu"}


def lane_of_engine(engine: str) -> EngineLane:
    """Return the lane of an engine; of an external one, which may use the GPU, that is the gpu lane."""
    return {**TTS_ENGINES, **LIPSYNC_ENGINES}.get(engine, "gpu")
