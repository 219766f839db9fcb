"""Writes captions as an ASS script, in the style in which they are burned into the picture."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from PIL import ImageFont

from stages.encode.captions.cues import MAX_LINE_CHARS, MAX_LINES, Cue
from stages.encode.captions.fonts import Font
from stages.encode.captions.place import CaptionPlace, safe_side
from stages.encode.captions.text_direction import direction_marker

#: Font size as a fraction of the picture's shorter side, and its minimum in px.
_SIZE, _MIN_SIZE_PX = 0.052, 14
#: Mean width of a letter of DejaVu Sans, as a fraction of the font size; a full-width character is narrower than two of them.
_LETTER = 0.56
#: Smallest size of a caption whose letters are wide, as a fraction of the usual one.
_LEAST = 0.6

#: ASS's numbers for text in the middle of the lower and upper edge.
_AT_BOTTOM, _AT_TOP = 2, 8

_STYLE = (
    "Name, Fontname, Fontsize, PrimaryColour, OutlineColour, BackColour, Bold, BorderStyle, Outline, Shadow, Alignment,"
    " MarginL, MarginR, MarginV"
)


def burned_font_size(width: int, height: int) -> int:
    """The font size, in px, for burned-in captions in a picture of `width` × `height` px."""
    return max(_MIN_SIZE_PX, round(_SIZE * min(width, height)))


def burned_line_chars(width: int, height: int) -> int:
    """The number of characters that fit on a burned-in line in a picture of `width` × `height` px."""
    return max(8, min(MAX_LINE_CHARS, int(_room(width, height) / (_LETTER * burned_font_size(width, height)))))


def burned_block_height(cues: Sequence[Cue], width: int, height: int) -> float:
    """The height of the tallest caption, px."""
    size = burned_font_size(width, height)
    return size * max((len(cue.lines) for cue in cues), default=MAX_LINES) + 2 * _outline(size)


def _room(width: int, height: int) -> int:
    """The longest that a line may be, px."""
    return width - 2 * safe_side(width, height)


def _outline(size: int) -> float:
    return max(1.0, size * 0.09)


def ass_script(cues: Sequence[Cue], width: int, height: int, font: Font, place: CaptionPlace) -> str:
    """Write the ASS script for libass.

    Args:
        cues: the captions, in order.
        width, height: size of the picture, px; the script's coordinates.
        font: their font.
        place: where they stand.
    """
    size = burned_font_size(width, height)
    marked = direction_marker(line for cue in cues for line in cue.lines)
    outline, widths = _outline(size), _Widths(font, size)
    events = [
        f"Dialogue: 0,{_clock(cue.start)},{_clock(cue.end)},Caption,,0,0,0,,"
        + _smaller(widths.of(cue.lines), width - 2 * place.side, size)
        + "\\N".join(marked(_escaped(line)) for line in cue.lines)
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
            f"Style: Caption,{font.family},{size},&H00FFFFFF,&H00101010,&H80000000,-1,1,{outline:.1f},{outline / 3:.1f},"
            f"{_AT_TOP if place.top else _AT_BOTTOM},{place.side},{place.side},{place.margin}",
            "",
            "[Events]",
            "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text",
            *events,
            "",
        ]
    )


class _Widths:
    """Measures lines in a font at a size as ASS means it: the height of a line."""

    def __init__(self, font: Font, size: int) -> None:
        self._font: ImageFont.FreeTypeFont | None
        try:
            self._font = ImageFont.truetype(str(font.files[-1]), size)  # the bold face, if there is one
            self._scale = size / sum(self._font.getmetrics())
        except OSError:  # a format that libass reads, and this does not
            self._font = None

    def of(self, lines: Sequence[str]) -> float:
        """The width of the longest line, px; 0 if it cannot be measured."""
        if self._font is None:
            return 0.0
        return max(self._font.getlength(without_pictographs(line)) for line in lines) * self._scale


def _smaller(longest: float, room: float, size: int) -> str:
    """ASS's command for a size at which the longest line of a caption fits; empty if it fits as it is."""
    if longest <= room:
        return ""
    return f"{{\\fs{int(size * max(_LEAST, room / longest))}}}"


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
