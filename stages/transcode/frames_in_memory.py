"""Limits how many frames ffmpeg holds at once, by their size: threads and look-ahead each hold some, and 5K frames have 22 MB."""

from __future__ import annotations

import os
from math import ceil

from stages.encode.formats.encoders import X264, VideoEncoder

#: So many pixels may be in the frames on which threads work, and in those that x264 looks ahead: 4K with 3 threads, 14 frames.
_WORKED_ON, _LOOKED_AHEAD = 32_000_000, 120_000_000
#: Threads that decoders and encoders choose themselves, for each processor.
_CHOSEN_THREADS = 1.5
#: Frames that x264 looks ahead by itself, by preset; others look ahead further.
_X264_FRAMES = {"ultrafast": 0, "superfast": 0, "veryfast": 10, "faster": 20, "fast": 30, "medium": 40}
_X264_MOST = 50


def threads_for(width: int, height: int, given: int = 0) -> int:
    """Return how many threads may work on frames of a size, px; 0: as many as decoder or encoder choose.

    Args:
        given: what the settings say; 0: nothing.
    """
    most = max(1, _WORKED_ON // max(1, width * height))
    usual = given or ceil(len(os.sched_getaffinity(0)) * _CHOSEN_THREADS)
    return given if usual <= most else most


def look_ahead_options(encoder: VideoEncoder, preset: str, width: int, height: int) -> list[str]:
    """Return the options with which an encoder looks less far ahead; none where it does so by itself."""
    most = _LOOKED_AHEAD // max(1, width * height)
    if encoder is not X264 or _X264_FRAMES.get(preset, _X264_MOST) <= most:
        return []
    return ["-rc-lookahead", str(most)]
