"""Detects the faces in a picture of any size and reads their landmarks."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.landmarker import Detection, Landmarker
from stages.face.mesh import CHIN, FOREHEAD, FloatArray
from stages.face.pose import pose_of

#: The detector works at 192 px. The picture is given to it at these scales inside a grey frame, so that a face that fills the
#: picture is found, too.
_SCALES = (1.0, 0.6)
_LOOK_PX = 640
#: Side of the tiles that are searched if no face is found in the whole picture: a face of 128 px is then 1/10 of the side.
_TILE_PX = 1280
_MESH_PX = 512
#: Sides of the crops that the mesh is read from, in detected boxes. The median is used: a single reading varies by 1 %.
_CROPS = (1.6, 1.8, 2.0, 2.2, 2.5)
#: An upright face of at least this score is not looked for in other turns of the picture. Upside-down faces are often found as
#: upright ones, with scores up to 0.76; another turn must score this much higher to be taken.
_SURE, _SURER = 0.8, 0.08
#: A face that leans further lies on its side; one whose mean `Face.unsure` is larger may be upside down (good ones: at most 3.6).
_UPRIGHT_DEG, _UNSURE = 45.0, 5.0


@dataclass(frozen=True)
class Face:
    """A face.

    Attributes:
        score: the detector's, 0 to 1.
        landmarks: [478, 3] px of the picture.
        spread: mean distance of the readings of each landmark from it, [478] px.
    """

    score: float
    landmarks: FloatArray
    spread: FloatArray

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x, y, width, height of the landmarks, px."""
        low, high = self.landmarks[:, :2].min(axis=0), self.landmarks[:, :2].max(axis=0)
        return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])

    @property
    def size_px(self) -> float:
        """The longer side of the landmarks' box, px: the size of the face, even if it is turned."""
        return max(self.box[2:])

    @property
    def unsure(self) -> FloatArray:
        """How far the readings of each landmark differ, in thousandths of the face's height, [478].

        The mesh model reads what it sees alike in every crop, and guesses anew what it does not see.
        """
        height = np.linalg.norm(self.landmarks[CHIN, :2] - self.landmarks[FOREHEAD, :2])
        return np.asarray(1000 * self.spread / height, np.float32)

    @property
    def center(self) -> tuple[float, float]:
        """The middle of the landmarks' box, x and y in px."""
        x, y, width, height = self.box
        return x + width / 2, y + height / 2


def find_faces(picture: npt.NDArray[np.uint8], landmarker: Landmarker) -> list[Face]:
    """Find all faces in an RGB picture whose landmarks can be read, from left to right."""
    found = _detect_whole(picture, landmarker)
    if not found and max(picture.shape[:2]) > _TILE_PX:
        found = [hit for tile in _tiles(picture) for hit in _detect_in_tile(picture, tile, landmarker)]
    faces = [
        face for hit in _without_duplicates(found) if (face := _face_of_detection(picture, hit, landmarker)) is not None
    ]
    return sorted(faces, key=lambda face: face.center[0])


def find_upright(
    picture: npt.NDArray[np.uint8], landmarker: Landmarker
) -> tuple[npt.NDArray[np.uint8], list[Face], int]:
    """Find all faces in an RGB picture that may lie on its side or upside down.

    Returns:
        The picture with its surest face upright, its faces from left to right, and the quarter turns, anticlockwise, that the
        picture was turned by: 0 to 3.
    """
    best = picture, find_faces(picture, landmarker), 0
    if (best_sureness := _sureness(best[1])) >= _SURE:
        return best
    for quarters in (1, 2, 3):
        turned = np.ascontiguousarray(np.rot90(picture, quarters))
        faces = find_faces(turned, landmarker)
        if (sureness := _sureness(faces)) > best_sureness + _SURER:
            best, best_sureness = (turned, faces, quarters), sureness
    return best


def _sureness(faces: list[Face]) -> float:
    """The highest score of a face that is upright rather than on its side, and that is read alike in every crop."""
    return max((face.score for face in faces if _is_upright(face)), default=0.0)


