"""Paints the lips without what is seen between them: teeth, the dark of the mouth, the line at which they touch.

Moving lips are drawn from this picture. Where they meet, or lie shut beside a small opening, they show lips up to their edge.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stages.face.rig.face_frame import FaceBox, smoothstep
from stages.face.rig.lip_outline import LipOutline

Grid = npt.NDArray[np.float64]
Rgba = npt.NDArray[np.uint8]

#: How far beyond a lip's edge its colours are replaced, units: of lips that are apart in the picture, of lips that touch, and at
#: the corners, which are dark.
_HEM, _LINE, _CORNER = 0.022, 0.045, 0.055
#: Part of the half mouth from which on the hem grows to that of the corners; how far beyond them the lips fade, units.
_CORNERS_FROM, _BEYOND = 0.72, 0.05
#: The replaced colours are those of the lip, mirrored at a line, from at most the first part of its thickness. The line is where
#: the hem ends, but at most the second part of the thickness from the edge: at the corners the hem ends in the skin.
_MIRRORED, _LINE_MOST = 0.50, 0.35
#: The hem is at most this part of the lip's thickness, and at least so many units.
_HEM_MOST, _HEM_LEAST = 0.9, 0.015
#: From the first part of the half mouth on, the colours come from farther in, and all of them from within the second.
_COLOURS_FROM, _COLOURS_END = 0.60, 0.74
#: Lips turn inward to where they meet: there they are so much darker, and redder.
_TURNS = np.array([0.26, 0.34, 0.34])
#: Units over which the colours fade in, also at the corners, and over which those of one lip go over into the other's.
_FADE, _CORNER_FADE, _MEETS = 0.018, 0.05, 0.02


def paint_bare_lips(box: FaceBox, curves: tuple[Grid, Grid], outline: LipOutline) -> Rgba:
    """Paint the lips up to the line at which they meet; RGBA, its alpha tells what is replaced.

    `curves` are the edges of the upper and the lower lip in the face's coordinates, [n, 2] px.
    """
    frame, unit = box.frame, box.frame.unit
    x, y = box.local[..., 0], box.local[..., 1]
    top, bottom = (_height_at(x, curve) for curve in curves)
    apart = smoothstep((bottom - top) / (0.04 * unit))
    along = np.abs(frame.along_mouth(x))
    beyond = np.maximum(along - 1, 0) * np.where(x < 0, *frame.half_mouth)
    corner = smoothstep((along - _CORNERS_FROM) / (1 - _CORNERS_FROM))
    hem = _LINE + apart * (_HEM - _LINE)
    hem = unit * (hem + corner * (_CORNER - hem))
    inward = x * (_source(along) / np.maximum(along, 1e-6))
    above, below = (
        np.minimum(hem, np.maximum(_HEM_MOST * thick, _HEM_LEAST * unit)) for thick in outline.thickness(x, curves)
    )
    sources = []
    for way, curve, thick, depth in zip(
        (-1, 1), curves, outline.thickness(inward, curves), (y - (top - above), bottom + below - y), strict=True
    ):
        most = np.maximum(_MIRRORED * thick, 1e-3)
        back = np.minimum(hem, _LINE_MOST * thick) + most * (1 - np.exp(-np.maximum(depth, 0) / most))
        sources.append(np.stack([inward, np.interp(inward, curve[:, 0], curve[:, 1]) + way * back], axis=-1))
    from_upper, from_lower = (box.at(frame.picture(at)).astype(np.float64) for at in sources)
    lower = smoothstep((y - (top + bottom) / 2) / np.maximum(_MEETS * unit, hem) / 2 + 0.5)[..., None]
    colours = from_upper + lower * (from_lower - from_upper)
    inside = np.minimum(y - (top - above), bottom + below - y)
    colours *= 1 - _TURNS * ((1 - corner) * smoothstep(inside / hem))[..., None]
    fade = (_FADE + corner * (_CORNER_FADE - _FADE)) * unit
    cover = smoothstep((y - (top - above)) / np.minimum(fade, above))
    cover *= smoothstep((bottom + below - y) / np.minimum(fade, below))
    cover *= 1 - smoothstep(beyond / (_BEYOND * unit))
    return np.clip(np.dstack([colours, 255 * cover]) + 0.5, 0, 255).astype(np.uint8)


def _source(along: Grid) -> Grid:
    """Where along the half mouth the colours come from: a lip ends in a point, and there they are those from farther in."""
    way = _COLOURS_END - _COLOURS_FROM
    farther = np.maximum(along - _COLOURS_FROM, 0)
    return np.asarray(np.minimum(along, _COLOURS_FROM) + way * (1 - np.exp(-farther / way)))


def _height_at(x: Grid, curve: Grid) -> Grid:
    """A curve's y; beyond its ends it goes on as it ends, less and less steeply."""
    inside = np.interp(x, curve[:, 0], curve[:, 1])
    count = len(curve) // 8
    for end, inner, way in ((curve[0], curve[count], -1), (curve[-1], curve[-1 - count], 1)):
        slope = (end[1] - inner[1]) / (end[0] - inner[0])
        reach = abs(end[0] - inner[0])
        out = np.maximum(way * (x - end[0]), 0)
        inside = inside + way * slope * reach * (1 - np.exp(-out / reach))
    return inside
