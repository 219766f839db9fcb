"""The gap of the lips at P, B and M: as the measuring mesh reads it, and where that reads a slight one, as the picture shows it.

Of some mouths the mesh takes the shine of the lower lip for its edge, and reads a gap where the lips are shut. What lies between
lips is darker than both, or less red: the picture tells a slight gap without the mesh, and knows nothing of how it was drawn.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.video import measures
from stages.face.rig.face_frame import FaceFrame
from stages.face.rig.lipline import shown_gap

#: Gaps that the mesh reads between these are looked for in the picture, too, in mouth widths: lips farther apart are open.
_SLIGHT = 0.03, 0.10


def closures(frames: Iterable[npt.NDArray[Any]], faces: measures.Faces, phones: list[dict[str, Any]]) -> list[float]:
    """Return the least gap of the lips in each P, B and M of a video, in mouth widths; `frames` are its frames, BGR."""
    read = measures.closures(faces, phones)
    doubtful = {frame for frame, gap in read if _SLIGHT[0] < gap < _SLIGHT[1]}
    shown = {index: _shown(frame, faces, index) for index, frame in enumerate(frames) if index in doubtful}
    return [min(gap, shown.get(frame, gap)) for frame, gap in read]


def _shown(frame: npt.NDArray[Any], faces: measures.Faces, index: int) -> float:
    points = faces.full[index]
    portrait = np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)
    return shown_gap(portrait, points, FaceFrame.of(points))
