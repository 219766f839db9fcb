"""Reads the boxes of an MP4 or MOV file, to verify that a video is complete."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

#: Maximum size of the index (moov box); an hour at 60 frames per second has about 4 MB.
_MAX_MOOV = 256 << 20
_DEPTH_WITH_ALPHA = 32


@dataclass(frozen=True)
class Stream:
    """One track of a video file.

    Attributes:
        kind: "video" or "audio" (or the four letters of another handler).
        codec: four letters of the sample entry, such as avc1 or mp4a.
        duration: presented duration in s (edit list applied), exact.
        samples: number of frames of a video track, or of packets of an audio track.
        width, height: px; 0 for sound.
        steps: distinct durations of a sample, in s; one value for a constant frame rate.
        depth: bits of a pixel as an MP4 or MOV states them: 32 with an alpha channel, else 24; 0 for sound.
        mirrored: whether players mirror the frames.
    """

    kind: str
    codec: str
    duration: Fraction
    samples: int
    width: int
    height: int
    steps: tuple[Fraction, ...]
    depth: int = 0
    mirrored: bool = False


@dataclass(frozen=True)
class Movie:
    """A video file: its tracks, and the order of its outer boxes ("moov" before "mdat" plays without seeking)."""

    streams: tuple[Stream, ...]
    order: tuple[str, ...]

    def stream(self, kind: str) -> Stream | None:
        """Return the first track of a kind, or None."""
        return next((stream for stream in self.streams if stream.kind == kind), None)


@dataclass
class _Track:
    kind: str = ""
    codec: str = ""
    scale: int = 1
    media: int = 0
    shown: int = 0
    samples: int = 0
    size: tuple[int, int] = (0, 0)
    depth: int = 0
    mirrored: bool = False
    steps: list[int] = field(default_factory=list)

    def stream(self, movie_scale: int) -> Stream:
        duration = Fraction(self.shown, movie_scale) if self.shown else Fraction(self.media, self.scale)
        steps = tuple(Fraction(step, self.scale) for step in self.steps)
        return Stream(self.kind, self.codec, duration, self.samples, *self.size, steps, self.depth, self.mirrored)


def probe_mp4(path: Path) -> Movie:
    """Read the tracks of an MP4 or MOV file.

    Raises:
        ValueError: it is not a complete MP4 or MOV file.
    """
    order: list[str] = []
    moov = b""
    with path.open("rb") as file:
        for name, size in _outer(file, path.stat().st_size):
            order.append(name)
            if name == "moov":
                if size > _MAX_MOOV:
                    raise ValueError(f"the index has {size} bytes")
                moov = file.read(size)
    if not moov:
        raise ValueError("the file has no index (moov box)")
    try:
        return Movie(tuple(_streams(moov)), tuple(order))
    except (struct.error, IndexError) as exc:
        raise ValueError(f"the index is damaged: {exc}") from exc


def probe_mov_with_alpha(path: Path) -> Movie:
    """Read the tracks of a MOV file, like `probe_mp4`.

    Raises:
        ValueError: it is not complete, or its picture has no alpha.
    """
    movie = probe_mp4(path)
    if any(stream.kind == "video" and stream.depth != _DEPTH_WITH_ALPHA for stream in movie.streams):
        raise ValueError("frames without alpha")
    return movie


def _outer(file: BinaryIO, end: int) -> Iterator[tuple[str, int]]:
    """Yield the outer boxes as (name, bytes of content), with the file positioned at the content."""
    at = 0
    while at < end:
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            raise ValueError("the file ends inside a box")
        size, start = int.from_bytes(head[:4]), 8
        if size == 1:
            size, start = int.from_bytes(head[8:16]), 16
        elif size == 0:
            size = end - at
        if size < start or at + size > end:
            raise ValueError("the file ends inside a box")
        file.seek(at + start)
        yield head[4:8].decode("latin-1"), size - start
        at += size


def _boxes(data: bytes) -> Iterator[tuple[str, bytes]]:
    at = 0
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        start = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
            start = 16
        size = size or len(data) - at
        if size < start:
            raise IndexError("a box without content")
        yield name.decode("latin-1"), data[at + start : at + size]
        at += size


def _streams(moov: bytes) -> list[Stream]:
    scale, tracks = 1, []
    for name, body in _boxes(moov):
        if name == "mvhd":
            scale = _times(body)[0]
        elif name == "trak":
            track = _Track()
            _read_track(body, track)
            tracks.append(track)
    return [track.stream(scale) for track in tracks]


def _read_track(data: bytes, track: _Track) -> None:
    for name, body in _boxes(data):
        if name in ("mdia", "minf", "stbl", "edts"):
            _read_track(body, track)
        elif name == "tkhd":
            a, b, _, c, d = struct.unpack_from(
                ">5i", body, 52 if body[0] else 40
            )  # of the matrix that places the frames
            track.mirrored = a * d < b * c
        elif name == "mdhd":
            track.scale, track.media = _times(body)
        elif name == "hdlr" and not track.kind:
            handler = body[8:12].decode("latin-1")
            track.kind = {"vide": "video", "soun": "audio"}.get(handler, handler)
        elif name == "stsd":
            track.codec = body[12:16].decode("latin-1")
            if track.kind == "video":
                track.size = struct.unpack_from(">HH", body, 40)
                (track.depth,) = struct.unpack_from(">H", body, 90)
        elif name == "stts":
            _read_steps(body, track)
        elif name == "elst":
            track.shown = sum(length for length, start in _edits(body) if start >= 0)


def _times(body: bytes) -> tuple[int, int]:
    """(time scale, duration) of an mvhd or mdhd box."""
    scale, duration = struct.unpack_from(">IQ", body, 20) if body[0] else struct.unpack_from(">II", body, 12)
    return int(scale), int(duration)


def _read_steps(body: bytes, track: _Track) -> None:
    (count,) = struct.unpack_from(">I", body, 4)
    pairs = [struct.unpack_from(">II", body, 8 + 8 * number) for number in range(count)]
    track.samples = sum(samples for samples, _ in pairs)
    track.steps = sorted({step for _, step in pairs})


def _edits(body: bytes) -> Iterator[tuple[int, int]]:
    """Yield (length in movie time, start in media time) of each edit; a start of -1 marks an empty edit."""
    (count,) = struct.unpack_from(">I", body, 4)
    form, size = (">Qq", 20) if body[0] else (">Ii", 12)
    for number in range(count):
        length, start = struct.unpack_from(form, body, 8 + size * number)
        yield length, start
