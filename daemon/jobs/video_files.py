"""Lists the formats of videos and sounds, and their files: what the daemon needs of them, which imports no stage."""

from __future__ import annotations

import struct
from typing import Final, Literal, cast, get_args

#: Values of `format` in a manifest; each is also the ending of its files. stages/encode/formats/ encodes them.
VideoFormat = Literal["mp4", "webm", "mov"]
#: Values of `codec` in a manifest.
Mp4Codec = Literal["h264", "hevc"]
VIDEO_ENDINGS = tuple(f".{name}" for name in get_args(VideoFormat))
#: Values of `format` of a job that makes sound only; stages/tts/sound_file.py writes them.
SoundFormat = Literal["wav", "mp3", "opus", "flac"]
SOUND_ENDINGS = tuple(f".{name}" for name in get_args(SoundFormat))


def video_file(ending: str) -> str:
    """Return the file name, in a job's folder, of the video that is delivered with `ending`."""
    return f"video{ending}"


def sound_file(ending: str) -> str:
    """Return the file name, in a job's folder, of the sound that is delivered with `ending`."""
    return f"speech{ending}"


#: A speech in the outbox while it is spoken: mark and rate in Hz, then the bytes of each part and its samples (16 bits, mono, all
#: little-endian); a part of no bytes is the end.
LIVE_HEADER: Final = struct.Struct("<4sI")
LIVE_FRAME: Final = struct.Struct("<I")
LIVE_MARK: Final = b"AVS1"


def live_speech_file(job_id: str) -> str:
    """Return the name, in the outbox, of the file in which a speech can be heard while it is spoken."""
    return f".{job_id}.speech.tmp"


def choose_sound_format(wanted: VideoFormat | SoundFormat | None) -> SoundFormat:
    """Return the format of a sound: the wanted one, or else WAV.

    Raises:
        ValueError: the wanted one is a format of videos; the message is for users.
    """
    if wanted in get_args(VideoFormat):
        raise ValueError(f"`format: {wanted}` is a video, but this job makes only sound: use wav, mp3, opus or flac")
    return cast("SoundFormat", wanted or "wav")


def choose_video_format(
    wanted: VideoFormat | SoundFormat | None, codec: Mp4Codec | None, transparent: bool
) -> VideoFormat:
    """Return the format of a video: the wanted one, or else MP4, or WebM for a transparent background.

    Raises:
        ValueError: the three do not go together; the message is for users.
    """
    if wanted in get_args(SoundFormat):
        raise ValueError(
            f"`format: {wanted}` is a sound, but this job makes a video: use mp4, webm or mov; for sound only, "
            "`kind: speech`"
        )
    chosen = cast("VideoFormat", wanted or ("webm" if transparent else "mp4"))
    if transparent and chosen == "mp4":
        raise ValueError("`background: transparent` needs `format: webm` or `format: mov`: an MP4 has no alpha channel")
    if codec and chosen != "mp4":
        why = "" if wanted else ", which `background: transparent` makes"
        raise ValueError(
            f"`codec` is given, but only an MP4 has a choice of codecs, and this video is a {chosen}{why}: remove `codec`"
        )
    return chosen
