"""Builds the ffmpeg command that encodes planar frames and a WAV file into the video, and feeds it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import ffmpeg

from daemon.errors import TRIED_AGAIN, UnknownError
from daemon.system.process import PIPE_BYTES
from stages.encode.formats import OutputFormat
from stages.encode.formats.emptiest_gpu import environment_for_gpu
from stages.encode.formats.encoders import VideoEncoder
from stages.encode.formats.fine_areas import FineArea
from stages.encode.planes import PlanarFrame
from stages.media.ffmpeg import FfmpegProcess, ffmpeg_error

AUDIO_RATE = 48_000  # Hz
#: Seconds between two key frames.
SEEK_S = 5
#: What the samples of `PlanarFrame` mean, for ffmpeg's filters and for the file.
_COLOURS = {"range": "tv", "colorspace": "bt709", "color_primaries": "bt709", "color_trc": "bt709"}
_COLOUR_TAGS = {
    "color_range": "tv", "colorspace": "bt709", "color_primaries": "bt709", "color_trc": "bt709",
    "chroma_sample_location": "left",
}  # fmt: skip


class FrameSource(Protocol):
    """What the encoder needs from the object that draws the frames."""

    width: int
    height: int
    frame_count: int
    transparent: bool

    def frames(self) -> Iterator[PlanarFrame]:
        """Yield `frame_count` frames, each valid until the next. May be called again, to start again."""
        ...


@dataclass(frozen=True)
class EncodeOptions:
    """Options for encoding a video.

    Attributes:
        output_format: the format of the file.
        ffmpeg: path of the program.
        encoder: the video encoder: one of the format's.
        fps: frames per second, exact.
        preset, crf: effort and quality, in x264's terms.
        audio_kbps: bit rate of the sound.
        speech_rate: sample rate of the speech, Hz.
        threads: threads of the video encoder; 0 lets it choose. The bytes of the result depend on it.
        tags: metadata of the file, such as title and comment.
        subtitles: names, inside the working folder, of an ASS script to burn in and of the folder with its font.
        areas: what is encoded more finely than the rest, where the encoder can.
    """

    output_format: OutputFormat
    ffmpeg: str
    encoder: VideoEncoder
    fps: Fraction
    preset: str
    crf: int
    audio_kbps: int
    speech_rate: int
    threads: int
    tags: dict[str, str]
    subtitles: tuple[str, str] | None = None
    areas: tuple[FineArea, ...] = ()


def encode_command(source: FrameSource, speech: Path, target: Path, options: EncodeOptions) -> list[str]:
    """Build the ffmpeg command line. Sound is padded with silence, or cut, to the exact length of the picture."""
    rate = f"{options.fps.numerator}/{options.fps.denominator}"
    picture = ffmpeg.input(
        "pipe:0",
        format="rawvideo",
        pixel_format=PlanarFrame.layout(source.transparent),
        video_size=(source.width, source.height),
        framerate=rate,
    ).video.filter("setparams", **_COLOURS)
    if options.subtitles is not None:
        names = {"filename": options.subtitles[0], "fontsdir": options.subtitles[1]}
        picture = picture.filter("ass", **names, alpha=int(source.transparent))
    picture = picture.filter("format", options.output_format.pixel_format)
    for area in options.areas if options.encoder.takes_areas else ():
        picture = picture.filter("addroi", area.left, area.top, area.width, area.height, f"{area.finer:.3f}")
    sound = ffmpeg.input(f"file:{speech}", format="wav").audio
    samples = round(Fraction(source.frame_count * AUDIO_RATE) / options.fps)
    sound = sound.filter("aresample", AUDIO_RATE).filter("apad", whole_len=samples).filter("atrim", end_sample=samples)
    output = ffmpeg.output(picture, sound, f"file:{target}", **_output_arguments(options, rate))
    compiled: list[str] = output.global_args("-hide_banner", "-nostdin", "-v", "error", "-y").compile(
        cmd=options.ffmpeg
    )
    return compiled


def _output_arguments(options: EncodeOptions, rate: str) -> dict[str, object]:
    output_format = options.output_format
    arguments: dict[str, object] = {
        **options.encoder.for_portrait(options.preset, options.crf),
        **output_format.options,
        **output_format.speech_options(options.speech_rate, options.audio_kbps),
        "vcodec": options.encoder.name,
        "pix_fmt": output_format.pixel_format,
        "acodec": output_format.audio_encoder,
        "format": output_format.muxer or output_format.name,
        "r": rate,
        "g": max(1, round(options.fps * SEEK_S)),
        **_COLOUR_TAGS,
        "audio_bitrate": f"{options.audio_kbps}k",
        "ar": AUDIO_RATE,
        "ac": 1,
        "threads": options.threads,
        # Keep the date, the machine and the library's version out of the file, so that its bytes are reproducible.
        "fflags": "+bitexact",
        "flags": "+bitexact",
        "map_metadata": -1,
    }
    for number, (key, value) in enumerate(options.tags.items()):
        arguments[f"metadata:g:{number}"] = f"{key}={value}"
    return arguments


def encode_video(
    source: FrameSource,
    speech: Path,
    target: Path,
    options: EncodeOptions,
    *,
    cwd: Path,
    progress: Callable[[float], None],
    on_first: Callable[[PlanarFrame], None],
    on_each: Callable[[PlanarFrame], None],
    meanwhile: Callable[[], None] = lambda: None,
) -> int:
    """Feed every frame to one ffmpeg process and wait for it. Returns the number of frames.

    Args:
        source: draws the frames.
        speech: the WAV file.
        target: the video file to write.
        options: how to encode.
        cwd: working folder, in which the subtitles' names are looked up.
        progress: receives the finished fraction of the frames.
        on_first: receives the first frame.
        on_each: receives every frame before it is encoded; an exception from it ends the encoding.
        meanwhile: is called after the last frame, while ffmpeg encodes those that it looked ahead at.

    Raises:
        MachineError: `ffmpeg-missing`, `disk-full`, `out-of-memory`.
        UnknownError: `ffmpeg-failed`, `frames-missing`.
    """
    sent = 0
    environment = environment_for_gpu() if options.encoder.on_gpu else None
    command = encode_command(source, speech, target, options)
    with FfmpegProcess(command, cwd, feed=True, environment=environment) as process:
        try:
            for frame in source.frames():
                on_each(frame)
                if sent == 0:
                    on_first(frame)
                process.feed(frame.data, stays=frame.kept * frame.data.nbytes >= PIPE_BYTES)
                sent += 1
                if sent == source.frame_count:
                    process.end_input()  # before the source ends the processes that draw
                progress(sent / source.frame_count)
        except BrokenPipeError:
            pass  # ffmpeg ended early; its exit status and its log say why
        if sent == source.frame_count:
            meanwhile()
        status = process.finish()
    if status != 0:
        raise ffmpeg_error(status, process.log, f"the video stopped after {sent} of {source.frame_count} frames")
    if sent != source.frame_count:
        raise UnknownError("frames-missing", f"Only {sent} of {source.frame_count} frames were drawn.", TRIED_AGAIN)
    return sent
