"""Paints the inside of the mouth once per portrait: upper teeth (or the picture's own), lower teeth, tongue.

Every layer is an RGBA picture over one box of the portrait, in its position while the mouth is closed. The upper teeth move with
the skull; the lower teeth and the tongue move with the jaw. Rows of teeth stand on a curved arch: in a face that is turned aside,
its far half is seen shortened.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from stages.face.mesh import FloatArray
from stages.face.rig.bare_lips import paint_bare_lips
from stages.face.rig.colours import FaceColours, luma
from stages.face.rig.expressions.fields import lower_closes
from stages.face.rig.face_frame import FaceBox, FaceFrame, smoothstep
from stages.face.rig.lip_outline import LipOutline
from stages.face.rig.lipline import CLOSED_GAP
from stages.face.rig.mouth_corners import paint_mouth_corners
from stages.face.rig.own_teeth import find_own_teeth
from stages.face.sampling import blur

Grid = npt.NDArray[np.float64]
Rgba = npt.NDArray[np.uint8]

#: Widths of the teeth of half a row from the middle on, as seen from the front, in units; how much shorter each is, and how much
#: darker than the first.
_UPPER_WIDTHS = (0.158, 0.118, 0.108, 0.072, 0.055, 0.045)
_UPPER_SHORTER = (0.0, 0.016, 0.003, 0.020, 0.028, 0.036)
_UPPER_DARKER = (0.0, 0.035, 0.09, 0.08, 0.12, 0.16)
_LOWER_WIDTHS = (0.098, 0.104, 0.112, 0.085, 0.070, 0.060)
_LOWER_SHORTER = (0.0, 0.004, 0.002, 0.012, 0.02, 0.03)
#: Lower edge of the upper teeth below the lip line, upper edge of the lower teeth, and distance of the gums from the edge; units.
_UPPER_EDGE, _LOWER_EDGE, _GUMS = 0.100, 0.070, 0.225
#: The ends of a row of own teeth, in half mouths; painted teeth beside them are darkened at most to this fraction.
_ROW_END, _LEAST_SHADE = 0.16, 0.35
#: A row's halves differ in width by at most this fraction, however far the head is turned.
_MOST_TURNED = 0.4
#: Light on the brightest part of a painted tooth, before its own shade; its brightest pixels then have the colour of teeth.
_FULL_LIGHT = 1.08


@dataclass(frozen=True)
class MouthInterior:
    """The painted layers of the mouth, RGBA uint8 [height, width, 4] each.

    Attributes:
        origin: x and y of the layers' top left pixel in the portrait.
        skull: upper teeth, painted or the picture's own.
        jaw: lower teeth.
        tongue: the tongue.
        shown: what the picture shows between the lips.
        bare: the lips without what is between them (stages/face/rig/bare_lips.py).
        corners: the skin beside the mouth without its corners (stages/face/rig/mouth_corners.py).
        turns: which of that skin is painted first, 0, and which last, 255, as the lips are drawn in; uint8 [height, width].
        hair_beside: part of the skin beside the corners that hair covers, 0 to 1.
        own_teeth: whether the picture shows an open mouth.
        own_colour: whether the upper teeth have the colour of teeth in the picture.
    """

    origin: tuple[int, int]
    skull: Rgba
    jaw: Rgba
    tongue: Rgba
    shown: Rgba
    bare: Rgba
    corners: Rgba
    turns: npt.NDArray[np.uint8]
    hair_beside: float
    own_teeth: bool
    own_colour: bool


@dataclass(frozen=True)
class _Row:
    """A row of teeth: widths of half of it and how much shorter each is, in units; `up` for the upper row."""

    widths: tuple[float, ...]
    shorter: tuple[float, ...]
    darker: tuple[float, ...]
    up: bool


_UPPER = _Row(_UPPER_WIDTHS, _UPPER_SHORTER, _UPPER_DARKER, up=True)
_LOWER = _Row(_LOWER_WIDTHS, _LOWER_SHORTER, _UPPER_DARKER, up=False)


def paint_mouth_interior(
    portrait: npt.NDArray[np.uint8],
    frame: FaceFrame,
    landmarks: FloatArray,
    curves: tuple[FloatArray, FloatArray],
    tones: FaceColours,
) -> MouthInterior:
    """Paint the layers for an RGB portrait with `landmarks`, whose lips' inner edges are `curves` (upper, lower; [n, 2] px)."""
    outline = LipOutline.of(landmarks, frame)
    box = FaceBox.around(portrait, frame)
    local = box.local
    upper, lower = (frame.local(curve) for curve in curves)
    arch = sum(frame.half_mouth) / 2 / frame.unit
    along = _along_arch(local[..., 0], frame)
    below_upper = (local[..., 1] - _straightened(local[..., 0], upper)) / frame.unit
    below_lower = (local[..., 1] - _straightened(local[..., 0], lower)) / frame.unit
    is_open = float(np.max(lower[:, 1] - upper[:, 1])) > CLOSED_GAP * 2 * arch * frame.unit
    own = find_own_teeth(box, (upper, lower), tones) if is_open else None
    if own is not None:
        tones = replace(tones, teeth=own.colour)
    jaw = _paint_teeth(_LOWER, along, below_lower, arch, tones, _LOWER_EDGE)
    tongue = _paint_tongue(along, below_lower, arch, tones)
    if own is not None and own.row is not None and own.end is not None:
        edge = _lower_end(own.row, along, below_upper) / max(arch / 0.5, 0.1) ** 0.5
        painted = _paint_teeth(_UPPER, along, below_upper, arch, tones, edge - 0.012)
        below = (local[..., 1] - np.interp(local[..., 0], upper[:, 0], upper[:, 1])) / frame.unit
        painted[..., 3] = painted[..., 3] * smoothstep((own.end - below) / 0.016)
        skull = _composite(_continued(painted, own.row, along), own.row)
    else:
        # A mouth that is open in the picture is closed by both lips: there the upper lip covers the teeth.
        gap = np.interp(upper[:, 0], lower[:, 0], lower[:, 1]) - upper[:, 1]
        covered = (1.0 - lower_closes(float(gap.max()), frame.unit)) * float(gap.max()) / frame.unit
        skull = _paint_teeth(_UPPER, along, below_upper - covered, arch, tones, _UPPER_EDGE)
    bare = paint_bare_lips(box, (upper, lower), outline)
    beside = paint_mouth_corners(box, (upper, lower), outline)
    shown = np.dstack([box.at(), bare[..., 3]])
    skin = beside.painted, beside.turns, beside.hair
    return MouthInterior(box.origin, skull, jaw, tongue, shown, bare, *skin, is_open, own is not None)


