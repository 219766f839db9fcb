"""Checks that the mesh's eyes are the picture's eyes: lids and gaze are drawn where the mesh says that the eyes are.

The mesh gives a person's eyes even for large drawn ones and for sunglasses. Then the iris is not darker than what should be white
beside it, or no edge is where the lower lid should be.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.face import mesh
from stages.face.eye_outline import EyeOutline, strongest_path
from stages.face.mesh import FloatArray
from stages.face.sampling import blur, sample

Picture = npt.NDArray[np.uint8]
Grid = npt.NDArray[np.float32]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
#: Least difference in luma between white and iris, as a fraction of the skin's; least luma of the skin below the eyes as a
#: fraction of the cheeks'. Means of both eyes. 82 portraits had at least 0.16 and 0.41: somebody squints, or the sun is above. Of
#: 15 with sunglasses, each had at most 0.14 or at most 0.35.
_LEAST_CONTRAST, _LEAST_LIGHT = 0.15, 0.38
#: Most distance of the lower lid's edge in the picture below that of the mesh, in eye widths: mean of both eyes, and of one eye.
_MOST_OFF, _MOST_OFF_ONE = 0.05, 0.1
#: Greatest width of the eyes as a fraction of the irises' distance: 39 faces had 0.41 to 0.47. The mesh follows eyes that are
#: drawn larger only so far.
_MOST_WIDTH = 0.485


class Eyes(StrEnum):
    """What is known about the eyes of a portrait; the values appear in the status."""

    OPEN = "open"
    CLOSED = "closed"
    #: The mesh's eyes are not where the picture's are, or something is before them.
    UNSURE = "unsure"


@dataclass(frozen=True)
class EyeSigns:
    """What tells whether the mesh's eye is the picture's.

    Attributes:
        contrast: luma of the white minus that of the iris, as a fraction of the luma of the skin below the eye.
        light: luma of the skin below the eye as a fraction of the cheeks'.
        off: distance of the lower lid's edge in the picture below that of the mesh, in eye widths.
    """

    contrast: float
    light: float
    off: float


def judge_eyes(portrait: Picture, landmarks: FloatArray) -> Eyes:
    """Judge the eyes of an RGB portrait, uint8 [height, width, 3], with landmarks [478, 3] px."""
    if max(mesh.lid_openness(landmarks)) < mesh.CLOSED_EYE:
        return Eyes.CLOSED
    signs = [read_signs(portrait, landmarks, side) for side in (0, 1)]
    contrast, light, off = (sum(getattr(sign, name) for sign in signs) / 2 for name in ("contrast", "light", "off"))
    seen = contrast >= _LEAST_CONTRAST and light >= _LEAST_LIGHT
    apart = float(np.linalg.norm(landmarks[mesh.IRISES[0][0], :2] - landmarks[mesh.IRISES[1][0], :2]))
    width = sum(EyeOutline.of(landmarks, side).width for side in (0, 1)) / 2
    placed = width <= _MOST_WIDTH * apart and off <= _MOST_OFF and max(sign.off for sign in signs) <= _MOST_OFF_ONE
    return Eyes.OPEN if seen and placed else Eyes.UNSURE


def read_signs(portrait: Picture, landmarks: FloatArray, side: int) -> EyeSigns:
    """Read the signs of the eye on the picture's left (`side` 0) or right (1)."""
    eye = EyeOutline.of(landmarks, side)
    box = eye.box(0.3, 0.3, 0.5, (portrait.shape[1], portrait.shape[0]))
    shown = blur(portrait[box[1] : box[3], box[0] : box[2]].astype(np.float32), max(0.012 * eye.width, 0.3))
    along, down = eye.local(box)
    upper, lower = eye.edges(along)
    level, width = shown @ _LUMA, eye.width
    skin = _median(level, (down > lower + 0.14 * width) & (down < lower + 0.3 * width) & _between(along, 0.1, width))
    inside = (down > upper + 0.03 * width) & (down < lower - 0.02 * width) & _between(along, 0.06, width)
    distance = np.hypot(along - eye.iris[0], down - eye.iris[1])
    iris = _median(level, inside & (distance < 0.9 * eye.radius))
    beside = level[inside & (distance > 1.2 * eye.radius)]
    white = float(np.percentile(beside, 70)) if beside.size else iris
    cheeks = [_patch(portrait, landmarks[index], 0.1 * width) for index in mesh.CHEEKS]
    return EyeSigns(
        contrast=(white - iris) / max(skin, 1.0),
        light=skin / max(float(np.median(cheeks)), 1.0),
        off=_lower_edge(shown, eye, (box[0], box[1])),
    )


def _between(along: Grid, margin: float, width: float) -> npt.NDArray[np.bool_]:
    return (along > margin * width) & (along < (1 - margin) * width)


def _median(level: Grid, where: npt.NDArray[np.bool_]) -> float:
    return float(np.median(level[where])) if where.any() else 0.0


def _patch(portrait: Picture, point: FloatArray, radius: float) -> float:
    x, y, reach = round(float(point[0])), round(float(point[1])), max(round(radius), 1)
    part = portrait[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
    return float(part.reshape(-1, 3).mean(axis=0) @ _LUMA) if part.size else 0.0


#: Columns and rows at which the lower lid's edge is looked for, from above the mesh's edge to below it, in eye widths.
_COLUMNS, _OFFSETS = np.linspace(0.06, 0.94, 48), np.linspace(-0.08, 0.22, 57)
#: What a step of one row costs the edge's path, relative to a strong edge.
_STEP = 0.15


def _lower_edge(shown: Grid, eye: EyeOutline, origin: tuple[int, int]) -> float:
    """Find the strongest edge along the lower lid: its median distance below the mesh's, in eye widths."""
    along = _COLUMNS * eye.width
    down = eye.edges(along)[1][None] + _OFFSETS[:, None] * eye.width
    places = eye.corner - origin + along[None, :, None] * eye.across + down[..., None] * eye.down
    colours = sample(shown, places.astype(np.float32))
    slope: Any = np.linalg.norm(np.gradient(colours, axis=0), axis=2)
    slope /= np.percentile(slope, 95) + 1e-3
    return float(np.median(_OFFSETS[strongest_path(slope, _STEP)]))
