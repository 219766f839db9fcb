"""Recognises what people mistype in the value of a key, and says what to write in its place."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from typing import Any, Final

from daemon.config.flow import as_flow
from daemon.jobs.batch.table import TABLE_ENDINGS
from daemon.jobs.kinds import KINDS
from daemon.jobs.manifest_values import NO_FILES, meant_seconds
from daemon.jobs.mistakes.key_names import what_instead
from daemon.jobs.mistakes.values.backgrounds import advice_for_background
from daemon.jobs.mistakes.values.other_languages import (
    WORDS_IN_OTHER_LANGUAGES,
    bare_word,
    value_of_words,
    yes_or_no,
)
from daemon.jobs.mistakes.values.rough_values import (
    advice_among_words,
    advice_for_expressions,
    advice_for_rough_value,
    advice_for_words,
)
from daemon.jobs.mistakes.values.written_days import advice_for_day

#: Longest value that is looked at. What people mistype is shorter, and some of the patterns here take long for a long value.
LONGEST_EXPLAINED: Final = 500
_NUMBER = re.compile(r"([+-]?\d+)(?:[.,](\d+))?\s*(%|x|×)?", re.IGNORECASE)
#: A number that is near none which is meant.
_ENDLESS = re.compile(r"\d{100}")
#: 1/2, or 1 1/2.
_FRACTION = re.compile(r"(?:(\d{1,9})\s+)?(\d{1,9})\s*/\s*(\d{1,9})")
_LENGTH = re.compile(
    r"(\d{1,4}(?:[.,]\d{1,3})?)\s*(seconds?|secs?\.?|sekunden|segundos|secondes|minutes?|mins?\.?|minuten|m)"
)
_LINES_OF_VIDEO = {"480p": 854, "720p": 1280, "1080p": 1920, "1440p": 2560, "2160p": 3840, "4k": 3840}
#: Words for the shape of a picture, in the languages of `daemon.jobs.mistakes.key_names`; without blanks and hyphens.
_UPRIGHT = (
    "vertical portrait upright tall story stories reel reels shorts tiktok hochformat hochkant hoch vertikal verticale vertikale "
    "portraitformat retrato ritratto staand verticaal portret pionowo pionowy pionowa pion"
)
_WIDE = (
    "horizontal landscape wide widescreen youtube querformat quer breit horizontale breitbild paysage apaisado panorámico "
    "paisaje orizzontale panoramico paisagem liggend horizontaal breedbeeld poziomo poziomy poziom panorama"
)
_SQUARE = "square quadrat quadratisch carré carre cuadrado cuadrada quadrato quadrado vierkant kwadrat"
#: Key → what to write → words that people write for it.
_WORDS: dict[str, dict[str, str]] = {
    "codec": {"hevc": "h265 h.265 x265 av1 h266 h.266 vvc", "h264": "h.264 x264 avc avc1"},
    "format": {"mp4": "avi mkv m4v mpeg mpg wmv flv 3gp h264 hevc youtube", "webm": "vp9 vp8", "mov": "prores quicktime"},
    "fit": {"crop": "cover fill zoom", "pad": "contain letterbox", "auto": "stretch default"},
    "kind": {"speech": "audio sound tts voiceover texttospeech mp3 wav podcast", "detect": "check image face",
             "voice": "clone profile", "encode": "convert transcode reencode conversion", "info": "probe inspect analyse analyze",
             "lipsync": "lipsync lipsynch dub dubbing", "video": "talkinghead talkingphoto movie clip mp4"},
    "quality": {"high": "best max maximum ultra highest hd hq ultrahigh veryhigh good",
                "medium": "normal standard default", "low": "fast small",
                "draft": "preview test"},
    "captions": {"burn": "burned burnt hardcoded embedded open burnedin burnin burntin hardsub hardsubs",
                 "srt": "subrip ass ssa sub soft softsub", "vtt": "webvtt", "none": "no off false"},
    "sync_mode": {"cut": "shortest short trim", "longest": "long extend", "loop": "repeat cycle"},
    "face": {"0": "left first leftmost", "largest": "biggest main", "center": "centre middle"},
    "expressions.name": {"smile": "happy smiling joy friendly laugh grin cheerful 😀 😃 😄 😊 🙂 😁",
                         "serious": "sad angry concerned stern 😢 😠 🙁",
                         "surprise": "surprised astonished 😮 😲", "neutral": "calm normal none"},
    "priority": {"high": "urgent asap highest important", "low": "lowest"},
    "on_error": {"stop": "abort fail halt cancel exit break", "continue": "skip ignore proceed goon"},
    "speed": {"1.2": "fast faster quick", "1.4": "veryfast", "0.85": "slow slower", "0.7": "veryslow",
              "1": "normal medium default"},
    "aspect": {"9:16": _UPRIGHT, "16:9": _WIDE, "1:1": _SQUARE, "4:3": "tv", "21:9": "cinema ultrawide cinemascope"},
    "size": {"1920x1080": "fullhd fhd", "1280x720": "hd", "3840x2160": "uhd"},
    "motion.head": {"0.5": "low little subtle slow small", "1": "normal medium default", "1.5": "high strong lively much big"},
    "motion": {"{head: 0, gaze: 0, brow: 0, breath: 0}": "none off still no false",
               "{head: 0.5}": "subtle low little calm slow", "{head: 1.5}": "strong high much lively"},
}  # fmt: skip
_MEANT = {
    key: value_of_words(WORDS_IN_OTHER_LANGUAGES.get(key, {})) | value_of_words(table) for key, table in _WORDS.items()
}
#: Key → the values of which it has one.
_CHOICES = {
    "captions": ("srt", "vtt", "burn", "none"), "format": ("mp4", "webm", "mov", "wav", "mp3", "opus", "flac"),
    "quality": ("draft", "low", "medium", "high"), "face": ("largest", "center"), "codec": ("h264", "hevc"),
    "fit": ("auto", "crop", "pad", "blur"), "sync_mode": ("longest", "cut", "loop"), "on_error": ("continue", "stop"),
    "kind": tuple(KINDS), "background": ("keep", "blur", "green", "transparent"),
}  # fmt: skip
#: Codec that no MP4 here has → the format that has it.
_FORMAT_OF_CODEC = {"prores": "mov", "prores4444": "mov", "vp9": "webm"}
#: A length of time in the form of ISO 8601.
_ISO_LENGTH = re.compile(r"pt(?:(\d{1,2})h)?(?:(\d{1,3})m)?(?:(\d{1,5})s)?")
#: Shapes that people write as one number, the width by the height.
_SHAPES = ("16:9", "9:16", "4:3", "3:4", "4:5", "1:1", "3:2", "2:3", "2:1", "21:9")
#: Keys under which other tools put the one thing that is wanted here.
_INNER = ("name", "id", "file", "path", "value", "text")
_PAIR = re.compile(r"\[?'?(\d{1,5})'?\s*(?:[x×*:：,/ ]|by|on|auf|par|por)\s*'?(\d{1,5})'?\]?", re.IGNORECASE)
_RATES = (23.976, 24, 25, 29.97, 30, 50, 59.94, 60)
_LEAST_SIDE, _SMALLEST_SIDE, _MOST_SIDE = 100, 128, 4096  # px
_ONE_OF_THEM = " One job has one of them: write a job for each, and a line --- between two."
#: Several words where one is expected.
_WORDS_TOGETHER = re.compile(r"(\w+)(?:\s*[,;+&/]\s*|\s+(?:and|or|und|oder)\s+)\w+.*", re.IGNORECASE)
_NOTHING_FETCHED = (
    "Nothing is fetched from the web: download the file, put it next to the manifest, and write its name."
)
#: Signs of other programs around the name of a file, or a variable before it.
_AROUND_NAME = re.compile(r"^[<\[\"'`«“!$%]|\.\w{2,5}\?\w+=")
#: Pairs of quotes that word processors write, which YAML does not know.
_QUOTES = ("“”", "„“", "„”", "«»", "»«", "‘’", "‚‘", "’’", "””")


def without_word_quotes(value: Any) -> Any:
    """Return a value without the quotes of a word processor around it (“a.png”); any other value unchanged."""
    if isinstance(value, str) and len(value) > 2 and value[0] + value[-1] in _QUOTES:
        return type(value)(value[1:-1])
    return value


def lists_for_one_value(given: Mapping[str, Any], collections: Collection[str]) -> list[str]:
    """Return the keys that have a list or keys of their own where one value is expected.

    Args:
        collections: the keys for which that is right.
    """
    return [key for key, value in given.items() if isinstance(value, list | dict) and key not in collections]


def advice_for_list(key: str, value: Any) -> str | None:
    """Return what to write in place of a list or keys of its own where one value is expected; None where that is not known."""
    if key == "text":
        return (
            "Write `text: |`, and under it the paragraphs, with two blanks before each line and an empty line between two. Text "
            "that begins with [ or { goes in quotes."
        )
    several = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if len(several) > 1 and all(isinstance(one, str) for one in several) and (advice := advice_for_words(key, value)):
        return advice
    if isinstance(value, dict):
        if key == "size" and {*value} == {"width", "height"}:
            return advice_for_value(key, f"{value['width']}x{value['height']}", is_number=False, is_file=False)
        inner = [one for name, one in value.items() if str(name).casefold() in _INNER and isinstance(one, str)]
        return f"Write `{key}: {inner[0]}`." if len(inner) == 1 else None
    if isinstance(value, list) and (numbers := [str(one) for one in value]) and all(map(str.isdecimal, numbers)):
        if key in ("size", "aspect") and len(numbers) == 2:
            return _advice_for_shape(key, "x".join(numbers))
        if key == "background" and len(numbers) == 3:
            return advice_for_background(f"rgb({','.join(numbers)})")
    if isinstance(value, list) and value and isinstance(value[0], str):
        return f"Write `{key}: {value[0]}`.{_ONE_OF_THEM if len(value) > 1 else ''}"
    return None


def advice_for_value(key: str, value: Any, *, is_number: bool, is_file: bool) -> str | None:
    """Return what to write for a value that is not allowed; None where that is not known.

    Args:
        key: with its group, such as "motion.head".
        value: as written.
        is_number: the key expects a number.
        is_file: the key expects the name of a file.
    """
    if isinstance(value, str) and len(value) > LONGEST_EXPLAINED:
        return None
    if re.fullmatch(r"expressions(\.\d+)?", key) and (advice := advice_for_expressions(value)):
        return advice
    word = str(value).strip().casefold()
    rough = advice_for_rough_value(key, word)
    known = _advice_for_known(key, value, is_number=is_number, is_file=is_file)
    # These have words of their own that would be taken for a description, or for the name of a language.
    advice = known or rough if key in ("background", "captions", "language") else rough or known
    return advice or (advice_among_words(key, word, _CHOICES[key]) if key in _CHOICES else None)


def _advice_for_known(key: str, value: Any, *, is_number: bool, is_file: bool) -> str | None:
    text = str(value).strip()
    key = re.sub(r"\.\d+(?=\.)", "", key)
    word = text.casefold()
    if key == "background" and (advice := advice_for_background(word)):
        return advice
    no_table = key == "rows" and not text.lower().endswith(TABLE_ENDINGS)
    if no_table and (found := re.fullmatch(r"([^/\\<>:,;\"']+?)(\.\w{2,8})?", text)):
        return f"Save the table as CSV next to the manifest, and write `rows: {found[1]}.csv`."
    if is_file:
        return _advice_for_file(key, text)
    if (meant := _MEANT.get(key, {}).get(bare_word(word))) is not None:
        return f"Write `{key.removeprefix('expressions.').removeprefix('motion.')}: {meant}`."
    if key == "quality" and (size := _advice_for_lines(word)):
        return f"The number of pixels is another key. {size}"
    if key == "output" and (name := re.split(r"[/\\]", text)[-1]) != text and name:
        return f"Results go into the outbox, nowhere else. Write `output: {name}`."
    if _ENDLESS.search(text):  # more digits than Python converts, or a number beyond all that it can hold
        return None
    if key == "base" and (name := re.split(r"[/\\]", text)[-1].rsplit(".", 1)[0]):
        return f"Write `base: {name}`."
    if key == "notify" and "@" in text:
        return what_instead("email")
    if key == "avatar":
        return f"For a picture file write `image: {text}`."
    if key == "face" and word in ("right", "last", "rightmost"):
        return "Count the faces from the left, from 0: of two, the right one is `face: 1`."
    if key in ("size", "aspect"):
        return _advice_for_shape(key, word)
    if key == "fps" and (found := re.match(r"\d+([.,]\d+)?", text)):
        rate = float(found[0].replace(",", "."))
        near = min(_RATES, key=lambda known: (round(abs(known - rate)), abs(known - rate) > 0.01, known % 1))
        return f"Write `fps: {near:g}`."
    if key == "language" and word in ("auto", "automatic", "detect", "default"):
        return "Write the language of the text, such as `language: de`; without the key it is English."
    if key == "language" and (
        found := re.match(r"[a-z]{2}[_-][A-Za-z]{2}(?=[.@])", text)
    ):  # a locale, such as en_US.UTF-8
        return f"Write `language: {found[0].replace('_', '-')}`."
    if key == "codec" and word in _FORMAT_OF_CODEC:
        return f"Leave `codec` out, and write `format: {_FORMAT_OF_CODEC[word]}`, which has this codec."
    if key == "format" and (found := _PAIR.fullmatch(word)):
        return f"The shape is another key. Write `aspect: {found[1]}:{found[2]}`."
    if key == "crop" and (found := re.fullmatch(r"(\d+):(\d+):(\d+):(\d+)", word)):
        return "Write `crop: {}x{}+{}+{}`.".format(*found.groups())
    if key == "captions" and word.endswith((".srt", ".vtt")):
        return (
            f"Captions are made of what is said: write `captions: {word[-3:]}`. A file of your own is named by `subtitles` in a "
            "job of `kind: encode`."
        )
    if key in ("profile", "motion", "lexicon", "expressions") and (advice := _advice_for_entries(key, value)):
        return advice
    if key == "duration" and (seconds := _meant_length(word)):
        return f"Write `duration: {seconds:g}`."
    if key == "duration" and (found := _LENGTH.fullmatch(word)):
        return f"Write `duration: {float(found[1].replace(',', '.')) * (60 if found[2][0] == 'm' else 1):g}`."
    if key == "profile.expires":
        return advice_for_day("expires", text)
    if key == "expressions" and (bare_word(word) in _MEANT["expressions.name"] or word in _WORDS["expressions.name"]):
        return f"Write `expressions: [{{at: 0, name: {_MEANT['expressions.name'].get(word, word)}}}]`."
    if key == "text" and (
        ending := re.search(r"\.(png|jpe?g|webp|heic)$|\.(wav|mp3|m4a|flac|ogg|opus|aac|mp4|mov)$", word)
    ):
        file = f"picture, write `image: {text}`" if ending[1] else f"sound that is to be heard, write `audio: {text}`"
        return f"For a {file}; `text` is what a voice says."
    if key == "text" and "." in text and " " not in text:
        return "Nothing is read from a text file: write `text: |`, and under it the words, with two blanks before each line."
    is_on = word == "normal" or yes_or_no(word)
    if key.startswith("motion.") and key != "motion.seed" and is_on is not None:
        return f"Write `{key.rpartition('.')[2]}: {int(is_on)}`."
    if is_number and (found := _FRACTION.fullmatch(_with_slashes(text))):
        return _advice_for_fraction(key, *(int(number or 0) for number in found.groups()))
    if is_number and (found := _NUMBER.fullmatch(text)):
        number = float(f"{found[1]}.{found[2] or 0}") / (100 if found[3] == "%" else 1)
        if key == "speed" and found[3] == "%" and found[1][0] in "+-":  # faster or slower by so much, as in SSML
            number += 1
        return f"Write `{key.rpartition('.')[2]}: {number:g}`."
    if key == "speed" and text.isdecimal() and len(text) < 4 and 50 <= int(text) <= 200:
        return f"Write `speed: {int(text) / 100:g}`."
    if key == "captions" and (word == "1" or yes_or_no(word)) and word != "ja":  # which is a language, too
        return "Write `captions: srt` or `vtt` for a file beside the video, or `captions: burn` to see them in it."
    if found := _WORDS_TOGETHER.fullmatch(text):
        return f"Write `{key.rpartition('.')[2]}: {found[1]}`.{_ONE_OF_THEM}"
    return None


def _meant_length(word: str) -> float:
    """Return a length in s that is written as other programs do: PT15S, 15″, 1h, 00:00:15,5; 0 where it is none."""
    if found := _ISO_LENGTH.fullmatch(word):
        hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return 3600 * hours + 60 * minutes + seconds
    if found := re.fullmatch(r"(\d{1,4})\s*(?:[\"”″]|'')", word):
        return float(found[1])
    if found := re.fullmatch(r"(\d{1,2})\s*(?:h|hours?|stunden?)", word):
        return 3600 * float(found[1])
    return meant_seconds(word) if (":" in word and "," in word) or word.count(":") == 2 else 0.0


def _advice_for_entries(key: str, value: Any) -> str | None:
    """Return how one word or number is written where a key has keys of its own."""
    if key == "profile" and isinstance(value, str) and re.fullmatch(r"\w[\w .-]*", value):
        return f"Write `profile: {{name: {value}}}`."
    if key == "motion" and re.fullmatch(r"[01]?\.?\d+", str(value)):
        return f"Write `motion: {{head: {value}}}`."
    if key == "lexicon" and (found := re.fullmatch(r"([\w.+#-]+)\s*(?:=>?|[-–—]>|→)\s*([\w -]+)", str(value))):
        return f"Write `lexicon: {{{found[1]}: {found[2]}}}`."
    if key != "expressions" and isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        entries = ", ".join(f"{word}: {as_flow(said)}" for one in value for word, said in one.items())
        return f"Write `{key}: {{{entries}}}`."
    if key == "expressions" and isinstance(value, dict) and {"at", "name"} <= {*value}:
        return f"Write `expressions: [{{at: {value['at']}, name: {value['name']}}}]`."
    return None


def _with_slashes(text: str) -> str:
    """Return a text with 1/2 in place of the sign ½."""
    parts = (unicodedata.normalize("NFKC", char).split("\u2044") for char in text)
    return "".join(part[0] if len(part) == 1 else f" {part[0]}/{part[1]}" for part in parts).strip()


def _advice_for_fraction(key: str, whole: int, above: int, below: int) -> str | None:
    """Return how to write a fraction as a decimal number; None for one by zero."""
    return f"Write `{key.rpartition('.')[2]}: {whole + above / below:.4g}`." if below else None


def _advice_for_file(key: str, text: str) -> str | None:
    if text.casefold() in NO_FILES:
        return f"Write the name of the file, with its ending, or leave `{key}` out."
    if text.casefold().startswith("www."):
        return _NOTHING_FETCHED
    if "*" in text and not _AROUND_NAME.search(text):
        return "Write the whole name of one file. One job has one of them: write a job for each file."
    if _AROUND_NAME.search(text):
        inner = re.fullmatch(r"[<\[\"'`«“]+(?:[^<>=]*[/\\])?([^/\\<>\"'=]+\.\w{2,5})[>\]\"'`»”]+", text)
        found = inner or re.search(r"([^\s/\\<>\"'`«»“”()\[\]?=]+\.\w{2,5})(?!.*[^\s/\\]\.\w{2,5}\b)", text)
        if not found:
            return "Write the name of the file, with its ending."
        here = (
            f"Put {found[1]} next to the manifest, and write"
            if re.search(r"[/\\]\S*" + re.escape(found[1]), text)
            else "Write"
        )
        return f"{here} `{key}: {found[1]}`."
    if found := re.fullmatch(r"([^,.]+),(\w{2,5})", text):
        return f"Write `{key}: {found[1]}.{found[2]}`."
    if " " in text and not re.search(r"\.\w{1,5}$|[/\\]", text):
        if key == "background":  # a description, for which there is other advice
            return None
        words = " Words that are to be said stand in `text`." if key == "audio" else ""
        return f"Write the name of the file, with its ending.{words}"
    if "://" in text and not text.casefold().startswith(("file:", "smb:", "afp:", "nfs:", "cifs:")):
        return _NOTHING_FETCHED
    if text.casefold().startswith("data:"):
        return "Nothing is read from the manifest itself: save it as a file next to the manifest, and write its name."
    if found := re.match(r"([^,;]+\.\w{2,5})\s*[,;]\s*(.*)", text):
        more = _ONE_OF_THEM.replace("each", "each file") if found[2] else ""
        return f"Write `{key}: {found[1]}`.{more}"
    if (name := re.split(r"[/\\]", text)[-1]) and name != text:
        return f"Put {name} next to the manifest, and write `{key}: {name}`."
    return None


def _advice_for_shape(key: str, word: str) -> str | None:
    """Return what to write for a size or a shape that is none."""
    if shape := _MEANT["aspect"].get(bare_word(word)):
        return f"Write `aspect: {shape}`."
    if key == "size" and (advice := _advice_for_lines(word)):
        return advice
    named = (_MEANT["aspect"].get(bare_word(one)) for one in re.findall(r"[^\W\d_]+", word))
    if len(shapes := {*filter(None, named)}) == 1:
        return f"Write `aspect: {shapes.pop()}`."
    if key == "aspect" and (found := re.fullmatch(r"(\d[.,]\d{1,4})(?:\s*:\s*1)?", word)):
        wanted = float(found[1].replace(",", "."))
        near = min(_SHAPES, key=lambda shape: abs(_ratio(shape) - wanted))
        return f"Write `aspect: {near}`." if abs(_ratio(near) - wanted) < 0.02 * wanted else None
    if key == "size" and (found := re.fullmatch(r"(\d{3,4})(?: ?(?:px|pixels?))?", word)):
        side = min(max(int(found[1]), _SMALLEST_SIDE), _MOST_SIDE) // 2 * 2
        return f"Width and height are both needed. Write `size: {side}x{side}` for a square."
    found = _PAIR.fullmatch(word.removesuffix("px"))
    if not found and (
        key != "size" or not (found := re.search(r"(?<!\d)(\d{3,4}) ?(?:[x×*]|by) ?(\d{3,4})(?!\d)", word))
    ):
        return None
    width, height = int(found[1]), int(found[2])
    if max(width, height) < _LEAST_SIDE:  # what is less is a shape
        if not (width and height):
            return None
        shape = (
            f"{width}:{height}" if max(width, height) <= 4 * min(width, height) else "4:1" if width > height else "1:4"
        )
        return f"Write `aspect: {shape}`."
    if not min(width, height):
        return None
    scale = min(1.0, _MOST_SIDE / max(width, height)) * max(1.0, _SMALLEST_SIDE / min(width, height))
    width, height = (min(round(side * scale), _MOST_SIDE) for side in (width, height))
    return f"Write `size: {width // 2 * 2}x{height // 2 * 2}`."


def _ratio(shape: str) -> float:
    width, _, height = shape.partition(":")
    return int(width) / int(height)


def _advice_for_lines(word: str) -> str | None:
    """Return what to write for a size that is called by its number of lines."""
    if not (width := _LINES_OF_VIDEO.get(word, _LINES_OF_VIDEO.get(f"{word}p"))):
        return None
    height = 2160 if word == "4k" else int(word.removesuffix("p"))
    return f"Write `size: {width}x{height}`, or `size: {height}x{width}` for an upright video."
