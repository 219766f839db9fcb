"""Shades the folds beside the mouth into the portrait before it is moved."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.rig.creases import Crease

Picture = npt.NDArray[np.uint8]
Box = tuple[slice, slice]

#: How much each parameter deepens the folds; how much the deepest fold darkens; amount below which no fold is drawn.
_DEEPENS = {"wide": 0.7, "smile": 0.6, "jaw": 0.5, "upper_lip": 0.25}
_DARKEST = 0.15
_LEAST = 0.08
#: Depth up to which the deepest fold darkens no pixel by half a level.
_UNSEEN = int(0.5 / _DARKEST)
#: Both folds are drawn as one where fewer columns lie between them, px: a change reaches some px beyond its box.
_APART = 24


class CreaseShader:
    """Shades the folds of one rig.

    Attributes:
        boxes: rows and columns of each fold in the portrait, or of both: between them, where there is none, nothing is drawn.
    """

    def __init__(self, crease: Crease) -> None:
        x, y = crease.origin
        self.boxes: list[Box] = []
        self._depths: list[Picture] = []
        for rows, columns in _parts(crease.depth):
            self.boxes.append((slice(y + rows.start, y + rows.stop), slice(x + columns.start, x + columns.stop)))
            depth = crease.depth[rows, columns]
            self._depths.append(np.asarray(cv2.merge([depth] * 3 + [np.zeros_like(depth)]), np.uint8))

    @staticmethod
    def amount(parameters: Mapping[str, float]) -> float:
        """Compute the depth of the folds, 0 to 1, from a frame's parameters; 0 for a mouth that hardly moves."""
        found = sum(part * max(parameters[name], 0.0) for name, part in _DEEPENS.items())
        return float(np.clip(found - _LEAST, 0.0, 1.0))

    def shade(self, picture: Picture, amount: float) -> None:
        """Darken the folds of a BGRA picture by `amount`, 0 to 1, in place."""
        for box, depth in zip(self.boxes, self._depths, strict=True):
            part = picture[box]
            cv2.subtract(part, cv2.multiply(part, depth, scale=amount * _DARKEST / 255), part)


def _parts(depth: Picture) -> list[Box]:
    """The boxes in which folds can be seen, of `Crease.depth`."""
    seen = depth > _UNSEEN
    columns = np.flatnonzero(seen.any(axis=0))
    if not len(columns):
        return []
    gaps = np.diff(columns)
    split = int(gaps.argmax()) + 1 if len(gaps) and gaps.max() > _APART else len(columns)
    boxes = []
    for part in (columns[:split], columns[split:]):
        if len(part):
            across = slice(int(part[0]), int(part[-1]) + 1)
            rows = np.flatnonzero(seen[:, across].any(axis=1))
            boxes.append((slice(int(rows[0]), int(rows[-1]) + 1), across))
    return boxes
