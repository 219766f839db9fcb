"""Defines the types of values in a manifest, and of its groups of keys: what may be written, and the form in which it is kept.

Each type is a pydantic annotation with a check before it. A check raises ValueError with the rest of the sentence "KEY …".
"""

from __future__ import annotations

import datetime
import math
import re
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from daemon.config.hooks import url_fault
from daemon.config.lexicon import Lexicon, check_lexicon
from daemon.jobs.batch.table import TABLE_ENDINGS
from daemon.jobs.language import language_tag
from daemon.jobs.video_files import SOUND_ENDINGS, VIDEO_ENDINGS
from daemon.jobs.yaml_positions import PlainScalar

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
#: The words for a job's priority, and the numbers that they are.
PRIORITY_WORDS = {"low": -10, "normal": 0, "high": 10}
#: The rate of a drawn video whose manifest names none.
USUAL_RATE = "25"
MAX_NAME_BYTES = 255  # of a file name, on every filesystem in use
MAX_PATH_CHARS = 1024  # of a name with its folders; the patterns below take long for a longer one
MIN_SIDE, MAX_SIDE = 128, 4096  # px, of the output picture
#: A file name and another one, or the comma or semicolon that other formats have at the end of a line.
_LISTED = re.compile(r"\.\w{2,5}\s*[,;](\s|$)")
_DEVICES = re.compile(r"(con|prn|aux|nul|com[1-9]|lpt[1-9])", re.IGNORECASE)
#: A name of a file with a text, with or without folders.
_TEXT_FILE = re.compile(
    r"(?:\S*[/\\])?[^\s/\\]+\.(?:txt|docx?|rtf|odt|md|pdf|pages|srt|vtt|ya?ml|json|csv|tsv|xlsx)", re.IGNORECASE
)
#: A name of a file with a sound or a picture.
_OTHER_FILE = re.compile(r"[^\s/\\]+\.(?:wav|mp3|m4a|flac|ogg|opus|aac|mp4|mov|png|jpe?g|webp|heic)", re.IGNORECASE)
#: What people write where there is no file, or where a switch stands elsewhere.
NO_FILES = frozenset({"none", "no", "off", "false", "null", "n/a", "nothing", "true", "yes", "on"})
#: Words that are no name of a file: a sentence.
_SENTENCE = re.compile(r"(?!.*\.\w{1,5}$)(?:.* .*[.!?…]|(?:\S+ ){4,}\S+)")
#: What is written around or in place of a name: <a.png>, 'a.png', [[a.png]], ![x](a.png), $HOME/a.png, %TEMP%/a.png, a.png?dl=1,
#: www.x.org/a.png, and a comma for the point of the ending.
_NO_NAME = re.compile(
    r"<.*>|([\"'`«“]).*[\"'`»”]|\[.*\]|!?\[.*\]\(.*\)|\$\{?\w+\}?[/\\].*|%\w+%[/\\].*|.*\.\w{2,5}\?\w+=.*|www\..*"
    r"|[^,.]+,(?:png|jpe?g|webp|wav|mp3|m4a|mp4|mov)",
    re.IGNORECASE,
)
MAX_ASPECT = 4  # longer side over shorter side

_SIZE = re.compile(r"(\d{2,5})\s*(?:px)?\s*[x×*]\s*(\d{2,5})\s*(?:px)?", re.IGNORECASE)
_CROP = re.compile(r"(\d{1,5})\s*[x×]\s*(\d{1,5})\s*\+\s*(\d{1,5})\s*\+\s*(\d{1,5})", re.IGNORECASE)
_ASPECT = re.compile(r"(\d{1,3})\s*[:：∶/x×]\s*(\d{1,3})", re.IGNORECASE)


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


def _crop(value: object) -> str:
    """Check a part of a picture: width, height, and distance from the left and from the top, in px."""
    match = _CROP.fullmatch(str(value).strip())
    if match is None or "0" in (match[1], match[2]):
        raise ValueError("must be WIDTHxHEIGHT+LEFT+TOP in pixels, such as 640x640+120+0")
    width, height, left, top = (int(number) for number in match.groups())
    return f"{width}x{height}+{left}+{top}"


def _face(value: object) -> str:
    text = str(value).strip().lower()
    if text in ("largest", "center") or (text.isdecimal() and len(text) < 9 and int(text) < 100):
        return text
    raise ValueError("must be largest, center, or the number of the face counted from the left, starting at 0")


def _file_name(value: object) -> str:
    """Check the name of a file next to the manifest: relative and without `..`. Links are checked when it is opened."""
    text = str(value).strip()
    if len(text) > MAX_PATH_CHARS:
        raise ValueError(f"must be at most {MAX_PATH_CHARS} characters long")
    parts = text.replace("\\", "/").split("/")
    if not text or "\0" in text or text.casefold() in NO_FILES or _SENTENCE.fullmatch(text) or _NO_NAME.fullmatch(text):
        raise ValueError("must name a file")
    if _LISTED.search(text):
        raise ValueError("must be one file name")
    if "*" in text:
        raise ValueError("must name one file, without *")
    if any(ord(char) < 32 for char in text):
        raise ValueError("has a control character: in double quotes \\ begins one. Write / or use single quotes")
    if text.startswith(("/", "~", "\\")) or re.match(r"[A-Za-z]+:", text) or ".." in parts:
        raise ValueError("must name a file next to the manifest")
    if any(len(part.encode()) > MAX_NAME_BYTES for part in parts):
        raise ValueError(f"must be at most {MAX_NAME_BYTES} bytes long")
    if any(part.startswith(".") and part != "." for part in parts):
        raise ValueError("must not name a hidden file or folder")
    return "/".join(part for part in parts if part not in ("", "."))


