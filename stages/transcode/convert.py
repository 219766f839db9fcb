"""The steps of the transcode stage: look at the sources, decide, run ffmpeg, check the result."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from daemon.errors import TRIED_AGAIN, AvatarError, JobError, ResultError, UnknownError
from daemon.jobs.manifest_values import FRAME_RATES
from daemon.system.fs import artifact
from stages.context import Context
from stages.encode.captions.burn import burn_in_folder
from stages.encode.captions.cues import Cue, to_srt, to_vtt
from stages.encode.formats.choose_encoder import EncoderChoice, choose_encoder, encoding_ffmpeg
from stages.facts import ConversionFacts
from stages.info.decode_check import decode_picture, decode_sound, is_transparent, last_words
from stages.info.read_media import probe_media
from stages.info.tracks import MediaFile, VideoTrack
from stages.media.disclosure import title_tag
from stages.media.ffmpeg import FfmpegProcess, ffmpeg_error
from stages.media.ffmpeg_encoders import forget_trials
from stages.transcode.check_source import check_sound, check_video
from stages.transcode.command import Conversion, conversion_command
from stages.transcode.plan import Plan, plan_conversion
from stages.transcode.read_captions import read_captions
from stages.transcode.room import check_room

#: Folder for the files that are burned in, inside the job's folder.
_BURN = ".burn"
#: Part of the work that reading the sources and encoding take; checking the result takes the rest.
_ENCODED = 0.9
_DONE = re.compile(rb"out_time_us=(\d+)")
#: Sound that is this far below its source counts as lost. LU
_LOST_LU = 10.0
#: Frames that an encoder may read before it writes the first.
_LOOKED_AHEAD = 60
#: What ffmpeg says of colours that its filters cannot convert. The second is the name of one that only converts colours.
_NO_COLOUR_PATH = ("impossible to convert between the formats", "_zscale_")
#: What ffmpeg says when it gives up, since it could decode hardly anything.
_MOSTLY_DAMAGED = "decode error rate"
#: What ffmpeg says of a source that it cannot decode.
_UNDECODABLE = ("error while decoding", "invalid data found", "no decoder", "unknown decoder")


def convert_video(ctx: Context) -> ConversionFacts:
    """Convert the job's video and check the result; returns facts for the status.

    Raises:
        JobError: what `check_video`, `check_sound`, `read_captions` and `plan_conversion` raise; `video-unreadable`.
        LackingError: `encoder-missing`, `filter-missing`.
        MachineError: `ffmpeg-missing`, `font-missing`, `disk-full`, `out-of-memory`.
        UnknownError: `ffmpeg-failed`, `video-invalid`.
        ResultError: `video-silent`.
    """
    media, track, own = check_video(ctx)
    new = check_sound(ctx)[1] if ctx.manifest.audio else None
    plan = plan_conversion(ctx.manifest, media, track, own, new)
    check_room(plan, ctx.source("video"), track, ctx.job_dir)
    _allow_start(ctx, track)
    _warn(ctx, plan, track)
    cues = read_captions(ctx.source("subtitles")) if ctx.manifest.subtitles else []
    if cues and (late := sum(cue.start >= plan.length_s for cue in cues)):
        ctx.warnings.append(f"{late} of {len(cues)} captions begin after the end of the video and are not seen.")
    captions = _write_captions(ctx, cues)
    size = plan.shape.width, plan.shape.height
    burned = cues if ctx.manifest.captions == "burn" else []
    ffmpeg = encoding_ffmpeg(ctx.settings.stages.encode)
    with (
        burn_in_folder(
            ctx.path(_BURN), burned, size, ctx.manifest.language, None, ctx.warnings.append, ffmpeg
        ) as subtitles,
        artifact(ctx.path(plan.form.file)) as target,
    ):
        wanted, choice = _conversion(ctx, plan, track, target, subtitles)
        result, wanted = _encode(ctx, plan, wanted, choice, whole=not media.faults)
    ctx.progress(1.0)
    picture = result.videos[0]
    width, height = picture.shown_size
    return {
        "encoder": "copy" if plan.copy_picture else wanted.encoder.name,
        "why": _reason(ctx, plan, wanted, choice),
        "width": width,
        "height": height,
        "fps": _rate_name(picture.rate),
        "frames": picture.times.count,
        "duration_s": round(float(picture.times.duration), 3),
        "bytes": ctx.path(plan.form.file).stat().st_size,
        "captions": captions,
        "sound": "none" if plan.sound is None else "copied" if plan.copy_sound else plan.form.audio_encoder,
    }


def _allow_start(ctx: Context, track: VideoTrack) -> None:
    """Allow the time until ffmpeg's first progress: encoders look some dozens of frames ahead."""
    timeout = ctx.settings.lanes.timeout
    megapixels = track.width * track.height / 1e6
    ctx.allow_seconds(timeout.base_s + timeout.per_megapixel_s * megapixels * _LOOKED_AHEAD)


