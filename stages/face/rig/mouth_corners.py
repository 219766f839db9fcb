"""Paints the skin beside the mouth without the old corners: their shade, and the folds of a smile.

The corners of rounded lips come in. What a mouth at rest shows beside them would stay behind as a line, or as whiskers.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stages.face.rig.colours import LUMA
from stages.face.rig.face_frame import FaceFrame, smoothstep
from stages.face.sampling import blur, sample

Grid = npt.NDArray[np.float64]
Rgba = npt.NDArray[np.uint8]

#: The painted ellipse: its middle beyond the corner, its half width and half height, units; part of it over which it fades.
_OUTWARD, _ACROSS, _DOWN, _FADES = 0.13, 0.21, 0.15, 0.65
#: Blur that tells the skin around the ellipse, units. Its grain is that of the skin so many units below; it differs by at most so
#: many levels, so that no mole is copied.
_AROUND, _GRAIN_BELOW, _MOST_GRAIN = 0.10, 0.32, 10.0
#: What is finer than the first number of units is grain. Hair is left as it is: where the grain is at its median as much as the
#: second number of the brightness, less of the skin is painted, and none from the third on.
_FINE, _HAIRY, _HAIR = 0.03, 0.021, 0.035
#: Lips, whose colour is not the skin's, end here, in half mouths; they have at most so many times their thickness.
_LIPS_END, _THICK = 1.02, 1.3
#: What is brighter than the skin around is changed by this part only.
_BRIGHTER = 0.6


def paint_mouth_corners(
    portrait: npt.NDArray[np.uint8], origin: tuple[int, int], local: Grid, frame: FaceFrame, curves: tuple[Grid, Grid]
) -> Rgba:
    """Paint the skin beside both corners of an RGB portrait; RGBA, its alpha tells what is replaced.

    Args:
        portrait: RGB uint8 [height, width, 3].
        origin: x and y of the result's top left pixel in the portrait.
        local: the face's coordinates of the result's pixels, [rows, columns, 2] px.
        frame: the face's coordinates.
        curves: edges of the upper and the lower lip in the face's coordinates, [n, 2] px.
    """
    unit = frame.unit
    rows, columns = local.shape[:2]
    places = np.stack(np.meshgrid(np.arange(columns) + origin[0], np.arange(rows) + origin[1]), axis=-1)
    below = places + _GRAIN_BELOW * unit * frame.down
    seen, plain = (sample(portrait, at.astype(np.float32)).astype(np.float32) for at in (places, below))
    soft = blur(seen, _FINE * unit)
    grain = np.clip(plain - blur(plain, _FINE * unit), -_MOST_GRAIN, _MOST_GRAIN)
    x, y = local[..., 0], local[..., 1]
    level, fine = seen @ LUMA, np.abs((seen - soft) @ LUMA)
    away, bare = np.full(x.shape, np.inf), np.ones(x.shape)
    for end, outward in ((0, -1.0), (-1, 1.0)):
        corner = (curves[0][end] + curves[1][end]) / 2
        beyond = outward * (x - corner[0]) / unit
        from_middle = np.hypot((beyond - _OUTWARD) / _ACROSS, (y - corner[1]) / (_DOWN * unit))
        away = np.minimum(away, from_middle)
        ring = (from_middle > 0.8) & (from_middle < 1.8) & (beyond > 0)
        hair = float(np.median(fine[ring]) / max(level[ring].mean(), 1.0)) if ring.any() else 0.0
        bare[outward * x > 0] = 1.0 - smoothstep(np.array((hair - _HAIRY) / (_HAIR - _HAIRY)))
    cover = bare * (1.0 - smoothstep((away - (1 - _FADES)) / _FADES))
    top, bottom = (np.interp(x, curve[:, 0], curve[:, 1]) for curve in curves)
    lips = (np.abs(frame.along_mouth(x)) < _LIPS_END) & (y > top - _THICK * frame.upper_lip)
    lips &= y < bottom + _THICK * frame.lower_lip
    known = np.where(lips, 0.0, smoothstep((away - 0.5) / 0.5) + 1e-3).astype(np.float32)
    weighed = blur(np.asarray(seen * known[..., None], np.float32), _AROUND * unit)
    around = weighed / np.maximum(blur(known, _AROUND * unit), 1e-6)[..., None]
    change = around - soft
    change *= np.where(change @ LUMA < 0, _BRIGHTER, 1.0)[..., None]
    return np.clip(np.dstack([soft + change + grain, 255 * cover]) + 0.5, 0, 255).astype(np.uint8)