def _along_arch(x: Grid, frame: FaceFrame) -> Grid:
    """Position along the row, in halves of the mouth: 0 at its middle, -1 and 1 at the corners.

    An arch seen from the side is a curve whose halves differ in width; the widths of the mouth's halves are known.
    """
    left, right = frame.half_mouth
    mean, turn = (left + right) / 2, (right - left) / 2
    turn = float(np.clip(turn, -_MOST_TURNED * mean, _MOST_TURNED * mean))
    if abs(turn) < 1e-3 * mean:
        return np.asarray(x / mean)
    # x = mean * s + turn * s²; beyond its top the curve is turned away.
    inside = np.maximum(mean**2 + 4 * turn * x, 0.0)
    return np.asarray((np.sqrt(inside) - mean) / (2 * turn))


def _lower_end(teeth: Rgba, along: Grid, below: Grid) -> float:
    """Distance from the upper lip to the lower end of the picture's own front teeth, in units."""
    front = (teeth[..., 3] > 128) & (np.abs(along) < 0.4)
    return float(np.percentile(below[front], 92)) if front.any() else _UPPER_EDGE


def _continued(painted: Rgba, own: Rgba, along: Grid) -> Rgba:
    """Give painted teeth the tint of the picture's own ones, and on either side the shade that these have at their end."""
    both = (own[..., 3] > 128) & (painted[..., 3] > 128)
    colours = painted.astype(np.float64)
    if not both.any():
        return painted

    def seen(where: npt.NDArray[np.bool_]) -> tuple[Grid, Grid]:
        """The colours of both layers there."""
        return np.median(own[where][:, :3], axis=0), np.median(painted[where][:, :3], axis=0)

    of_own, of_painted = seen(both)
    tint = (of_own / luma(of_own)) / (of_painted / luma(of_painted))
    for side in (along < 0, along >= 0):
        shown = both & side
        if shown.any():
            of_own, of_painted = seen(shown & (np.abs(along) > np.abs(along[shown]).max() - _ROW_END))
            colours[side, :3] *= tint * np.clip(luma(of_own) / max(luma(of_painted), 1.0), _LEAST_SHADE, 1.0)
    return _rgba(colours[..., :3], colours[..., 3] / 255)


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


