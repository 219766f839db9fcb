"""The portrait as a figure before a background, and the two put together again.

Where the picture could not be split, the figure is the whole picture.
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
        figure: the person, BGRA with colours already multiplied by alpha (BGR alone where there is only one layer).
        still: the picture with nothing moved, BGR.
    """

    def __init__(self, portrait: Picture, matte: Matte, backdrop: Picture | None = None) -> None:
        """Split `portrait`; `backdrop`, BGR of its size, takes the place of its own background."""
        self.split = bool(matte)
        if not self.split:
            self.figure, self.still = portrait.copy(), portrait
            return
        plate = np.ascontiguousarray(matte.plate[..., ::-1])
        colours = cv2.subtract(portrait, background_share(plate, matte.alpha))
        if backdrop is not None:  # what is brighter than its own coverage belongs to the old background
            colours = np.minimum(colours, matte.alpha[..., None])
        self._backdrop = plate if backdrop is None else backdrop
        self.figure = np.asarray(cv2.merge([*cv2.split(colours), matte.alpha]), np.uint8)
        self.still = self.flat(self.figure, (slice(None), slice(None)))

    def flat(self, figure: Picture, box: Box) -> Picture:
        """A block of the (moved) figure before the background at `box`, BGR."""
        if not self.split:
            return figure
        behind = background_share(self._backdrop[box], cv2.extractChannel(figure, 3))
        return np.asarray(cv2.add(cv2.cvtColor(figure, cv2.COLOR_BGRA2BGR), behind), np.uint8)


def unmultiplied(colours: Picture, alpha: Picture) -> Picture:
    """BGRA with full colours, as video players want it, from colours multiplied by alpha."""
    full = cv2.divide(colours, cv2.merge([alpha] * 3), scale=255)  # by 0 is 0
    return np.asarray(cv2.merge([*cv2.split(full), alpha]), np.uint8)
