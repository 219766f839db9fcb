"""The one place that knows mediapipe: face detection, the 478-point mesh, and person against background, from the models
inside its wheel.

mediapipe 0.10.21 is the last release whose wheel carries the models; a later one would need its Tasks API here, and nowhere else.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.face.mesh import POINTS, FloatArray

#: Weak detections are returned too: the gate decides, and can then say how unsure it was.
_FLOOR = 0.2
#: mediapipe's full-range model. It finds faces from 5 % of the picture's side up, and unlike the short-range one
#: (0.72 on a dog, measured) it does not take animals for people.
_FULL_RANGE = 1
#: Its segmentation for pictures of any shape (256 × 256), not the faster one for wide ones.
_SQUARE = 0


@dataclass(frozen=True)
class Detection:
    """A face found: its box in px of the picture it was found in, and the model's score, 0 to 1."""

    x: float
    y: float
    width: float
    height: float
    score: float

    def overlap(self, other: Detection) -> float:
        """Shared area over the smaller box's area."""
        across = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        down = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        smaller = min(self.width * self.height, other.width * other.height)
        return max(across, 0.0) * max(down, 0.0) / max(smaller, 1e-6)


class Landmarker:
    """Detector and mesh, loaded once; not for use by several threads at a time."""

    def __init__(self) -> None:
        os.environ.setdefault("GLOG_minloglevel", "2")  # its C++ side else writes to stderr at every start
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        import mediapipe

        solutions: Any = mediapipe.solutions
        self._detector = solutions.face_detection.FaceDetection(
            model_selection=_FULL_RANGE, min_detection_confidence=_FLOOR
        )
        self._segmenter = solutions.selfie_segmentation.SelfieSegmentation(model_selection=_SQUARE)
        self._mesh = solutions.face_mesh.FaceMesh(
            static_image_mode=True, max_num_faces=1, refine_landmarks=True, min_detection_confidence=_FLOOR
        )

    def detect(self, picture: npt.NDArray[np.uint8]) -> list[Detection]:
        """Faces in an RGB picture, in the model's order."""
        height, width = picture.shape[:2]
        found = []
        for item in self._detector.process(np.ascontiguousarray(picture)).detections or []:
            box = item.location_data.relative_bounding_box
            found.append(
                Detection(box.xmin * width, box.ymin * height, box.width * width, box.height * height, item.score[0])
            )
        return found

    def mesh(self, picture: npt.NDArray[np.uint8]) -> FloatArray | None:
        """The most prominent face's landmarks, [478, 3] in px (z in px too, smaller is nearer), or None."""
        height, width = picture.shape[:2]
        faces = self._mesh.process(np.ascontiguousarray(picture)).multi_face_landmarks
        if not faces or len(faces[0].landmark) != POINTS:
            return None
        points = np.array([(p.x, p.y, p.z) for p in faces[0].landmark], np.float32)
        return points * np.array([width, height, width], np.float32)

    def person(self, picture: npt.NDArray[np.uint8]) -> FloatArray:
        """How surely each pixel of an RGB picture shows a person, 0 to 1, [height, width]; soft, a few px coarse."""
        mask = self._segmenter.process(np.ascontiguousarray(picture)).segmentation_mask
        return np.asarray(mask, np.float32)


@cache
def landmarker() -> Landmarker:
    """This process's landmarker; loading takes 0.1 s after mediapipe's import."""
    return Landmarker()
