"""Defines the manifest, in which a user describes a job, as one typed model.

From this model come the validation messages (`daemon.jobs.parse`), the JSON Schema for editors (`avatar schema`) and
docs/manifest.md (`tools/docs.py`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_type_hints

from pydantic import Field, JsonValue, PrivateAttr, model_validator

from daemon.jobs.batch.template import has_placeholder
from daemon.jobs.companions import PICTURE_ENDINGS, SOUND_ENDINGS, VIDEO_ENDINGS, Companion, NamedFile, companion_marks
from daemon.jobs.kinds import KINDS, Kind, keys_without_use
from daemon.jobs.manifest_conflicts import ConflictsError, conflicts_of
from daemon.jobs.manifest_values import (
    ANY_CASE,
    BACKGROUNDS,
    FRAME_RATES,
    USUAL_RATE,
    Aspect,
    AvatarName,
    Background,
    BaseName,
    CheckedLexicon,
    Crop,
    Duration,
    Expression,
    FaceChoice,
    FileName,
    FrameRate,
    Language,
    Motion,
    NewProfile,
    NotifyUrl,
    OnError,
    OutputName,
    Priority,
    Quality,
    RowsName,
    Size,
    StrictModel,
    Title,
    Words,
)
from daemon.jobs.stages import Stage
from daemon.jobs.video_files import (
    Mp4Codec,
    SoundFormat,
    VideoFormat,
    choose_sound_format,
    choose_video_format,
)

if TYPE_CHECKING:
    KindName = str
else:
    KindName = Literal[tuple(KINDS)]


#: A value of `background` names a file only where it is no colour, no word and something is drawn.
_BACKGROUND_FILE = Companion(
    lambda value, manifest: manifest.background_file is not None, option="", endings=PICTURE_ENDINGS
)
_AUDIO_FILE = Companion(
    option="A sound file to be spoken to; TEXT is then what is said in it.",
    letter="a",
    endings=SOUND_ENDINGS + VIDEO_ENDINGS,
)
_VIDEO_FILE = Companion(option="A video, for a job of kind encode or info.", endings=VIDEO_ENDINGS)
_CAPTION_FILE = Companion(option="A caption file, .srt or .vtt, for a job of kind encode.", endings=(".srt", ".vtt"))


class Manifest(StrictModel):
    """The description of one job: one YAML document."""

    kind: Annotated[KindName, ANY_CASE] = Field(
        "video", description="; ".join(f"{kind.name}: {kind.what}" for kind in KINDS.values()) + "."
    )
    text: Annotated[Words, Field(min_length=1)] | None = Field(
        None,
        description='What is said, as plain text, up to about an hour (60,000 characters: docs/voices.md, "How long a text may '
        'be"); `[pause 0.5s]` is a pause. Beside `audio`: its words.',
    )
    audio: Annotated[FileName, _AUDIO_FILE] | None = Field(
        None,
        description="A sound file next to the manifest, heard in place of a voice. With its words in `text` there are "
        "captions, and in en, es, fr, hi, it and pt also lips that close where they must (in other languages the mouth follows "
        "the loudness, and captions are spread over the sound); without, the words are recognised where the service can. "
        "For `kind: encode`: the new sound.",
    )
    voice: str = Field(
        "default",
        min_length=1,
        max_length=100,
        description="Voice to speak with: a name, engine/name, or words for gender, accent and language such as british female "
        "(docs/voices.md). Default: heart (US English, female).",
    )
    language: Language = Field("en", description="Language of the text: a tag such as en, en-GB or ja.")
    lexicon: CheckedLexicon | None = Field(
        None, description="How words of the text are said, such as `lexicon: {nginx: engine ex}` (docs/voices.md)."
    )
    speed: float = Field(1.0, ge=0.5, le=2.0, description="Speaking rate; 1 is the voice's own pace.")
    duration: Duration | None = Field(
        None,
        description="How long the speech, and with it the video, is to be: seconds such as 15, or 0:15. It is spoken at 0.85 to "
        "1.2 times `speed`, then with shorter or longer pauses (docs/voices.md).",
    )
    image: Annotated[FileName, Companion(option="The portrait.", letter="i", endings=PICTURE_ENDINGS)] | None = Field(
        None, description="The portrait: a picture file next to the manifest."
    )
    video: Annotated[FileName, _VIDEO_FILE] | None = Field(
        None, description="For `kind: encode` and `info`: a video file next to the manifest."
    )
    avatar: Annotated[AvatarName, Field(min_length=1, max_length=100)] | None = Field(
        None,
        description="In place of `image`: an avatar profile, by name or id (docs/avatars.md). What it says of voice, background, "
        "motion and framing holds where the manifest does not say it.",
    )
    prompt: Annotated[Words, Field(min_length=1, max_length=1000)] | None = Field(
        None,
        description="For `kind: avatar`, in place of `image`: describes a person, whose portrait is generated (docs/avatars.md).",
    )
    negative: Annotated[Words, Field(max_length=1000)] | None = Field(
        None, description="With `prompt`: what the portrait should not show."
    )
    seed: int | None = Field(
        None, ge=0, le=2**31 - 1, description="With `prompt`: same seed, same portrait; default: from the job id."
    )
    enhance_prompt: bool = Field(
        True,
        description="With `prompt`: add words for a portrait that can be animated (`stages.generate.prompt`); false: as written.",
    )
    face: FaceChoice = Field(
        "largest",
        description="Which face, when there are several: largest, center, or its number from the left, from 0.",
    )
    quality: Annotated[Quality | None, ANY_CASE] = Field(
        None,
        description="Encoder effort and size: draft (for a quick look, with half the width and height), low, medium or high. "
        "Default: medium; `kind: encode` copies a picture that nothing else changes.",
    )
    format: Annotated[VideoFormat | SoundFormat | None, ANY_CASE] = Field(
        None,
        description="Format of the video: mp4, webm (VP9 and Opus), or mov for editors (ProRes 4444 and PCM). Default: mp4, "
        "or webm where the background is transparent, or the source of `kind: encode` is a WebM. Of `kind: speech`: wav (the "
        "default), mp3, opus or flac.",
    )
    codec: Annotated[Mp4Codec | None, ANY_CASE] = Field(
        None,
        description="Video codec of an MP4: h264, which every player knows, or hevc, which is smaller. Default: h264.",
    )
    fps: FrameRate | None = Field(
        None,
        description="Frames per second: 23.976, 24, 25, 29.97, 30, 50, 59.94 or 60; kept as exact fractions. Default: 25; for "
        "`kind: encode` that of the source.",
    )
    crop: Crop | None = Field(
        None,
        description="For `kind: encode`: the part of the source that is kept, WIDTHxHEIGHT+LEFT+TOP in px of the upright "
        "picture, such as 640x640+120+0.",
    )
    size: Size | None = Field(
        None,
        description="WIDTHxHEIGHT of the video in px; see `fit`. Default: the picture's own, at most 1920x1080 or 1080x1920 "
        "(`stages.face.max_side_px`).",
    )
    aspect: Aspect | None = Field(
        None,
        description="WIDTH:HEIGHT of the video; see `fit`. Its size follows from the picture, which is never enlarged; at most "
        "1080x1920 for 9:16, 1920x1080 for 16:9, 1080x1080 for 1:1, 1440x1080 for 4:3. For an exact size write `size`.",
    )
    fit: Annotated[Literal["auto", "crop", "pad", "blur"], ANY_CASE] = Field(
        "auto",
        description="How a picture of another shape fills the video (with `size` or `aspect`). crop: cut around the face. pad, "
        "blur: the whole picture, between black borders, or borders that show it enlarged, blurred and darker. auto: crop where "
        "the head with its hair stays whole, but for a twentieth; else the picture is continued beyond its borders where the "
        "background there is "
        "plain and the head does not come to lie low, and has borders as with blur elsewhere. "
        "Where `background` replaces the picture's own (not with "
        "`background: blur`), there are no borders: what the picture's edge cuts off the person is continued. "
        "For `kind: encode`, crop cuts around the middle, and auto is pad.",
    )
    sync_mode: Annotated[Literal["longest", "cut", "loop"], ANY_CASE] = Field(
        "longest",
        description="For `kind: encode` with `audio`, where sound and picture differ in length. longest: the longer one decides; "
        "the last picture stays, or silence follows. cut: the shorter one decides. loop: the sound decides, and the picture "
        "begins again.",
    )
    subtitles: Annotated[FileName, _CAPTION_FILE] | None = Field(
        None,
        description="For `kind: encode`: a caption file, .srt or .vtt, next to the manifest; `captions` says where they go.",
    )
    profile: NewProfile | None = Field(
        None, description="For `kind: voice` and `kind: avatar`: name, consent and expiry of the profile."
    )
    background: Annotated[Background, _BACKGROUND_FILE] = Field(
        "keep",
        description="What is behind the person: keep, blur, green, transparent (WebM or MOV with alpha), a colour such as "
        "#1a2b3c (in quotes: # begins a comment), or a picture file next to the manifest.",
    )
    motion: Motion = Field(
        default_factory=Motion, description="Head, blinks, gaze, brows, breath, expressiveness, seed."
    )
    captions: Annotated[Literal["none", "srt", "vtt", "burn"], ANY_CASE] = Field(
        "none", description="Caption file beside the video, or burned into it."
    )
    expressions: tuple[Expression, ...] = Field(
        (),
        max_length=200,
        description="Expressions of the face, a list such as `[{at: lovely, name: smile}, {at: 4.5, name: neutral}]`. Default: "
        "calm, with a slight smile where a sentence has a smiling sign or an exclamation mark.",
    )
    rows: Annotated[RowsName, Companion(option="A table of rows, for a job of kind batch.")] | None = Field(
        None,
        description="For `kind: batch`: a table next to the manifest, .csv, .tsv or .jsonl; each row becomes a job "
        "(docs/batches.md).",
    )
    template: dict[str, JsonValue] | None = Field(
        None,
        description="For `kind: batch`: the manifest of each row; `{{column}}` stands for its cell, `{{column|default}}` for the "
        "default where that is empty. Without any, the columns of the table are keys of a manifest themselves.",
    )
    limit: int | None = Field(
        None, ge=1, description="For `kind: batch`: only the first so many rows, to try a few before all."
    )
    on_error: OnError = Field(
        "continue",
        description="For `kind: batch`: continue: rows that fail stop no others. stop, or stop after N: at the first failed row, "
        "or the N-th, those that have not started are cancelled.",
    )
    accept_partial: bool = Field(
        False,
        description="For `kind: batch`: make the rows that are right also where others are wrong. Otherwise nothing is made of a "
        "table that has a wrong row.",
    )
    dedupe: bool = Field(
        True,
        description="For `kind: batch`: rows that differ in nothing but `output`, `metadata` and `priority` are rendered once, "
        "and the result is given to each.",
    )
    base: Annotated[BaseName, Field(max_length=500)] | None = Field(
        None,
        description="An earlier job of yours, by the name of its result or by its id: what this manifest does not say is as it "
        "was there, with the same files and seeds (docs/again.md). `output` and the defaults of the folder are not taken.",
    )
    output: OutputName | None = Field(
        None, description="Name of the result without ending; default: the manifest's own name."
    )
    title: Title | None = Field(
        None, description="Title that players show, in the metadata of the video file. Default: none."
    )
    priority: Priority = Field(
        0, ge=-100, le=100, description="Higher goes first; low, normal and high mean -10, 0 and 10."
    )
    stream: bool = Field(
        False,
        description="For `kind: speech`: programs may read the speech in the outbox while it is spoken, as the HTTP door does "
        "(docs/http.md). Not taken over from a `base`.",
    )
    notify: NotifyUrl | None = Field(
        None,
        description="Where a message is sent by POST when the job has ended, https://…; the host must be one that the service "
        "allows (docs/hooks.md). Not taken over from a `base`.",
    )
    metadata: dict[str, JsonValue] = Field(default_factory=dict, description="Copied into the status file untouched.")

    _warnings: tuple[str, ...] = PrivateAttr(())
    _inherited: dict[str, str] = PrivateAttr(default_factory=dict)
    _defaults: tuple[str, ...] = PrivateAttr(())

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        # One with a base is only a part of a manifest; it is checked when it is completed.
        if self.base is None and (found := [*conflicts_of(self)]):
            raise ConflictsError(found)
        return self

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about what was written and does nothing, for the job's status. They are not stored with the manifest."""
        return self._warnings

    def with_warnings(self, warnings: Iterable[str]) -> Self:
        """Return the same manifest with these warnings, too."""
        copy = self.model_copy()
        copy._warnings = (*self._warnings, *warnings)
        return copy

    @property
    def defaults(self) -> tuple[str, ...]:
        """The files of folder defaults that were applied, by their path below the inbox; not stored with the manifest."""
        return self._defaults

    @property
    def inherited(self) -> dict[str, str]:
        """The keys that only folder defaults give: key → file that gives it, below the inbox; not stored with the manifest."""
        return self._inherited

    def with_defaults(self, files: Iterable[str], inherited: Mapping[str, str]) -> Self:
        """Return the same manifest with a note of the defaults in it.

        Args:
            files: the files of defaults, by their path below the inbox.
            inherited: the keys that only such a file gives: key → file.
        """
        copy = self.model_copy()
        copy._defaults, copy._inherited = tuple(files), dict(inherited)
        return copy

    @property
    def kind_of_job(self) -> Kind:
        """The table entry of its kind."""
        return KINDS[self.kind]

    @property
    def columns_fill_template(self) -> bool:
        """Whether the columns of a batch's table fill the placeholders of its template; else they are keys of a manifest."""
        return has_placeholder(self.template)

    @property
    def most_failures(self) -> int | None:
        """How many rows of a batch may fail before the others are cancelled; None: all."""
        return None if self.on_error == "continue" else int(self.on_error.rpartition(" ")[2])

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages that the job goes through, in order."""
        return self.kind_of_job.stages_of(lambda key: getattr(self, key) is not None)

    @property
    def frame_rate(self) -> Fraction:
        """Frames per second, exact."""
        return FRAME_RATES[self.fps or USUAL_RATE]

    @property
    def quality_or_usual(self) -> Quality:
        """The quality of a video, also where the manifest names none."""
        return self.quality or "medium"

    @property
    def result_format(self) -> VideoFormat | SoundFormat | None:
        """The format of the main result; None where it has none, or where only the source file says it."""
        kind = self.kind_of_job
        if kind.makes_sound:
            return choose_sound_format(self.format)
        return self.video_format if kind.draws or (kind.makes_video and (self.format or self.codec)) else None

    @property
    def video_format(self) -> VideoFormat:
        """The format of the video, by name."""
        transparent = self.kind_of_job.draws and self.background == "transparent"
        return choose_video_format(self.format, self.codec, transparent)

    @property
    def background_file(self) -> str | None:
        """Name of the picture that replaces the background; None if the background is no picture."""
        no_file = self.background in BACKGROUNDS or self.background.startswith("#")
        return self.background if self.kind_of_job.animates and not no_file else None

    def companions(self) -> dict[str, str]:
        """Return the files that this job needs beside its manifest: key → file name. It waits for no file without use."""
        unused = keys_without_use(self.kind_of_job)
        given = ((key, mark, getattr(self, key)) for key, mark in COMPANIONS.items() if key not in unused)
        return {key: value for key, mark, value in given if value is not None and mark.is_file(value, self)}

    def companion_paths(self, folder: str) -> dict[str, str]:
        """Return the paths of the files that this job needs, below the inbox: key → path.

        Args:
            folder: in which the manifest lies, below the inbox. A file that folder defaults name lies beside these.
        """
        return {key: os.path.join(self._folder_of(key, folder), name) for key, name in self.companions().items()}

    def named_files(self, folder: str) -> list[NamedFile]:
        """Return the files that this job needs; `folder` as for `companion_paths`."""
        return [NamedFile(path, key) for key, path in self.companion_paths(folder).items()]

    def _folder_of(self, key: str, folder: str) -> str:
        return os.path.dirname(self._inherited[key]) if key in self._inherited else folder


#: Keys that name files, in the order of the model.
COMPANIONS: dict[str, Companion] = {
    key: mark
    for key, hint in get_type_hints(Manifest, include_extras=True).items()
    if key in Manifest.model_fields
    for mark in companion_marks(hint)
}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a manifest, for editors."""
    schema = Manifest.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "avatard job manifest"}
