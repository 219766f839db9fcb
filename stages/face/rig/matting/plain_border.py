"""Decides whether a portrait can go on beyond its borders so that nobody sees where it ended.

That takes a plain background: what is made beyond a busy one is fog beside a sharp picture. And the borders may cut no more of
the person than the shoulders: nobody knows how hair goes on.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.mesh import FloatArray
from stages.face.rig.matting.matte import Matte
from stages.face.sampling import blur

Picture = npt.NDArray[np.uint8]

#: Shorter side of the small picture that is judged, px: grain and noise are gone in it.
_SMALL = 256
#: Rows along a border that are judged, and those that show what the border cuts; of the shorter side.
_STRIP, _CUT_ROWS = 0.09, 0.012
#: Alpha from which the person is cut by a border, and up to which the background is seen.
_PERSON, _WALL = 127, 64
#: The lowest part of a side that shoulders may take up, and the part of any border that single strands may.
_SHOULDERS, _STRANDS = 0.2, 0.05
#: Sigma of the blur that leaves a plain background as it is, of the shorter side.
_SOFT = 0.045
#: Most difference from the blurred background, root mean square and for all but half a per cent, and most change of that over a
#: tenth of the shorter side, 8-bit levels. The sides of nine plain walls had at most 2.7, 9.8 and 14.9; a wall with a few thin
#: lines had 2.6, 16 and 7, and each of 40 others had more of the first or of the last.
_TEXTURE, _LINES, _SLOPE = 3.0, 12.0, 15.0


def goes_on_unseen(picture: Picture, matte: Matte, margins: tuple[int, int, int, int]) -> bool:
    """Return whether an RGB picture can be extended by `margins` (top, left, bottom, right, px) without a visible seam.

    False if it cannot be split: nobody knows what the borders show.
    """
    if not matte:
        return False
    scale = min(1.0, _SMALL / min(picture.shape[:2]))
    size = max(2, round(picture.shape[1] * scale)), max(2, round(picture.shape[0] * scale))
    plate, cut = (
        np.asarray(cv2.resize(one, size, interpolation=cv2.INTER_AREA), np.float32) for one in (matte.plate, matte.cut)
    )
    sides = [side for side, margin in enumerate(margins) if margin]
    return all(_is_plain(_turned(plate, side), _turned(cut, side), _SHOULDERS if side % 2 else 0.0) for side in sides)


def _turned(whole: FloatArray, side: int) -> FloatArray:
    """The picture with one border (0: top, 1: left, 2: bottom, 3: right) as its first row, which begins at the top or left."""
    upright = np.swapaxes(whole, 0, 1) if side % 2 else whole
    return np.ascontiguousarray(upright[::-1] if side in (2, 3) else upright)


def _is_plain(plate: FloatArray, cut: FloatArray, lowest: float) -> bool:
    """Judge the upper border; the person may be cut in the last part of it, `lowest` of its length."""
    side, length = min(cut.shape), cut.shape[1]
    touched = cut[: max(1, round(_CUT_ROWS * side))].max(axis=0) > _PERSON
    if touched[: round((1 - lowest) * length)].sum() > _STRANDS * length:
        return False
    rows = max(1, round(_STRIP * side))
    wall = plate[: 2 * rows]  # what lies farther inside counts in the blur
    soft = blur(wall, _SOFT * side)[:rows]
    seen = cut[:rows] < _WALL
    if not seen.any():
        return False
    differs = np.abs((wall[:rows] - soft).mean(axis=-1))[seen]
    texture, lines = float(np.sqrt((differs**2).mean())), float(np.percentile(differs, 99.5))
    slope = float(np.abs(np.diff(soft.mean(axis=0), axis=0)).max()) * 0.1 * side
    return texture <= _TEXTURE and lines <= _LINES and slope <= _SLOPE
