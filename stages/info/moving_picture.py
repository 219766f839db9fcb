"""Reads how many frames a picture file has and how long they last: a GIF, PNG or WebP can move. Decodes nothing."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from stages.info.read_media import probe_media
from stages.info.tracks import VideoTrack

#: Most parts of a file that are looked at: each takes a read.
_MOST_PARTS = 100_000


def read_frames(path: Path, form: str, memory_mb: int) -> tuple[int, float]:
    """Return the number of frames and how long they last, s: (1, 0.0) for a picture that stands still.

    Args:
        form: Pillow's name of its format, in small letters.

    Raises:
        MachineError: `ffmpeg-missing`.
    """
    if form == "gif":
        return _read_gif(path, memory_mb)
    if form not in ("png", "webp"):
        return 1, 0.0
    with path.open("rb") as file:
        lengths = list(_png_lengths(file) if form == "png" else _webp_lengths(file))
    return (len(lengths), float(sum(lengths))) if len(lengths) > 1 else (1, 0.0)


def _read_gif(path: Path, memory_mb: int) -> tuple[int, float]:
    media = probe_media(path, memory_mb)
    track = next((one for one in media.tracks if isinstance(one, VideoTrack)), None) if media else None
    if track is None or track.times.count < 2:
        return 1, 0.0
    return track.times.count, float(track.times.duration)


def _png_lengths(file: BinaryIO) -> Iterator[Fraction]:
    """Yield the length of each frame of an animated PNG, s: its parts `fcTL`."""
    file.seek(8)
    for _ in range(_MOST_PARTS):
        if len(head := file.read(8)) < 8:
            return
        size, name = struct.unpack(">I4s", head)
        if name == b"fcTL" and len(part := file.read(26)) == 26:
            above, below = struct.unpack_from(">HH", part, 20)
            yield Fraction(above, below or 100)
            file.seek(-26, 1)
        file.seek(size + 4, 1)  # and the part's checksum


def _webp_lengths(file: BinaryIO) -> Iterator[Fraction]:
    """Yield the length of each frame of an animated WebP, s: its parts `ANMF`."""
    file.seek(12)
    for _ in range(_MOST_PARTS):
        if len(head := file.read(8)) < 8:
            return
        name, size = struct.unpack("<4sI", head)
        if name == b"ANMF" and len(part := file.read(15)) == 15:
            yield Fraction(int.from_bytes(part[12:15], "little"), 1000)
            file.seek(-15, 1)
        file.seek(size + size % 2, 1)
