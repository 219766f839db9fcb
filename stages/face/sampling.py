"""OpenCV's sampling, with types that say what comes out."""

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
    """Values of `source` at `places`, [..., 2] as (x, y) px; of the source's own type."""
    values: npt.NDArray[Pixel] = _remap(source, places, None, interpolation, borderMode=outside)
    return values


def blur(picture: npt.NDArray[Any], sigma: float) -> npt.NDArray[Any]:
    """Gaussian blur, sigma in px; of the picture's own type."""
    blurred: npt.NDArray[Any] = _blur(picture, (0, 0), sigma)
    return blurred
