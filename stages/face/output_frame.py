"""Chooses which part of the picture the video shows, and at what size."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.mesh import FloatArray

#: Vertical position of the face's middle in a crop, as a fraction of its height.
_FACE_HEIGHT = 0.45


@dataclass(frozen=True)
class OutputFrame:
    """A crop of the picture (px, from its top left) and the size in px that it is scaled to; both sides are even."""

    x: int
    y: int
    crop_width: int
    crop_height: int
    width: int
    height: int

    def render(self, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Cut and scale a picture to [height, width, 3]; without scaling the pixels stay as they are."""
        crop = picture[self.y : self.y + self.crop_height, self.x : self.x + self.crop_width]
        if (self.crop_width, self.crop_height) == (self.width, self.height):
            return np.ascontiguousarray(crop)
        method = cv2.INTER_AREA if self.width < self.crop_width else cv2.INTER_LANCZOS4
        return np.asarray(cv2.resize(crop, (self.width, self.height), interpolation=method), np.uint8)

    def halved(self) -> OutputFrame:
        """Return the same crop at half the width and height."""
        return replace(self, width=_even(self.width / 2), height=_even(self.height / 2))

    def to_output(self, landmarks: FloatArray) -> FloatArray:
        """Convert landmarks, [n, 3] px, from the picture to the output; depth is scaled like the width."""
        across, down = self.width / self.crop_width, self.height / self.crop_height
        # Pixel centres: (x + 1/2) scales, not x.
        shifted = (landmarks - np.array([self.x - 0.5, self.y - 0.5, 0.0])) * np.array([across, down, across])
        return np.asarray(shifted - np.array([0.5, 0.5, 0.0]), np.float32)


def choose_output_frame(
    picture_size: tuple[int, int],
    face_center: tuple[float, float],
    size: tuple[int, int] | None,
    aspect: tuple[int, int] | None,
    max_side_px: int,
) -> OutputFrame:
    """Choose the crop and the size of the video.

    Args:
        picture_size: width and height of the upright picture, px.
        face_center: x and y in that picture, px.
        size: requested width and height; the largest crop of that shape around the face is scaled to it.
        aspect: requested shape; cropped in the same way, but never enlarged.
        max_side_px: maximum length of the longer side if `size` is None.
    """
    width, height = picture_size
    shape = size or aspect or picture_size
    crop_width = min(width, round(height * shape[0] / shape[1]))
    crop_height = min(height, round(width * shape[1] / shape[0]))
    if size is None and max(crop_width, crop_height) <= max_side_px:
        crop_width, crop_height = crop_width // 2 * 2, crop_height // 2 * 2
        size = crop_width, crop_height
    if size is None:
        scale = max_side_px / max(crop_width, crop_height)
        size = _even(crop_width * scale), _even(crop_height * scale)
    x = round(min(max(face_center[0] - crop_width / 2, 0), width - crop_width))
    y = round(min(max(face_center[1] - crop_height * _FACE_HEIGHT, 0), height - crop_height))
    return OutputFrame(x, y, crop_width, crop_height, *size)


def _even(side: float) -> int:
    return max(2, round(side / 2) * 2)


def parse_pair(text: str | None, separator: str) -> tuple[int, int] | None:
    """Parse `"720x480"` or `"9:16"` into two numbers; None stays None."""
    if text is None:
        return None
    first, second = text.split(separator)
    return int(first), int(second)