def _warn(ctx: Context, plan: Plan, track: VideoTrack) -> None:
    """Tell what is not as usual."""
    warnings, limits = ctx.warnings, ctx.settings.stages.transcode
    if not plan.copy_picture:
        if not track.constant and not ctx.manifest.fps:
            warnings.append(
                f"The frame rate of the video varies; the result has {_rate_name(plan.rate)} frames per second."
            )
        if track.high_dynamic_range:
            warnings.append(
                "The video has a high dynamic range (HDR); the result has the usual range, which every screen shows."
            )
        elif track.bits > 8 and "10" not in plan.form.pixel_format:
            warnings.append(f"The video has {track.bits} bits for a colour; the result has 8.")
        if track.transparent and is_transparent(
            ctx.source("video"), track, max_pixels=limits.max_pixels, memory_mb=limits.memory_mb,
            progress=lambda _: ctx.allow_seconds(ctx.settings.lanes.timeout.base_s),
        ):  # fmt: skip
            warnings.append(
                "The video is transparent in places; the result is not: it shows the colours that lie there."
            )
    if plan.sound is None:
        warnings.append("The video has no sound, and neither has the result.")
    if plan.new_sound and (away := abs(plan.picture_s - plan.sound_s)) >= 1 / plan.rate:
        longer = "picture" if plan.picture_s > plan.sound_s else "sound"
        warnings.append(
            f"The {longer} is {float(away):.2f} s longer than the other; `sync_mode: {ctx.manifest.sync_mode}` makes the result "
            f"{float(plan.length_s):.2f} s long."
        )


def _write_captions(ctx: Context, cues: list[Cue]) -> str:
    """Write the caption file; returns the status's words about the captions."""
    wanted = ctx.manifest.captions
    if not cues:
        return "none"
    if wanted == "burn":
        return "burned in"
    name = f"captions.{wanted}"
    with artifact(ctx.path(name)) as temporary:
        temporary.write_text((to_srt if wanted == "srt" else to_vtt)(cues), encoding="utf-8")
    return name


def _conversion(
    ctx: Context, plan: Plan, track: VideoTrack, target: Path, subtitles: tuple[str, str] | None
) -> tuple[Conversion, EncoderChoice | None]:
    """Return what the command needs, and how the encoder was chosen; None: the picture is copied."""
    encode, limits = ctx.settings.stages.encode, ctx.settings.stages.transcode
    quality = ctx.manifest.quality_or_usual
    choice = None if plan.copy_picture else choose_encoder(encode, plan.form, plan.shape.width, plan.shape.height)
    wanted = Conversion(
        video=ctx.source("video"),
        audio=ctx.source("audio") if plan.new_sound else None,
        track=track,
        target=target,
        ffmpeg=choice.ffmpeg if choice else encoding_ffmpeg(encode),
        encoder=choice.encoder if choice else plan.form.encoder,
        preset=encode.preset[quality],
        crf=encode.crf[quality],
        audio_kbps=encode.audio_kbps,
        threads=encode.threads,
        max_pixels=limits.max_pixels,
        memory_mb=limits.memory_mb,
        tags=title_tag(ctx.manifest.title),
        subtitles=subtitles,
    )
    return wanted, choice


