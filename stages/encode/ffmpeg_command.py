"""The one ffmpeg command that turns raw frames and a WAV into the video, and the loop that feeds it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import ffmpeg
import numpy as np
import numpy.typing as npt

from daemon.errors import UnknownError
from stages.encode.formats import OutputFormat
from stages.media.ffmpeg import Ffmpeg, failure, ffmpeg_path

AUDIO_RATE = 48_000  # Hz
#: Seconds between two pictures that can be jumped to.
_SEEK_S = 5

Frame = npt.NDArray[np.uint8]


class FrameSource(Protocol):
    """What the encoder needs of whoever draws the frames."""

    width: int
    height: int
    frame_count: int
    transparent: bool

    def frames(self) -> Iterator[Frame]:
        """`frame_count` BGR frames of `height` × `width` × 3 bytes (BGRA, 4, where `transparent`), each valid until the next
        is asked for.
        """
        ...


@dataclass(frozen=True)
class Recipe:
    """How to encode.

    Attributes:
        form: the format of the file.
        fps: frames per second, exact.
        preset, crf: effort and quality, in the terms of x264.
        audio_kbps: of the sound.
        threads: of the picture's encoder; 0 lets it choose. The bytes of the result depend on it.
        tags: the file's metadata, such as title and comment.
        subtitles: an ASS script to burn in, and the folder with its font; both names inside the working folder.
    """

    form: OutputFormat
    fps: Fraction
    preset: str
    crf: int
    audio_kbps: int
    threads: int
    tags: dict[str, str]
    subtitles: tuple[str, str] | None = None


def command(source: FrameSource, speech: Path, target: Path, recipe: Recipe) -> list[str]:
    """The ffmpeg command line. Sound is padded with silence to the exact length of the picture."""
    rate = f"{recipe.fps.numerator}/{recipe.fps.denominator}"
    picture = ffmpeg.input(
        "pipe:0",
        format="rawvideo",
        pixel_format="bgra" if source.transparent else "bgr24",
        video_size=(source.width, source.height),
        framerate=rate,
    ).video
    if recipe.subtitles is not None:
        names = {"filename": recipe.subtitles[0], "fontsdir": recipe.subtitles[1]}
        picture = picture.filter("ass", **names, alpha=int(source.transparent))
    # Tags alone do not convert: without this the colours would be BT.601's under BT.709's name.
    picture = picture.filter(
        "scale", out_color_matrix="bt709", out_range="tv", flags="accurate_rnd+full_chroma_int"
    ).filter("format", recipe.form.pixel_format)
    sound = ffmpeg.input(f"file:{speech}", format="wav").audio
    samples = round(Fraction(source.frame_count * AUDIO_RATE) / recipe.fps)
    sound = sound.filter("aresample", AUDIO_RATE).filter("apad", whole_len=samples).filter("atrim", end_sample=samples)
    output = ffmpeg.output(picture, sound, f"file:{target}", **_options(recipe, rate))
    compiled: list[str] = output.global_args("-hide_banner", "-nostdin", "-v", "error", "-y").compile(cmd=ffmpeg_path())
    return compiled


def _options(recipe: Recipe, rate: str) -> dict[str, object]:
    form = recipe.form
    options: dict[str, object] = {
        **form.options(recipe.preset, recipe.crf),
        "vcodec": form.encoder,
        "pix_fmt": form.pixel_format,
        "acodec": form.audio_encoder,
        "format": form.muxer,
        "r": rate,
        "g": max(1, round(recipe.fps * _SEEK_S)),
        "color_range": "tv",
        "colorspace": "bt709",
        "color_primaries": "bt709",
        "color_trc": "bt709",
        "audio_bitrate": f"{recipe.audio_kbps}k",
        "ar": AUDIO_RATE,
        "ac": 1,
        "threads": recipe.threads,
        # Nothing of the day, the machine or the library's version goes into the file.
        "fflags": "+bitexact",
        "flags": "+bitexact",
        "map_metadata": -1,
    }
    for number, (key, value) in enumerate(recipe.tags.items()):
        options[f"metadata:g:{number}"] = f"{key}={value}"
    return options


def encode(
    source: FrameSource,
    speech: Path,
    target: Path,
    recipe: Recipe,
    *,
    cwd: Path,
    progress: Callable[[float], None],
    on_first: Callable[[Frame], None],
    on_each: Callable[[Frame], None],
) -> int:
    """Feed every frame to one ffmpeg. Returns the number of frames.

    Args:
        cwd: where the subtitles' names are looked up.
        progress: told the finished part, by frames.
        on_first: shown the first frame.
        on_each: shown every frame before it is encoded; what it raises ends the work.

    Raises:
        MachineError: `ffmpeg-missing`, `disk-full`, `out-of-memory`.
        UnknownError: `ffmpeg-failed`, `frames-missing`.
    """
    sent = 0
    with Ffmpeg(command(source, speech, target, recipe), cwd, feed=True) as process:
        try:
            for frame in source.frames():
                on_each(frame)
                if sent == 0:
                    on_first(frame)
                process.stdin.write(np.ascontiguousarray(frame).data)
                sent += 1
                progress(sent / source.frame_count)
        except BrokenPipeError:
            pass  # ffmpeg went away; its exit status and last words, below, say why
        status = process.finish()
    if status != 0:
        raise failure(status, process.log, f"the video stopped after {sent} of {source.frame_count} frames")
    if sent != source.frame_count:
        raise UnknownError("frames-missing", f"{sent} of {source.frame_count} frames were drawn.", "See the log.")
    return sent
