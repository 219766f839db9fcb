"""Refuses a conversion for which disk or memory has no room, before ffmpeg has filled it for every other job."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from daemon.errors import MachineError
from daemon.system.memory import available_mb
from stages.encode.formats.encoders import PRORES
from stages.info.tracks import VideoTrack
from stages.transcode.plan import Plan

#: Bits for a pixel of a frame that a result has at least. ProRes takes 6 for a talking head, and much even for a still picture;
#: H.264, HEVC and VP9 take 0.06 to 0.13, but next to nothing for slides.
_PRORES_BITS: Final = 2.0
_OTHER_BITS: Final = 0.005
#: Part of a source that is copied which its result has at least: other tracks and the old sound do not come along.
_COPIED: Final = 0.5

#: Frames of the source and of the result that ffmpeg holds at least, for decoder, filters and encoder, and bytes of a pixel.
_FRAMES_HELD: Final = 4
_PIXEL_BYTES: Final = 1.5


def least_bytes(plan: Plan, source: Path) -> int:
    """Return how many bytes a result has at least.

    Args:
        source: the video file.
    """
    if plan.copy_picture:
        return int(source.stat().st_size * _COPIED)
    bits = _PRORES_BITS if plan.form.encoder is PRORES else _OTHER_BITS
    return int(plan.frames * plan.shape.width * plan.shape.height * bits / 8)


def least_memory_mb(plan: Plan, track: VideoTrack) -> float:
    """Return how much memory ffmpeg takes at least for the frames that it holds, in MB. `track`: the picture of the source."""
    if plan.copy_picture:
        return 0.0
    pixels = track.width * track.height + plan.shape.width * plan.shape.height
    return _FRAMES_HELD * pixels * _PIXEL_BYTES / 1e6


def check_room(plan: Plan, source: Path, track: VideoTrack, folder: Path) -> None:
    """See that memory, and the disk of a job's folder, have room for the least that a conversion takes.

    Args:
        source: the video file, whose picture is `track`.

    Raises:
        MachineError: `disk-full`, `out-of-memory`.
    """
    if (memory := least_memory_mb(plan, track)) > (left := available_mb()):
        raise MachineError(
            "out-of-memory",
            f"The frames of the conversion need at least {memory:,.0f} MB of memory; only {left:,.0f} MB are left.",
            "End other programs, or ask for a smaller `size`.",
        )
    if (need := least_bytes(plan, source)) > (free := shutil.disk_usage(folder).free):
        what = f"at least {need / 1e6:,.0f} MB; only {free / 1e6:,.0f} MB are free"
        raise MachineError("disk-full", f"The converted video needs {what}.", "Free some space.")
