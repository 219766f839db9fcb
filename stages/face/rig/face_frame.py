"""The face's coordinates: the position of a pixel relative to the mouth, in the face's directions and units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.face import mesh
from stages.face.mesh import FloatArray
from stages.face.sampling import sample

#: Usual width of a mouth, as a fraction of the face's. Movements are scaled by the geometric mean of the mouth's own width and
#: this, so that they are neither too large for a broad smile nor too small for a doll's mouth.
_USUAL_MOUTH = 0.36


@dataclass(frozen=True)
class FaceFrame:
    """Local coordinates of a face.

    Attributes:
        origin: middle of the lip line, px.
        across, down: unit vectors along the mouth and toward the chin.
        unit: the scale of mouth movements, px.
        face_width, face_height: of the mesh, px.
        half_mouth: distance of the left and right inner corner from the origin along `across`, px.
        half_face: distance of the jaw's contour at mouth height, left and right, px.
        nose, chin: `down` coordinate of the nose's base (negative) and the chin, px.
        upper_lip, lower_lip: thickness of the lips at the middle, px.
    """

    origin: npt.NDArray[np.float64]
    across: npt.NDArray[np.float64]
    down: npt.NDArray[np.float64]
    unit: float
    face_width: float
    face_height: float
    half_mouth: tuple[float, float]
    half_face: tuple[float, float]
    nose: float
    chin: float
    upper_lip: float
    lower_lip: float

    @classmethod
    def of(cls, landmarks: FloatArray) -> FaceFrame:
        """Measure a mesh, [478, 3] px."""
        points = landmarks[:, :2].astype(np.float64)
        across = sum((points[right] - points[left] for left, right in mesh.MIRRORED), np.zeros(2))
        across /= np.linalg.norm(across)
        down = np.array([-across[1], across[0]])
        origin = (points[13] + points[14]) / 2
        local = (points - origin) @ np.stack([across, down], axis=1)
        face_width = float(np.ptp(local[list(mesh.OVAL), 0]))
        mouth = mesh.mouth_width(landmarks)
        return cls(
            origin=origin,
            across=across,
            down=down,
            unit=float(np.sqrt(mouth * _USUAL_MOUTH * face_width)),
            face_width=face_width,
            face_height=float(local[mesh.CHIN, 1] - local[mesh.FOREHEAD, 1]),
            half_mouth=(float(max(-local[78, 0], 0.2 * mouth)), float(max(local[308, 0], 0.2 * mouth))),
            half_face=(float(max(-local[58, 0], 0.6 * mouth)), float(max(local[288, 0], 0.6 * mouth))),
            nose=float(local[mesh.NOSE_BASE, 1]),
            chin=float(local[mesh.CHIN, 1]),
            upper_lip=float(max(local[13, 1] - local[0, 1], 0.03 * mouth)),
            lower_lip=float(max(local[17, 1] - local[14, 1], 0.05 * mouth)),
        )

    def local(self, points: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Convert picture px [..., 2] to local px: along the mouth (to the picture's right), toward the chin."""
        return np.asarray((points - self.origin) @ np.stack([self.across, self.down], axis=1), np.float64)

    def picture(self, local: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Convert local px [..., 2] to picture px: the inverse of `local`."""
        return np.asarray(local @ np.stack([self.across, self.down]) + self.origin, np.float64)

    def along_mouth(self, x: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Scale local x by the half mouth on its side: -1 at the left corner, 1 at the right."""
        return np.where(x < 0, x / self.half_mouth[0], x / self.half_mouth[1])

    def beyond_mouth(self, x: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Measure the distance beyond the corners: 0 between them, 1 at the jaw's contour, larger outside."""
        left = (-x - self.half_mouth[0]) / max(self.half_face[0] - self.half_mouth[0], 0.15 * self.unit)
        right = (x - self.half_mouth[1]) / max(self.half_face[1] - self.half_mouth[1], 0.15 * self.unit)
        return np.asarray(np.maximum(np.where(x < 0, left, right), 0.0), np.float64)


@dataclass(frozen=True)
class FaceBox:
    """A box of a portrait around the mouth.

    Attributes:
        portrait: RGB uint8 [height, width, 3].
        origin: x and y of the box's top left pixel in the portrait.
        places, local: x and y of the box's pixels in the portrait and in the face's coordinates, [rows, columns, 2] px.
        frame: the face's coordinates.
    """

    portrait: npt.NDArray[np.uint8]
    origin: tuple[int, int]
    places: npt.NDArray[np.float64]
    local: npt.NDArray[np.float64]
    frame: FaceFrame

    @classmethod
    def around(cls, portrait: npt.NDArray[np.uint8], frame: FaceFrame) -> FaceBox:
        """Make the box that holds all that a mouth can show."""
        reach = max(frame.half_mouth) + 0.2 * frame.unit
        corners = frame.picture(np.array([[-reach, -0.5 * frame.unit], [reach, frame.unit]]))
        low, high = corners.min(axis=0) - 0.15 * frame.unit, corners.max(axis=0) + 0.15 * frame.unit
        x0, y0, x1, y1 = (int(edge) for edge in (*np.floor(low), *np.ceil(high)))
        return cls.within(portrait, frame, (x0, y0, x1, y1))

    @classmethod
    def within(cls, portrait: npt.NDArray[np.uint8], frame: FaceFrame, edges: tuple[int, int, int, int]) -> FaceBox:
        """Make the box between these edges: left, top, right, bottom, px."""
        x0, y0, x1, y1 = edges
        columns, rows = np.meshgrid(np.arange(x0, x1, dtype=float), np.arange(y0, y1, dtype=float))
        places = np.stack([columns, rows], axis=-1)
        return cls(portrait, (x0, y0), places, frame.local(places), frame)

    def at(self, places: npt.NDArray[np.float64] | None = None) -> npt.NDArray[np.uint8]:
        """Sample the portrait at picture px [..., 2]; default: the box's pixels."""
        return np.asarray(
            sample(self.portrait, (self.places if places is None else places).astype(np.float32)), np.uint8
        )


def smoothstep(value: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Interpolate smoothly from 0 (at 0 and below) to 1 (at 1 and above), with slope 0 at both ends."""
    clipped = np.clip(value, 0.0, 1.0)
    return np.asarray(clipped * clipped * (3.0 - 2.0 * clipped), np.float64)


def ramp(value: npt.NDArray[np.floating[Any]], rounded: float = 0.3) -> npt.NDArray[np.float64]:
    """Interpolate from 0 (at 0 and below) to 1 (at 1 and above): evenly, but for the part `rounded` of the way at each end.

    Its largest slope is 1 / (1 - `rounded`), less than that of `smoothstep`.
    """
    part = np.clip(value, 0.0, 1.0)
    first = np.minimum(part, rounded) ** 2 / (2 * rounded)
    last = np.maximum(part - (1.0 - rounded), 0.0) ** 2 / (2 * rounded)
    return np.asarray((first + np.maximum(part - rounded, 0.0) - last) / (1.0 - rounded), np.float64)
