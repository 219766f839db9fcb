"""An eye's own coordinates and the edges of its lids in them, so that lids close along the eye in tilted heads, too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.face import mesh
from stages.face.mesh import FloatArray

Grid = npt.NDArray[np.float32]

_fit: Any = np.polynomial.polynomial.polyfit
_at: Any = np.polynomial.polynomial.polyval

#: Fraction of the eye's width added on both sides, because the mesh's corners lie inside the eye's.
_CORNERS = 0.05


@dataclass(frozen=True)
class EyeOutline:
    """The place of an eye in a picture.

    Attributes:
        corner: the corner on the picture's left, px.
        across, down: unit vectors from that corner to the other one, and toward the lower lid.
        width: distance of the corners, px.
        iris: middle of the iris: px along `across` from the corner, and px along `down`.
        radius: of the iris, px.
        brow: px along `down`, negative, at which the brow's line lies over the middle of the eye.
        upper, lower: coefficients of the lids' edges, px along `down`, as polynomials of -1 to 1 between the corners.
    """

    corner: npt.NDArray[np.float64]
    across: npt.NDArray[np.float64]
    down: npt.NDArray[np.float64]
    width: float
    iris: tuple[float, float]
    radius: float
    brow: float
    upper: npt.NDArray[np.float64]
    lower: npt.NDArray[np.float64]

    @classmethod
    def of(cls, landmarks: FloatArray, side: int) -> EyeOutline:
        """Measure the eye on the picture's left (`side` 0) or right (1) of a mesh, [478, 3] px."""
        points = landmarks[:, :2].astype(np.float64)
        upper, lower, brow = (points[list(part)] for part in mesh.EYES[side])
        corner, other = upper[0], upper[-1]
        width = max(float(np.linalg.norm(other - corner)), 1.0)
        across = (other - corner) / width
        down = np.array([-across[1], across[0]])
        turn = np.stack([across, down], axis=1)
        iris = points[list(mesh.IRISES[side])]
        middle = (iris[0] - corner) @ turn
        return cls(
            corner=corner,
            across=across,
            down=down,
            width=width,
            iris=(float(middle[0]), float(middle[1])),
            radius=float(np.linalg.norm(iris[1:] - iris[0], axis=1).mean()),
            brow=float(np.median((brow - corner) @ down)),
            upper=_edge((upper - corner) @ turn / width),
            lower=_edge((lower - corner) @ turn / width),
        )

    def box(self, aside: float, above: float, below: float, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """The box x0, y0, x1, y1 around so many eye widths beyond the corners, above and below, within `size`."""
        ends = np.array([[-aside, -above], [1 + aside, -above], [-aside, below], [1 + aside, below]]) * self.width
        points = self.corner + ends @ np.stack([self.across, self.down])
        x0, y0 = np.maximum(np.floor(points.min(axis=0)), 0).astype(int)
        x1, y1 = np.minimum(np.ceil(points.max(axis=0)) + 1, np.array(size)).astype(int)
        return int(x0), int(y0), int(x1), int(y1)

    def local(self, box: tuple[int, int, int, int]) -> tuple[Grid, Grid]:
        """Coordinates of the pixels of a box: px along `across` and along `down` from the corner, [height, width] each."""
        x, y = np.meshgrid(np.arange(box[0], box[2]) - self.corner[0], np.arange(box[1], box[3]) - self.corner[1])
        along, below = x * self.across[0] + y * self.across[1], x * self.down[0] + y * self.down[1]
        return along.astype(np.float32), below.astype(np.float32)

    def edges(self, along: npt.NDArray[Any]) -> tuple[Grid, Grid]:
        """The upper and the lower lid's edges at px `along`: px along `down`. They meet beyond the corners."""
        place = np.clip((2 * along / self.width - 1) / (1 + 2 * _CORNERS), -1, 1)
        upper = _at(place, self.upper) * self.width
        lower = _at(place, self.lower) * self.width
        return upper.astype(np.float32), np.maximum(lower, upper).astype(np.float32)


def _edge(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Fit a lid's edge, a polynomial of degree 4, to points in eye widths; the corners count more."""
    weights = np.ones(len(points))
    weights[[0, -1]] = 4.0
    return np.asarray(_fit(2 * points[:, 0] - 1, points[:, 1], 4, w=weights), np.float64)


def strongest_path(strength: npt.NDArray[np.float64], step: float) -> npt.NDArray[np.intp]:
    """Find the line from the first to the last column along which `strength`, [rows, columns], has the greatest sum.

    It moves by at most one row from column to column, each time at the cost `step`. Returns its row in every column.
    """
    total, came = strength[:, 0], []
    for column in range(1, strength.shape[1]):
        padded = np.pad(total, 1, constant_values=-np.inf)
        choices = np.stack([padded[:-2] - step, padded[1:-1], padded[2:] - step])
        best = choices.argmax(axis=0)
        came.append(best - 1)
        total = choices.max(axis=0) + strength[:, column]
    path = [int(total.argmax())]
    for steps in reversed(came):
        path.append(path[-1] + int(steps[path[-1]]))
    return np.array(path[::-1], np.intp)