def _encode(
    ctx: Context, plan: Plan, wanted: Conversion, choice: EncoderChoice | None, whole: bool
) -> tuple[MediaFile, Conversion]:
    """Run ffmpeg and check what it made; once more with another encoder where a GPU's fails.

    Args:
        whole: whether the source is; else the result may have its damage.

    Returns:
        What is in the result, and how it was made.
    """
    try:
        unharmed = _run_ffmpeg(ctx, plan, wanted)
        return _check(ctx, plan, wanted, whole and unharmed), wanted
    except AvatarError as failure:
        other = choice and choice.on_failure
        if not other or failure.code not in ("ffmpeg-failed", "out-of-memory", "video-invalid"):
            raise
        forget_trials()  # the next job finds out again whether the GPU works
        ctx.warnings.append(f"{wanted.encoder.name} failed, so {other.name} encoded the video: {failure.message}")
        wanted = replace(wanted, encoder=other)
    unharmed = _run_ffmpeg(ctx, plan, wanted)
    return _check(ctx, plan, wanted, whole and unharmed), wanted


def _run_ffmpeg(ctx: Context, plan: Plan, wanted: Conversion) -> bool:
    """Run the conversion. Returns whether all of the source could be read.

    Raises:
        JobError: `video-unreadable`: the source cannot be decoded; `video-colours`.
        UnknownError, MachineError: what `ffmpeg_error` makes.
    """
    base_s, started, length = ctx.settings.lanes.timeout.base_s, time.monotonic(), float(plan.length_s)
    done = 0.0
    folder = ctx.path(_BURN) if wanted.subtitles else ctx.job_dir
    with FfmpegProcess(conversion_command(plan, wanted), folder, read=True) as process:
        for line in process.stdout:
            if (found := _DONE.match(line)) and (part := min(1.0, int(found[1]) / 1e6 / max(length, 0.001))) > done:
                done = part
                ctx.allow_seconds(base_s)  # for as long as it moves
                ctx.progress(_ENCODED * done)
                ctx.report_seconds_left((time.monotonic() - started) / done * (1 - done))
        status = process.finish()
    words = process.log.lower()
    if status != 0:
        error = ffmpeg_error(status, process.log, "the video could not be converted")
        if any(what in words for what in _NO_COLOUR_PATH):
            matrix, primaries = wanted.track.matrix_and_primaries
            raise JobError(
                "video-colours",
                f"The colours of the video cannot be converted: {wanted.track.pixel_format} with the matrix {matrix} and "
                f"the primaries {primaries}.",
                "Export it with usual colours: BT.709, or BT.2020 with PQ or HLG.",
            ) from error
        if error.code == "ffmpeg-failed" and any(what in words for what in (_MOSTLY_DAMAGED, *_UNDECODABLE)):
            raise JobError(
                "video-unreadable",
                f"The source cannot be decoded: {last_words(process.log)}.",
                "Export the video again.",
            ) from error
        raise error
    if process.log_lines:
        ctx.warnings.append(f"The source is damaged in places; what can be read is used: {last_words(process.log)}.")
    return process.log_lines == 0


def _check(ctx: Context, plan: Plan, wanted: Conversion, whole: bool) -> MediaFile:
    """Read the finished file back and decode it, before it gets its name. Returns what is in it.

    Raises:
        UnknownError: `video-invalid`.
        ResultError: `video-silent`.
    """
    limits = ctx.settings.stages.transcode
    made = probe_media(wanted.target, limits.memory_mb)
    if made is None or not made.videos or made.faults:
        raise UnknownError("video-invalid", "The converted video cannot be read back.", TRIED_AGAIN)
    picture = made.videos[0]
    frame = 1 / plan.rate
    expected = plan.picture_s if plan.copy_picture else Fraction(plan.frames) / plan.rate
    size = wanted.track.shown_size if plan.copy_picture else (plan.shape.width, plan.shape.height)
    faults = []
    if picture.shown_size != size:
        faults.append(f"{picture.shown_size[0]}x{picture.shown_size[1]} px instead of {size[0]}x{size[1]}")
    if whole and abs(picture.times.end - expected) > frame + Fraction(1, 1000):
        faults.append(f"{float(picture.times.end):.3f} s of picture instead of {float(expected):.3f} s")
    if bool(made.audios) != (plan.sound is not None):
        faults.append("no sound" if plan.sound else "sound that the source has not")
    elif plan.new_sound and whole:
        slack = frame + plan.form.length_slack_s + Fraction(1, 20)  # packets of sound last up to 43 ms
        if abs(made.audios[0].times.duration - plan.length_s) > slack:
            faults.append(
                f"{float(made.audios[0].times.duration):.3f} s of sound instead of {float(plan.length_s):.3f} s"
            )
    if faults:
        raise UnknownError("video-invalid", f"The converted video is wrong: {'; '.join(faults)}.", TRIED_AGAIN)
    base_s = ctx.settings.lanes.timeout.base_s

    def decoded(path: Path, track: int) -> str:
        return decode_picture(
            path, track, only_key_frames=True, max_pixels=limits.max_pixels, memory_mb=limits.memory_mb,
            progress=lambda _: ctx.allow_seconds(base_s),
        )  # fmt: skip

    complaint = decoded(wanted.target, picture.index)
    if complaint and plan.copy_picture:
        _blame_source(ctx, "video", "picture", complaint, decoded(wanted.video, wanted.track.index))
    elif complaint and whole:
        raise UnknownError("video-invalid", f"The converted video cannot be decoded: {complaint}.", TRIED_AGAIN)
    if made.audios:
        _check_sound(ctx, plan, wanted, made, whole)
    return made


