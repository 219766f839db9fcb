"""Lets a portrait go on beside itself out of focus: toward the border, person and background become the softer the farther out.

What is there is not known: whole shoulders, hair and objects that are made up look wrong more often than right. Softness asks for
no shapes. It begins inside the border, so that there is no seam, and the person's colours give way to the background's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stages.face.rig.face_frame import smoothstep
from stages.face.rig.matting.fill import grain_strength, noise
from stages.face.rig.matting.strip import blurred, mirrored
from stages.face.sampling import on_colours

Picture = npt.NDArray[np.uint8]

#: How far inside the border it begins, and the part of that in which the person gives way to a picture that stands still; of the
#: shorter side.
_BEGINS, _STILL = 0.09, 0.6
#: Sigma of the blur at the border, its growth beyond it (in the distance), and the distance over which it begins to grow; of the
#: shorter side.
_AT_BORDER, _GROWS, _SLOWLY = 0.045, 0.5, 0.02
#: How far beyond the border the person's colours have given way to the background's, and how far inside what is mirrored lies; of
#: the shorter side.
_GONE, _DEPTH = 0.33, 0.02


def soften_above(parts: Sequence[Picture], margin: int) -> tuple[list[Picture], list[Picture]]:
    """Soften the upper border of a picture, and make the `margin` rows above it.

    Args:
        parts: the picture, the plate, alpha, cut, and where other people are; each [height, width, ...].
        margin: rows to add.

    Returns:
        The parts, as they are inside now, and the rows above them. Compositing still gives exactly the picture.
    """
    picture, plate, alpha, cut, others = parts
    side, (height, width) = min(cut.shape), cut.shape
    zone = _BEGINS * side
    rows = min(height, math.ceil(2 * zone))
    place = np.arange(
        margin, -rows, -1, dtype=np.float32
    )  # 1 in the last row above the border, 0 in the first one below it
    away = np.maximum(place, 0)
    near = np.clip(1 + np.minimum(place, 0) / zone, 0, 1)
    sigma = _AT_BORDER * side * near**1.5 + _GROWS * away**2 / (away + _SLOWLY * side)
    depth = np.full(width, _DEPTH * side, np.float32)
    person, wall = (mirrored(one[:rows], away, depth).astype(np.float32) for one in (picture, plate))
    gone = smoothstep(away / np.float32(_GONE * side))[:, None, None]
    grainy = noise(person.shape[:2], grain_strength(plate, cut == 0)) * np.minimum(sigma, 1)[:, None]
    mixed = np.asarray(np.clip(person + gone * (wall - person) + 0.5, 0, 255), np.uint8)
    soft = blurred(mixed, sigma.astype(np.float32)) + on_colours(np.asarray(grainy, np.float32))
    shown = np.asarray(np.clip(soft + 0.5, 0, 255), np.uint8)
    untouched = near <= 0
    shown[untouched] = picture[:rows][untouched[margin:]]
    # The person stands still where the picture is soft enough for that: it would be seen to slide off at its end.
    moves = smoothstep((1 - near) / _STILL).astype(np.float32)[:, None]
    still = smoothstep(near / (1 - _STILL)).astype(np.float32)[:, None, None]
    ends = []
    for one in (alpha, cut):
        longer = np.concatenate([np.repeat(one[:1], margin, axis=0), one[:rows]])
        ends.append(np.asarray(blurred(longer, sigma.astype(np.float32)) * moves + 0.5, np.uint8))
        ends[-1][untouched] = one[:rows][untouched[margin:]]
    behind = np.concatenate([np.zeros((margin, width, 3), np.uint8), plate[:rows]])
    behind = np.asarray(behind + still * (shown - behind.astype(np.float32)) + 0.5, np.uint8)
    fitted = fit_plate(shown, behind, ends[0])
    fitted[untouched] = plate[:rows][untouched[margin:]]
    away_from_others = np.zeros((margin, width), np.uint8)
    above = [shown[:margin], fitted[:margin], ends[0][:margin], ends[1][:margin], away_from_others]
    inside = [
        np.concatenate([end[margin:], one[rows:]])
        for one, end in zip((picture, plate, alpha, cut), (shown, fitted, *ends), strict=True)
    ]
    return [*inside, others], above


def fit_plate(picture: Picture, plate: Picture, alpha: Picture) -> Picture:
    """The background as near to `plate` as the picture allows: its share is nowhere brighter than the picture, and equals it
    where nothing of the person is. Compositing then gives exactly the picture.
    """
    through = np.maximum(255 - alpha.astype(np.int32), 1)[..., None]
    most = np.minimum(picture.astype(np.int32) * 255 // through, 255)
    return np.asarray(np.where(alpha[..., None] == 0, picture, np.minimum(plate, most)), np.uint8)
