"""Cleans the person's outline for another background, where the colours of the person and the background are alike.

There the colours leave scraps of the background beside the person and bites in it, and before another background both are seen.
A smooth line near the segmentation's outline takes their place. Where the colours differ, strands stay.
"""

from __future__ import annotations

import cv2
import numpy as np

from stages.face import mesh
from stages.face.mesh import FloatArray
from stages.face.rig.matting.colour_mixture import NOISE, SideColours, outside_share, step
from stages.face.rig.matting.cut_out.closed_crown import close_crown
from stages.face.rig.matting.cut_out.colour_trust import colour_trust
from stages.face.rig.matting.cut_out.ear_skin import ear_skin
from stages.face.rig.matting.cut_out.one_piece import in_one_piece, without_stains
from stages.face.rig.matting.doubtful_pixels import DoubtfulPixels
from stages.face.rig.matting.matte import Picture
from stages.face.rig.matting.outline import among_hair
from stages.face.sampling import blur

#: Deviation of the background's colour, in 8-bit levels, between which nothing outside the outline is told from it.
_BUSY = 8.0, 20.0
#: How much brighter than the background the person is, 8-bit levels, where gaps begin to be shade, and are all.
_BRIGHTER = 10.0, 40.0
#: How far inside and outside of the segmentation's outline the smooth line may go, and over which distance it is soft; of the
#: shorter side.
_WITHIN, _BEYOND, _SOFT = 0.004, 0.006, 0.006
#: Sigma of the blur that takes spikes and bites off the segmentation's outline, of the shorter side; and the squared distance
#: from the background's colour and the hair's, in their variance, between which something is no spike, and the most variance that
#: hair may have there: its lights are as bright as skin.
_LUMP, _OTHER, _VARYING = 0.012, (4.0, 16.0), 300.0
#: How far below the chin shoulders begin, in the face's height.
_SHOULDERS = 0.25
#: Width of the pieces and bites that a smooth line does not follow, and sigma of its blur; of the shorter side.
_SMOOTHED, _BLUR = 0.03, 0.003
#: Trust in the colours, and deviation of the background's in 8-bit levels, from and up to which strands apart from the rest, half
#: transparent parts and gaps are certain.
_CERTAIN, _PLAIN = 0.6, 5.0


def clean_cut(
    alpha: Picture,
    pixels: DoubtfulPixels,
    own: SideColours,
    inwards: FloatArray,
    loose: FloatArray,
    forehead: FloatArray,
    landmarks: FloatArray,
) -> Picture:
    """The person's alpha for another background, uint8 [height, width].

    Args:
        alpha: by the colours, uint8 [height, width].
        pixels: of the portrait.
        own: colours at these pixels.
        inwards: how far inside the outline they are (`deepness`), [n].
        loose: where there is loose hair, [n].
        forehead: its colour, RGB [3].
        landmarks: [478, 3] px.
    """
    regions, side = pixels.regions, pixels.side
    where = pixels.rows, pixels.columns
    to_side = 1 / min(regions.person.shape)
    inwards = inwards - pixels.at(regions.outwards) * np.float32(to_side)
    deviation = np.sqrt(own.wall.variance / 3)
    outside = outside_share(np.maximum(-inwards, 0) * np.float32(side), side)
    trusted = np.maximum(colour_trust(own) * (1 - outside * step(deviation, *_BUSY)), loose)
    # A median follows the edges that the colours show, but no scraps and no bites.
    width = 2 * round(_SMOOTHED * side / 2) + 1
    smooth = blur(cv2.medianBlur(alpha, min(width, 255)), max(_BLUR * side, 0.5))[where].astype(np.float32) / 255
    least = np.clip(0.5 + (inwards - _WITHIN) / _SOFT, 0, 1)
    even = inwards + _evened(pixels, own) * np.float32(to_side)
    smooth = np.clip(smooth, *(np.clip(0.5 + (even + by) / _SOFT, 0, 1) for by in (-_WITHIN, _BEYOND)))
    # Gaps are between strands of hair only: skin and cloth are whole. Before a darker wall, hair in shade looks like a gap.
    brighter = (own.person.mean - own.wall.mean).mean(axis=0)
    hairy = np.maximum(among_hair(own), loose)
    bare = np.maximum(1 - hairy, step(brighter, *_BRIGHTER))
    level = alpha[where].astype(np.float32) / 255
    level = np.maximum(np.maximum(level, bare * least), ear_skin(pixels, own, forehead, landmarks))
    cut = alpha.copy()
    cut[where] = np.round(255 * (smooth + trusted * (level - smooth)))
    certain = np.zeros(cut.shape, bool)
    certain[where] = (trusted > _CERTAIN) & ((deviation < _PLAIN) | (loose > _CERTAIN))
    shoulders = landmarks[mesh.CHIN, 1] + _SHOULDERS * np.ptp(landmarks[:, 1])
    whole = in_one_piece(without_stains(cut, certain, side), certain, side, round(float(shoulders)))
    return close_crown(whole, pixels, own, landmarks)


def _evened(pixels: DoubtfulPixels, own: SideColours) -> FloatArray:
    """How much farther inside each doubtful pixel is, px of the small picture, if the outline had no spikes and bites, [n].

    What differs from the background and from the hair is no spike: it may be an ear.
    """
    inside = pixels.regions.inwards - pixels.regions.outwards
    moved = pixels.at(np.asarray(blur(inside, _LUMP * min(inside.shape)) - inside, np.float32))
    apart = ((pixels.own - own.wall.mean) ** 2).sum(axis=0) / (own.wall.variance + NOISE)
    if own.hair is not None:
        varying = min(own.hair[1], _VARYING) + NOISE
        apart = np.minimum(apart, ((pixels.own - own.hair[0][:, None]) ** 2).sum(axis=0) / varying)
    return np.asarray(np.where(moved < 0, moved * (1 - step(apart, *_OTHER)), moved), np.float32)
