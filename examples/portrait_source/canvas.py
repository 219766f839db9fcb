"""The page and how paint goes on it: windows, masks, soft edges, blend modes, noise.

The page is painted at twice its size and scaled down at the end, so edges come out smooth without any shape having
to think about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .curves import Array

Colour = tuple[int, int, int]

PAGE = 1280  # picture units along each side
SCALE = 2  # pixels painted per picture unit
SUBPIXEL_BITS = 4  # OpenCV's fixed point: outlines are placed to a sixteenth of a pixel


def blur(image: Array, sigma: float) -> Array:
    """A Gaussian blur; wide ones are done on a smaller copy, where they cost little and look the same."""
    if sigma < 0.3:
        return image
    factor = int(min(8, max(1, sigma // 4)))
    if factor == 1 or min(image.shape[:2]) < 16 * factor:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)
    height, width = image.shape[:2]
    small = cv2.resize(image, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / factor)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def smoothstep(low: float, high: float, value: Array) -> Array:
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def ramp_colour(value: Array, stops: Sequence[tuple[float, Colour]]) -> Array:
    at = [stop for stop, _ in stops]
    channels = [np.interp(value, at, [colour[i] / 255 for _, colour in stops]) for i in range(3)]
    return np.stack(channels, -1).astype(np.float32)


def noise(shape: tuple[int, int], cell: float, rng: np.random.Generator) -> Array:
    """Smooth noise of about unit spread whose blobs are ``cell`` pixels across."""
    height, width = shape
    coarse = rng.standard_normal((int(height / cell) + 3, int(width / cell) + 3)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


@dataclass
class Canvas:
    """A window on the page: painting in it paints the page, and small windows keep small features cheap."""

    rgb: Array
    left: float = 0.0
    top: float = 0.0

    def window(self, left: int, top: int, right: int, bottom: int) -> Canvas:
        part = self.rgb[top * SCALE : bottom * SCALE, left * SCALE : right * SCALE]
        return Canvas(part, float(left), float(top))

    @property
    def shape(self) -> tuple[int, int]:
        return self.rgb.shape[0], self.rgb.shape[1]

    def grid(self) -> tuple[Array, Array]:
        height, width = self.shape
        x = (np.arange(width, dtype=np.float32) + 0.5) / SCALE + self.left
        y = (np.arange(height, dtype=np.float32) + 0.5) / SCALE + self.top
        return np.broadcast_to(x, (height, width)), np.broadcast_to(y[:, None], (height, width))

    def pixels(self, outline: Array) -> NDArray[np.int32]:
        """Picture units to OpenCV's fixed-point pixels."""
        local = (outline - np.array([self.left, self.top], np.float32)) * SCALE - 0.5
        return np.asarray(np.round(local * 2**SUBPIXEL_BITS), np.int32)

    def fill(self, *outlines: Array, soft: float = 0.0) -> Array:
        mask = np.zeros(self.shape, np.uint8)
        for outline in outlines:
            cv2.fillPoly(mask, [self.pixels(outline)], (255,), cv2.LINE_AA, SUBPIXEL_BITS)
        return blur(mask.astype(np.float32) / 255, soft * SCALE)

    def spot(self, x: float, y: float, sx: float, sy: float) -> Array:
        """A soft round dab."""
        gx, gy = self.grid()
        return np.asarray(np.exp(-(((gx - x) / sx) ** 2) - ((gy - y) / sy) ** 2), np.float32)

    def paint(self, colour: Colour | Array, mask: Array, mode: str = "normal") -> None:
        ink = np.asarray(colour, np.float32) / 255 if isinstance(colour, tuple) else colour
        alpha = mask[..., None]
        if mode == "multiply":
            self.rgb *= 1 - alpha * (1 - ink)
        elif mode == "screen":
            self.rgb += (1 - self.rgb) * ink * alpha
        else:
            self.rgb += (ink - self.rgb) * alpha
