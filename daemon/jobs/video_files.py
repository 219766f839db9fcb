"""The files that a video can be: the part of the output formats that the daemon must know, which imports no stage."""

from __future__ import annotations

#: Ending of every format in stages/encode/formats.py.
VIDEO_ENDINGS = (".mp4", ".webm")


def video_file(ending: str) -> str:
    """Name in a job's folder of the video that is delivered with `ending`."""
    return f"video{ending}"
