"""The steps of the encode stage: encodes frames and speech into the video, and writes poster.jpg and captions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from daemon.errors import TRIED_AGAIN, AvatarError, UnknownError
from daemon.jobs.manifest_values import USUAL_RATE
from daemon.profiles.avatars import JOB_RECORD
from daemon.system.fs import artifact
from stages.context import Context
from stages.facts import VideoFacts

if TYPE_CHECKING:
    from stages.encode.captions.cues import Cue
    from stages.encode.ffmpeg_command import EncodeOptions, FrameSource
    from stages.encode.formats import OutputFormat
    from stages.encode.formats.choose_encoder import EncoderChoice
    from stages.encode.formats.mp4_probe import Movie
    from stages.encode.planes import PlanarFrame
    from stages.tts.timing_file import Timing

#: IPTC's terms for a video with something of a trained model in it, and for one without.
_WITH_TRAINED, _WITHOUT = "compositeWithTrainedAlgorithmicMedia", "algorithmicMedia"
_POSTER_QUALITY = 90
_POSTER = "poster.jpg"
#: Folder for the files that are burned in, inside the job's folder.
_BURN = ".burn"
#: Why there are no captions, with a text and without one.
_NO_WORDS_SAID = "There are no captions, because no words of `text` can be said in the sound."
_NO_WORDS_KNOWN = (
    "There are no captions, because the words of the sound are not known. Give them as `text` beside `audio`."
)


def make_video(ctx: Context) -> VideoFacts:
    """Draw, encode and check the video, or take over that of the job's base, and return facts for the status.

    Reads `speech.wav`, `timing.json` and the files that `compose` needs. Writes the video (its name is in
    stages/encode/formats/), `poster.jpg` and, as the manifest asks, `captions.srt` or `captions.vtt`.

    Raises:
        MachineError: `ffmpeg-missing`, `font-missing`, `disk-full`, `out-of-memory`.
        LackingError: `encoder-missing`, `filter-missing`.
        UnknownError: `ffmpeg-failed`, `frames-missing`, `timing-unreadable`, `video-invalid`.
        ResultError: `picture-invalid`, `video-silent`.
    """
    from stages.encode.formats import format_for
    from stages.encode.framing import shared_frames_of_job
    from stages.encode.kept_video import KeptVideo

    timing = _timing_of_words(ctx)
    kept = KeptVideo(ctx, _tags(ctx, timing), ctx.manifest.captions == "burn" and bool(timing.words))
    if (known := kept.take_over()) is not None:
        _, captions = _make_captions(ctx, timing, (known["width"], known["height"]))
        ctx.progress(1.0)
        return {**cast("VideoFacts", known), "captions": captions}
    frames = shared_frames_of_job(ctx)
    facts = write_video(ctx, frames.source)
    frames.keep()
    video = format_for(ctx.manifest.video_format, ctx.manifest.codec, frames.source.transparent).file
    kept.keep((video, _POSTER), facts, [told for told in ctx.warnings if told not in (_NO_WORDS_SAID, _NO_WORDS_KNOWN)])
    if sampled := frames.sampled():
        facts["sampled"] = sampled  # not kept: a job that takes the video over has drawn nothing
    return facts


def write_video(ctx: Context, source: FrameSource, output_format: OutputFormat | None = None) -> VideoFacts:
    """Encode the frames of any source, like `make_video`; `output_format` is by default the usual one for such frames."""
    from stages.encode.captions.burn import burn_in_folder
    from stages.encode.captions.place import FaceHeights
    from stages.encode.formats import format_for
    from stages.encode.formats.choose_encoder import choose_encoder
    from stages.encode.output_checks import check_sound
    from stages.media.ffmpeg_encoders import forget_trials

    timing = _timing_of_words(ctx)
    wanted = ctx.manifest
    form = output_format or format_for(wanted.video_format, wanted.codec, source.transparent)
    choice = choose_encoder(ctx.settings.stages.encode, form, source.width, source.height)
    cues, captions = _make_captions(ctx, timing, (source.width, source.height))
    with (
        burn_in_folder(
            ctx.path(_BURN),
            cues,
            (source.width, source.height),
            timing.language,
            FaceHeights.of_job(ctx) if cues else None,
            ctx.warnings.append,
            choice.ffmpeg,
        ) as subtitles,
        artifact(ctx.path(form.file)) as temporary,
    ):
        target = temporary.absolute()
        options = _encode_options(ctx, form, choice, timing, subtitles)
        try:
            movie, poster = _encode(ctx, source, target, options, timing)
        except AvatarError as failure:
            forget_trials()  # the next job finds out again whether the GPU works
            options = _without_gpu(choice, options, failure)
            movie, poster = _encode(ctx, source, target, options, timing)
            ctx.warnings.append(
                f"{choice.encoder.name} failed, so {options.encoder.name} encoded the video: {failure.message}"
            )
        check_sound(target, ctx.path("speech.wav").absolute())
    with artifact(ctx.path(_POSTER)) as file:
        file.write_bytes(poster)
    ctx.progress(1.0)
    video = movie.stream("video")
    assert video is not None
    return {
        "encoder": options.encoder.name,
        "why": _reason(ctx, choice, options),
        "width": source.width,
        "height": source.height,
        "fps": ctx.manifest.fps or USUAL_RATE,
        "frames": video.samples,
        "duration_s": round(float(video.duration), 3),
        "bytes": ctx.path(form.file).stat().st_size,
        "captions": captions,
    }


def _encode(
    ctx: Context, source: FrameSource, target: Path, options: EncodeOptions, timing: Timing
) -> tuple[Movie, bytes]:
    """Encode the video into `target` and read it back. Returns its tracks, and its first frame as a JPEG."""
    from stages.encode.ffmpeg_command import encode_video
    from stages.encode.output_checks import FrameCheck

    first: list[PlanarFrame] = []
    posters: list[bytes] = []
    encode_video(
        source,
        ctx.path("speech.wav").absolute(),
        target,
        options,
        cwd=ctx.path(_BURN) if options.subtitles else ctx.job_dir,
        progress=lambda part: ctx.progress(0.98 * part),
        on_first=lambda frame: first.append(frame.copy()),
        on_each=FrameCheck().check,
        meanwhile=lambda: posters.append(_poster_jpeg(first[0])),
    )
    return _check_file(target, source, options, timing.duration), posters[0]


def _without_gpu(choice: EncoderChoice, options: EncodeOptions, failure: AvatarError) -> EncodeOptions:
    """Return the options to start again with after the GPU's encoder failed; raises `failure` if another one would not help."""
    # A lost GPU ends ffmpeg, or makes it write a wrong file; a GPU without memory reads like a machine without.
    if choice.on_failure is None or failure.code not in ("ffmpeg-failed", "out-of-memory", "video-invalid"):
        raise failure
    return replace(options, encoder=choice.on_failure)


