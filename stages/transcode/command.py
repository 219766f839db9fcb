"""Builds the ffmpeg command of a conversion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stages.encode.ffmpeg_command import AUDIO_RATE, SEEK_S
from stages.encode.formats.encoders import VideoEncoder
from stages.info.tracks import VideoTrack
from stages.media.untrusted_input import MEDIA_FORMATS, input_options
from stages.transcode.frames_in_memory import look_ahead_options, threads_for
from stages.transcode.plan import Plan

#: From a high dynamic range to the usual one. 203 nits are the white of a page (ITU-R BT.2408).
_TO_USUAL_RANGE = (
    "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt709,tonemap=hable:desat=0,zscale=t=bt709:m=bt709:r=tv"
)
_USUAL_COLOURS = (
    "-color_range", "tv", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709",
)  # fmt: skip
_MOST_CHANNELS = 2


@dataclass(frozen=True)
class Conversion:
    """What the command needs beside the plan.

    Attributes:
        video, audio: the source files; `audio` is None where the sound is the video's own.
        track: the picture track.
        target: the file to write.
        ffmpeg: path of the program.
        encoder, preset, crf: of the picture.
        audio_kbps: bit rate of the sound.
        threads: of the encoder; 0: it chooses.
        max_pixels, memory_mb: limits of what is decoded.
        tags: metadata that replace those of the source.
        subtitles: names, inside the working folder, of the ASS script to burn in and of the folder with its font.
    """

    video: Path
    audio: Path | None
    track: VideoTrack
    target: Path
    ffmpeg: str
    encoder: VideoEncoder
    preset: str
    crf: int
    audio_kbps: int
    threads: int
    max_pixels: int
    memory_mb: int
    tags: Mapping[str, str]
    subtitles: tuple[str, str] | None = None


def conversion_command(plan: Plan, wanted: Conversion) -> list[str]:
    """Return the ffmpeg command; it reports its progress on stdout."""
    form = plan.form
    loop = ["-stream_loop", "-1"] if plan.loops else []
    command = [
        wanted.ffmpeg, "-hide_banner", "-nostdin", "-nostats", "-v", "error", "-max_alloc", str(wanted.memory_mb << 20),
        "-max_pixels", str(wanted.max_pixels), "-threads", str(threads_for(wanted.track.width, wanted.track.height)), *loop,
        *input_options(str(wanted.video.absolute()), MEDIA_FORMATS),
    ]  # fmt: skip
    if wanted.audio:
        command += input_options(str(wanted.audio.absolute()), MEDIA_FORMATS)
    command += ["-map", f"0:{wanted.track.index}"]
    command += _copied_picture(plan, wanted) if plan.copy_picture else _encoded_picture(plan, wanted)
    if plan.sound:
        command += ["-map", f"{1 if wanted.audio else 0}:{plan.sound.index}", *_sound(plan, wanted.audio_kbps)]
    options = {name: value for name, value in form.options.items() if name != "tag:v"}
    command += [word for name, value in options.items() for word in (f"-{name}", str(value))]
    command += [word for key, value in wanted.tags.items() for word in ("-metadata", f"{key}={value}")]
    return [
        *command, "-map_metadata", "0", "-map_chapters", "0", "-sn", "-dn", "-fflags", "+bitexact",
        "-progress", "pipe:1", "-f", form.muxer or form.name, "-y", f"file:{wanted.target.absolute()}",
    ]  # fmt: skip


def _copied_picture(plan: Plan, wanted: Conversion) -> list[str]:
    # The only tag of HEVC that Apple's players and editors read.
    tag = ["-tag:v", "hvc1"] if wanted.track.codec == "hevc" else []
    return ["-c:v", "copy", *tag]


def _encoded_picture(plan: Plan, wanted: Conversion) -> list[str]:
    form, track, rate = plan.form, wanted.track, f"{plan.rate.numerator}/{plan.rate.denominator}"
    filters = ["bwdif"] if track.interlaced else []
    # Before the others, since `overlay` loses how long the last frame is shown.
    filters += [f"fps={rate}:start_time=0", *plan.shape.filters]
    if track.high_dynamic_range:
        filters += [*_missing_colours(track), _TO_USUAL_RANGE]
    if plan.length_s > plan.picture_s and not plan.loops:
        filters.append("tpad=stop=-1:stop_mode=clone")
    if wanted.subtitles:
        filters.append(f"ass=filename={wanted.subtitles[0]}:fontsdir={wanted.subtitles[1]}")
    filters.append(f"format={form.pixel_format}")
    size = plan.shape.width, plan.shape.height
    tag = ["-tag:v", str(form.options["tag:v"])] if "tag:v" in form.options else []
    return [
        "-vf", ",".join(filters), "-c:v", wanted.encoder.name, *wanted.encoder.arguments(wanted.preset, wanted.crf),
        *look_ahead_options(wanted.encoder, wanted.preset, *size), *tag,
        "-pix_fmt", form.pixel_format, "-g", str(max(1, round(plan.rate * SEEK_S))),
        "-threads", str(threads_for(*size, wanted.threads)), "-frames:v", str(plan.frames),
        *(_USUAL_COLOURS if track.high_dynamic_range else ()),
    ]  # fmt: skip


def _missing_colours(track: VideoTrack) -> list[str]:
    """Return the filter that adds what the file does not say of its colours, as ITU-R BT.2100 has it for PQ and HLG."""
    matrix, primaries = track.matrix_and_primaries
    missing = []
    if matrix == "unknown" and not track.pixel_format.startswith(("gbr", "rgb", "bgr")):
        missing.append("colorspace=bt2020nc")
    if primaries == "unknown":
        missing.append("color_primaries=bt2020")
    return [f"setparams={':'.join(missing)}"] if missing else []


def _sound(plan: Plan, kbps: int) -> list[str]:
    assert plan.sound is not None
    if plan.copy_sound:
        return ["-c:a", "copy"]
    filters = [f"aresample={AUDIO_RATE}:async=1:first_pts=0"]
    if plan.new_sound:
        samples = round(plan.length_s * AUDIO_RATE)
        filters += [f"apad=whole_len={samples}", f"atrim=end_sample={samples}"]
    channels = ["-ac", str(_MOST_CHANNELS)] if not 1 <= plan.sound.channels <= _MOST_CHANNELS else []
    return [
        "-af",
        ",".join(filters),
        "-c:a",
        plan.form.audio_encoder,
        "-b:a",
        f"{kbps}k",
        "-ar",
        str(AUDIO_RATE),
        *channels,
    ]
