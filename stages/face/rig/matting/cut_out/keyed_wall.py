"""Takes an even wall of a colour that hair never has out of the hair, where it is seen between curls.

Curls leave gaps that are smaller than the segmentation sees, and what is mixed of hair and wall keeps the wall's colour.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from stages.face import mesh
from stages.face.mesh import FloatArray
from stages.face.rig.matting.colour_mixture import CHROMA, NOISE, HairColour, project, step
from stages.face.rig.matting.doubtful_pixels import DoubtfulPixels
from stages.face.rig.matting.fill import spread
from stages.face.rig.matting.hair_gaps import EVEN, face_and_neck
from stages.face.rig.matting.matte import Picture

Mask = npt.NDArray[np.bool_]

#: How far the wall's chroma is from the hair's, 8-bit levels, between which it begins to be no colour of hair.
_ALIEN = 25.0, 40.0
#: Percentile of the hair's own pixels whose share of the wall's colour is light on hair, and the most that it may be.
_LIT, _MOST_LIT = 97.0, 0.4
#: Distances inside the outline between which the wall ends to be seen, of the shorter side.
_DEEP = 0.07, 0.11
#: Distance from the mixtures of hair and wall, in variances, between which a colour ends to be one, and the most variance of the
#: hair that counts; cosines of the angle between the ways from the hair's chroma to the colour's and to the wall's, between which
#: it begins to be one.
_MISFIT, _VARYING, _ALIGNED = (6.0, 14.0), 600.0, (0.75, 0.9)
#: Variance from which hair has no colour of its own: it is drawn, or striped.
_STRIPED = 2500.0
#: How far beside the face glasses reach, in its width, and above and below the eyes, in its height.
_GLASSES = 0.13, 0.14
#: Share of the wall below which there is none.
_LEAST = 0.04


def key_wall(
    cut: Picture, pixels: DoubtfulPixels, hair: HairColour | None, forehead: FloatArray, landmarks: FloatArray
) -> Picture:
    """Alpha without the wall that is seen between hair, uint8 [height, width].

    Args:
        cut: alpha, uint8 [height, width].
        pixels: of the portrait.
        hair: its colour and variance.
        forehead: its colour, RGB [3].
        landmarks: [478, 2] px of the small picture.
    """
    small, regions = pixels.small, pixels.regions
    if hair is None or hair[1] > _STRIPED or small[regions.background > 0].std(axis=0).mean() > EVEN:
        return cut
    wall = spread(small, regions.background)
    towards = (wall - hair[0]) @ CHROMA.T
    alien = step(np.linalg.norm(towards, axis=-1), *_ALIEN)
    if not alien.any():
        return cut
    face = face_and_neck(small, landmarks, forehead) | _glasses(small.shape[:2], landmarks)
    own = regions.deep > _DEEP[1] * min(small.shape[:2])
    lit = _chroma_share(small, hair, towards)[(regions.sure > 0) & ~face & own]
    lightest = float(np.percentile(lit, _LIT)) if len(lit) else 1.0
    if lightest > _MOST_LIT:
        return cut
    near = np.asarray(alien * ~face * (1 - step(regions.inwards / min(small.shape[:2]), *_DEEP)), np.float32)
    size = cut.shape[1], cut.shape[0]
    rows, columns = np.nonzero((_enlarged(near, size) > 0) & (cut > 0))
    if not len(rows):
        return cut
    place = rows, columns
    near, wall, towards = (_enlarged(one, size)[place] for one in (near, wall, towards))
    colours = pixels.portrait[place].astype(np.float32)
    share = np.maximum(_chroma_share(colours, hair, towards) - max(lightest, 0.0), 0) / (1 - max(lightest, 0.0))
    varying = np.full(len(rows), min(hair[1], _VARYING), np.float32)
    _, _, misfit = project((colours - hair[0]).T, (wall - hair[0]).T, np.float32(NOISE), varying)
    fits = (1 - step(misfit, *_MISFIT)) * step(_alignment(colours, hair, towards), *_ALIGNED)
    share = np.clip((share - _LEAST) / (1 - 2 * _LEAST), 0, 1) * near * fits
    keyed = cut.copy()
    keyed[place] = np.minimum(cut[place], np.round(255 * (1 - share)))
    return keyed


def _enlarged(small: FloatArray, size: tuple[int, int]) -> FloatArray:
    return np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _chroma_share(colours: FloatArray, hair: HairColour, towards: FloatArray) -> FloatArray:
    """How far colours, [..., 3], are on the way `towards` the wall's chroma from the hair's."""
    chroma = (colours - hair[0]) @ CHROMA.T
    return np.asarray((chroma * towards).sum(axis=-1) / np.maximum((towards**2).sum(axis=-1), 1), np.float32)


def _alignment(colours: FloatArray, hair: HairColour, towards: FloatArray) -> FloatArray:
    """Cosine of the angle between the way from the hair's chroma to that of colours, [n, 3], and to the wall's, [n]."""
    chroma = (colours - hair[0]) @ CHROMA.T
    length = np.linalg.norm(chroma, axis=-1) * np.linalg.norm(towards, axis=-1)
    return np.asarray((chroma * towards).sum(axis=-1) / np.maximum(length, 1), np.float32)


def _glasses(shape: tuple[int, ...], landmarks: FloatArray) -> Mask:
    """Where glasses may be, which show a reflection of the surroundings, [height, width]."""
    oval, eyes = landmarks[list(mesh.OVAL), :2], landmarks[mesh.BETWEEN_EYES, 1]
    (wide, high), left, right = np.ptp(oval, axis=0), oval[:, 0].min(), oval[:, 0].max()
    rows, columns = np.arange(shape[0])[:, None], np.arange(shape[1])
    beside = (columns > left - _GLASSES[0] * wide) & (columns < right + _GLASSES[0] * wide)
    return np.asarray(beside & (np.abs(rows - eyes) < _GLASSES[1] * high))
