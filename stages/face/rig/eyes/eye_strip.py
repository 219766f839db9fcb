"""Reads pictures of an eye straightened: a column for each px along the eye, rows by distance from a lid's edge."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stages.face.eye_outline import EyeOutline
from stages.face.sampling import blur, sample

Grid = npt.NDArray[np.float32]

#: The columns go on beyond the eye's corners by so many eye widths.
ASIDE = 0.34


class EyeStrip:
    """Reads pictures of the eye's box straightened: a column for each px along the eye, rows by distance from an edge."""

    def __init__(self, eye: EyeOutline, box: tuple[int, int, int, int]) -> None:
        self._eye, self._origin, self.width = eye, np.array(box[:2]), eye.width
        self.start = -round(ASIDE * eye.width)
        self.columns = np.arange(self.start, round((1 + ASIDE) * eye.width) + 1, dtype=np.float64)
        self.upper, self.lower = eye.edges(self.columns)
        self.inside = (self.columns > 0.08 * eye.width) & (self.columns < 0.92 * eye.width)

    def read(self, picture: Grid, edge: Grid, rows: npt.NDArray[np.float64]) -> Grid:
        """Sample a picture of the box at px `rows` below `edge`, px [columns]: [rows, columns] or with colours.

        `rows` are those of all columns, or [rows, columns].
        """
        down = edge[None] + (rows if rows.ndim == 2 else rows[:, None])
        places = self._eye.corner + self.columns[None, :, None] * self._eye.across + down[..., None] * self._eye.down
        return sample(picture, (places - self._origin).astype(np.float32))

    def over(self, values: npt.NDArray[np.float64], along: Grid) -> Grid:
        """Spread a value for each column over the box, whose pixels lie at px `along`."""
        return np.interp(along, self.columns, values).astype(np.float32)


def smooth(values: npt.NDArray[np.float64], sigma: float) -> npt.NDArray[np.float64]:
    """Smooth a value for each column along the eye, with `sigma` px."""
    return np.asarray(blur(values[None].astype(np.float32), sigma)[0], np.float64)
