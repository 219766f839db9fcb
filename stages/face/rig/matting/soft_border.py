"""Lets a portrait go on beyond its border out of focus: background, and what cannot be told from it, become the softer the
farther out.

What is there is not known, and a sharp background is drawn out into spikes. Softness asks for no shapes. It begins inside the
border, so that there is no seam. What the border cuts and no arc can close (`closing_arcs.py`), as another person, is softened,
too, and its colours give way to the background's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.mesh import FloatArray
from stages.face.rig.face_frame import smoothstep
from stages.face.rig.matting.fill import grain_strength, noise
from stages.face.rig.matting.matte import background_share
from stages.face.rig.matting.strip import blurred, mirrored
from stages.face.sampling import blur, on_colours

Picture = npt.NDArray[np.uint8]

#: How far inside the border it begins, and the part of that in which the person gives way to a picture that stands still; of the
#: shorter side.
_BEGINS, _STILL = 0.09, 0.6
#: Sigma of the blur at the border, its growth beyond it (in the distance), and the distance over which it begins to grow; of the
#: shorter side.
_AT_BORDER, _GROWS, _SLOWLY = 0.045, 0.5, 0.02
#: How far beyond the border the person's colours have given way to the background's, and how far inside what is mirrored lies,
#: and the background that is mirrored alone (a narrow strip of it would be drawn out into streaks); of the shorter side.
_GONE, _DEPTH, _WALL_DEPTH = 0.33, 0.02, 0.12
#: The same for a person who goes on beyond the border: how far inside, and sigma from the border on.
_PERSON_BEGINS, _PERSON_AT_BORDER = 0.09, 0.012


def soften_above(parts: Sequence[Picture], margin: int) -> tuple[list[Picture], list[Picture]]:
    """Soften the upper border of a picture, and make the `margin` rows above it.

    Args:
        parts: the picture, the plate, alpha, cut, and masks; each [height, width, ...].
        margin: rows to add.

    Returns:
        The parts, as they are inside now, and the rows above them. Compositing still gives exactly the picture.
    """
    picture, plate, alpha, cut, *marks = parts
    side, width = min(cut.shape), cut.shape[1]
    rows, away, near, sigma = _softness(cut.shape, margin)
    depth = np.full(width, _DEPTH * side, np.float32)
    person, wall = (mirrored(one[:rows], away, depth).astype(np.float32) for one in (picture, plate))
    gone = smoothstep(away / np.float32(_GONE * side))[:, None, None]
    mixed = np.asarray(np.clip(person + gone * (wall - person) + 0.5, 0, 255), np.uint8)
    shown = _soft(mixed, sigma, grain_strength(plate, cut == 0))
    untouched = near <= 0
    shown[untouched] = picture[:rows][untouched[margin:]]
    # The person stands still where the picture is soft enough for that: it would be seen to slide off at its end.
    moves = smoothstep((1 - near) / _STILL).astype(np.float32)[:, None]
    still = smoothstep(near / (1 - _STILL)).astype(np.float32)[:, None, None]
    ends = []
    for one in (alpha, cut):
        longer = np.concatenate([np.repeat(one[:1], margin, axis=0), one[:rows]])
        ends.append(np.asarray(blurred(longer, sigma) * moves + 0.5, np.uint8))
        ends[-1][untouched] = one[:rows][untouched[margin:]]
    behind = np.concatenate([np.zeros((margin, width, 3), np.uint8), plate[:rows]])
    behind = np.asarray(behind + still * (shown - behind.astype(np.float32)) + 0.5, np.uint8)
    fitted = fit_plate(shown, behind, ends[0])
    fitted[untouched] = plate[:rows][untouched[margin:]]
    above = [
        shown[:margin],
        fitted[:margin],
        ends[0][:margin],
        ends[1][:margin],
        *[np.zeros((margin, width), np.uint8)] * len(marks),
    ]
    inside = [
        np.concatenate([end[margin:], one[rows:]])
        for one, end in zip((picture, plate, alpha, cut), (shown, fitted, *ends), strict=True)
    ]
    return [*inside, *marks], above


def soften_wall_above(
    picture: Picture, plate: Picture, alpha: Picture, cut: Picture, margin: int
) -> tuple[Picture, Picture, Picture]:
    """Soften the background alone at the upper border, and make the `margin` rows of it above: the person stays as it is.

    Returns:
        The picture and the plate, as they are inside now, and the background above them, each [height, width, 3].
    """
    rows, away, near, sigma = _softness(cut.shape, margin)
    depth = np.full(cut.shape[1], _WALL_DEPTH * min(cut.shape), np.float32)
    wall = _soft(mirrored(plate[:rows], away, depth), sigma, grain_strength(plate, cut == 0))
    softened = near[margin:] > 0
    behind = np.where(softened[:, None, None], wall[margin:], plate[:rows])
    old, new = (background_share(one, alpha[:rows]).astype(np.int32) for one in (plate[:rows], behind))
    inside = np.asarray(np.clip(picture[:rows] - old + new, 0, 255), np.uint8)
    return np.concatenate([inside, picture[rows:]]), np.concatenate([behind, plate[rows:]]), wall[:margin]


def defocused(inside: Sequence[Picture], above: Sequence[Picture]) -> tuple[list[Picture], list[Picture]]:
    """Soften the person on both sides of a border where it goes on: strands that turn back there are seen as a seam.

    Args:
        inside: the picture, the plate, alpha, cut, and masks.
        above: the rows above them.

    Returns:
        Both, as they are now. Compositing still gives exactly the picture.
    """
    margin, side = len(above[0]), min(inside[0].shape[:2])
    rows = min(len(inside[0]), math.ceil(2 * _PERSON_BEGINS * side))
    goes_on = above[2][-1:].astype(np.float32) / 255
    window = np.ones((1, 2 * round(_PERSON_BEGINS * side / 2) + 1), np.uint8)
    columns = blur(cv2.dilate(goes_on, window), _PERSON_BEGINS * side / 4)[0]
    place = np.arange(margin, -rows, -1, dtype=np.float32)
    near = np.clip(1 + np.minimum(place, 0) / (_PERSON_BEGINS * side), 0, 1)
    sigma = np.asarray(_PERSON_AT_BORDER * side * near**1.5, np.float32)
    untouched = near <= 0
    ends = []
    for first, second in zip(above[:4], inside[:4], strict=True):
        strip = np.concatenate([first, second[:rows]])
        share = columns.reshape(1, -1, *[1] * (strip.ndim - 2))
        soft = strip + share * (blurred(strip, sigma).astype(np.float32) - strip)
        ends.append(np.where(untouched.reshape(-1, *[1] * (strip.ndim - 1)), strip, soft + 0.5).astype(np.uint8))
    limited = limit_plate(ends[0], ends[1], ends[2])
    limited[untouched] = ends[1][untouched]
    ends[1] = limited
    return (
        [*(np.concatenate([end[margin:], one[rows:]]) for end, one in zip(ends, inside, strict=False)), *inside[4:]],
        [*(end[:margin] for end in ends), *above[4:]],
    )


def mixed(
    one: tuple[Sequence[Picture], Sequence[Picture]],
    other: tuple[Sequence[Picture], Sequence[Picture]],
    share: FloatArray,
) -> tuple[list[Picture], list[Picture]]:
    """Mix two results of one border, each the parts inside and the rows above them, by the `share` of the other, [width]."""
    both = []
    for ones, others in zip(one, other, strict=True):
        parts = []
        for first, second in zip(ones, others, strict=True):
            part = share[:, None] if first.ndim == 3 else share
            parts.append(np.asarray(first + part * (second.astype(np.float32) - first) + 0.5, np.uint8))
        # What is the same in both, as farther inside, already fits: strands without alpha are no part of the plate there.
        differs = (ones[1] != others[1]).any(axis=-1) | (ones[2] != others[2])
        fitted = fit_plate(parts[0], parts[1], parts[2])
        parts[1] = np.where(((share > 0) & differs)[..., None], fitted, ones[1])
        both.append(parts)
    return both[0], both[1]


def _softness(size: tuple[int, ...], margin: int) -> tuple[int, FloatArray, FloatArray, FloatArray]:
    """Rows inside that count for a picture of this height and width; and for `margin` rows above the border and these, px: the
    distance beyond the border (0 inside), how near the border they are (1 at it, and beyond), and sigma of the blur.
    """
    side = min(size)
    zone = _BEGINS * side
    rows = min(size[0], math.ceil(2 * zone))
    # 1 in the last row above the border, 0 in the first one below it
    place = np.arange(margin, -rows, -1, dtype=np.float32)
    away = np.maximum(place, 0)
    near = np.clip(1 + np.minimum(place, 0) / zone, 0, 1)
    sigma = _AT_BORDER * side * near**1.5 + _GROWS * away**2 / (away + _SLOWLY * side)
    return rows, away, near, sigma.astype(np.float32)


def _soft(strip: Picture, sigma: FloatArray, grain: float) -> Picture:
    """Blur each row by its sigma, px, and give what lost its grain one of this strength, 8-bit levels."""
    grainy = noise(strip.shape[:2], grain) * np.minimum(sigma, 1)[:, None]
    soft = blurred(strip, sigma) + on_colours(np.asarray(grainy, np.float32))
    return np.asarray(np.clip(soft + 0.5, 0, 255), np.uint8)


def fit_plate(picture: Picture, plate: Picture, alpha: Picture) -> Picture:
    """The background as near to `plate` as the picture allows, and equal to it where nothing of the person is. Compositing then
    gives exactly the picture.
    """
    return np.asarray(np.where(alpha[..., None] == 0, picture, limit_plate(picture, plate, alpha)), np.uint8)


def limit_plate(picture: Picture, plate: Picture, alpha: Picture) -> Picture:
    """The background as near to `plate` as the picture allows: its share is nowhere brighter than the picture. What is brighter
    than it moves with the person, as strands do that have no alpha.
    """
    through = np.maximum(255 - alpha.astype(np.int32), 1)[..., None]
    most = np.minimum(picture.astype(np.int32) * 255 // through, 255)
    return np.asarray(np.minimum(plate, most), np.uint8)
