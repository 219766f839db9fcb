"""Paints the lips without what is seen between them: teeth, the dark of the mouth, the line at which they touch.

Moving lips are drawn from this picture. Where they meet, or lie shut beside a small opening, they show lips up to their edge.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stages.face.rig.face_frame import FaceFrame, smoothstep
from stages.face.sampling import sample

Grid = npt.NDArray[np.float64]
Rgba = npt.NDArray[np.uint8]

#: How far beyond a lip's edge its colours are replaced, units: of lips that are apart in the picture, of lips that touch, and at
#: the corners, which are dark.
_HEM, _LINE, _CORNER = 0.022, 0.045, 0.055
#: Part of the half mouth from which on the hem grows to that of the corners; how far beyond them the lips fade, units.
_CORNERS_FROM, _BEYOND = 0.72, 0.24
#: The replaced colours are those of the lip, mirrored at the hem, from at most this part of its thickness.
_MIRRORED = 0.55
#: Lips turn inward to where they meet: there they are so much darker, and redder.
_TURNS = np.array([0.26, 0.34, 0.34])
#: Units over which the colours fade in, also at the corners, and over which those of one lip go over into the other's.
_FADE, _CORNER_FADE, _MEETS = 0.018, 0.05, 0.02


def paint_bare_lips(
    portrait: npt.NDArray[np.uint8], origin: tuple[int, int], local: Grid, frame: FaceFrame, curves: tuple[Grid, Grid]
) -> Rgba:
    """Paint the lips of an RGB portrait up to the line at which they meet; RGBA, its alpha tells what is replaced.

    Args:
        portrait: RGB uint8 [height, width, 3].
        origin: x and y of the result's top left pixel in the portrait.
        local: the face's coordinates of the result's pixels, [rows, columns, 2] px.
        frame: the face's coordinates.
        curves: edges of the upper and the lower lip in the face's coordinates, [n, 2] px.
    """
    unit = frame.unit
    x, y = local[..., 0], local[..., 1]
    top, bottom = (_height_at(x, curve) for curve in curves)
    gap = bottom - top
    apart = smoothstep(gap / (0.04 * unit))
    along = np.abs(frame.along_mouth(x))
    beyond = np.maximum(along - 1, 0) * np.where(x < 0, *frame.half_mouth)
    hem = _LINE + apart * (_HEM - _LINE)
    corner = smoothstep((along - _CORNERS_FROM) / (1 - _CORNERS_FROM))
    hem = unit * (hem + corner * (_CORNER - hem))
    from_upper = _mirrored(portrait, origin, frame, -1, y - (top - hem), frame.upper_lip)
    from_lower = _mirrored(portrait, origin, frame, 1, (bottom + hem) - y, frame.lower_lip)
    lower = smoothstep((y - (top + bottom) / 2) / np.maximum(_MEETS * unit, hem) / 2 + 0.5)[..., None]
    colours = from_upper + lower * (from_lower - from_upper)
    inside = np.minimum(y - (top - hem), bottom + hem - y)
    colours *= 1 - _TURNS * ((1 - corner) * smoothstep(inside / hem))[..., None]
    cover = smoothstep(inside / ((_FADE + corner * (_CORNER_FADE - _FADE)) * unit))
    cover *= 1 - smoothstep(beyond / (_BEYOND * unit))
    return np.clip(np.dstack([colours, 255 * cover]) + 0.5, 0, 255).astype(np.uint8)


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


def _mirrored(
    portrait: npt.NDArray[np.uint8], origin: tuple[int, int], frame: FaceFrame, outward: int, inside: Grid, lip: float
) -> Grid:
    """The portrait's colours `inside` px beyond a line, mirrored at it; the farther in, the less they change."""
    most = _MIRRORED * lip
    depth = np.maximum(inside, 0)
    shift = outward * (depth + most * (1 - np.exp(-depth / most)))
    rows, columns = inside.shape
    places = np.stack(np.meshgrid(np.arange(columns) + origin[0], np.arange(rows) + origin[1]), axis=-1)
    places = places + shift[..., None] * frame.down
    return sample(portrait, places.astype(np.float32)).astype(np.float64)
