"""Cuts tiles out of frames, writes captions below them, and lays them on sheets."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]

#: A sheet with more pixels is continued on the next one, so that viewers show every sheet at full size.
MOST_PIXELS = 1_300_000
#: Height of the strips of both borders, px, and their width in parts of the picture's.
STRIP, STRIP_WIDTH = 768, 0.2
_ROW, _GAP, _FONT = 30, 6, cv2.FONT_HERSHEY_SIMPLEX


def around(points: npt.NDArray[np.float32], chosen: Sequence[int], larger: float, shape: float) -> Box:
    """A box of `shape` (height over width) around landmarks of one frame, so many times as large; px, may leave the picture."""
    part = points[list(chosen), :2]
    low, high = part.min(axis=0), part.max(axis=0)
    x, y = (low + high) / 2
    width = max(float(high[0] - low[0]), float(high[1] - low[1]) / shape) * larger
    return x - width / 2, y - width * shape / 2, x + width / 2, y + width * shape / 2


def cut_out(frame: Picture, box: Box, width: int, outside: int = cv2.BORDER_CONSTANT) -> Picture:
    """Cut a box out of a frame and bring it to `width` px; `outside` is OpenCV's border mode beyond the picture, else black."""
    left, top, right, bottom = (round(side) for side in box)
    pad = max(0, -left, -top, right - frame.shape[1], bottom - frame.shape[0])
    padded = cv2.copyMakeBorder(frame, pad, pad, pad, pad, outside, value=(0, 0, 0)) if pad else frame
    part = padded[top + pad : bottom + pad, left + pad : right + pad]
    height = round(width * part.shape[0] / part.shape[1])
    method = cv2.INTER_AREA if width < part.shape[1] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(part, (width, height), interpolation=method), np.uint8)


def tile(frame: Picture, box: Box, width: int, caption: str) -> Picture:
    """Cut a box out of a frame and bring it to `width` px, with a caption below; black outside the picture."""
    part = cut_out(frame, box, width)
    height = part.shape[0]
    whole = np.full((height + _ROW, width + _GAP, 3), 255, np.uint8)
    whole[:height, :width] = part
    size = min(0.55, 0.55 * width / (10.5 * len(caption)))
    cv2.putText(whole, caption, (4, height + 21), _FONT, size, (0, 0, 0), 1, cv2.LINE_AA)
    return whole


def pages(tiles: Sequence[Picture], across: int) -> list[Picture]:
    """Lay tiles in rows, and rows on sheets of at most `MOST_PIXELS`, or of one row."""
    height, width = max(one.shape[0] for one in tiles), max(one.shape[1] for one in tiles)
    each = across * max(1, MOST_PIXELS // (height * width * across))
    sheets = []
    for start in range(0, len(tiles), each):
        part = tiles[start : start + each]
        sheet = np.full((-(-len(part) // across) * height, across * width, 3), 255, np.uint8)
        for number, one in enumerate(part):
            y, x = number // across * height, number % across * width
            sheet[y : y + one.shape[0], x : x + one.shape[1]] = one
        sheets.append(sheet)
    return sheets


def border_strips(frame: Picture, caption: str) -> list[Picture]:
    """Strips of both borders."""
    height, width = frame.shape[:2]
    part = STRIP_WIDTH * width
    scaled = round(part * max(1.0, STRIP / height))
    return [
        tile(frame, (0.0, 0.0, part, float(height)), scaled, f"left: {caption}"),
        tile(frame, (width - part, 0.0, float(width), float(height)), scaled, f"right: {caption}"),
    ]


def message(text: str) -> Picture:
    """A line of text as a picture."""
    line = np.full((60, 1600, 3), 255, np.uint8)
    cv2.putText(line, text[:150], (8, 36), _FONT, 0.55, (0, 0, 160), 1, cv2.LINE_AA)
    return line
