"""Cues → an ASS script in the style they are burned into the picture with."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from stages.encode.captions import MAX_LINE_CHARS, Cue

#: Letter height as part of the picture's shorter side, and its least size in px.
_SIZE, _MIN_SIZE_PX = 0.052, 14
#: Mean width of a letter of DejaVu Sans, as part of its size; a full-width character is less than two of them.
_LETTER = 0.56
#: Part of the picture's width that a line may fill.
_FILL = 0.9

_STYLE = (
    "Name, Fontname, Fontsize, PrimaryColour, OutlineColour, BackColour, Bold, BorderStyle, Outline, Shadow, Alignment,"
    " MarginL, MarginR, MarginV"
)


def font_size(width: int, height: int) -> int:
    """Letter size in px for a picture."""
    return max(_MIN_SIZE_PX, round(_SIZE * min(width, height)))


def line_chars(width: int, height: int) -> int:
    """Characters that fit on a burned-in line of a picture."""
    return max(8, min(MAX_LINE_CHARS, int(_FILL * width / (_LETTER * font_size(width, height)))))


def ass(found: Sequence[Cue], width: int, height: int, family: str) -> str:
    """The script, for libass, in pixels of the picture and letters of a family of fonts."""
    size = font_size(width, height)
    outline, margin = max(1.0, size * 0.09), round(height * 0.06)
    side = round(width * (1.0 - _FILL) / 2)
    events = [
        f"Dialogue: 0,{_clock(cue.start)},{_clock(cue.end)},Caption,,0,0,0,,{chr(92)}N".removesuffix(f"{chr(92)}N")
        + f"{chr(92)}N".join(_escaped(line) for line in cue.lines)
        for cue in found
    ]
    return "\n".join(
        [
            "[Script Info]",
            "ScriptType: v4.00+",
            f"PlayResX: {width}",
            f"PlayResY: {height}",
            "WrapStyle: 0",
            "ScaledBorderAndShadow: yes",
            "",
            "[V4+ Styles]",
            f"Format: {_STYLE}",
            f"Style: Caption,{family},{size},&H00FFFFFF,&H00101010,&H80000000,-1,1,{outline:.1f},{outline / 3:.1f},2,"
            f"{side},{side},{margin}",
            "",
            "[Events]",
            "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text",
            *events,
            "",
        ]
    )


def shown(line: str) -> str:
    """What is burned in of a line: pictographs are not, for no font here has shapes for them."""
    return "".join(char for char in line if not _pictograph(char))


def _escaped(line: str) -> str:
    """A line as libass shows it literally."""
    # A word joiner after the backslash keeps libass from reading "\N" and its like as commands.
    escaped = shown(line).replace("\\", "\\\u2060").replace("{", "\\{").replace("}", "\\}")
    return " ".join(escaped.split())


def _pictograph(char: str) -> bool:
    return (ord(char) > 0xFFFF and unicodedata.category(char) in ("So", "Sk", "Cn")) or char in "\ufe0f\u200d\u20e3"


def _clock(seconds: float) -> str:
    centiseconds = round(seconds * 100)
    minutes, rest = divmod(centiseconds, 6000)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest // 100:02d}.{rest % 100:02d}"
