"""Paints the inside of the mouth once per portrait: upper teeth (or the picture's own), lower teeth, tongue.

Every layer is an RGBA picture over one box of the portrait, in its position while the mouth is closed. The upper teeth move with
the skull; the lower teeth and the tongue move with the jaw.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.mesh import FloatArray
from stages.face.rig.colours import FaceColours, luma
from stages.face.rig.face_frame import FaceFrame, smoothstep
from stages.face.rig.lipline import CLOSED_GAP
from stages.face.sampling import blur

Grid = npt.NDArray[np.float64]
Rgba = npt.NDArray[np.uint8]

#: Widths of the teeth of half a row from the middle on, in units, seen from the front, and how much shorter each is.
_TOOTH_WIDTHS = (0.150, 0.115, 0.105, 0.080, 0.070, 0.060)
_TOOTH_SHORTER = (0.0, 0.016, 0.004, 0.022, 0.03, 0.04)
_LOWER_WIDTHS = (0.095, 0.095, 0.10, 0.085, 0.075, 0.07)
#: An open mouth shows no teeth if its brightest pixels are darker than this fraction of a tooth's brightness.
_DARK = 0.55
#: Lower edge of the upper teeth below the lip line, upper edge of the lower teeth, in units.
_UPPER_EDGE, _LOWER_EDGE = 0.075, 0.035


@dataclass(frozen=True)
class MouthInterior:
    """The painted layers of the mouth, RGBA uint8 [height, width, 4] each.

    Attributes:
        origin: x and y of the layers' top left pixel in the portrait.
        skull: upper teeth, painted or the picture's own.
        jaw: lower teeth.
        tongue: the tongue.
        own_teeth: whether the picture shows an open mouth.
    """

    origin: tuple[int, int]
    skull: Rgba
    jaw: Rgba
    tongue: Rgba
    own_teeth: bool


def paint_mouth_interior(
    portrait: npt.NDArray[np.uint8], frame: FaceFrame, curves: tuple[FloatArray, FloatArray], tones: FaceColours
) -> MouthInterior:
    """Paint the layers for an RGB portrait whose lips' edges are `curves` (upper, lower; [n, 2] px)."""
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
    jaw = _teeth(across, below_lower, arch, tones, _LOWER_WIDTHS, _LOWER_EDGE, up=False)
    tongue = _tongue(across, below_lower, arch, tones)
    if own:
        teeth = _own_teeth(_own_interior(portrait, (x0, y0), across.shape, curves), tones)
        edge = _lower_end(teeth, across, below_upper) / max(arch / 0.5, 0.1) ** 0.5
        behind = _teeth(
            across, below_upper, arch, _with_teeth_colour(teeth, tones), _TOOTH_WIDTHS, edge - 0.012, up=True
        )
        return MouthInterior((int(x0), int(y0)), _composite(behind, teeth), jaw, tongue, True)
    skull = _teeth(across, below_upper, arch, tones, _TOOTH_WIDTHS, _UPPER_EDGE, up=True)
    return MouthInterior((int(x0), int(y0)), skull, jaw, tongue, False)


def _lower_end(teeth: Rgba, across: Grid, below: Grid) -> float:
    """Distance from the upper lip to the lower end of the picture's own front teeth, in units."""
    front = (teeth[..., 3] > 128) & (np.abs(across) < 0.2)
    return float(np.percentile(below[front], 92)) if front.any() else _UPPER_EDGE


def _with_teeth_colour(teeth: Rgba, tones: FaceColours) -> FaceColours:
    """A copy of `tones` with the colour of the picture's own teeth."""
    shown = teeth[..., :3][teeth[..., 3] > 200]
    return replace(tones, teeth=0.9 * np.median(shown, axis=0)) if len(shown) else tones


def _composite(under: Rgba, over: Rgba) -> Rgba:
    """Composite one RGBA layer over another."""
    low, high = under[..., 3:].astype(np.float64) / 255, over[..., 3:].astype(np.float64) / 255
    cover = high + low * (1 - high)
    colour = over[..., :3] * high + under[..., :3] * low * (1 - high)
    return _rgba(colour / np.maximum(cover, 1e-3), cover[..., 0])


