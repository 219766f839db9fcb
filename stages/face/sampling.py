"""OpenCV's remapping and blur with precise types."""

from __future__ import annotations

from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

Pixel = TypeVar("Pixel", np.uint8, np.float32)

_remap: Any = cv2.remap  # its stub knows no empty second map
_blur: Any = cv2.GaussianBlur


def sample(
    source: npt.NDArray[Pixel],
    places: npt.NDArray[np.float32],
    interpolation: int = cv2.INTER_LINEAR,
    outside: int = cv2.BORDER_REPLICATE,
) -> npt.NDArray[Pixel]:
    """Sample `source` at `places`, [..., 2] as (x, y) px; the result has the source's type."""
    values: npt.NDArray[Pixel] = _remap(source, places, None, interpolation, borderMode=outside)
    return values


def blur(picture: npt.NDArray[Any], sigma: float) -> npt.NDArray[Any]:
    """Apply a Gaussian blur with `sigma` px; the result has the picture's type."""
    blurred: npt.NDArray[Any] = _blur(picture, (0, 0), sigma)
    return blurred
