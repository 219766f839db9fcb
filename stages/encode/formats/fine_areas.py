"""Finds the areas of a video whose quality matters most: eyes and mouth.

An encoder spends least on what is seen for a few frames only, because no later frame is made from it: on a shut eye and an open
mouth. Small ones then kept the colours of the open eye, and lips had ragged edges.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from stages.context import Context
from stages.face import mesh
from stages.face.mesh import FloatArray
from stages.face.placement import Placement

#: ffmpeg's filter that marks an area. Without it all of the picture is encoded alike.
FILTER = "addroi"
#: Room around the eyes and around the mouth for the head's motion and the jaw's, in eye widths: beside, above and below.
_AROUND_EYES, _AROUND_MOUTH = (0.5, 0.5, 0.5), (0.35, 0.35, 0.6)
#: How much finer areas are encoded, in parts of the range of an encoder's quantiser: -0.16 is 8 of x264's 51 steps. So much it is
#: where eyes are up to so many px wide, and with this power of their width less in larger faces.
_FINEST, _SMALL, _LESS = -0.16, 28, 1.5
_LIPS = mesh.UPPER_LIP_OUTER + mesh.LOWER_LIP_OUTER


@dataclass(frozen=True)
class FineArea:
    """A rectangle of the video, px, and how much finer it is encoded, -1 to 0."""

    left: int
    top: int
    width: int
    height: int
    finer: float


def fine_areas(ctx: Context) -> tuple[FineArea, ...]:
    """Read the areas from the job's `face.json`; none if there is none."""
    if not ctx.path("face.json").exists():
        return ()
    points = np.array(json.loads(ctx.path("face.json").read_bytes())["landmarks"], np.float32)[:, :2]
    place = Placement.of_job(ctx)
    points += (place.left, place.top)
    corners = points[[list(upper[:: len(upper) - 1]) for upper, _, _ in mesh.EYES]]
    eye = float(np.linalg.norm(corners[:, 1] - corners[:, 0], axis=1).max())
    finer = _FINEST * min(_SMALL / max(eye, 1.0), 1.0) ** _LESS
    eyes = [index for upper, lower, _ in mesh.EYES for index in upper + lower]
    parts = ((eyes, _AROUND_EYES), (list(_LIPS), _AROUND_MOUTH))
    found = (_area(points[part], np.array(room) * eye, (place.width, place.height), finer) for part, room in parts)
    return tuple(area for area in found if area.width > 0 and area.height > 0)


def _area(points: FloatArray, room: FloatArray, size: tuple[int, int], finer: float) -> FineArea:
    """The rectangle around points with room beside, above and below, inside the video."""
    beside, above, below = room
    left, top = np.clip(points.min(axis=0) - np.array([beside, above]), 0, size).astype(int).tolist()
    right, bottom = np.clip(points.max(axis=0) + np.array([beside, below]), 0, size).astype(int).tolist()
    return FineArea(left, top, right - left, bottom - top, finer)
