"""Reads the packets of a WebM file through ffmpeg, without decoding, to verify that a video is complete."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from stages.encode.formats.mp4_probe import Movie, Stream
from stages.media.ffmpeg import FfmpegProcess, ffmpeg_path


def probe_webm(path: Path) -> Movie:
    """Read the tracks of a WebM file.

    Raises:
        ValueError: it cannot be read to its end.
    """
    return _probe(path, transparent=False)


def probe_webm_with_alpha(path: Path) -> Movie:
    """Read the tracks of a WebM file, like `probe_webm`.

    Raises:
        ValueError: it cannot be read to its end, or a frame has no alpha.
    """
    return _probe(path, transparent=True)


def _probe(path: Path, transparent: bool) -> Movie:
    streams = []
    for kind, codec, chosen in (("video", "vp09", "v:0"), ("audio", "Opus", "a:0")):
        scale, size, packets = _packets(path, chosen)
        if not packets:
            raise ValueError(f"no {kind}")
        if transparent and kind == "video" and not all(alpha for _, _, alpha in packets):
            raise ValueError("frames without alpha")
        end = max(time + length for time, length, _ in packets)
        steps = tuple(sorted({length * scale for _, length, _ in packets}))
        streams.append(Stream(kind, codec, end * scale, len(packets), *size, steps))
    return Movie(tuple(streams), ("webm",))


def _packets(path: Path, chosen: str) -> tuple[Fraction, tuple[int, int], list[tuple[int, int, bool]]]:
    """Length of a tick in s; picture size; and of each packet: time and length in ticks, and whether it has side data (alpha)."""
    command = [
        ffmpeg_path(), "-hide_banner", "-nostdin", "-v", "error", "-protocol_whitelist", "file,pipe", "-f", "matroska",
        "-i", f"file:{path.absolute()}", "-map", f"0:{chosen}", "-c", "copy", "-f", "framecrc", "pipe:1",
    ]  # fmt: skip
    scale, size = Fraction(1), (0, 0)
    packets: list[tuple[int, int, bool]] = []
    with FfmpegProcess(command, path.parent, read=True) as process:
        for raw in process.stdout:
            line = raw.decode("ascii", "replace").strip()
            if line.startswith("#tb"):
                scale = Fraction(line.split(":", 1)[1].strip())
            elif line.startswith("#dimensions"):
                width, height = line.rsplit(" ", 1)[1].split("x")
                size = int(width), int(height)
            elif not line.startswith("#"):
                fields = [field.strip() for field in line.split(",")]
                packets.append((int(fields[2]), int(fields[3]), any(field.startswith("S=") for field in fields)))
        status = process.finish()
        if status != 0 or process.log:
            raise ValueError(process.log or f"ffmpeg ended with {status}")
    return scale, size, packets