def _rows_name(value: object) -> str:
    name = _file_name(value)
    if not name.lower().endswith(TABLE_ENDINGS):
        raise ValueError(f"must be a table of text: {', '.join(TABLE_ENDINGS[:-1])} or {TABLE_ENDINGS[-1]}")
    return name


_ON_ERROR = re.compile(r"continue|(?:stop|stop after ([1-9]\d{0,6}))")


def _on_error(value: object) -> str:
    found = _ON_ERROR.fullmatch(" ".join(str(value).lower().split()))
    if found is None:
        raise ValueError("must be continue, stop, or stop after a number of failed rows, such as stop after 5")
    return "continue" if found[0] == "continue" else f"stop after {found[1] or 1}"


#: Backgrounds that are neither a colour nor a file; `green` is the usual colour for chroma keying.
BACKGROUNDS = ("keep", "blur", "green", "transparent")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


def _background(value: object) -> str:
    text = str(value).strip()
    if text.lower() in BACKGROUNDS or _COLOUR.fullmatch(text):
        return text.lower()
    if text.startswith("#") or "." not in text:
        raise ValueError(f"must be {', '.join(BACKGROUNDS)}, a colour such as #1a2b3c, or a picture file")
    return _file_name(value)


def _output_name(value: object) -> str:
    text = str(value).strip()
    for ending in (*VIDEO_ENDINGS, *SOUND_ENDINGS):
        text = text.removesuffix(ending)
    if not text or text.startswith(".") or any(c in text for c in "/\\\0") or not text.isprintable():
        raise ValueError("must be a plain file name without folders")
    if len(text.encode()) > 200:
        raise ValueError("must be at most 200 bytes long")
    if _DEVICES.fullmatch(text.partition(".")[0]):
        raise ValueError("must not be a name that Windows keeps for a device")
    return text


#: Control characters that YAML allows in no file as they are: they come from \b, \v or \0 in double quotes.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def _text(value: object) -> object:
    """Refuse the name of a file in place of the words in it, and control characters, which only an escape can bring here."""
    if isinstance(value, str) and _CONTROL.search(value):
        raise ValueError("has a control character: in double quotes \\ begins one. Write \\\\ for it, or leave it out")
    if isinstance(value, str) and (_TEXT_FILE.fullmatch(value.strip()) or _OTHER_FILE.fullmatch(value.strip())):
        raise ValueError("must be the words themselves")
    return value


def _base(value: object) -> str:
    """Check the name of an earlier result, as a path below the outbox without its ending, or the id of its job."""
    text = str(value).strip()
    if not text or not text.isprintable() or text.startswith("/") or {"..", "", "."} & {*text.split("/")}:
        raise ValueError("must be the name of an earlier result, such as hello, or the id of its job")
    return text


def _avatar(value: object) -> str:
    text = str(value).strip()
    if text.lower().endswith((".png", ".jpg", ".jpeg", ".webp", ".heic", ".avif", ".tif", ".tiff", ".bmp", ".gif")):
        raise ValueError("must be the name of an avatar profile")
    return text


def _title(value: object) -> str:
    text = str(value).strip()
    if not text or not text.isprintable():
        raise ValueError("must be one line of text")
    if len(text) > 200:
        raise ValueError("must be at most 200 characters long")
    return text


def _notify(value: object) -> str:
    text = str(value).strip()
    if fault := url_fault(text):
        raise ValueError(fault)
    if len(text) > 2000:
        raise ValueError("must be at most 2,000 characters long")
    return text


def _priority(value: object) -> object:
    names, text = PRIORITY_WORDS, str(value).strip().lower()
    if text in names:
        return names[text]
    try:
        float(text)
    except ValueError:
        raise ValueError("must be low, normal, high or a whole number from -100 to 100") from None
    return value


def _checked_lexicon(value: object) -> object:
    if isinstance(value, dict):
        check_lexicon(value)
    return value


def _seconds(value: object) -> float:
    """Return a time in s: 4.5, 4.5s or 0:04.5.

    Raises:
        ValueError: it is none.
    """
    minutes, colon, seconds = str(value).strip().removesuffix("s").rpartition(":")
    return 60 * float(minutes) + float(seconds) if colon else float(seconds)


