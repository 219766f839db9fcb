"""Paints the lips without what is seen between them: teeth, the dark of the mouth, the line at which they touch.

Moving lips are drawn from this picture. Where they meet, or lie shut beside a small opening, they show lips up to their edge.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stages.face.rig.face_frame import FaceBox, smoothstep
from stages.face.rig.lip_outline import LipOutline
from stages.face.sampling import blur

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
#: A tooth that shows at the edge of a lip is not as red as the lip just behind it: less than the first part as red, within the
#: second part of the thickness. It ends where the lip is as red as the third part, and the hem so many units behind that.
_LESS_RED, _TOOTH_MOST, _AS_RED, _BEHIND_TOOTH = 0.70, 0.35, 0.90, 0.012
#: The ends of teeth along an edge are smoothed over so many samples of a curve.
_TEETH_ROUNDED = 2.0
#: From the first part of the half mouth on, the colours come from farther in, and all of them from within the second.
_COLOURS_FROM, _COLOURS_END = 0.42, 0.54
#: Lips turn inward to where they meet: there they are so much darker, and redder.
_TURNS = np.array([0.26, 0.34, 0.34])
#: From the first part of the half mouth on, they turn inward less, down to the third part at the second: the ends of a ring.
_TURNS_LESS_FROM, _TURNS_LESS_TO, _TURNS_LEAST = 0.45, 0.70, 0.65
#: Units over which the colours fade in, also at the corners, and over which those of one lip go over into the other's: between
#: lips that are apart, and where the colours come from farther in, about both edges, because these meet.
_FADE, _CORNER_FADE, _MEETS = 0.018, 0.05, 0.02
#: Beside a round opening lips are shut that do not quite meet: up to this part of the hem, each has the colours of both.
_OVERLAPS = 0.4


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
        np.maximum(np.minimum(hem, np.maximum(_HEM_MOST * thick, _HEM_LEAST * unit)), apart * teeth)
        for thick, teeth in zip(outline.thickness(x, curves), _teeth_at_edges(box, curves, outline), strict=True)
    )
    sources = []
    depths = y - (top - above), bottom + below - y
    for way, curve, thick, depth, deep in zip(
        (-1, 1),
        curves,
        outline.thickness(inward, curves),
        depths,
        (np.maximum(hem, above), np.maximum(hem, below)),
        strict=True,
    ):
        most = np.maximum(_MIRRORED * thick, 1e-3)
        back = np.minimum(deep, _LINE_MOST * thick) + most * (1 - np.exp(-np.maximum(depth, 0) / most))
        sources.append(np.stack([inward, np.interp(inward, curve[:, 0], curve[:, 1]) + way * back], axis=-1))
    from_upper, from_lower = (box.at(frame.picture(at)).astype(np.float64) for at in sources)
    lower = smoothstep((y - (top + bottom) / 2) / np.maximum(_MEETS * unit, hem) / 2 + 0.5)
    meets = smoothstep((along - _COLOURS_FROM) / (_COLOURS_END - _COLOURS_FROM))
    only_upper, only_lower = (
        smoothstep((away / deep - _OVERLAPS) / (1 - _OVERLAPS))
        for away, deep in ((top - y, above), (y - bottom, below))
    )
    lower = (lower + meets * ((1 - only_upper + only_lower) / 2 - lower))[..., None]
    colours = from_upper + lower * (from_lower - from_upper)
    turned = 1 - (1 - _TURNS_LEAST) * smoothstep((along - _TURNS_LESS_FROM) / (_TURNS_LESS_TO - _TURNS_LESS_FROM))
    colours *= 1 - _TURNS * ((1 - corner) * turned * smoothstep(np.minimum(*depths) / hem))[..., None]
    fade = (_FADE + corner * (_CORNER_FADE - _FADE)) * unit
    cover = smoothstep((y - (top - above)) / np.minimum(fade, above))
    cover *= smoothstep((bottom + below - y) / np.minimum(fade, below))
    cover *= 1 - smoothstep(beyond / (_BEYOND * unit))
    return np.clip(np.dstack([colours, 255 * cover]) + 0.5, 0, 255).astype(np.uint8)


def _teeth_at_edges(box: FaceBox, curves: tuple[Grid, Grid], outline: LipOutline) -> tuple[Grid, Grid]:
    """How far teeth that count as lip reach into both lips, px at each pixel of the box; 0 where there are none."""
    found = []
    parts = np.linspace(0.0, _TOOTH_MOST, 15)
    for way, curve, thick in zip((-1, 1), curves, outline.thickness(curves[0][:, 0], curves), strict=True):
        into = thick[:, None] * parts
        places = np.stack([np.repeat(curve[:, :1], len(parts), axis=1), curve[:, 1:] + way * into], axis=-1)
        seen = box.at(box.frame.picture(places)).astype(np.float64)
        red = (1.5 * seen[..., 0] - 0.5 * seen.sum(axis=-1)) / np.maximum(seen.sum(axis=-1), 1.0)
        reddest = red.max(axis=1)
        ends = np.take_along_axis(into, (red >= _AS_RED * reddest[:, None]).argmax(axis=1)[:, None], axis=1)[:, 0]
        ends = np.where(red[:, 0] < _LESS_RED * reddest, ends + _BEHIND_TOOTH * box.frame.unit, 0.0)
        ends = blur(ends[None].astype(np.float32), _TEETH_ROUNDED)[0]
        found.append(np.interp(box.local[..., 0], curve[:, 0], ends))
    return found[0], found[1]


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
