"""Reads the declared length of a sound file, to tell a truncated file from a short one."""

from __future__ import annotations

import re
import struct
from pathlib import Path

from stages.media.ffmpeg import FfmpegProcess, ffmpeg_path

_DURATION = re.compile(r"Duration: (\d+):(\d\d):(\d\d\.\d+)")
#: From this size on, and with 0, a length is unknown: a program that writes a WAV file to a pipe cannot go back and fill it in.
#: ffmpeg writes 0xFFFFFFFF, sox 0x7FFFF000 or so, arecord 0x80000000. No file of 2 GB is accepted.
_UNKNOWN_SIZE = 0x7FF00000
_HEADER_BYTES = 1 << 16
#: Decoded sound may be shorter than declared by this (s, plus a fraction of the length), because encoders pad and round.
_SLACK_S, _SLACK = 0.5, 0.01


def describe_truncation(path: Path, decoded_s: float) -> str | None:
    """Describe how a sound file is truncated, as a clause for an error message; None if no truncation is detected.

    Args:
        path: the file.
        decoded_s: seconds of sound that could be decoded.

    Raises:
        MachineError: `ffmpeg-missing`.
    """
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    size = path.stat().st_size
    if head.startswith((b"RIFF", b"RF64")):
        return _describe_wav_truncation(head, size)
    if head.startswith(b"OggS"):
        return None if _ogg_is_closed(path, size) else "its last page is missing"
    declared = declared_s(path)
    if declared is None or decoded_s >= declared - _SLACK_S - _SLACK * declared:
        return None
    return f"it declares a length of {declared:.1f} s, but ends after {decoded_s:.1f} s"


def _describe_wav_truncation(head: bytes, size: int) -> str | None:
    at = 12
    while at + 8 <= len(head):
        name, length = head[at : at + 4], struct.unpack_from("<I", head, at + 4)[0]
        if name == b"data":
            missing = at + 8 + length - size
            if head.startswith(b"RF64") or length == 0 or length >= _UNKNOWN_SIZE or missing <= 1:  # 1: a pad byte
                return None
            return f"{missing:,} of its {length:,} bytes of sound are missing"
        at += 8 + length + length % 2
    return None


def _ogg_is_closed(path: Path, size: int) -> bool:
    """Return whether the last page of an Ogg file is marked as the end of its stream (RFC 3533)."""
    with path.open("rb") as file:
        file.seek(max(0, size - 2 * _HEADER_BYTES))  # no page is longer than 65,307 bytes
        tail = file.read()
    at = tail.rfind(b"OggS")
    return at < 0 or at + 5 >= len(tail) or bool(tail[at + 5] & 0x04)


def declared_s(path: Path) -> float | None:
    """Return the container's length in s; None if it is only estimated from the size, or may be that of a video track.

    Raises:
        MachineError: `ffmpeg-missing`.
    """
    command = [ffmpeg_path(), "-hide_banner", "-nostdin", "-protocol_whitelist", "file", "-i", f"file:{path.name}"]
    with FfmpegProcess(command, path.parent) as ffmpeg:
        ffmpeg.finish()
    log = ffmpeg.log
    if "Estimating duration from bitrate" in log or ("Video:" in log and "(attached pic)" not in log):
        return None
    found = _DURATION.search(log)
    return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3]) if found else None
