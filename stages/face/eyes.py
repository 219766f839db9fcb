"""Checks that the mesh's eyes are the picture's eyes: lids and gaze are drawn where the mesh says that the eyes are.

The mesh gives a person's eyes even for large drawn ones and for sunglasses. Then the iris is hardly darker than what should be
white beside it, and what should be open hardly darker than the skin; or no edge is where the lower lid should be.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from enum import StrEnum
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from stages.face import mesh
from stages.face.eye_outline import EyeOutline, strongest_path
from stages.face.mesh import FloatArray
from stages.face.sampling import blur, sample

Picture = npt.NDArray[np.uint8]
Grid = npt.NDArray[np.float32]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
#: Least contrast of an eye, and least luma of the skin below the eyes as a fraction of the cheeks'; means of both eyes. Of 260
#: portraits, those whose eyes were seen had at least 0.42 and 0.46: somebody squints, or the sun is above. Of 7 with dark or
#: mirroring glasses, each had at most 0.35 or at most 0.39.
_LEAST_CONTRAST, _LEAST_LIGHT = 0.38, 0.4
#: Most distance of the lower lid's edge in the picture below that of the mesh, in eye widths: mean of both eyes, and of one eye.
#: 240 portraits had at most 0.035 and 0.075; eyes drawn larger than a person's had 0.05.
_MOST_OFF, _MOST_OFF_ONE = 0.042, 0.1
#: Greatest width of the eyes as a fraction of the irises' distance: 39 faces had 0.41 to 0.47. The mesh follows eyes that are
#: drawn larger only so far.
_MOST_WIDTH = 0.485
#: The eye's width at which its signs are read, px; what is read beside and above it, and below; and the blur; in eye widths.
_WIDTH, _AROUND, _SOFT = 64, (0.3, 0.6), 0.02


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
        contrast: luma of the white minus that of the iris, and of the skin below the eye minus that of what is open, together, as
            a fraction of the skin's: where somebody squints, there is no white, but a dark line.
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
    contrast, light, off = np.mean([astuple(sign) for sign in signs], axis=0).tolist()
    seen = contrast >= _LEAST_CONTRAST and light >= _LEAST_LIGHT
    apart = float(np.linalg.norm(landmarks[mesh.IRISES[0][0], :2] - landmarks[mesh.IRISES[1][0], :2]))
    width = sum(EyeOutline.of(landmarks, side).width for side in (0, 1)) / 2
    placed = width <= _MOST_WIDTH * apart and off <= _MOST_OFF and max(sign.off for sign in signs) <= _MOST_OFF_ONE
    return Eyes.OPEN if seen and placed else Eyes.UNSURE


def read_signs(portrait: Picture, landmarks: FloatArray, side: int) -> EyeSigns:
    """Read the signs of the eye on the picture's left (`side` 0) or right (1)."""
    eye = EyeOutline.of(landmarks, side)
    shown, along, down = _upright(portrait, eye)
    upper, lower = (edge / eye.width for edge in eye.edges(along * eye.width))
    level = shown @ _LUMA
    skin = _median(level, (down > lower + 0.14) & (down < lower + 0.3) & _between(along, 0.1))
    reach = np.maximum((lower - upper) / 2 - 0.025, 0.015)  # something of it between lids that nearly meet
    inside = (np.abs(down - (upper + lower) / 2) < reach) & _between(along, 0.06)
    distance = np.hypot(along - eye.iris[0] / eye.width, down - eye.iris[1] / eye.width) / (eye.radius / eye.width)
    iris = _median(level, inside & (distance < 0.9))
    beside = level[inside & (distance > 1.2)]
    white = float(np.percentile(beside, 70)) if beside.size else iris
    cheeks = [_patch(portrait, landmarks[index], 0.1 * eye.width) for index in mesh.CHEEKS]
    return EyeSigns(
        contrast=(white - iris + skin - _median(level, inside)) / max(skin, 1.0),
        light=skin / max(float(np.median(cheeks)), 1.0),
        off=_lower_edge(shown, eye),
    )


def _upright(portrait: Picture, eye: EyeOutline) -> tuple[Grid, Grid, Grid]:
    """The picture around the eye at `_WIDTH` px for its width, so that nothing depends on the picture's size, [rows, columns, 3];
    and the places of its pixels along `across` and `down` from the corner, in eye widths.
    """
    box = eye.box(_AROUND[0] + 0.1, _AROUND[0] + 0.1, _AROUND[1] + 0.1, (portrait.shape[1], portrait.shape[0]))
    part = portrait[box[1] : box[3], box[0] : box[2]].astype(np.float32)
    part = blur(part, max(_SOFT * eye.width, 0.3))
    along, down = np.meshgrid(
        np.arange(-_AROUND[0], 1 + _AROUND[0], 1 / _WIDTH, np.float32),
        np.arange(-_AROUND[0], _AROUND[1], 1 / _WIDTH, np.float32),
    )
    places = eye.corner - box[:2] + eye.width * (along[..., None] * eye.across + down[..., None] * eye.down)
    return sample(part, places.astype(np.float32), cv2.INTER_CUBIC), along, down


def _between(along: Grid, margin: float) -> npt.NDArray[np.bool_]:
    return (along > margin) & (along < 1 - margin)


def _median(level: Grid, where: npt.NDArray[np.bool_]) -> float:
    return float(np.median(level[where])) if where.any() else 0.0


def _patch(portrait: Picture, point: FloatArray, radius: float) -> float:
    x, y, reach = round(float(point[0])), round(float(point[1])), max(round(radius), 1)
    part = portrait[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
    return float(part.reshape(-1, 3).mean(axis=0) @ _LUMA) if part.size else 0.0


#: Columns and rows at which the lower lid's edge is looked for, from above the mesh's edge to below it, in eye widths.
_COLUMNS, _OFFSETS = np.linspace(0.06, 0.94, 48), np.linspace(-0.08, 0.22, 57)
#: What a step of one row costs the edge's path, relative to a strong edge; and by how much an edge counts less in each eye width
#: of distance from the mesh's: below the lid there may be a fold as dark.
_STEP, _FARTHER = 0.15, 4.0


def _lower_edge(shown: Grid, eye: EyeOutline) -> float:
    """Find the strongest edge along the lower lid: its median distance below the mesh's, in eye widths."""
    down = eye.edges(_COLUMNS * eye.width)[1][None] / eye.width + _OFFSETS[:, None]
    places = np.dstack([np.broadcast_to(_COLUMNS, down.shape), down]) + _AROUND[0]
    colours = sample(shown, (places * _WIDTH).astype(np.float32))
    slope: Any = np.linalg.norm(np.gradient(colours, axis=0), axis=2)
    slope /= np.percentile(slope, 95) + 1e-3
    slope *= 1 - _FARTHER * np.abs(_OFFSETS[:, None])
    return float(np.median(_OFFSETS[strongest_path(slope, _STEP)]))