def _reason(ctx: Context, choice: EncoderChoice, options: EncodeOptions) -> str:
    """Return why the encoder and its options were chosen."""
    chosen = choice.why if options.encoder is choice.encoder else f"{choice.encoder.name} failed in this job"
    if not options.encoder.has_quality:
        return f"{chosen}; it has no preset and no crf"
    effort = f"preset {options.preset}, crf {options.crf}"
    return f"{chosen}; quality {ctx.manifest.quality_or_usual}: {effort}"


def _timing_of_words(ctx: Context) -> Timing:
    """Read timing.json without its phones, which only the motion needs: an hour's take 15 MB."""
    from stages.tts.timing_file import read_timing

    return replace(read_timing(ctx.path("timing.json")), phones=())


def _make_captions(ctx: Context, timing: Timing, size: tuple[int, int]) -> tuple[list[Cue], str]:
    """Make the captions of a video of `size`, px, and write the caption file. Returns the cues to burn in, and the status's words
    about the captions.
    """
    from stages.encode.captions.ass_subtitles import burned_line_chars
    from stages.encode.captions.cues import make_cues, to_srt, to_vtt
    from stages.encode.captions.shown_words import caption_words

    wanted = ctx.manifest.captions
    if wanted == "none":
        return [], "none"
    if not timing.words:
        ctx.warnings.append(_NO_WORDS_SAID if ctx.manifest.text else _NO_WORDS_KNOWN)
        return [], "none: the words are not known"
    words = list(caption_words(timing.words))
    if wanted == "burn":
        return make_cues(words, burned_line_chars(*size)), "burned in"
    name = f"captions.{wanted}"
    with artifact(ctx.path(name)) as temporary:
        temporary.write_text((to_srt if wanted == "srt" else to_vtt)(make_cues(words)), encoding="utf-8")
    return [], name


