"""Lists the formats of videos and their files: the part of the formats that the daemon needs, which imports no stage."""

from __future__ import annotations

from typing import Literal, get_args

#: Values of `format` in a manifest; each is also the ending of its files. stages/encode/formats/ encodes them.
VideoFormat = Literal["mp4", "webm", "mov"]
#: Values of `codec` in a manifest.
Mp4Codec = Literal["h264", "hevc"]
VIDEO_ENDINGS = tuple(f".{name}" for name in get_args(VideoFormat))


def video_file(ending: str) -> str:
    """Return the file name, in a job's folder, of the video that is delivered with `ending`."""
    return f"video{ending}"


def choose_video_format(wanted: VideoFormat | None, codec: Mp4Codec | None, transparent: bool) -> VideoFormat:
    """Return the format of a video: the wanted one, or else MP4, or WebM for a transparent background.

    Raises:
        ValueError: the three do not go together; the message is for users.
    """
    chosen = wanted or ("webm" if transparent else "mp4")
    if transparent and chosen == "mp4":
        raise ValueError("`background: transparent` needs `format: webm` or `format: mov`: an MP4 has no alpha channel")
    if codec and chosen != "mp4":
        why = "" if wanted else ", which `background: transparent` makes"
        raise ValueError(
            f"`codec` is given, but only an MP4 has a choice of codecs: remove it; a {chosen}{why} has one"
        )
    return chosen