def _paint_teeth(row: _Row, along: Grid, below: Grid, arch: float, tones: FaceColours, edge: float) -> Rgba:
    """Paint a row of teeth whose free edge lies `edge` units below the lip line; the upper row has it at the bottom."""
    scale = arch / 0.5  # a narrow mouth shows narrow teeth
    distance = np.abs(along) / 2
    bounds = np.cumsum((0.0, *row.widths))
    number = np.clip(np.searchsorted(bounds, distance, side="right") - 1, 0, len(row.widths) - 1)
    middle = (bounds[number] + bounds[number + 1]) / 2
    half = np.asarray(row.widths)[number] / 2
    inside = np.clip(np.abs(distance - middle) / half, 0, 1)
    bow = (0.10 if row.up else 0.05) * distance**2  # the row's edge retreats toward the back
    rounded = 0.014 * np.maximum(inside - 0.35, 0) ** 2.5 / 0.65**2.5
    retreat = (np.asarray(row.shorter)[number] + rounded) * scale + bow
    depth = edge * scale**0.5 - retreat - below if row.up else below - edge - retreat
    cover = smoothstep(depth / 0.018 + 0.5) * (1.0 - smoothstep((distance - bounds[-1] + 0.05) / 0.05))
    light = _FULL_LIGHT - 0.60 * smoothstep(distance / 0.52) ** 1.5  # the light falls in from the front
    light *= 1.0 - np.asarray(row.darker)[number]
    light *= 1.0 - 0.12 * inside**2.5  # each tooth is round
    light *= 1.0 - 0.10 * (1.0 - smoothstep(depth / 0.035))  # thin toward its edge
    light *= 1.0 + 0.05 * np.exp(-(((inside - 0.25) / 0.3) ** 2) - ((depth - 0.09) / 0.04) ** 2)
    light *= 1.0 - 0.25 * smoothstep((depth - 0.10) / 0.12)  # toward the gums
    gap = 0.009 / np.maximum(half, 0.03)  # the seams: narrow, wider toward the free edge
    seam = smoothstep((inside - 1 + gap * (1.0 + 1.5 * np.exp(-depth / 0.025))) / gap)
    warm = np.array([1.0, 0.982, 0.957]) ** (tones.warmth * (1.0 + 2.5 * distance[..., None]))
    colour = tones.teeth[None, None] * (light * (1.0 if row.up else 0.82))[..., None] * warm
    colour *= 1.0 - seam[..., None] * (1.0 - np.array([0.84, 0.77, 0.71]) ** (0.5 + 0.5 * tones.warmth))
    arcade = 0.03 * (inside**2 - 0.4)  # gums reach down between the teeth
    gums = smoothstep((depth - _GUMS * scale**0.5 + arcade) / 0.03)[..., None]
    colour += gums * (0.62 * tones.tongue[None, None] * light[..., None] / 0.75 - colour)
    return _softened(_rgba(colour, cover), 0.0045 * scale)


def _softened(layer: Rgba, sigma: float) -> Rgba:
    return np.asarray(blur(layer, max(sigma * layer.shape[1] / 1.3, 0.4)), np.uint8)


def _paint_tongue(along: Grid, below: Grid, arch: float, tones: FaceColours) -> Rgba:
    """Paint the tongue: a rounded body behind the lower teeth. Its front is lit; its back turns away into the dark, without an
    edge.
    """
    side = np.clip(np.abs(along) / 0.86, 0, 1)
    top = -0.105 + 0.34 * side**2
    depth = (below - top) / max(arch / 0.5, 0.3) ** 0.5
    cover = smoothstep(depth / 0.12) * (1.0 - smoothstep((side - 0.84) / 0.16))
    light = 0.30 + 0.70 * smoothstep(depth / 0.20)  # from the back to the front
    light *= 1.0 - 0.22 * smoothstep((depth - 0.22) / 0.16)  # the tip bends down behind the teeth
    light *= np.sqrt(np.clip(1.0 - 0.95 * side**2, 0.05, 1.0))
    groove = np.exp(-((along / 0.07) ** 2)) - 0.4 * np.exp(-(((np.abs(along) - 0.22) / 0.14) ** 2))  # and both ridges
    light *= 1.0 - 0.25 * groove * smoothstep(depth / 0.08) * (1.0 - smoothstep((depth - 0.18) / 0.1))
    colour = tones.tongue[None, None] * light[..., None]
    shine = np.exp(-(((np.abs(along) - 0.19) / 0.14) ** 2) - ((depth - 0.17) / 0.03) ** 2)
    colour += 0.14 * shine[..., None] * (tones.teeth[None, None] - colour)
    return _softened(_rgba(colour, cover), 0.006)


def _rgba(colour: Grid, cover: Grid) -> Rgba:
    return np.clip(np.dstack([colour, 255 * np.clip(cover, 0, 1)]) + 0.5, 0, 255).astype(np.uint8)