def _encode_options(
    ctx: Context,
    output_format: OutputFormat,
    choice: EncoderChoice,
    timing: Timing,
    subtitles: tuple[str, str] | None,
) -> EncodeOptions:
    from stages.encode.ffmpeg_command import EncodeOptions
    from stages.encode.formats.fine_areas import FILTER, fine_areas
    from stages.media.ffmpeg_encoders import listed_filters

    settings, quality = ctx.settings.stages.encode, ctx.manifest.quality_or_usual
    return EncodeOptions(
        output_format=output_format,
        ffmpeg=choice.ffmpeg,
        encoder=choice.encoder,
        fps=ctx.manifest.frame_rate,
        preset=settings.preset[quality],
        crf=settings.crf[quality],
        audio_kbps=settings.audio_kbps,
        speech_rate=_sample_rate(ctx.path("speech.wav")),
        threads=settings.threads,
        tags=_tags(ctx, timing),
        subtitles=subtitles,
        areas=fine_areas(ctx) if FILTER in listed_filters(choice.ffmpeg) else (),
    )


def _sample_rate(speech: Path) -> int:
    """Read the sample rate of the speech, Hz; of a file that is no sound, whose fault ffmpeg tells, that of the sound track."""
    from stages.encode.ffmpeg_command import AUDIO_RATE
    from stages.media.wav import WavError, open_wav

    try:
        with open_wav(speech) as file:
            return file.rate
    except WavError:
        return AUDIO_RATE


def _tags(ctx: Context, timing: Timing) -> dict[str, str]:
    """Return the metadata of the video: its title, and the label of generated media."""
    from stages.media.disclosure import file_tags

    return file_tags(ctx.manifest.title, ctx.settings.stages.encode.label, _source_type(ctx, timing))


def _source_type(ctx: Context, timing: Timing) -> str:
    """Return IPTC's term for the video. A picture and a recording that nobody generated, moved by rules, are the only video
    without anything of a trained model.
    """
    from stages.lipsync.painted_mouth import METADATA_FILE
    from stages.media.disclosure import declares_trained

    profile = json.loads(ctx.path(JOB_RECORD).read_bytes()) if ctx.manifest.avatar is not None else {}
    trained = (
        timing.engine != "brought"  # a synthetic voice
        or "generated" in profile
        or ctx.path(METADATA_FILE).exists()  # a network has painted the mouth
        or any(declares_trained(ctx.source(key)) for key in ("image", "audio", "background"))
    )
    return _WITH_TRAINED if trained else _WITHOUT


def _check_file(path: Path, source: FrameSource, options: EncodeOptions, speech_s: float) -> Movie:
    """Read the finished file back and check it before it is renamed.

    Raises:
        UnknownError: `video-invalid`.
    """
    try:
        movie = options.output_format.probe(path)
    except ValueError as exc:
        raise UnknownError("video-invalid", f"The encoded video is incomplete: {exc}.", TRIED_AGAIN) from exc
    video, audio = movie.stream("video"), movie.stream("audio")
    slack = 1 / options.fps + options.output_format.length_slack_s
    faults = [] if video and audio else ["a track is missing"]
    if video and audio:
        if video.samples != source.frame_count:
            faults.append(f"{video.samples} frames instead of {source.frame_count}")
        if (video.width, video.height) != (source.width, source.height):
            faults.append(f"{video.width}x{video.height} px instead of {source.width}x{source.height}")
        if abs(video.duration - audio.duration) > slack or video.duration + slack < speech_s:
            faults.append(f"{float(video.duration):.3f} s of picture, {float(audio.duration):.3f} s of sound")
    if faults:
        raise UnknownError("video-invalid", f"The encoded video is wrong: {'; '.join(faults)}.", TRIED_AGAIN)
    return movie


def _poster_jpeg(frame: PlanarFrame) -> bytes:
    """Encode the first frame, in which the face is at rest, as a JPEG."""
    import cv2

    done, data = cv2.imencode(".jpg", frame.to_bgr(), [cv2.IMWRITE_JPEG_QUALITY, _POSTER_QUALITY])
    if not done:
        raise UnknownError("poster-failed", "The poster could not be encoded.", TRIED_AGAIN)
    return data.tobytes()
