"""Wraps mediapipe, which nothing else imports: face detection, the 478-point mesh, and person segmentation.

mediapipe 0.10.21 is the last release whose wheel contains the models; a later one would need its Tasks API, here only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.mesh import POINT_COUNT, FloatArray

#: Weak detections are returned, too: `stages.face.acceptance` rejects them with their score in the message.
_MIN_SCORE = 0.2
#: mediapipe's full-range model. It finds faces from 5 % of the picture's side up, and does not detect animals as people as the
#: short-range model does (measured score on a dog: 0.72).
_FULL_RANGE = 1
#: mediapipe's segmentation model for any shape (256 × 256); the other one is faster, but for wide pictures.
_SEGMENT_ANY_SHAPE = 0
#: Least room at each side of a picture that is higher than wide, of its width.
_ROOM = 0.2
#: Width from which a picture is not narrow, of its height: squeezed by less than this, the network missed little, and with room
#: at the sides it took walls and furniture for part of the person.
_NARROW = 0.85
#: Width below which a picture is a strip, of its height.
_STRIP = 0.4
#: Room above the picture with which the network looks at it again, of its width; and how far below the upper border what it then
#: finds does not fully count, of the height: of hair that the border cuts, it is less sure with room above.
_HEADROOM, _CUT = (0.25, 0.5), 0.06


@dataclass(frozen=True)
class Detection:
    """A detected face: its box in px of the searched picture, and the model's score, 0 to 1."""

    x: float
    y: float
    width: float
    height: float
    score: float

    def overlap(self, other: Detection) -> float:
        """The intersection's area divided by the smaller box's area."""
        across = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        down = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        smaller = min(self.width * self.height, other.width * other.height)
        return max(across, 0.0) * max(down, 0.0) / max(smaller, 1e-6)


class Landmarker:
    """The loaded detector, mesh and segmentation models. Not thread-safe."""

    def __init__(self) -> None:
        solutions: Any = import_mediapipe().solutions
        self._detector = solutions.face_detection.FaceDetection(
            model_selection=_FULL_RANGE, min_detection_confidence=_MIN_SCORE
        )
        self._segmenter = solutions.selfie_segmentation.SelfieSegmentation(model_selection=_SEGMENT_ANY_SHAPE)
        self._mesh = solutions.face_mesh.FaceMesh(
            static_image_mode=True, max_num_faces=1, refine_landmarks=True, min_detection_confidence=_MIN_SCORE
        )

    def detect(self, picture: npt.NDArray[np.uint8]) -> list[Detection]:
        """Detect faces in an RGB picture, in the model's order."""
        height, width = picture.shape[:2]
        found = []
        for item in self._detector.process(np.ascontiguousarray(picture)).detections or []:
            box = item.location_data.relative_bounding_box
            found.append(
                Detection(box.xmin * width, box.ymin * height, box.width * width, box.height * height, item.score[0])
            )
        return found

    def read_mesh(self, picture: npt.NDArray[np.uint8]) -> FloatArray | None:
        """Read the landmarks of the most prominent face, [478, 3] px (smaller z is nearer); None if there is no face."""
        height, width = picture.shape[:2]
        faces = self._mesh.process(np.ascontiguousarray(picture)).multi_face_landmarks
        if not faces or len(faces[0].landmark) != POINT_COUNT:
            return None
        points = np.array([(p.x, p.y, p.z) for p in faces[0].landmark], np.float32)
        return points * np.array([width, height, width], np.float32)

    def person_mask(self, picture: npt.NDArray[np.uint8]) -> FloatArray:
        """The probability that each pixel of an RGB picture shows a person, 0 to 1, [height, width]; a few px coarse.

        The network takes walls, things and people beside the person for part of the person, most of them only in the picture or
        in its mirror image: so what is found in both is taken. In a strip it finds too little; what either finds is taken.
        Where a head fills the picture, it takes dark things beside the neck for hair, and holes into ears; with room above the
        head it does so less, but it makes other mistakes: of three answers, the middle one counts.
        """
        height, width = picture.shape[:2]
        whole = self._person(picture), self._person(picture[:, ::-1])[:, ::-1]
        if width < _STRIP * height:
            return np.maximum(*whole)
        views = [np.minimum(*whole)]
        for room in _HEADROOM:
            above = round(room * width)
            higher = cv2.copyMakeBorder(picture, above, 0, 0, 0, cv2.BORDER_REPLICATE)
            mirrored = np.ascontiguousarray(higher[:, ::-1])
            views.append(np.minimum(self._segment(higher), self._segment(mirrored)[:, ::-1])[above:])
        middle = np.median(views, axis=0).astype(np.float32)
        inside = np.clip(np.arange(height, dtype=np.float32) / (_CUT * height), 0, 1)[:, None]
        return np.asarray(views[0] + inside * (middle - views[0]), np.float32)

    def _person(self, picture: npt.NDArray[np.uint8]) -> FloatArray:
        height, width = picture.shape[:2]
        mask = self._segment(picture)
        if width < _NARROW * height:
            # The network sees a square. Squeezed into one, a narrow picture may lose ears, or the whole person, and with room at
            # the sides it may lose a body that they cut: so what either finds is taken.
            aside = round(max((height - width) / 2, _ROOM * width))
            wider = cv2.copyMakeBorder(picture, 0, 0, aside, aside, cv2.BORDER_REPLICATE)
            mask = np.maximum(mask, self._segment(wider)[:, aside : aside + width])
        return mask

    def _segment(self, picture: cv2.typing.MatLike) -> FloatArray:
        return np.asarray(self._segmenter.process(np.ascontiguousarray(picture)).segmentation_mask, np.float32)


def import_mediapipe() -> ModuleType:
    """Import mediapipe without what only its plots need (35 MB)."""
    # Otherwise its C++ code writes to stderr at each start.
    os.environ.setdefault("GLOG_minloglevel", "2")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _left_out("matplotlib", "matplotlib.pyplot"):
        import mediapipe
    return cast(ModuleType, mediapipe)


@contextmanager
def _left_out(*names: str) -> Iterator[None]:
    """Have imports find empty modules in place of these, unless the real ones are there already."""
    placed = {name: ModuleType(name) for name in names if name not in sys.modules}
    sys.modules.update(placed)
    try:
        yield
    finally:
        for name in placed:
            sys.modules.pop(name, None)


@cache
def shared_landmarker() -> Landmarker:
    """Return the landmarker of this process, loaded on first use (0.1 s after mediapipe's import)."""
    return Landmarker()
