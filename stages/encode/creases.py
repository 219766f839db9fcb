"""Shades the folds beside the mouth into the portrait before it is moved."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.rig.creases import Crease

Picture = npt.NDArray[np.uint8]

#: How much each parameter deepens the folds; how much the deepest fold darkens; amount below which no fold is drawn.
_DEEPENS = {"wide": 0.7, "smile": 0.6, "jaw": 0.5, "upper_lip": 0.25}
_DARKEST = 0.15
_LEAST = 0.08


class CreaseShader:
    """Shades the folds of one rig.

    Attributes:
        slices: rows and columns of the folds' box in the portrait.
    """

    def __init__(self, crease: Crease) -> None:
        x, y = crease.origin
        height, width = crease.depth.shape
        self.slices = slice(y, y + height), slice(x, x + width)
        self._depth = cv2.merge([crease.depth] * 3 + [np.zeros_like(crease.depth)])

    @staticmethod
    def amount(parameters: Mapping[str, float]) -> float:
        """Compute the depth of the folds, 0 to 1, from a frame's parameters; 0 for a mouth that hardly moves."""
        found = sum(part * max(parameters[name], 0.0) for name, part in _DEEPENS.items())
        return float(np.clip(found - _LEAST, 0.0, 1.0))

    def shade(self, picture: Picture, amount: float) -> None:
        """Darken the folds' box of a BGRA picture by `amount`, 0 to 1, in place."""
        self.shade_box(picture[self.slices], amount)

    def shade_box(self, box: Picture, amount: float) -> None:
        """The same for the folds' box alone."""
        cv2.subtract(box, cv2.multiply(box, self._depth, scale=amount * _DARKEST / 255), box)
