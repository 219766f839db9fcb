"""Says what to write for values that other programs allow and that are none here: `size: 50%`, `voice: [female, british]`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from daemon.jobs.language import LANGUAGE_NAMES, TAG_OF_NAME

#: Words that say to leave a value to the program.
_AUTOMATIC = frozenset({
    "auto", "automatic", "default", "original", "source", "same", "any", "native", "unlimited", "none", "max", "full",
})  # fmt: skip
_SMALLER = re.compile(r"half|small|smaller|tiny|medium|large|big|\d{1,3}\s*%|x?0?[.,]\d+x?|1/2|½")
_LINES_AND_RATE = re.compile(r"(720|1080|1440|2160)p?\s*[@/]?\s*(24|25|30|50|60)(?:p|fps)?")
_RATES = {
    "cinematic": 24,
    "cinema": 24,
    "film": 24,
    "movie": 24,
    "pal": 25,
    "ntsc": 29.97,
    "smooth": 60,
    "high": 60,
    "low": 24,
}
_FACES = {"1st": 0, "first": 0, "2nd": 1, "second": 1, "3rd": 2, "third": 2, "one": 0, "two": 1, "middle one": 1}
_EXPRESSIONS = ("neutral", "smile", "surprise", "serious")
_SECONDS = re.compile(r"\d{1,5}(?:\.\d{1,3})?s?")
#: Words of `voice` that describe one, so that several of them belong together.
_OF_VOICES = frozenset({
    "male", "female", "man", "woman", "boy", "girl", "british", "american", "english", "german", "french", "spanish", "italian",
    "portuguese", "japanese", "chinese",
})  # fmt: skip
_USUAL_WORDS_A_MINUTE = 155


def advice_for_rough_value(key: str, word: str) -> str | None:
    """Return what to write for a value of a key; None where this module knows nothing of it.

    Args:
        word: as written, in small letters and without blanks around it.
    """
    if advice := _ADVICE.get(key, lambda _: None)(word):
        return advice
    if key in ("size", "fps", "duration", "aspect") and word in _AUTOMATIC:
        what = "frames a second" if key == "fps" else "length" if key == "duration" else "shape"
        return f"Leave `{key}` out to have the usual {what}."
    return None


def advice_for_expressions(value: object) -> str | None:
    """Return how expressions are written that have another shape: `{3: smile}`, `[smile]`, `smile at 3`, a list of `3: smile`."""
    found: list[tuple[str, str]] = []
    for one in value if isinstance(value, list) else [value]:
        for at, name in one.items() if isinstance(one, dict) else [_moment(str(one))]:
            number, word = (str(at), str(name)) if _SECONDS.fullmatch(str(at)) else (str(name), str(at))
            if not _SECONDS.fullmatch(number) or word not in _EXPRESSIONS:
                return None
            found.append((number.removesuffix("s"), word))
    entries = ", ".join(f"{{at: {at}, name: {name}}}" for at, name in found)
    return f"Write `expressions: [{entries}]`." if found else None


def _moment(written: str) -> tuple[str, str]:
    """Return the time and the name in "smile at 3", or "smile"."""
    name, _, at = written.partition(" at ")
    return at.strip() or "0", name.strip()


def advice_among_words(key: str, word: str, allowed: Iterable[str]) -> str | None:
    """Return the one allowed value among other words, or mistyped: `srt file`, `hihg`; None for none or several."""
    allowed = list(allowed)
    found = set(re.findall(r"[\w-]+", word)) & set(allowed) or set(difflib.get_close_matches(word, allowed, 1, 0.75))
    return f"Write `{key}: {found.pop()}`." if len(found) == 1 else None


def advice_for_words(key: str, words: Sequence[str] | Mapping[str, str]) -> str | None:
    """Return what to write for several words, as a list or with keys of their own, that describe one voice."""
    given = list(words.values()) if isinstance(words, Mapping) else list(words)
    described = any(word in _OF_VOICES for one in given for word in one.casefold().split())
    return f"Write `{key}: {' '.join(given)}`." if key == "voice" and described else None


def _size(word: str) -> str | None:
    if found := _LINES_AND_RATE.fullmatch(word):
        width = int(found[1]) * 16 // 9
        return f"Write `size: {width}x{found[1]}` and `fps: {found[2]}`, each in a line of its own."
    if word in ("2k", "qhd", "wqhd"):
        return "Write `size: 2560x1440`, or `size: 1440x2560` for an upright video."
    if re.fullmatch(r"(?:5|6|8|16)k", word):
        return "A side has at most 4096 px. Write `size: 3840x2160`, or `size: 2160x3840` for an upright video."
    if _SMALLER.fullmatch(word):
        return (
            "Write the number of pixels, such as `size: 1280x720`, or `quality: draft` for half the width and height."
        )
    return None


def _speed(word: str) -> str | None:
    if found := re.fullmatch(r"(\d{1,2})\s*%(?:\s*(faster|quicker|slower))?", word):
        share = int(found[1]) / 100
        if found[2]:
            return f"Write `speed: {1 - share if found[2] == 'slower' else 1 + share:g}`."
        if share < 0.5:
            return (
                f"Write `speed: {1 + share:g}` for {found[1]} % faster, `speed: {1 - share:g}` for {found[1]} % slower."
            )
    if found := re.fullmatch(r"[x×]\s*(\d(?:[.,]\d{1,3})?)", word):
        return f"Write `speed: {found[1].replace(',', '.')}`."
    if found := re.fullmatch(r"(\d{2,3})\s*(?:wpm|words (?:a|per) minute)", word):
        factor = min(max(int(found[1]) / _USUAL_WORDS_A_MINUTE, 0.5), 2.0)
        return f"1 is the voice's own pace, about {_USUAL_WORDS_A_MINUTE} words a minute. Write `speed: {factor:.2g}`."
    return None


def _quality(word: str) -> str | None:
    found = re.fullmatch(r"(\d{1,3})\s*(%|/\s*(\d{1,3})|)", word)
    if not found or (
        not found[2] and int(found[1]) <= 51
    ):  # a number up to 51 may be one of an encoder, where less is better
        return None
    share = int(found[1]) / max(int(found[3] or 100), 1)
    return f"Write `quality: {'high' if share > 0.7 else 'medium' if share > 0.4 else 'low'}`."


def _face(word: str) -> str | None:
    if word in ("all", "both", "every", "each"):
        return "One face of a picture speaks: write a job for each, with `face: 0`, `face: 1` and so on, counted from the left."
    if (number := _FACES.get(re.sub(r"\s*(?:face|person|from (?:the )?left)", "", word).strip())) is not None:
        return f"Faces are counted from the left, from 0. Write `face: {number}`."
    if found := re.fullmatch(r"(\d)\.0", word):
        return f"Write `face: {found[1]}`."
    return "Count the faces from the left, from 0: of two, the right one is `face: 1`." if word == "-1" else None


def _language(word: str) -> str | None:
    if near := difflib.get_close_matches(word, TAG_OF_NAME, 1, 0.8):
        return f"Did you mean {LANGUAGE_NAMES.get(TAG_OF_NAME[near[0]], near[0])}? Write `language: {TAG_OF_NAME[near[0]]}`."
    return (
        "voices.txt in the outbox lists the languages that can be spoken." if len(word) > 3 and word.isalpha() else None
    )


def _captions(word: str) -> str | None:
    if word in TAG_OF_NAME or re.fullmatch(r"[a-z]{2}(?:-[a-z]{2})?", word):
        return "Captions are in the language that is spoken. Write `captions: srt` for a file beside the video."
    return None


def _format(word: str) -> str | None:
    if found := re.fullmatch(r"(?:video|audio)/(?:x-)?(mp4|webm|wav|mpeg|mp3|flac|ogg|opus|quicktime)", word):
        return f"Write `format: {({'mpeg': 'mp3', 'ogg': 'opus', 'quicktime': 'mov'}).get(found[1], found[1])}`."
    if word in ("m4a", "m4b", "aac", "wma", "ogg", "oga", "aiff", "aif"):
        return "For a video write `format: mp4`, for its sound alone `kind: speech` and `format: mp3`."
    return "A GIF has no sound. Write `format: mp4`." if word in ("gif", "apng", "webp") else None


def _background(word: str) -> str | None:
    if found := re.fullmatch(r"#?([0-9a-f])([0-9a-f])([0-9a-f])", word):
        return f'Write `background: "#{"".join(2 * digit for digit in found.groups())}"`.'
    if re.fullmatch(r"[^\W\d_][\w -]{2,30}", word):
        return (
            f"Nothing is made of a description. Put a picture next to the manifest, and write its name, such as "
            f"`background: {re.sub(r'[ -]+', '-', word)}.png`."
        )
    return None


def _output(word: str) -> str | None:
    stem = PurePosixPath(word).name.partition(".")[0].strip()
    is_device = re.fullmatch(r"con|prn|aux|nul|(?:com|lpt)\d", stem) is not None
    return f"Write another name, such as `output: {stem}-video`." if is_device else None


def _motion(word: str) -> str | None:
    found = re.fullmatch(r"(\d{1,3})\s*%", word)
    return f"Write `motion: {{head: {int(found[1]) / 100:g}}}`." if found else None


def _duration(word: str) -> str | None:
    found = re.fullmatch(
        r"(?:(\d{1,2}) ?h(?:ours?)? ?)?(\d{1,3}) ?m(?:in(?:utes?)?)?\.? ?(?:and )?(\d{1,2}) ?s?(?:ec(?:onds?)?)?", word
    )
    if not found:
        return None
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return f"Write `duration: {3600 * hours + 60 * minutes + seconds}`."


def _fps(word: str) -> str | None:
    return f"Write `fps: {_RATES[word]}`." if word in _RATES else None


_ADVICE = {
    "size": _size, "speed": _speed, "quality": _quality, "face": _face, "language": _language, "captions": _captions,
    "format": _format, "background": _background, "output": _output, "duration": _duration, "motion": _motion, "fps": _fps,
}  # fmt: skip
