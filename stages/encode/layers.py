"""Separates the portrait into a figure and a background, and composites them again.

If the picture could not be split, the figure is the whole picture.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.rig.matte import Matte, background_share

Picture = npt.NDArray[np.uint8]
Box = tuple[slice, slice]


class Layers:
    """A BGR portrait in layers.

    Attributes:
        split: whether there are two layers.
        figure: the person, BGRA with premultiplied alpha (BGR if there is only one layer).
        still: the composited picture without any motion, BGR.
    """

    def __init__(self, portrait: Picture, matte: Matte, backdrop: Picture | None = None) -> None:
        """Split `portrait`, BGR, by its matte; `backdrop`, BGR of its size, replaces its background."""
        self.split = bool(matte)
        if not self.split:
            self.figure, self.still = portrait.copy(), portrait
            return
        plate = np.ascontiguousarray(matte.plate[..., ::-1])
        colours = cv2.subtract(portrait, background_share(plate, matte.alpha))
        if backdrop is not None:  # colour above alpha is left over from the old background
            colours = np.minimum(colours, matte.alpha[..., None])
        self._backdrop = plate if backdrop is None else backdrop
        self.figure = np.asarray(cv2.merge([*cv2.split(colours), matte.alpha]), np.uint8)
        self.still = self.composite(self.figure, (slice(None), slice(None)))

    def composite(self, figure: Picture, box: Box) -> Picture:
        """Composite a block of the (moved) figure over the background at `box`, to BGR."""
        if not self.split:
            return figure
        behind = background_share(self._backdrop[box], cv2.extractChannel(figure, 3))
        return np.asarray(cv2.add(cv2.cvtColor(figure, cv2.COLOR_BGRA2BGR), behind), np.uint8)


def to_straight_alpha(colours: Picture, alpha: Picture) -> Picture:
    """Convert premultiplied colours, BGR, to BGRA with straight alpha, which video players expect."""
    full = cv2.divide(colours, cv2.merge([alpha] * 3), scale=255)  # by 0 is 0
    return np.asarray(cv2.merge([*cv2.split(full), alpha]), np.uint8)
