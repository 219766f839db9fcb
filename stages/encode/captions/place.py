"""Chooses where burned-in captions stand: clear of chin and mouth, inside what every screen and platform shows."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from stages.context import Context
from stages.face import mesh
from stages.face.output_frame import head_box
from stages.face.placement import Placement

#: Margins of the title-safe area, as fractions of the width and height (EBU R 95: graphics within 5 % of each side).
_SAFE = 0.05
#: A picture this many times as tall as wide is for telephones, whose apps cover these fractions of it with their own controls, at
#: the top, at the bottom and at the sides.
_TALL, _APP_TOP, _APP_BOTTOM, _APP_SIDE = 1.5, 0.1, 0.18, 0.09
#: The chin falls by this while the mouth opens, and the head moves by that: heights of the face.
_JAW, _MOTION = 0.1, 0.08


@dataclass(frozen=True)
class CaptionPlace:
    """Where captions stand, px of the video.

    Attributes:
        top: whether they hang from the top, or stand at the bottom.
        margin: distance of the block from that edge.
        side: distance from the left and right edges.
    """

    top: bool
    margin: int
    side: int


@dataclass(frozen=True)
class FaceHeights:
    """Heights in the video, px from its top, with room for the motion.

    Attributes:
        hair: above the hair.
        brows: the upper edge of the brows.
        chin: below the chin while the mouth is open.
    """

    hair: float
    brows: float
    chin: float

    @classmethod
    def of_job(cls, ctx: Context) -> FaceHeights | None:
        """Read them from the job's `face.json`; None if there is none."""
        if not ctx.path("face.json").exists():
            return None
        landmarks = np.array(json.loads(ctx.path("face.json").read_bytes())["landmarks"], np.float32)
        top = Placement.of_job(ctx).top
        lowest, head = float(landmarks[list(mesh.OVAL), 1].max()), head_box(landmarks)
        face = lowest - float(landmarks[list(mesh.OVAL), 1].min())
        brows = float(landmarks[list(mesh.BROWS), 1].min())
        return cls(
            top + head.top - _MOTION * face, top + brows - _MOTION * face, top + lowest + (_JAW + _MOTION) * face
        )


def safe_side(width: int, height: int) -> int:
    """Distance of captions from the left and right edges, px."""
    return round(width * (_APP_SIDE if height >= _TALL * width else _SAFE))


def choose_place(face: FaceHeights | None, width: int, height: int, block: float) -> CaptionPlace:
    """Choose the place for captions.

    Below the chin if there is room, else above the hair. Where there is room at neither: below the chin, where apps may cover
    it; over the hair, above the brows; at last at the bottom, over the chin.

    Args:
        face: where the face is; None if it is not known.
        width, height: of the video, px.
        block: height of the tallest caption, px.
    """
    tall = height >= _TALL * width
    side, edge = safe_side(width, height), round(height * _SAFE)
    top, bottom = (round(height * part) for part in ((_APP_TOP, _APP_BOTTOM) if tall else (_SAFE, _SAFE)))
    if face is None or height - bottom - block >= face.chin:
        return CaptionPlace(False, bottom, side)
    if top + block <= face.hair:
        return CaptionPlace(True, top, side)
    if height - edge - block >= face.chin:
        return CaptionPlace(False, max(edge, int(height - block - face.chin)), side)
    for margin in (top, edge):
        if margin + block <= face.brows:
            return CaptionPlace(True, margin, side)
    return CaptionPlace(False, edge, side)
