"""Reads what is in a media file that somebody dropped: its listing, the times of its packets, tags and chapters."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from daemon.errors import JobError
from daemon.jobs.manifest_values import FRAME_RATES
from stages.context import Context
from stages.encode.formats.mp4_probe import probe_mp4
from stages.info.listing import read_listing
from stages.info.tracks import MediaFile, PacketTimes, VideoTrack
from stages.media.beginnings import is_mp4, what_else
from stages.media.ffmpeg import FfmpegProcess, ffmpeg_path
from stages.media.untrusted_input import MEDIA_FORMATS, input_options

#: Most lines of ffmpeg's listing that are read: a file with more has hundreds of tracks or tags.
_LISTING_LINES = 2000
#: Packets whose times are put into order: no codec shows a frame later than so many after it was read.
_REORDERED = 33
#: A track may end so much before the header says, s, and as a part of the length: encoders pad and round.
_SLACK_S, _SLACK = 0.5, 0.01
#: Two frame rates are the same if they differ by less than this part.
_SAME_RATE = Fraction(1, 2000)
#: Most tags and chapters that are kept, and most characters of one.
_MOST_TAGS, _MOST_CHAPTERS, _MOST_CHARS = 200, 1000, 1000


@dataclass
class _Order:
    """Puts the times of one track into order, and sums them up."""

    times: PacketTimes
    waiting: list[int] = field(default_factory=list)
    last: int | None = None
    first: int | None = None
    end: int = 0
    steps: tuple[int, int] | None = None

    def add(self, shown: int, length: int) -> None:
        self.times.count += 1
        self.first = shown if self.first is None else min(self.first, shown)
        self.end = max(self.end, shown + length)
        heapq.heappush(self.waiting, shown)
        if len(self.waiting) > _REORDERED:
            self._step(heapq.heappop(self.waiting))

    def finish(self) -> None:
        while self.waiting:
            self._step(heapq.heappop(self.waiting))
        tick = self.times.tick
        low, high = self.steps or (0, 0)
        self.times.start, self.times.end = (self.first or 0) * tick, self.end * tick
        self.times.steps = low * tick, high * tick

    def _step(self, shown: int) -> None:
        if self.last is not None:
            step = shown - self.last
            self.steps = (step, step) if self.steps is None else (min(self.steps[0], step), max(self.steps[1], step))
        self.last = shown


def read_media(ctx: Context, key: str) -> MediaFile:
    """Read a source file of a job, without decoding it.

    Args:
        key: "video" or "audio": the manifest's key that names it, for the codes of errors.

    Raises:
        JobError: `video-empty`, `video-unreadable`, `video-truncated`; the same for `audio`.
        MachineError: `ffmpeg-missing`.
    """
    path = ctx.source(key)
    if path.stat().st_size == 0:
        raise JobError(f"{key}-empty", f"The file named in `{key}` is empty (0 bytes).", "Copy it again.")
    media = probe_media(path, ctx.settings.stages.transcode.memory_mb)
    if media is None:
        raise _unreadable(path, key, is_any_file="info" in ctx.manifest.stages)
    return media


def probe_media(path: Path, memory_mb: int) -> MediaFile | None:
    """Read a media file, without decoding it; None if ffmpeg cannot open it."""
    opened = [
        ffmpeg_path(), "-hide_banner", "-nostdin", "-nostats", "-v", "info", "-max_alloc", str(memory_mb << 20),
        *input_options(path.name, MEDIA_FORMATS),
    ]  # fmt: skip
    command = [*opened, "-map", "0:v?", "-map", "0:a?", "-map", "0:s?", "-c", "copy", "-f", "framecrc", "pipe:1"]
    with FfmpegProcess(command, path.parent, read=True, keep=_LISTING_LINES) as process:
        found = _read_packets(process.stdout)
        process.finish()
    media = read_listing(process.log)
    if media is None or not media.tracks:
        return None
    mapped = [track for kind in ("video", "audio", "subtitle") for track in media.tracks if track.kind == kind]
    for number, track in enumerate(mapped):
        track.times = found.get(number, track.times)
        if isinstance(track, VideoTrack):
            _set_rate(track)
    media.tags, media.chapters = _tags_and_chapters(opened, path)
    _look_at_container(media, path)
    _look_for_end(media, process.log)
    return media


def _read_packets(lines: Iterable[bytes]) -> dict[int, PacketTimes]:
    """Sum up the output of ffmpeg's muxer `framecrc`, by number of the track."""
    orders: dict[int, _Order] = {}
    for raw in lines:
        line = raw.decode("ascii", "replace")
        if line.startswith("#tb "):
            number, _, tick = line[4:].partition(":")
            orders[int(number)] = _Order(PacketTimes(tick=Fraction(tick.strip())))
        elif not line.startswith("#"):
            fields = line.split(",")
            try:
                orders[int(fields[0])].add(int(fields[2]), int(fields[3]))
            except (ValueError, IndexError, KeyError):  # a packet without a time
                continue
    for order in orders.values():
        order.finish()
    return {number: order.times for number, order in orders.items()}