def _is_upright(face: Face) -> bool:
    return abs(pose_of(face.landmarks).roll) < _UPRIGHT_DEG and float(face.unsure.mean()) < _UNSURE


def _detect_whole(picture: npt.NDArray[np.uint8], landmarker: Landmarker) -> list[Detection]:
    height, width = picture.shape[:2]
    return [hit for scale in _SCALES for hit in _detect_in_tile(picture, (0, 0, width, height), landmarker, scale)]


def _detect_in_tile(
    picture: npt.NDArray[np.uint8], tile: tuple[int, int, int, int], landmarker: Landmarker, scale: float = 1.0
) -> list[Detection]:
    x, y, width, height = tile
    factor = scale * _LOOK_PX / max(width, height)
    small = cv2.resize(picture[y : y + height, x : x + width], None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    frame = np.full((_LOOK_PX, _LOOK_PX, 3), 127, np.uint8)
    left, top = (_LOOK_PX - small.shape[1]) // 2, (_LOOK_PX - small.shape[0]) // 2
    frame[top : top + small.shape[0], left : left + small.shape[1]] = small
    return [
        Detection(
            x + (hit.x - left) / factor, y + (hit.y - top) / factor, hit.width / factor, hit.height / factor, hit.score
        )
        for hit in landmarker.detect(frame)
    ]


def _tiles(picture: npt.NDArray[np.uint8]) -> list[tuple[int, int, int, int]]:
    """Tiles (x, y, width, height) that overlap by half, so that each face lies whole in one of them."""
    height, width = picture.shape[:2]
    rows = range(0, max(height - _TILE_PX // 2, 1), _TILE_PX // 2)
    columns = range(0, max(width - _TILE_PX // 2, 1), _TILE_PX // 2)
    return [(x, y, min(_TILE_PX, width - x), min(_TILE_PX, height - y)) for y in rows for x in columns]


def _without_duplicates(found: list[Detection]) -> list[Detection]:
    kept: list[Detection] = []
    for hit in sorted(found, key=lambda item: -item.score):
        if all(hit.overlap(other) < 0.4 for other in kept):
            kept.append(hit)
    return kept


def _face_of_detection(picture: npt.NDArray[np.uint8], hit: Detection, landmarker: Landmarker) -> Face | None:
    readings = [mesh for size in _CROPS if (mesh := _mesh_in_crop(picture, hit, size, landmarker)) is not None]
    if len(readings) * 2 <= len(_CROPS):
        return None
    stacked = np.stack(readings)
    landmarks = np.median(stacked, axis=0)
    spread = np.linalg.norm((stacked - landmarks)[..., :2], axis=-1).mean(axis=0)
    face = Face(hit.score, landmarks.astype(np.float32), spread.astype(np.float32))
    x, y, width, height = face.box
    same = Detection(x, y, width, height, hit.score).overlap(hit) > 0.5
    return face if same else None


def _mesh_in_crop(
    picture: npt.NDArray[np.uint8], hit: Detection, size: float, landmarker: Landmarker
) -> FloatArray | None:
    """Landmarks read from an enlarged square crop around the face, mapped back to the picture."""
    side = size * max(hit.width, hit.height)
    factor = _MESH_PX / side
    left, top = hit.x + hit.width / 2 - side / 2, hit.y + hit.height / 2 - side / 2
    matrix = np.array([[factor, 0, -left * factor], [0, factor, -top * factor]])
    smooth = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    if factor < 1:  # warpAffine does not average: shrink first
        picture = np.asarray(cv2.resize(picture, None, fx=factor, fy=factor, interpolation=smooth), np.uint8)
        matrix[:, :2] = np.eye(2)
        smooth = cv2.INTER_LINEAR
    crop = cv2.warpAffine(picture, matrix, (_MESH_PX, _MESH_PX), flags=smooth, borderValue=(127, 127, 127))
    mesh = landmarker.read_mesh(np.asarray(crop, np.uint8))
    if mesh is None:
        return None
    return (mesh / factor + np.array([left, top, 0.0], np.float32)).astype(np.float32)
