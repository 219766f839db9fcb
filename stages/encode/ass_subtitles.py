"""Writes captions as an ASS script, in the style in which they are burned into the picture."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from stages.encode.captions import MAX_LINE_CHARS, Cue
from stages.encode.text_direction import direction_marker

#: Font size as a fraction of the picture's shorter side, and its minimum in px.
_SIZE, _MIN_SIZE_PX = 0.052, 14
#: Mean width of a letter of DejaVu Sans, as a fraction of the font size; a full-width character is narrower than two of them.
_LETTER = 0.56
#: Fraction of the picture's width that a line may fill.
_FILL = 0.9

_STYLE = (
    "Name, Fontname, Fontsize, PrimaryColour, OutlineColour, BackColour, Bold, BorderStyle, Outline, Shadow, Alignment,"
    " MarginL, MarginR, MarginV"
)


def burned_font_size(width: int, height: int) -> int:
    """The font size, in px, for burned-in captions in a picture of `width` × `height` px."""
    return max(_MIN_SIZE_PX, round(_SIZE * min(width, height)))


def burned_line_chars(width: int, height: int) -> int:
    """The number of characters that fit on a burned-in line in a picture of `width` × `height` px."""
    return max(8, min(MAX_LINE_CHARS, int(_FILL * width / (_LETTER * burned_font_size(width, height)))))


def ass_script(cues: Sequence[Cue], width: int, height: int, family: str) -> str:
    """Write the ASS script for libass.

    Args:
        cues: the captions, in order.
        width, height: size of the picture, px; the script's coordinates.
        family: name of the font family.
    """
    size = burned_font_size(width, height)
    outline, margin = max(1.0, size * 0.09), round(height * 0.06)
    side = round(width * (1.0 - _FILL) / 2)
    marked = direction_marker(line for cue in cues for line in cue.lines)
    events = [
        f"Dialogue: 0,{_clock(cue.start)},{_clock(cue.end)},Caption,,0,0,0,,{chr(92)}N".removesuffix(f"{chr(92)}N")
        + f"{chr(92)}N".join(marked(_escaped(line)) for line in cue.lines)
        for cue in cues
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


def without_pictographs(line: str) -> str:
    """Remove pictographs (emoji) from a line, because no font here has glyphs for them."""
    return "".join(char for char in line if not _pictograph(char))


def _escaped(line: str) -> str:
    """Escape a line so that libass shows it literally."""
    # A word joiner after the backslash keeps libass from reading "\N" and its like as commands.
    escaped = without_pictographs(line).replace("\\", "\\\u2060").replace("{", "\\{").replace("}", "\\}")
    return " ".join(escaped.split())


def _pictograph(char: str) -> bool:
    return (ord(char) > 0xFFFF and unicodedata.category(char) in ("So", "Sk", "Cn")) or char in "\ufe0f\u200d\u20e3"


def _clock(seconds: float) -> str:
    centiseconds = round(seconds * 100)
    minutes, rest = divmod(centiseconds, 6000)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest // 100:02d}.{rest % 100:02d}"
