"""The options with which ffmpeg opens a file that somebody dropped: it reads this one file, and nothing else."""

from __future__ import annotations

#: Formats that contain their sound. Playlists (hls, concat, ffmetadata, …) are excluded because they open other files.
SOUND_FORMATS = (
    "aac,ac3,eac3,aiff,amr,ape,asf,au,caf,flac,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,ogg,tta,w64,wav,wv"
)
#: The same with those that contain only pictures, or both.
MEDIA_FORMATS = f"{SOUND_FORMATS},avi,dv,flv,gif,ivf,mxf,rm"


def input_options(name: str, formats: str) -> list[str]:
    """Return the options that open the file `name` if it has one of these formats (ffmpeg's names of demuxers)."""
    # `file:` keeps a name from being read as an option or a protocol.
    return ["-protocol_whitelist", "file,pipe", "-format_whitelist", formats, "-i", f"file:{name}"]