def _blame_source(ctx: Context, key: str, what: str, complaint: str, of_source: str) -> None:
    """Judge a copied track that cannot be decoded everywhere: it is as good as its source, whose damage is told.

    Args:
        key: of the manifest, which names the source.
        what: "picture" or "sound".
        complaint, of_source: what ffmpeg says of the copy and of the source.

    Raises:
        JobError: `video-unreadable`, `audio-unreadable`: hardly anything of it can be decoded.
        UnknownError: `video-invalid`: the source is whole.
    """
    if not of_source:
        raise UnknownError("video-invalid", f"The copied {what} cannot be decoded: {complaint}.", TRIED_AGAIN)
    if _MOSTLY_DAMAGED in of_source.lower():
        raise JobError(
            f"{key}-unreadable",
            f"The {what} of the file named in `{key}` cannot be decoded: {of_source}.",
            "Export it again.",
        )
    ctx.warnings.append(
        f"The {what} of the file named in `{key}` is damaged in places, and so is the copy: {of_source}."
    )


def _check_sound(ctx: Context, plan: Plan, wanted: Conversion, made: MediaFile, whole: bool) -> None:
    """Decode the sound, and compare the loudness of what was encoded anew with that of its source."""
    assert plan.sound is not None
    memory_mb, base_s = wanted.memory_mb, ctx.settings.lanes.timeout.base_s

    def measured(path: Path, track: int) -> tuple[str, float | None]:
        return decode_sound(path, track, memory_mb=memory_mb, progress=lambda _: ctx.allow_seconds(base_s))

    complaint, after = measured(wanted.target, made.audios[0].index)
    if plan.copy_sound:
        if complaint:
            of_source, _ = measured(wanted.audio or wanted.video, plan.sound.index)
            _blame_source(ctx, "audio" if wanted.audio else "video", "sound", complaint, of_source)
        return
    if complaint and whole:
        raise UnknownError("video-invalid", f"The converted sound cannot be decoded: {complaint}.", TRIED_AGAIN)
    cut = plan.new_sound and plan.length_s < plan.sound_s  # what is left may be a silent part
    before = None if cut else measured(wanted.audio or wanted.video, plan.sound.index)[1]
    if before is not None and (after is None or after < before - _LOST_LU):
        heard = "silent" if after is None else f"{before - after:.0f} LU below its source"
        raise ResultError("video-silent", f"The sound of the converted video is {heard}.", TRIED_AGAIN)


def _reason(ctx: Context, plan: Plan, wanted: Conversion, choice: EncoderChoice | None) -> str:
    """Return why the picture was copied or encoded as it was."""
    if choice is None:
        return "nothing changes the picture, so that it is copied as it is"
    why = choice.why if wanted.encoder is choice.encoder else f"{choice.encoder.name} failed in this job"
    effort = f"; quality {ctx.manifest.quality_or_usual}: preset {wanted.preset}, crf {wanted.crf}"
    return f"encoded anew because of {', '.join(plan.changes)}; {why}{effort if wanted.encoder.has_quality else ''}"


def _rate_name(rate: Fraction) -> str:
    """Return a frame rate as a manifest says it, or as a number."""
    return next((name for name, usual in FRAME_RATES.items() if usual == rate), f"{float(rate):.6g}")
