"""Finds how far the eyeball reaches down in the picture: the mesh often puts the lower lid's edge too high in wide open eyes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.face.eye_outline import EyeOutline
from stages.face.sampling import blur, sample

Picture = npt.NDArray[np.uint8]
Grid = npt.NDArray[np.float32]

_fit: Any = np.polynomial.polynomial.polyfit
_at: Any = np.polynomial.polynomial.polyval

#: Columns at which the edge is looked for, -1 to 1 between the corners, and rows from the mesh's edge down, in eye widths.
_PLACES, _ROWS = np.linspace(-0.86, 0.86, 44), np.linspace(-0.08, 0.24, 81)
#: Rows of which the lower one's skin is read, and above the mesh's edge the eyeball: in eye widths.
_SKIN, _BALL = (0.13, 0.22), (-0.08, -0.02)
#: The edge is at most so far below the mesh's, in eye widths.
_MOST = 0.1
#: How much nearer than to the skin's colour a colour is to the eyeball's, to belong to it.
_CLEARLY = 0.7
#: Columns farther than this from the curve through all are left out, in eye widths.
_OUTLIER = 0.02
#: The curve leans to one side by at most this share of its height.
_MOST_LEAN = 0.4


def with_lower_lid(portrait: Picture, eye: EyeOutline) -> EyeOutline:
    """The same eye with its lower edge where eyeball ends and skin begins, if that is below the mesh's edge.

    Args:
        portrait: RGB uint8 [height, width, 3].
        eye: the mesh's eye.
    """
    colours = _strip(portrait, eye)
    skin = _between(colours, _SKIN).mean(axis=0)
    near = _between(colours, _BALL)
    ball = near.mean(axis=0)
    level = near.mean(axis=-1)
    white = near[level >= np.percentile(level, 75)].mean(axis=0)
    to_ball = np.minimum(np.linalg.norm(colours - ball, axis=-1), np.linalg.norm(colours - white, axis=-1))
    like_ball = to_ball < _CLEARLY * np.linalg.norm(colours - skin, axis=-1)
    from_edge = _ROWS > -0.005
    step = _ROWS[1] - _ROWS[0]
    depth = np.logical_and.accumulate(like_ball[from_edge], axis=0).sum(axis=0) * step
    depth = np.minimum(depth, _MOST)
    curve = _robust_curve(depth)
    curve *= _clearest(colours, _shape(_PLACES) @ curve)
    place = np.linspace(-1, 1, 41)
    lower = _at(place, eye.lower) + np.clip(_shape(place) @ curve, 0, _MOST)
    return replace(eye, lower=np.asarray(_fit(place, lower, 6), np.float64))


def _strip(portrait: Picture, eye: EyeOutline) -> npt.NDArray[np.float64]:
    """The picture around the mesh's lower edge, straightened: [rows, columns, 3]."""
    x0, y0, x1, y1 = eye.box(0.1, 0.3, 0.5, (portrait.shape[1], portrait.shape[0]))
    shown = blur(portrait[y0:y1, x0:x1].astype(np.float32), max(0.012 * eye.width, 0.4))
    along = (_PLACES + 1) / 2 * eye.width
    down = eye.edges(along)[1][None] + _ROWS[:, None] * eye.width
    places = eye.corner - (x0, y0) + along[None, :, None] * eye.across + down[..., None] * eye.down
    return sample(shown, places.astype(np.float32)).astype(np.float64)


def _between(colours: npt.NDArray[np.float64], rows: tuple[float, float]) -> npt.NDArray[np.float64]:
    return colours[(rows[0] <= _ROWS) & (rows[1] >= _ROWS)]


def _robust_curve(depth: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Fit a curve that is 0 at the corners, where shadows look like eyeball, to most of the columns; -1 to 1 as in `_shape`."""
    shape = _shape(_PLACES)
    kept = np.ones(len(depth), bool)
    for _ in range(4):
        curve: npt.NDArray[np.float64] = np.linalg.lstsq(shape[kept], depth[kept], rcond=None)[0]
        off = np.abs(depth - shape @ curve)
        kept = off < max(_OUTLIER, float(np.median(off)))
    most = _MOST_LEAN * abs(float(curve[0]))
    curve[1] = np.clip(curve[1], -most, most)
    return curve


def _clearest(colours: npt.NDArray[np.float64], depth: npt.NDArray[np.float64]) -> float:
    """The part of the way to `depth`, in eye widths for each column, at which the picture's edge is the clearest, 0 to 1."""
    slope = np.linalg.norm(np.gradient(colours, axis=0), axis=2)
    parts = np.linspace(0, 1, 6)
    rows = np.rint((np.clip(depth, 0, _MOST) * parts[:, None] - _ROWS[0]) / (_ROWS[1] - _ROWS[0])).astype(int)
    along = [np.maximum.reduce([slope[at + off, np.arange(len(depth))] for off in (-2, 0, 2)]).mean() for at in rows]
    return float(parts[int(np.argmax(along))])


def _shape(place: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The two curves of which the distance of both edges is made, [n, 2]: even, and leaning to one side."""
    even = 1 - place * place
    return np.stack([even, place * even], axis=1)
