"""Defines the manifest, in which a user describes a job, as one typed model.

From this model come the validation messages (`daemon.jobs.parse`), the JSON Schema for editors (`avatar schema`) and
docs/manifest.md (`tools/docs.py`).
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import re
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, PrivateAttr, model_validator

from daemon.config.lexicon import Lexicon, check_lexicon
from daemon.jobs.kinds import KINDS, Kind
from daemon.jobs.language import language_tag
from daemon.jobs.video_files import VIDEO_ENDINGS, Mp4Codec, VideoFormat, choose_video_format
from daemon.jobs.yaml_positions import PlainScalar

if TYPE_CHECKING:
    KindName = str
else:
    KindName = Literal[tuple(KINDS)]

#: The frame rates television and the web use, by the name people write. Exact: 29.97 is 30000/1001 Hz.
FRAME_RATES: dict[str, Fraction] = {
    "23.976": Fraction(24000, 1001),
    "24": Fraction(24),
    "25": Fraction(25),
    "29.97": Fraction(30000, 1001),
    "30": Fraction(30),
    "50": Fraction(50),
    "59.94": Fraction(60000, 1001),
    "60": Fraction(60),
}
MAX_NAME_BYTES = 255  # of a file name, on every filesystem in use
MIN_SIDE, MAX_SIDE = 128, 4096  # px, of the output picture
MAX_ASPECT = 4  # longer side over shorter side

_SIZE = re.compile(r"(\d{2,5})\s*[x×]\s*(\d{2,5})")
_ASPECT = re.compile(r"(\d{1,3})\s*:\s*(\d{1,3})")


def _frame_rate(value: object) -> str:
    text = str(value).strip().removesuffix("fps").strip()
    if text in FRAME_RATES:
        return text
    for name, rate in FRAME_RATES.items():
        if text in (f"{rate.numerator}/{rate.denominator}", f"{float(rate)}"):
            return name
    raise ValueError(f"must be one of {', '.join(FRAME_RATES)}")


def _size(value: object) -> str:
    match = _SIZE.fullmatch(str(value).strip())
    if match is None:
        raise ValueError("must be WIDTHxHEIGHT in pixels, such as 720x720")
    sides = [int(side) for side in match.groups()]
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in sides):
        raise ValueError(f"sides must be between {MIN_SIDE} and {MAX_SIDE} px")
    if any(side % 2 for side in sides):
        raise ValueError("sides must be even numbers (H.264 stores colour for pairs of pixels)")
    return f"{sides[0]}x{sides[1]}"


def _aspect(value: object) -> str:
    match = _ASPECT.fullmatch(str(value).strip())
    if match is None or not 1 / MAX_ASPECT <= int(match[1]) / max(1, int(match[2])) <= MAX_ASPECT or int(match[2]) == 0:
        raise ValueError(f"must be WIDTH:HEIGHT, such as 9:16, and at most {MAX_ASPECT}:1 or 1:{MAX_ASPECT}")
    return f"{int(match[1])}:{int(match[2])}"


def _face(value: object) -> str:
    text = str(value).strip()
    if text in ("largest", "center") or (text.isdecimal() and int(text) < 100):
        return text
    raise ValueError("must be largest, center, or the number of the face counted from the left, starting at 0")


def _file_name(value: object) -> str:
    """Check the name of a file next to the manifest: relative and without `..`. Links are checked when it is opened."""
    text = str(value).strip()
    parts = text.replace("\\", "/").split("/")
    if not text or "\0" in text:
        raise ValueError("must name a file")
    if any(ord(char) < 32 for char in text):
        raise ValueError("has a control character: in double quotes \\ begins one; write / or use single quotes")
    if text.startswith(("/", "~", "\\")) or re.match(r"[A-Za-z]+:", text) or ".." in parts:
        raise ValueError("must name a file next to the manifest")
    if any(len(part.encode()) > MAX_NAME_BYTES for part in parts):
        raise ValueError(f"must be at most {MAX_NAME_BYTES} bytes long")
    if any(part.startswith(".") and part != "." for part in parts):
        raise ValueError("must not name a hidden file or folder")
    return "/".join(part for part in parts if part not in ("", "."))


#: Backgrounds that are neither a colour nor a file; `green` is the usual colour for chroma keying.
BACKGROUNDS = ("keep", "blur", "green", "transparent")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


def _background(value: object) -> str:
    text = str(value).strip()
    if text in BACKGROUNDS or _COLOUR.fullmatch(text):
        return text.lower()
    if text.startswith("#") or "." not in text:
        raise ValueError(f"must be {', '.join(BACKGROUNDS)}, a colour such as #1a2b3c, or a picture file")
    return _file_name(value)


def _output_name(value: object) -> str:
    text = str(value).strip()
    for ending in VIDEO_ENDINGS:
        text = text.removesuffix(ending)
    if not text or text.startswith(".") or any(c in text for c in "/\\\0") or not text.isprintable():
        raise ValueError("must be a plain file name without folders")
    if len(text.encode()) > 200:
        raise ValueError("must be at most 200 bytes long")
    return text


def _title(value: object) -> str:
    text = str(value).strip()
    if not text or not text.isprintable():
        raise ValueError("must be one line of text")
    if len(text) > 200:
        raise ValueError("must be at most 200 characters long")
    return text


def _priority(value: object) -> object:
    names = {"low": -10, "normal": 0, "high": 10}
    return names.get(str(value).strip().lower(), value)


FrameRate = Annotated[str, BeforeValidator(_frame_rate, json_schema_input_type=str | float)]
Size = Annotated[str, BeforeValidator(_size, json_schema_input_type=str)]
Aspect = Annotated[str, BeforeValidator(_aspect, json_schema_input_type=str)]
FaceChoice = Annotated[str, BeforeValidator(_face, json_schema_input_type=str | int)]
FileName = Annotated[str, BeforeValidator(_file_name, json_schema_input_type=str)]
Language = Annotated[str, BeforeValidator(language_tag, json_schema_input_type=str)]


@dataclasses.dataclass(frozen=True)
class Companion:
    """Marks a key that names a file next to the manifest. The job waits for the file, copies it, and keeps it for a retry.

    Attributes:
        is_file: returns whether a value of the key, in a manifest, names a file.
        option: help of the option `--KEY FILE` of `avatar submit`, which brings the file into the inbox; None: the key's
            description. Empty: there is no option.
        letter: short form of that option.
    """

    is_file: Callable[[str, Manifest], bool] = lambda value, manifest: True
    option: str | None = None
    letter: str = ""


#: Type of a key whose value always names such a file.
CompanionFile = Annotated[FileName, Companion()]
Background = Annotated[
    str,
    BeforeValidator(_background, json_schema_input_type=str),
    Companion(lambda value, manifest: _is_picture(value, manifest), option=""),
]
OutputName = Annotated[str, BeforeValidator(_output_name, json_schema_input_type=str)]
Title = Annotated[str, BeforeValidator(_title, json_schema_input_type=str)]
Priority = Annotated[int, BeforeValidator(_priority, json_schema_input_type=int | Literal["low", "normal", "high"])]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Motion(_Strict):
    """Amount of movement. 1 is natural, 0 is still, 2 is the maximum."""

    head: float = Field(1.0, ge=0, le=2, description="Head sway and nods; 0 locks the head.")
    blink: float = Field(1.0, ge=0, le=2, description="Blinks; 0 turns them off. They stay when the head is locked.")
    gaze: float = Field(
        1.0, ge=0, le=2, description="Eyes that look elsewhere for moments; 0 keeps the gaze of the picture."
    )
    brow: float = Field(1.0, ge=0, le=2, description="Brows that rise with accents; 0 keeps them still.")
    breath: float = Field(
        1.0, ge=0, le=2, description="The chest's lift, and lips that part before a phrase; 0 for none."
    )
    expressiveness: float = Field(1.0, ge=0, le=2, description="How far the mouth and brows move.")
    seed: int | None = Field(
        None, ge=0, le=2**31 - 1, description="Same seed, same movement; default: from the job id."
    )


class VoiceProfile(_Strict):
    """The voice profile that a job of `kind: voice` creates from the recording `audio` in the language `language`."""

    name: str | None = Field(
        None, min_length=1, max_length=60, description="What the voice is called; default: the manifest's own name."
    )
    consent: str | None = Field(
        None, max_length=500, description="Who agreed that this voice is copied, when, and on what basis."
    )
    expires: datetime.date | None = Field(
        None, description="Last day on which it may be spoken with, as YYYY-MM-DD; default: no end."
    )


def _checked_lexicon(value: object) -> object:
    if isinstance(value, dict):
        check_lexicon(value)
    return value


def _moment(value: object) -> float | str:
    """A number is seconds; in a manifest file it is written without quotes."""
    try:
        seconds = float(value) if isinstance(value, (PlainScalar, int, float)) else None
    except ValueError:
        seconds = None
    if seconds is not None and not 0 <= seconds < math.inf:
        raise ValueError("must be 0 s or later")
    if seconds is None and not any(map(str.isalnum, str(value))):
        raise ValueError("must be seconds from the start, or a word of the text")
    return str(value).strip() if seconds is None else seconds


class Expression(_Strict):
    """An expression of the face from one moment on, until the next one. The default is calm."""

    at: Annotated[float | str, BeforeValidator(_moment, json_schema_input_type=float | str)] = Field(
        description="When: seconds from the start, or the word of the text on which it falls (after that of the entry before)."
    )
    name: Literal["neutral", "smile", "surprise", "serious"] = Field(
        description="Which: it holds until the next one; a surprise passes within about a second."
    )
    intensity: float = Field(1.0, ge=0, le=1, description="How strong.")


_AUDIO_OPTION = "A sound file to be spoken to; TEXT is then what is said in it."


class Manifest(_Strict):
    """The description of one job: one YAML document."""

    kind: KindName = Field("video", description="; ".join(f"{kind.name}: {kind.what}" for kind in KINDS.values()) + ".")
    text: str | None = Field(
        None,
        min_length=1,
        description="What is said, as plain text, up to an hour (60,000 characters, `intake.max_text_chars`); `[pause 0.5s]` "
        "is a pause (docs/voices.md). Beside `audio`: its words.",
    )
    audio: Annotated[FileName, Companion(option=_AUDIO_OPTION, letter="a")] | None = Field(
        None,
        description="A sound file next to the manifest, heard in place of a voice. With its words in `text` there are "
        "captions, and lips that close where they must.",
    )
    voice: str = Field(
        "default",
        min_length=1,
        max_length=100,
        description="Voice to speak with: a name, engine/name, or words for gender, accent and language such as british female "
        "(docs/voices.md). Default: heart (US English, female).",
    )
    language: Language = Field("en", description="Language of the text: a tag such as en, en-GB or ja.")
    lexicon: Annotated[Lexicon, BeforeValidator(_checked_lexicon)] | None = Field(
        None, description="How words of the text are said, as in config.yaml: `nginx: engine ex` (docs/voices.md)."
    )
    speed: float = Field(1.0, ge=0.5, le=2.0, description="Speaking rate; 1 is the voice's own pace.")
    image: Annotated[FileName, Companion(option="The portrait.", letter="i")] | None = Field(
        None, description="The portrait: a picture file next to the manifest."
    )
    face: FaceChoice = Field(
        "largest",
        description="Which face, when there are several: largest, center, or its number from the left, from 0.",
    )
    quality: Literal["draft", "low", "medium", "high"] = Field(
        "medium", description="Encoder effort and size; draft: for a quick look, with half the width and height."
    )
    format: VideoFormat | None = Field(
        None,
        description="Format of the video: mp4, webm (VP9 and Opus), or mov for editors (ProRes 4444 and PCM). Default: mp4, "
        "or webm where the background is transparent.",
    )
    codec: Mp4Codec | None = Field(
        None,
        description="Video codec of an MP4: h264, which every player knows, or hevc, which is smaller. Default: h264.",
    )
    fps: FrameRate = Field(
        "25", description="Frames per second: 23.976, 24, 25, 29.97, 30, 50, 59.94 or 60; kept as exact fractions."
    )
    size: Size | None = Field(
        None,
        description="WIDTHxHEIGHT of the video in px; see `fit`. Default: the picture's own.",
    )
    aspect: Aspect | None = Field(None, description="WIDTH:HEIGHT of the video; see `fit`.")
    fit: Literal["auto", "crop", "pad", "blur"] = Field(
        "auto",
        description="How a picture of another shape fills the video. crop: cut around the face. pad, blur: the whole "
        "picture, with borders in black or of the picture, blurred; before another `background` than keep, what the picture "
        "cuts of the person is continued. auto: crop where the head with its hair stays whole, else continue picture and "
        "person beyond the picture's borders.",
    )
    profile: VoiceProfile | None = Field(None, description="For `kind: voice`: its name, consent and expiry.")
    background: Background = Field(
        "keep",
        description="What is behind the person: keep, blur, green, transparent (WebM or MOV with alpha), a colour such as "
        "#1a2b3c (in quotes: # begins a comment), or a picture file next to the manifest.",
    )
    motion: Motion = Field(
        default_factory=Motion, description="Head, blinks, gaze, brows, breath, expressiveness, seed."
    )
    captions: Literal["none", "srt", "vtt", "burn"] = Field(
        "none", description="Caption file beside the video, or burned into it."
    )
    expressions: tuple[Expression, ...] = Field(
        (),
        max_length=200,
        description="Expressions of the face, a list such as `[{at: lovely, name: smile}, {at: 4.5, name: neutral}]`. Default: "
        "calm, with a slight smile where a sentence has a smiling sign or an exclamation mark.",
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
    metadata: dict[str, JsonValue] = Field(default_factory=dict, description="Copied into the status file untouched.")

    _warnings: tuple[str, ...] = PrivateAttr(())

    @model_validator(mode="after")
    def _needs(self) -> Self:
        def given(key: str) -> bool:
            return getattr(self, key) is not None

        kind = self.kind_of_job
        if wrong := kind.refused(given) or kind.missing(given):
            raise ValueError(wrong[1])
        said = (self.text or "").casefold()
        for expression in self.expressions:
            if isinstance(expression.at, str) and expression.at.casefold() not in said:
                raise ValueError(f"`expressions` names the word “{expression.at}”, which `text` does not contain")
        if kind.draws:
            choose_video_format(self.format, self.codec, self.background == "transparent")
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
    def kind_of_job(self) -> Kind:
        """The table entry of its kind."""
        return KINDS[self.kind]

    @property
    def frame_rate(self) -> Fraction:
        """Frames per second, exact."""
        return FRAME_RATES[self.fps]

    @property
    def video_format(self) -> VideoFormat:
        """The format of the video, by name."""
        return choose_video_format(self.format, self.codec, self.background == "transparent")

    @property
    def background_file(self) -> str | None:
        """Name of the picture that replaces the background; None if the background is no picture."""
        return self.background if _is_picture(self.background, self) else None

    def companions(self) -> dict[str, str]:
        """Return the files that this job needs beside its manifest: key → file name."""
        given = ((key, mark, getattr(self, key)) for key, mark in COMPANIONS.items())
        return {key: value for key, mark, value in given if value is not None and mark.is_file(value, self)}

    def files(self) -> list[str]:
        """Return the names of the files that this job needs beside its manifest."""
        return list(self.companions().values())


def _is_picture(background: str, manifest: Manifest) -> bool:
    no_file = background in BACKGROUNDS or background.startswith("#")
    return manifest.kind_of_job.draws and not no_file


def _marks(annotation: Any) -> Iterator[Companion]:
    """Yield the `Companion` marks in a type, such as those in `CompanionFile | None`."""
    for part in getattr(annotation, "__metadata__", ()):
        if isinstance(part, Companion):
            yield part
    for inner in get_args(annotation):
        yield from _marks(inner)


#: Keys that name files, in the order of the model.
COMPANIONS: dict[str, Companion] = {
    key: mark
    for key, hint in get_type_hints(Manifest, include_extras=True).items()
    if key in Manifest.model_fields
    for mark in _marks(hint)
}


def copy_name(key: str) -> str:
    """Return the file name, in the job's folder, of the copy of the file that a key names."""
    return f"source.{key}"


#: Keys whose value is a mapping with its own keys, or a list of such mappings.
GROUPS: dict[str, type[_Strict]] = {"motion": Motion, "expressions": Expression, "profile": VoiceProfile}


#: Keys of the groups that are single mappings, with their group, such as "motion.blink".
KEYS_BELOW: tuple[str, ...] = tuple(
    f"{group}.{key}" for group in ("motion", "profile") for key in GROUPS[group].model_fields
)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a manifest, for editors."""
    schema = Manifest.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "avatard job manifest"}
