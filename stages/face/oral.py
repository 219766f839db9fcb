"""The inside of the mouth, painted once per portrait: upper teeth, lower teeth, tongue; or the picture's own teeth.

Every layer is an RGBA picture over one box of the portrait, drawn where it lies while the mouth is closed. The upper
teeth belong to the skull; lower teeth and tongue go with the jaw.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.frame import FaceFrame, smoothstep
from stages.face.lipline import CLOSED_GAP
from stages.face.mesh import FloatArray
from stages.face.tones import Tones

Grid = npt.NDArray[np.float64]
Rgba = npt.NDArray[np.uint8]

#: Widths of half a row of teeth from the middle on, in units, as seen from the front, and how much shorter each is.
_TOOTH_WIDTHS = (0.150, 0.115, 0.105, 0.080, 0.070, 0.060)
_TOOTH_SHORTER = (0.0, 0.016, 0.004, 0.022, 0.03, 0.04)
_LOWER_WIDTHS = (0.095, 0.095, 0.10, 0.085, 0.075, 0.07)
#: Lower edge of the upper teeth below the lip line, upper edge of the lower teeth, in units.
_UPPER_EDGE, _LOWER_EDGE = 0.075, 0.03


@dataclass(frozen=True)
class Oral:
    """Layers over the box whose top left portrait pixel is `origin`, RGBA uint8 [height, width, 4]."""

    origin: tuple[int, int]
    skull: Rgba
    jaw: Rgba
    tongue: Rgba
    own_teeth: bool


def paint_oral(
    portrait: npt.NDArray[np.uint8], frame: FaceFrame, curves: tuple[FloatArray, FloatArray], tones: Tones
) -> Oral:
    """Paint the layers for an RGB portrait."""
    reach = max(frame.half_mouth) * 1.1 + 0.1 * frame.unit
    corners = frame.picture(np.array([[-reach, -0.5 * frame.unit], [reach, frame.unit]]))
    x0, y0 = np.floor(corners.min(axis=0) - 0.15 * frame.unit).astype(int)
    x1, y1 = np.ceil(corners.max(axis=0) + 0.15 * frame.unit).astype(int)
    columns, rows = np.meshgrid(np.arange(x0, x1, dtype=float), np.arange(y0, y1, dtype=float))
    local = frame.local(np.stack([columns, rows], axis=-1))
    upper, lower = (frame.local(curve) for curve in curves)
    across = local[..., 0] / frame.unit
    below_upper = (local[..., 1] - _straightened(local[..., 0], upper)) / frame.unit
    below_lower = (local[..., 1] - _straightened(local[..., 0], lower)) / frame.unit
    arch = min(frame.half_mouth) / frame.unit
    own = float(np.max(lower[:, 1] - upper[:, 1])) > CLOSED_GAP * 2 * arch * frame.unit
    skull = (
        _own_interior(portrait, (x0, y0), across.shape, curves)
        if own
        else _teeth(across, below_upper, arch, tones, _TOOTH_WIDTHS, _UPPER_EDGE, up=True)
    )
    jaw = _teeth(across, below_lower, arch, tones, _LOWER_WIDTHS, _LOWER_EDGE, up=False)
    return Oral((int(x0), int(y0)), skull, jaw, _tongue(across, below_lower, arch, tones), own)


def _straightened(x: Grid, curve: npt.NDArray[np.float64]) -> Grid:
    """The lip line's height, with half of its bow taken out: rows of teeth are straighter than lips."""
    return 0.5 * np.interp(x, curve[:, 0], curve[:, 1]) + 0.5 * float(np.mean(curve[len(curve) // 3 : -len(curve) // 3, 1]))


def _teeth(
    across: Grid, below: Grid, arch: float, tones: Tones, widths: tuple[float, ...], edge: float, *, up: bool
) -> Rgba:
    """A row of teeth; `up` for the upper one, whose free edge is its lower."""
    scale = arch / 0.5  # a narrow mouth shows narrow teeth
    distance = np.abs(across) / scale
    bounds = np.cumsum((0.0, *widths))
    number = np.clip(np.searchsorted(bounds, distance, side="right") - 1, 0, len(widths) - 1)
    middle = (bounds[number] + bounds[number + 1]) / 2
    half = np.asarray(widths)[number] / 2
    inside = np.clip(np.abs(distance - middle) / half, 0, 1)
    shorter = np.asarray(_TOOTH_SHORTER)[number] if up else 0.006 * number
    bow = 0.10 * distance**2  # the row rises toward the back
    free_edge = edge * scale**0.5 - (shorter + bow + 0.014 * inside**3.5) * scale if up else edge + 0.05 * distance**2 + 0.010 * inside**3
    sharp = 0.010
    cover = smoothstep(((free_edge - below) if up else (below - free_edge)) / sharp + 0.5)
    cover *= 1.0 - smoothstep((distance - bounds[-1] + 0.06) / 0.06)
    depth = (free_edge - below) if up else (below - free_edge)
    light = (1.0 - 0.70 * smoothstep(distance / 0.52) ** 1.2) * (0.94 + 0.06 * np.cos(inside * np.pi / 2))
    light *= 1.0 - 0.30 * smoothstep((inside - 0.80) / 0.2) * (1.0 if up else 0.9)  # the seams between teeth
    light *= 1.0 - 0.22 * smoothstep(depth / 0.16)  # toward the gums
    light *= 0.95 + 0.05 * smoothstep(depth / 0.02)
    if not up:
        light *= 0.80
    colour = tones.teeth[None, None] * light[..., None]
    warm = np.array([1.0, 0.985, 0.95]) ** (1.0 + 2.0 * distance[..., None])
    return _rgba(colour * warm, cover)


def _tongue(across: Grid, below: Grid, arch: float, tones: Tones) -> Rgba:
    """A rounded mass behind the lower teeth, its top just below the lip line of a closed mouth."""
    width = 0.86 * arch
    radius = np.clip(np.abs(across) / width, 0, 1)
    top = 0.03 + 0.14 * radius**2.2
    depth = below - top
    cover = smoothstep(depth / 0.035) * (1.0 - smoothstep((radius - 0.82) / 0.18))
    light = 0.62 + 0.38 * smoothstep(depth / 0.16)
    light *= 1.0 - 0.38 * radius**2
    light *= 1.0 - 0.12 * np.exp(-((across / 0.05) ** 2)) * smoothstep(depth / 0.1)  # its middle groove
    return _rgba(tones.tongue[None, None] * light[..., None], cover)


def _own_interior(
    portrait: npt.NDArray[np.uint8], origin: tuple[int, int], shape: tuple[int, ...], curves: tuple[FloatArray, FloatArray]
) -> Rgba:
    """What the picture itself shows between its lips."""
    outline = np.concatenate([curves[0], curves[1][::-1]]) - np.array(origin, np.float32)
    cover = np.zeros(shape, np.uint8)
    cv2.fillPoly(cover, [np.round(outline * 16).astype(np.int32)], 255, lineType=cv2.LINE_AA, shift=4)
    cover = cv2.dilate(cover, np.ones((3, 3), np.uint8))  # at rest no darkness shines through the edge
    padded = cv2.copyMakeBorder(portrait, *(4 * (max(shape),)), borderType=cv2.BORDER_REPLICATE)
    x, y = origin[0] + max(shape), origin[1] + max(shape)
    patch = padded[y : y + shape[0], x : x + shape[1]]
    return np.dstack([patch, cover])


def _rgba(colour: Grid, cover: Grid) -> Rgba:
    return np.clip(np.dstack([colour, 255 * np.clip(cover, 0, 1)]) + 0.5, 0, 255).astype(np.uint8)
