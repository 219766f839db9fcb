"""Takes fine hair, and what is left of the outline, out of the background beside the person, so that it moves with the head.

Before a plain wall, colours tell a strand from the wall. A background with its own light and dark areas is not plain, but most
often out of focus: it has no detail as fine as a strand has. There, detail that reaches the person belongs to the person.
"""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.mesh import FloatArray
from stages.face.rig.face_frame import smoothstep
from stages.face.rig.matting.fill import grain_strength, noise, spread
from stages.face.rig.matting.matte import Matte
from stages.face.sampling import blur, blur_widely

Picture = npt.NDArray[np.uint8]

#: Shorter side of the picture on which detail is looked for at most, px.
_LOOKED = 720
#: Width of a strand at most, and how far around it the background is not believed; of the shorter side.
_STRAND, _AROUND = 0.012, 0.009
#: Sigma of the blur that what is out of focus survives, of the shorter side.
_FINE = 0.006
#: Distances from the person between which strands end to be looked for, and from which the background's own detail is measured,
#: of the shorter side; half the width of the squares whose sharpest place counts, and the distance over which these are averaged.
_FAR, _OWN, _NEARBY, _AVERAGED = (0.08, 0.12), 0.06, 0.01, 0.08
#: How many times as strong as the background's own detail a strand is, and by how many 8-bit levels it differs besides.
_TIMES, _LEVELS = 1.7, (2.0, 6.0)
#: Gap between a strand and the person up to which it belongs to the person, of the shorter side.
_GAP = 0.01
#: Share of what is filled in, below which the background is its own.
_LEAST = 0.02
#: Alpha from which the person is there.
_PERSON = 24


def move_strands(picture: Picture, matte: Matte) -> Matte:
    """Take strands out of the plate of a matte; compositing still gives exactly the picture.

    Args:
        picture: RGB, uint8 [height, width, 3].
        matte: of the picture.
    """
    height, width = matte.alpha.shape
    scale = min(1.0, _LOOKED / min(height, width))
    size = round(width * scale), round(height * scale)
    plate = np.asarray(cv2.resize(matte.plate, size, interpolation=cv2.INTER_AREA), np.uint8)
    alpha = np.asarray(cv2.resize(matte.alpha, size, interpolation=cv2.INTER_AREA), np.uint8)
    side = min(size)
    away = cv2.distanceTransform((alpha <= _PERSON).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    own = ((away > _OWN * side) & (alpha == 0)).astype(np.float32)
    if not own.any():
        return matte
    soft = np.asarray(blur(plate, _FINE * side), np.uint8)
    detail = np.maximum(_detail(plate, _STRAND * side) - _detail(soft, _STRAND * side), 0)
    sharp = np.maximum(detail, cv2.absdiff(plate, soft).max(axis=-1)) * own
    most = cv2.dilate(sharp, np.ones((2 * round(_NEARBY * side) + 1,) * 2, np.uint8))
    strands = _unusual(detail, np.asarray(most, np.float32), own, _AVERAGED * side)
    strands *= 1 - smoothstep((away / side - _FAR[0]) / (_FAR[1] - _FAR[0]))
    strands *= _reaching(strands, alpha, _GAP * side)
    if not strands.any():
        return matte
    around = max(1, round(_AROUND * side))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * around + 1,) * 2)
    share = blur(np.asarray(cv2.dilate(strands.astype(np.float32), kernel), np.float32), around / 2)
    clean = spread(plate.astype(np.float32), (share < _LEAST).astype(np.float32))
    del soft, detail, sharp, most, own, away, strands
    share = np.asarray(cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    rows, columns = np.nonzero(share > _LEAST)
    where = rows, columns
    # Channel by channel, and only what is looked at is kept: all of it would take more memory than what came before.
    behind = [
        cv2.resize(channel, (width, height), interpolation=cv2.INTER_LINEAR)[where] for channel in cv2.split(clean)
    ]
    grainy = noise(matte.alpha.shape, grain_strength(picture, matte.alpha == 0))[where]
    own_plate = matte.plate[where].astype(np.float32)
    wanted = own_plate + share[where][:, None] * (np.stack(behind, axis=-1) + grainy[:, None] - own_plate)
    return _composing(picture, matte, where, np.asarray(np.clip(wanted + 0.5, 0, 255), np.uint8))


def _detail(picture: Picture, strand: float) -> FloatArray:
    """How much brighter or darker each pixel is than what is around lines and spots up to this width, px; 8-bit levels."""
    kernel = np.ones((2 * math.ceil(strand / 2) + 1,) * 2, np.uint8)
    bright, dark = (cv2.morphologyEx(picture, kind, kernel) for kind in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT))
    return np.asarray(cv2.max(bright, dark).max(axis=-1), np.float32)


def _unusual(detail: FloatArray, most: FloatArray, own: FloatArray, reach: float) -> FloatArray:
    """0 to 1: whether detail is stronger than `most` of the background is around, from where it is its `own`, 0 or 1."""
    known = blur_widely(own, reach)
    mean = blur_widely(most * own, reach) / np.maximum(known, 1e-3)
    usual = spread(mean[..., None], np.clip(known * 4, 0, 1))[..., 0]
    return np.asarray(smoothstep((detail - _TIMES * usual - _LEVELS[0]) / (_LEVELS[1] - _LEVELS[0])), np.float32)


def _reaching(strands: FloatArray, alpha: Picture, gap: float) -> FloatArray:
    """1 in the pieces of strands that reach the person, 0 elsewhere; `gap` px may be between."""
    kernel = np.ones((2 * math.ceil(gap / 2) + 1,) * 2, np.uint8)
    joined = cv2.dilate(((strands > 0.3) | (alpha > _PERSON)).astype(np.uint8), kernel)
    _, labels = cv2.connectedComponents(joined)
    ours = np.unique(labels[alpha > _PERSON])
    return np.isin(labels, ours[ours > 0]).astype(np.float32)


def _composing(
    picture: Picture, matte: Matte, where: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]], behind: Picture
) -> Matte:
    """Take these colours, [n, 3], for the plate; where the picture is darker than the plate's share, alpha is raised."""
    through = np.where(behind > 0, picture[where].astype(np.int32) * 255 // np.maximum(behind, 1), 255).min(axis=-1)
    plate, alpha = matte.plate.copy(), matte.alpha.copy()
    plate[where] = behind
    alpha[where] = np.maximum(alpha[where], 255 - np.minimum(through, 255))
    return replace(matte, plate=plate, alpha=alpha)