def _set_rate(track: VideoTrack) -> None:
    times = track.times
    track.constant = times.steady
    if times.count < 2 or not times.steps[1]:
        return
    exact = times.steps[0] == times.steps[1]
    mean = 1 / times.steps[0] if exact else (times.count - 1) / (times.duration - times.steps[0] or Fraction(1))
    track.rate = nearest_usual_rate(mean) or mean.limit_denominator(1001)


def nearest_usual_rate(rate: Fraction) -> Fraction | None:
    """Return the usual frame rate that is the same but for rounding; None if there is none."""
    return next((usual for usual in FRAME_RATES.values() if abs(usual - rate) < _SAME_RATE * usual), None)


def _look_at_container(media: MediaFile, path: Path) -> None:
    """Look at the boxes of an MP4 or MOV: whether tracks are encrypted, and whether the last one is whole."""
    if "mp4" not in media.formats:
        return
    try:
        movie = probe_mp4(path)
    except ValueError as exc:
        media.faults.append(f"It is damaged, or was not copied to its end: {exc}.")
        return
    media.encrypted = any(stream.codec in ("encv", "enca") for stream in movie.streams)
    pictures = [track for track in media.tracks if isinstance(track, VideoTrack) and not track.cover]
    for track, stream in zip(pictures, (one for one in movie.streams if one.kind == "video"), strict=False):
        if stream.mirrored:
            # ffmpeg's listing tells only where the upper edge points, which mirroring turns round.
            track.mirrored, track.rotation = True, (track.rotation + 180) % 360


def _look_for_end(media: MediaFile, log: str) -> None:
    """Look for a track that ends early."""
    # A track may begin late: its end counts, not how long it is.
    declared, found = media.declared_s, float(max((one.times.end for one in (*media.videos, *media.audios)), default=0))
    guessed = "Estimating duration from bitrate" in log
    if media.faults or declared is None or guessed or not (media.videos or media.audios):
        return
    if found < declared - _SLACK_S - _SLACK * declared:
        media.faults.append(f"It declares a length of {declared:.1f} s, but ends after {found:.1f} s.")


def _tags_and_chapters(opened: Sequence[str], path: Path) -> tuple[dict[str, str], list[tuple[float, float, str]]]:
    command = [*opened, "-map_metadata", "0", "-map_chapters", "0", "-f", "ffmetadata", "pipe:1"]
    with FfmpegProcess(command, path.parent, read=True) as process:
        text = process.stdout.read(1 << 20).decode("utf-8", "replace")
        while process.stdout.read(1 << 20):
            pass
        process.finish()
    tags: dict[str, str] = {}
    chapters: list[dict[str, str]] = []
    section = tags
    for line in _logical_lines(text):
        if line.startswith("["):
            section = {}
            if line == "[CHAPTER]" and len(chapters) < _MOST_CHAPTERS:
                chapters.append(section)
        elif "=" in line and not line.startswith(";") and len(section) < _MOST_TAGS:
            key, _, value = _split_tag(line)
            section[key[:_MOST_CHARS]] = value[:_MOST_CHARS]
    return tags, [_chapter(chapter) for chapter in chapters]


def _chapter(chapter: dict[str, str]) -> tuple[float, float, str]:
    tick = Fraction(chapter.get("TIMEBASE", "1/1000000000"))
    start, end = (round(float(int(chapter.get(key, "0")) * tick), 3) for key in ("START", "END"))
    return start, end, chapter.get("title", "")


def _logical_lines(text: str) -> Iterable[str]:
    """Yield the lines of an ffmetadata file; a backslash at the end of a line continues it."""
    line = ""
    for part in text.splitlines():
        escapes = len(part) - len(part.rstrip("\\"))
        line += part if escapes % 2 == 0 else f"{part}\n"
        if escapes % 2 == 0:
            yield line
            line = ""
    if line:
        yield line


def _split_tag(line: str) -> tuple[str, str, str]:
    """Split `key=value` at the first sign that no backslash escapes, and remove the backslashes."""
    parts, escaped = ["", ""], False
    at = 0
    for char in line:
        if escaped:
            parts[at], escaped = parts[at] + char, False
        elif char == "\\":
            escaped = True
        elif char == "=" and at == 0:
            at = 1
        else:
            parts[at] += char
    return parts[0], "=", parts[1]


def _unreadable(path: Path, key: str, *, is_any_file: bool) -> JobError:
    """Return the error for a file that ffmpeg cannot open. `is_any_file`: whether the job takes pictures, too."""
    if is_mp4(path):
        return JobError(
            f"{key}-truncated",
            f"The file named in `{key}` lacks its index, which programs write last: it was not copied or recorded to its end.",
            "Copy it again; a recording that broke off can be repaired with the program that made it.",
        )
    what = f", but {other}" if (other := what_else(path)) else ""
    wanted = "an MP4, MOV, WebM, MKV or AVI file" if key == "video" else "a WAV, MP3, M4A, FLAC, OGG or Opus file"
    thing = "video" if key == "video" else "sound file"
    as_picture = f", or write `image` in place of `{key}`" if is_any_file and what.endswith("picture") else ""
    return JobError(
        f"{key}-unreadable",
        f"The file named in `{key}` is no {thing} that can be read{what}.",
        f"Provide {wanted}{as_picture}.",
    )
