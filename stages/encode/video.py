"""The steps of the encode stage: frames and speech become a video, poster.jpg and captions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon.errors import UnknownError
from daemon.system.fs import artifact
from stages.context import Context, Facts

if TYPE_CHECKING:
    from stages.encode.captions import Cue
    from stages.encode.ffmpeg_command import Frame, FrameSource, Recipe
    from stages.encode.formats import OutputFormat
    from stages.encode.mp4_probe import Movie

#: IPTC's terms for how a picture came to be (cv.iptc.org/newscodes/digitalsourcetype).
_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/"
#: A picture moved by a trained voice's speech; moved by speech that was brought.
_WITH_VOICE, _WITH_SOUND = "compositeWithTrainedAlgorithmicMedia", "algorithmicMedia"
_POSTER_QUALITY = 90
#: Working folder of a burn-in, inside the job's. Filters take names from it, so that no path needs escaping.
_BURN = ".burn"


def make_video(ctx: Context) -> Facts:
    """Draw, encode and check the video.

    Reads `speech.wav`, `timing.json` and what `compose` needs. Writes the video (its name is in
    stages/encode/formats.py), `poster.jpg` and, as the manifest asks, `captions.srt` or `captions.vtt`.

    Raises:
        MachineError: `ffmpeg-missing`, `font-missing`, `disk-full`, `out-of-memory`.
        UnknownError: `ffmpeg-failed`, `frames-missing`, `video-invalid`.
        ResultError: `picture-invalid`, `video-silent`.
    """
    from stages.encode.compose import Composer
    from stages.encode.parallel import Shares, processes_for

    composer = Composer.open(ctx)
    processes = processes_for(ctx.settings, composer.frame_count)
    return write_video(ctx, composer if processes == 1 else Shares(ctx, composer, processes))


def write_video(ctx: Context, source: FrameSource, form: OutputFormat | None = None) -> Facts:
    """`make_video` for any source of frames, and for any format: without `form`, the usual one for such frames."""
    from stages.encode.ffmpeg_command import encode
    from stages.encode.formats import format_for
    from stages.encode.output_checks import FrameCheck, check_sound

    timing = json.loads(ctx.path("timing.json").read_text(encoding="utf-8"))
    cues, captions = _captions(ctx, timing, source)
    poster: list[Frame] = []
    form = form or format_for(source.transparent)
    with (
        _burning(ctx, cues, source, str(timing.get("language", "en"))) as subtitles,
        artifact(ctx.path(form.file)) as temporary,
    ):
        recipe = _recipe(ctx, form, timing, subtitles)
        speech = ctx.path("speech.wav").absolute()
        target = temporary.absolute()
        encode(
            source,
            speech,
            target,
            recipe,
            cwd=ctx.path(_BURN) if subtitles else ctx.job_dir,
            progress=lambda part: ctx.progress(0.98 * part),
            on_first=lambda frame: poster.append(frame.copy()),
            on_each=FrameCheck().look,
        )
        movie = _checked(target, source, recipe, timing["duration"])
        check_sound(target, speech)
    _write_poster(ctx, poster[0])
    ctx.progress(1.0)
    video = movie.stream("video")
    assert video is not None
    return {
        "encoder": form.encoder,
        "why": f"quality {ctx.manifest.quality}: preset {recipe.preset}, crf {recipe.crf}",
        "width": source.width,
        "height": source.height,
        "fps": ctx.manifest.fps,
        "frames": video.samples,
        "duration_s": round(float(video.duration), 3),
        "bytes": ctx.path(form.file).stat().st_size,
        "captions": captions,
    }


def _captions(ctx: Context, timing: dict[str, Any], source: FrameSource) -> tuple[list[Cue], str]:
    """Cues to burn in, if so asked, and what became of the captions, for the status. Writes the caption file."""
    from stages.encode.ass_subtitles import line_chars
    from stages.encode.caption_text import shown
    from stages.encode.captions import cues, srt, vtt

    wanted = ctx.manifest.captions
    if wanted == "none":
        return [], "none"
    if not timing["words"]:
        ctx.warnings.append(
            "There are no captions: only the sound is known, not its words. Give them in `text`, beside `audio`."
        )
        return [], "none: the words are not known"
    words = list(shown(timing["words"]))
    if wanted == "burn":
        return cues(words, line_chars(source.width, source.height)), "burned in"
    name = f"captions.{wanted}"
    with artifact(ctx.path(name)) as temporary:
        temporary.write_text((srt if wanted == "srt" else vtt)(cues(words)), encoding="utf-8")
    return [], name


@contextmanager
def _burning(ctx: Context, cues: list[Cue], source: FrameSource, language: str) -> Iterator[tuple[str, str] | None]:
    """A folder with the caption script and the font, under names that no filter has to quote."""
    from stages.encode.ass_subtitles import ass, shown
    from stages.encode.fonts import font_for

    folder = ctx.path(_BURN)
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    if not cues:
        yield None
        return
    font, warning = font_for("".join(shown(line) for cue in cues for line in cue.lines), language)
    if warning:
        ctx.warnings.append(warning)
    (folder / "fonts").mkdir(parents=True)
    try:
        (folder / "captions.ass").write_text(ass(cues, source.width, source.height, font.family), encoding="utf-8")
        for path in font.files:
            (folder / "fonts" / path.name).symlink_to(path.resolve())
        yield "captions.ass", "fonts"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _recipe(ctx: Context, form: OutputFormat, timing: dict[str, Any], subtitles: tuple[str, str] | None) -> Recipe:
    from stages.encode.ffmpeg_command import Recipe

    settings, quality = ctx.settings.stages.encode, ctx.manifest.quality
    kind = _WITH_SOUND if timing["engine"] == "brought" else _WITH_VOICE
    label = f"{settings.label}. Digital source type: {_SOURCE_TYPE}{kind}"
    return Recipe(
        form=form,
        fps=ctx.manifest.frame_rate,
        preset=settings.preset[quality],
        crf=settings.crf[quality],
        audio_kbps=settings.audio_kbps,
        threads=settings.threads,
        tags={"title": settings.label, "comment": label, "description": label},
        subtitles=subtitles,
    )


def _checked(path: Path, source: FrameSource, recipe: Recipe, speech_s: float) -> Movie:
    """Read the finished file back before it gets its name.

    Raises:
        UnknownError: `video-invalid`.
    """
    try:
        movie = recipe.form.probe(path)
    except ValueError as exc:
        raise UnknownError("video-invalid", f"The encoded video is not whole: {exc}.", "It is tried again.") from exc
    video, audio = movie.stream("video"), movie.stream("audio")
    slack = 1 / recipe.fps + recipe.form.length_slack_s
    faults = [] if video and audio else ["a track is missing"]
    if video and audio:
        if video.samples != source.frame_count:
            faults.append(f"{video.samples} frames instead of {source.frame_count}")
        if (video.width, video.height) != (source.width, source.height):
            faults.append(f"{video.width}x{video.height} px instead of {source.width}x{source.height}")
        if abs(video.duration - audio.duration) > slack or video.duration + slack < speech_s:
            faults.append(f"{float(video.duration):.3f} s of picture, {float(audio.duration):.3f} s of sound")
    if faults:
        raise UnknownError("video-invalid", f"The encoded video is wrong: {'; '.join(faults)}.", "It is tried again.")
    return movie


def _write_poster(ctx: Context, frame: Frame) -> None:
    """The first frame, where the face is at rest, as a JPEG."""
    import cv2

    done, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, _POSTER_QUALITY])
    if not done:
        raise UnknownError("poster-failed", "The poster could not be made.", "See the log.")
    with artifact(ctx.path("poster.jpg")) as temporary:
        temporary.write_bytes(data.tobytes())