def _straightened(x: Grid, curve: npt.NDArray[np.float64]) -> Grid:
    """The lip line's y with half of its curvature removed: rows of teeth are straighter than lips."""
    return 0.5 * np.interp(x, curve[:, 0], curve[:, 1]) + 0.5 * float(
        np.mean(curve[len(curve) // 3 : -len(curve) // 3, 1])
    )


def _teeth(
    across: Grid, below: Grid, arch: float, tones: FaceColours, widths: tuple[float, ...], edge: float, *, up: bool
) -> Rgba:
    """Paint a row of teeth: the upper row if `up` (its free edge is at the bottom), else the lower row."""
    scale = arch / 0.5  # a narrow mouth shows narrow teeth
    distance = np.abs(across) / scale
    bounds = np.cumsum((0.0, *widths))
    number = np.clip(np.searchsorted(bounds, distance, side="right") - 1, 0, len(widths) - 1)
    middle = (bounds[number] + bounds[number + 1]) / 2
    half = np.asarray(widths)[number] / 2
    inside = np.clip(np.abs(distance - middle) / half, 0, 1)
    shorter = np.asarray(_TOOTH_SHORTER)[number] if up else 0.006 * number
    bow = 0.10 * distance**2  # the row rises toward the back
    free_edge = (
        edge * scale**0.5 - (shorter + bow + 0.014 * inside**3.5) * scale
        if up
        else edge + 0.05 * distance**2 + 0.010 * inside**3
    )
    sharp = 0.016
    cover = smoothstep(((free_edge - below) if up else (below - free_edge)) / sharp + 0.5)
    cover *= 1.0 - smoothstep((distance - bounds[-1] + 0.06) / 0.06)
    depth = (free_edge - below) if up else (below - free_edge)
    light = (1.0 - 0.58 * smoothstep(distance / 0.52) ** 1.2) * (0.94 + 0.06 * np.cos(inside * np.pi / 2))
    light *= 1.0 - 0.15 * smoothstep((inside - 0.78) / 0.22)  # the seams between teeth
    light *= 1.0 - 0.22 * smoothstep(depth / 0.16)  # toward the gums
    light *= 0.95 + 0.05 * smoothstep(depth / 0.02)
    if not up:
        light *= 0.80
    colour = tones.teeth[None, None] * light[..., None]
    warm = np.array([1.0, 0.985, 0.95]) ** (tones.warmth * (1.0 + 2.0 * distance[..., None]))
    return _softened(_rgba(colour * warm, cover), 0.006 * arch / 0.5)


def _softened(layer: Rgba, sigma: float) -> Rgba:
    return np.asarray(blur(layer, max(sigma * layer.shape[1] / 1.3, 0.4)), np.uint8)


def _tongue(across: Grid, below: Grid, arch: float, tones: FaceColours) -> Rgba:
    """Paint the tongue: rounded, behind the lower teeth, its top just below the lip line of a closed mouth."""
    width = 0.90 * arch
    radius = np.clip(np.abs(across) / width, 0, 1)
    top = -0.03 + 0.12 * radius**2.2
    depth = below - top
    cover = smoothstep(depth / 0.10) * (1.0 - smoothstep((radius - 0.80) / 0.2))
    light = 0.45 + 0.55 * smoothstep(depth / 0.24)
    light *= 1.0 - 0.35 * radius**2
    light *= 1.0 - 0.10 * np.exp(-((across / 0.06) ** 2)) * smoothstep(depth / 0.1)  # its middle groove
    return _rgba(tones.tongue[None, None] * light[..., None], cover)


def _own_interior(
    portrait: npt.NDArray[np.uint8],
    origin: tuple[int, int],
    shape: tuple[int, ...],
    curves: tuple[FloatArray, FloatArray],
) -> Rgba:
    """Cut out what the picture shows between its lips."""
    outline: FloatArray = np.concatenate([curves[0], curves[1][::-1]]) - np.array(origin, np.float32)
    cover = np.zeros(shape, np.uint8)
    cv2.fillPoly(cover, [np.round(outline * 16).astype(np.int32)], (255,), lineType=cv2.LINE_AA, shift=4)
    padded = cv2.copyMakeBorder(portrait, *(4 * (max(shape),)), borderType=cv2.BORDER_REPLICATE)
    x, y = origin[0] + max(shape), origin[1] + max(shape)
    patch = padded[y : y + shape[0], x : x + shape[1]]
    return np.dstack([patch, cover])


def _own_teeth(shown: Rgba, tones: FaceColours) -> Rgba:
    """Select the teeth from the picture's own mouth: bright pixels that are less red than the lips."""
    colour = shown[..., :3].astype(np.float64)
    inside = shown[..., 3] > 200
    if not inside.any():
        return shown
    redness = (colour[..., 0] - colour[..., 1]) / np.maximum(colour.sum(axis=-1), 1.0)
    lip = float((tones.lip[0] - tones.lip[1]) / max(tones.lip.sum(), 1.0))
    level = colour.mean(axis=-1)
    bright = float(np.percentile(level[inside], 85))
    if bright < _DARK * luma(tones.teeth):
        return np.dstack([shown[..., :3], np.zeros_like(shown[..., 3])])
    pale = float(np.percentile(redness[inside & (level > 0.8 * bright)], 50))
    teeth = smoothstep((0.5 * (lip + pale) - redness) / max(0.35 * (lip - pale), 1e-3) + 0.5)
    teeth *= smoothstep((level / max(bright, 1.0) - 0.38) / 0.2) * inside
    whole = _largest(np.asarray(cv2.morphologyEx(teeth, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)), np.float64))
    solid = blur(np.asarray(cv2.erode(whole, np.ones((3, 3), np.uint8))), 0.8)
    return np.dstack([shown[..., :3], np.clip(solid * shown[..., 3] + 0.5, 0, 255).astype(np.uint8)])


def _largest(mask: Grid) -> Grid:
    """Keep the mask's largest connected part, without specks beside the row of teeth."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((mask > 0.5).astype(np.uint8))
    if count < 2:
        return mask
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return mask * cv2.dilate((labels == largest).astype(np.float64), np.ones((3, 3)))


def _rgba(colour: Grid, cover: Grid) -> Rgba:
    return np.clip(np.dstack([colour, 255 * np.clip(cover, 0, 1)]) + 0.5, 0, 255).astype(np.uint8)
