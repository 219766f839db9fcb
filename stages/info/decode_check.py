"""Decodes the tracks of a media file, to find damage and to measure how loud the sound is."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from stages.info.tracks import VideoTrack
from stages.media.ffmpeg import FfmpegProcess, ffmpeg_path
from stages.media.loudness import METER, integrated_loudness
from stages.media.untrusted_input import MEDIA_FORMATS, input_options

#: An error in ffmpeg's log, which tells the levels.
_ERROR = re.compile(r"(?:\[[^\]]* @ 0x[0-9a-f]+\] )*\[(?:error|fatal|panic)\] ")
#: Decoders that read the alpha channel beside the frames of a WebM; ffmpeg's own pass it over.
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
#: So much less than opaque counts, of 255: what encoders lose makes no pixel clear.
_LEAST_CLEAR = 8
_MOMENT = re.compile(rb"(?:out_time_us=(\d+)|.*pts_time:(-?[\d.]+))")


def decode_picture(
    path: Path,
    track: int,
    *,
    only_key_frames: bool,
    max_pixels: int,
    memory_mb: int,
    progress: Callable[[float], None] = lambda _: None,
) -> str:
    """Decode a picture track and drop the frames. Returns ffmpeg's last complaint; empty if the track is sound.

    Args:
        track: its index in the file.
        only_key_frames: decode only frames that need no others, which takes about a fiftieth of the time.
        max_pixels: a larger frame counts as damaged.
        progress: receives how far it is, s.
    """
    skip = ["-skip_frame", "nokey"] if only_key_frames else []
    command = [
        *_start(memory_mb), "-max_pixels", str(max_pixels), *skip, *input_options(path.name, MEDIA_FORMATS),
        "-map", f"0:{track}", "-fps_mode", "passthrough", "-progress", "pipe:1", "-f", "null", "-",
    ]  # fmt: skip
    return _run(command, path.parent, progress)[0]


def decode_sound(
    path: Path, track: int, *, memory_mb: int, progress: Callable[[float], None] = lambda _: None
) -> tuple[str, float | None]:
    """Decode a sound track. Returns ffmpeg's last complaint, and the loudness in LUFS; None: silence, or too short.

    Args:
        track: its index in the file.
        progress: receives how far it is, s.
    """
    command = [
        *_start(memory_mb), *input_options(path.name, MEDIA_FORMATS), "-map", f"0:{track}", "-af", f"{METER}:file=-",
        "-f", "null", "-",
    ]  # fmt: skip
    complaint, output = _run(command, path.parent, progress)
    return complaint, integrated_loudness(output)


def is_transparent(
    path: Path,
    track: VideoTrack,
    *,
    max_pixels: int,
    memory_mb: int,
    progress: Callable[[float], None] = lambda _: None,
) -> bool:
    """Return whether some pixel of a picture track whose format has an alpha channel, as every GIF's has, can be seen through.
    What cannot be decoded counts as opaque.

    Args:
        max_pixels: a larger frame counts as damaged.
        progress: receives how far it is, s.
    """
    decoder = ["-c:v", _ALPHA_DECODERS[track.codec]] if track.codec in _ALPHA_DECODERS else []
    command = [
        *_start(memory_mb), "-max_pixels", str(max_pixels), *decoder, *input_options(path.name, MEDIA_FORMATS),
        "-map", f"0:{track.index}", "-vf",
        f"format=rgba,alphaextract,negate,bbox=min_val={_LEAST_CLEAR},metadata=print:key=lavfi.bbox.x1:file=-",
        "-fps_mode", "passthrough", "-progress", "pipe:1", "-f", "null", "-",
    ]  # fmt: skip
    with FfmpegProcess(command, path.parent, read=True) as process:
        for line in process.stdout:
            if line.startswith(b"lavfi.bbox."):
                return True
            if found := _MOMENT.match(line):
                progress(int(found[1]) / 1e6 if found[1] else float(found[2]))
        process.finish()
    return False


def _start(memory_mb: int) -> list[str]:
    return [
        ffmpeg_path(), "-hide_banner", "-nostdin", "-nostats", "-v", "level+info", "-max_alloc",
        str(memory_mb << 20), "-threads", "1",
    ]  # fmt: skip


class _Errors:
    """Selects the errors in ffmpeg's log that are about the track that is decoded.

    To open a file, ffmpeg decodes the beginning of all its tracks; what it says then may be about another track.

    Attributes:
        opening: the last error until the file was open.
    """

    def __init__(self) -> None:
        self.opening = ""
        self._open = False

    def __call__(self, line: str) -> bool:
        self._open = self._open or line == "[info] Stream mapping:"
        if not _ERROR.match(line):
            return False
        if not self._open:
            self.opening = line
        return self._open


def _run(command: list[str], folder: Path, progress: Callable[[float], None]) -> tuple[str, str]:
    """Returns ffmpeg's last complaint, and the last line of its output that names a loudness."""
    last, errors = "", _Errors()
    with FfmpegProcess(command, folder, read=True, accept=errors) as process:
        for line in process.stdout:
            if found := _MOMENT.match(line):
                progress(int(found[1]) / 1e6 if found[1] else float(found[2]))
            elif line.startswith(b"lavfi."):
                last = line.decode("ascii", "replace")
        status = process.finish()
    if status == 0 and not process.log_lines:
        return "", last
    return last_words(process.log) or last_words(errors.opening) or f"ffmpeg ended with status {status}", last


def last_words(log: str) -> str:
    """Return the last message in ffmpeg's log, without the names of its parts; empty if there is none."""
    lines = log.strip().splitlines()
    return re.sub(r"^(\[[^\]]*\] *)+", "", lines[-1]).rstrip(".") if lines else ""
