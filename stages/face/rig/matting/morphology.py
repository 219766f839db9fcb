"""Discs, and masks without what is narrower than one."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.uint8]


def disc(radius: float) -> Mask:
    """A disc of this radius, px: uint8 [height, width], 1 inside."""
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(radius) + 1,) * 2), np.uint8)


def opened(mask: npt.NDArray[np.bool_] | Mask, radius: float) -> Mask:
    """A mask, 0 or 1, without what is narrower than a disc of this radius, px; it goes on beyond the picture's border."""
    reach = max(1, round(radius))
    longer = cv2.copyMakeBorder(np.asarray(mask, np.uint8), *(reach,) * 4, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.morphologyEx(longer, cv2.MORPH_OPEN, disc(reach))[reach:-reach, reach:-reach], np.uint8)
