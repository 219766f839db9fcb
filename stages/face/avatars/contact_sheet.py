"""Draws a contact sheet: many pictures on one, with the verdict of the face stage under each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from PIL import Image, ImageDraw, ImageFont

from daemon.errors import JobError
from daemon.system.fs import artifact
from stages.face.decode import read_picture

#: Side of a picture, height of the two lines under it, and space around a tile, px.
_SIDE, _LINES, _GAP = 240, 44, 12
#: Longest sheet that JPEG can hold, px.
_LONGEST = 65_000
_COLOURS = {"good": (20, 120, 50), "warning": (170, 100, 0), "refused": (180, 20, 20)}


class Tile(NamedTuple):
    """One picture: its file, the verdict, its name for people, and what is wrong with it."""

    path: Path
    verdict: Literal["good", "warning", "refused"]
    name: str
    reason: str


def write_contact_sheet(tiles: Sequence[Tile], output: Path, max_pixels: int) -> None:
    """Write a contact sheet as a JPEG.

    Args:
        tiles: what is on it, row by row.
        output: the file; one that is there is replaced.
        max_pixels: of a picture; a larger one is left grey, as is one that cannot be read.
    """
    width, height = _SIDE + _GAP, _SIDE + _LINES + _GAP
    most_rows = _LONGEST // height
    columns = max(math.ceil(math.sqrt(len(tiles) * height / width)), math.ceil(len(tiles) / most_rows))
    rows = math.ceil(len(tiles) / columns)
    sheet = Image.new("RGB", (columns * width + _GAP, rows * height + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for index, tile in enumerate(tiles):
        left, top = _GAP + index % columns * width, _GAP + index // columns * height
        picture = _thumbnail(tile.path, max_pixels)
        sheet.paste(picture, (left + (_SIDE - picture.width) // 2, top + (_SIDE - picture.height) // 2))
        draw.rectangle((left - 1, top - 1, left + _SIDE, top + _SIDE), outline=_COLOURS[tile.verdict], width=2)
        verdict = f"{tile.verdict}: {tile.reason}" if tile.reason else tile.verdict
        for line, text, colour in ((0, tile.name, (0, 0, 0)), (1, verdict, _COLOURS[tile.verdict])):
            draw.text((left, top + _SIDE + 4 + 20 * line), _fitting(text, font), colour, font)
    with artifact(output.absolute()) as temporary:
        sheet.save(temporary, "JPEG", quality=88)


def _thumbnail(path: Path, max_pixels: int) -> Image.Image:
    try:
        picture = Image.fromarray(read_picture(path, max_pixels)[0])
    except (JobError, OSError):
        return Image.new("RGB", (_SIDE, _SIDE), (200, 200, 200))
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    return picture


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Return the beginning of a text that fits below a picture. Letters that the font lacks become ?."""
    text = text.encode("latin-1", "replace").decode("latin-1")
    if font.getlength(text) <= _SIDE:
        return text
    while text and font.getlength(f"{text}...") > _SIDE:
        text = text[:-1]
    return f"{text}..."
