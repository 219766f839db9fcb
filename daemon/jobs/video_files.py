"""Lists the files of video formats: the part of the formats that the daemon needs, which imports no stage."""

from __future__ import annotations

#: Ending of every format in stages/encode/formats.py.
VIDEO_ENDINGS = (".mp4", ".webm")


def video_file(ending: str) -> str:
    """Return the file name, in a job's folder, of the video that is delivered with `ending`."""
    return f"video{ending}"