def _moment(value: object) -> float | str:
    """A number is seconds; in a manifest file it is written without quotes."""
    try:
        seconds = _seconds(value) if isinstance(value, (PlainScalar, int, float)) else None
    except ValueError:
        seconds = None
    if seconds is not None and not 0 <= seconds < math.inf:
        raise ValueError("must be 0 s or later")
    if seconds is None and not any(map(str.isalnum, str(value))):
        raise ValueError("must be seconds from the start, or a word of the text")
    return str(value).strip() if seconds is None else seconds


def meant_seconds(text: str) -> float:
    """Return the time in s that a text means which is none as a manifest has it: 2,5 or 00:00:02; 5 where it means none."""
    found = re.fullmatch(r"(?:(?:(\d{1,2}):)?(\d{1,3}):)?(\d{1,6}(?:[.,]\d{1,6})?)\s*s?", text)
    if found is None:
        return 5.0
    hours, minutes, seconds = (float((part or "0").replace(",", ".")) for part in found.groups())
    return 3600 * hours + 60 * minutes + seconds


#: No speech is asked to be longer than this many seconds, 11 days; whether a text can be so long is looked at later.
_LONGEST_S = 1e6


def _duration(value: object) -> float:
    try:
        seconds = _seconds(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _LONGEST_S:
        raise ValueError("must be a length in seconds, such as 15, or in minutes and seconds, such as 0:15")
    return seconds


def _plain_word(value: object) -> object:
    """Return a word in small letters, without the point of a file ending: MP4 and .mp4 are mp4."""
    return value.strip().lower().removeprefix(".") if isinstance(value, str) else value


#: Marks a key whose value is one of a few words.
ANY_CASE = BeforeValidator(_plain_word)
FrameRate = Annotated[str, BeforeValidator(_frame_rate, json_schema_input_type=str | float)]
Size = Annotated[str, BeforeValidator(_size, json_schema_input_type=str)]
Aspect = Annotated[str, BeforeValidator(_aspect, json_schema_input_type=str)]
Crop = Annotated[str, BeforeValidator(_crop, json_schema_input_type=str)]
FaceChoice = Annotated[str, BeforeValidator(_face, json_schema_input_type=str | int)]
FileName = Annotated[str, BeforeValidator(_file_name, json_schema_input_type=str)]
RowsName = Annotated[str, BeforeValidator(_rows_name, json_schema_input_type=str)]
OnError = Annotated[str, BeforeValidator(_on_error, json_schema_input_type=str)]
Language = Annotated[str, BeforeValidator(language_tag, json_schema_input_type=str)]
Background = Annotated[str, BeforeValidator(_background, json_schema_input_type=str)]
OutputName = Annotated[str, BeforeValidator(_output_name, json_schema_input_type=str)]
BaseName = Annotated[str, BeforeValidator(_base, json_schema_input_type=str)]
AvatarName = Annotated[str, BeforeValidator(_avatar, json_schema_input_type=str)]
Duration = Annotated[float, BeforeValidator(_duration, json_schema_input_type=float | str)]
Title = Annotated[str, BeforeValidator(_title, json_schema_input_type=str)]
NotifyUrl = Annotated[str, BeforeValidator(_notify, json_schema_input_type=str)]
Words = Annotated[str, BeforeValidator(_text)]
Priority = Annotated[int, BeforeValidator(_priority, json_schema_input_type=int | Literal["low", "normal", "high"])]
CheckedLexicon = Annotated[Lexicon, BeforeValidator(_checked_lexicon)]
#: Seconds from the start, or a word of the text.
Moment = Annotated[float | str, BeforeValidator(_moment, json_schema_input_type=float | str)]


class StrictModel(BaseModel):
    """A mapping of a manifest: it has no other keys, never changes, and holds finite numbers only."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Motion(StrictModel):
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


class NewProfile(StrictModel):
    """The profile that a job makes: of a voice from `audio` (`kind: voice`), of a portrait from `image` (`kind: avatar`)."""

    name: str | None = Field(
        None,
        min_length=1,
        max_length=60,
        description="What the voice or avatar is called; default: the name of the result.",
    )
    consent: str | None = Field(
        None, max_length=500, description="Who agreed that this voice or portrait is kept, when, and on what basis."
    )
    expires: datetime.date | None = Field(
        None, description="Last day on which it may be used, as YYYY-MM-DD; default: no end."
    )


Quality = Literal["draft", "low", "medium", "high"]


class Expression(StrictModel):
    """An expression of the face from one moment on, until the next one. The default is calm."""

    at: Moment = Field(
        description="When: seconds from the start, or the word of the text on which it falls (after that of the entry before)."
    )
    name: Annotated[Literal["neutral", "smile", "surprise", "serious"], ANY_CASE] = Field(
        description="Which expression: it holds until the next one; a surprise passes within about a second."
    )
    intensity: float = Field(1.0, ge=0, le=1, description="How strong.")


#: Keys whose value is a mapping with its own keys, or a list of such mappings.
GROUPS: dict[str, type[StrictModel]] = {"motion": Motion, "expressions": Expression, "profile": NewProfile}
#: Keys of the groups that are single mappings, with their group, such as "motion.blink".
KEYS_BELOW: tuple[str, ...] = tuple(
    f"{group}.{key}" for group in ("motion", "profile") for key in GROUPS[group].model_fields
)
