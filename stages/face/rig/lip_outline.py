"""The outer edge of both lips: where their red ends and the skin begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from stages.face import mesh
from stages.face.mesh import FloatArray
from stages.face.rig.face_frame import FaceFrame

Grid = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LipOutline:
    """The lips' outer edges in the face's coordinates: `upper` and `lower`, [n, 2] px each, from corner to corner."""

    upper: Grid
    lower: Grid

    @classmethod
    def of(cls, landmarks: FloatArray, frame: FaceFrame) -> Self:
        """Read the edges from a mesh, [478, 3] px."""
        edges = (frame.local(landmarks[list(edge), :2]) for edge in (mesh.UPPER_LIP_OUTER, mesh.LOWER_LIP_OUTER))
        return cls(*(edge[np.argsort(edge[:, 0])] for edge in edges))

    def thickness(self, x: Grid, curves: tuple[Grid, Grid]) -> tuple[Grid, Grid]:
        """Return how thick both lips are at each `x`, px, whose inner edges are `curves`; 0 beyond the corners."""
        top, bottom = (np.interp(x, curve[:, 0], curve[:, 1]) for curve in curves)
        above = np.interp(x, self.upper[:, 0], self.upper[:, 1], top.max(), top.max())
        below = np.interp(x, self.lower[:, 0], self.lower[:, 1], bottom.min(), bottom.min())
        return np.maximum(top - above, 0.0), np.maximum(below - bottom, 0.0)

    def outside(self, x: Grid, y: Grid) -> Grid:
        """Return how far each point lies outside the lips, px; negative within them."""
        above = np.interp(x, self.upper[:, 0], self.upper[:, 1]) - y
        below = y - np.interp(x, self.lower[:, 0], self.lower[:, 1])
        aside = np.maximum(np.maximum(self.upper[0, 0] - x, x - self.upper[-1, 0]), 0.0)
        away = np.maximum(above, below)
        return np.where(aside > 0, np.hypot(aside, np.maximum(away, 0.0)), away)
