"""Reads a caption file that somebody wrote: SubRip (.srt) or WebVTT (.vtt)."""

from __future__ import annotations

import html
import re
from pathlib import Path

from daemon.errors import JobError
from stages.encode.captions.cues import Cue

#: Largest caption file: a film has 100 kB. bytes
_MOST_BYTES = 8 << 20
_TIMES = re.compile(r"\s*((?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3})\s*-->\s*((?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3})(?:\s.*)?")
#: Marks of style, which the captions are shown without: <i>, </c.loud>, <00:01.500>, {\an8}.
_STYLE = re.compile(r"</?[a-zA-Z][^<>]*>|</>|<\d[\d:.]*>|\{\\[^{}]*\}")
_NO_CUES = ("NOTE", "STYLE", "REGION", "WEBVTT")
_HINT = (
    "Write it as SubRip (.srt) or WebVTT (.vtt): a line such as 00:00:01,000 --> 00:00:03,500, and under it the words."
)

_IN_UTF_8 = "Save it in UTF-8; in Windows' Notepad: Save as, encoding UTF-8; in a subtitle editor: the encoding UTF-8."


def read_captions(path: Path) -> list[Cue]:
    """Read the cues of a caption file, in the order of their start, without marks of style.

    Raises:
        JobError: `subtitles-unreadable`.
    """
    if path.stat().st_size > _MOST_BYTES:
        raise _unreadable(f"is larger than {_MOST_BYTES >> 20} MB")
    text = _decode(path.read_bytes())
    cues: list[Cue] = []
    for block in re.split(r"\n[ \t]*\n", text):
        lines = block.strip("\n").split("\n")
        at = next((number for number, line in enumerate(lines[:2]) if _TIMES.fullmatch(line)), None)
        if at is None or lines[0].startswith(_NO_CUES):
            continue
        times = _TIMES.fullmatch(lines[at])
        assert times is not None
        start, end = _seconds(times[1]), _seconds(times[2])
        words = tuple(
            line
            for raw in lines[at + 1 :]
            if (line := html.unescape(_STYLE.sub("", raw)).strip()) and line.isprintable()
        )
        if end <= start:
            raise _unreadable(f"has a caption that ends before it starts: {lines[at].strip()[:60]}")
        if words:
            cues.append(Cue(start, end, words))
    if not cues:
        if text.lstrip().startswith("[Script Info]"):
            raise _unreadable("is in the format ASS or SSA, which is not read", "Save or export it as SubRip (.srt).")
        raise _unreadable("is empty" if not text.strip() else "has no captions")
    return sorted(cues, key=lambda cue: cue.start)


def _decode(data: bytes) -> str:
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as exc:
        raise _unreadable("is not a text in UTF-8", _IN_UTF_8) from exc
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _seconds(clock: str) -> float:
    *hours, minutes, seconds = clock.replace(",", ".").split(":")
    return 3600 * int(hours[0] if hours else 0) + 60 * int(minutes) + float(seconds)


def _unreadable(why: str, hint: str = _HINT) -> JobError:
    return JobError("subtitles-unreadable", f"The file named in `subtitles` {why}.", hint)
