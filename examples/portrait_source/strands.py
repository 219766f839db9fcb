"""Hair as drawn lines: a mane takes thousands of strands, each lit along its length, with ends that thin out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .canvas import SUBPIXEL_BITS, Canvas, Colour, ramp_colour
from .curves import Array, Points, spline

Guides = Sequence[Points]
Family = Callable[[float], Array]

SAMPLES = 121  # points along a strand: some eight units apart, finer than any wave
TAIL = 7  # how many of them thin out at the tip
HAIR_BASE: Colour = (38, 22, 18)
HAIR_STOPS: tuple[tuple[float, Colour], ...] = (
    (0.0, (18, 9, 9)),
    (0.3, (50, 28, 21)),
    (0.55, (95, 56, 38)),
    (0.78, (154, 99, 66)),
    (1.0, (218, 164, 120)),
)


def guide_surface(guides: Guides) -> Family:
    """A family of strands: give 0..1 for one between the first guide and the last."""
    curves = []
    for guide in guides:
        curve = spline(guide, steps=24)
        span = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
        at = np.linspace(0, span[-1], SAMPLES)
        curves.append(np.stack([np.interp(at, span, curve[:, 0]), np.interp(at, span, curve[:, 1])], 1))
    stack = np.stack(curves).astype(np.float32)

    def strand(u: float) -> Array:
        place = float(np.clip(u, 0, 1)) * (len(stack) - 1)
        i = min(int(place), len(stack) - 2)
        f = place - i
        return np.asarray(stack[i] * (1 - f) + stack[i + 1] * f, np.float32)

    return strand


@dataclass
class Mane:
    """Hair being drawn: its colour and how much it covers, as the 8-bit pictures OpenCV draws lines on."""

    page: Canvas
    colour: NDArray[np.uint8]
    cover: NDArray[np.uint8]

    @staticmethod
    def on(page: Canvas) -> Mane:
        height, width = page.shape
        colour = np.full((height, width, 3), HAIR_BASE, np.uint8)
        return Mane(page, colour, np.zeros((height, width), np.uint8))

    def strand(self, path: Array, light: Array, width: int, start: int = 0) -> None:
        """Draw one hair; ``start`` (0 or 1) shifts its colour steps so that those of neighbours do not line up."""
        pixels = self.page.pixels(path)
        shades = (ramp_colour(np.clip(light, 0, 1), HAIR_STOPS) * 255).astype(int).tolist()
        tail = max(1, len(pixels) - TAIL)
        for i in range(-start, len(pixels) - 1, 2):
            piece = [pixels[max(i, 0) : i + 3]]
            thick = width if i < tail else max(1, width - 1)
            cv2.polylines(self.colour, piece, False, shades[max(i, 0)], thick, cv2.LINE_AA, SUBPIXEL_BITS)
        cv2.polylines(self.cover, [pixels[: tail + 1]], False, (255,), width, cv2.LINE_AA, SUBPIXEL_BITS)
        self.fade(pixels[tail:], max(1, width - 1))

    def fade(self, pixels: NDArray[np.int32], width: int) -> None:
        """Let a strand's last stretch thin out, without taking cover away from what lies under it."""
        limit = np.array(self.cover.shape[::-1])
        low = np.clip((pixels.min(0) >> SUBPIXEL_BITS) - 4, 0, limit)
        high = np.clip((pixels.max(0) >> SUBPIXEL_BITS) + 5, 0, limit)
        if (high <= low).any() or len(pixels) < 2:
            return
        patch = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        local = (pixels - (low << SUBPIXEL_BITS)).astype(np.int32)
        for i in range(len(local) - 1):
            ink = int(255 * (1 - i / len(local)) ** 0.8)
            cv2.polylines(patch, [local[i : i + 2]], False, (ink,), width, cv2.LINE_AA, SUBPIXEL_BITS)
        part = self.cover[low[1] : high[1], low[0] : high[0]]
        np.maximum(part, patch, out=part)

    def coverage(self) -> Array:
        return np.asarray(self.cover, np.float32) / np.float32(255)

    def settle(self) -> None:
        """Put the hair on the page."""
        self.page.paint(self.colour.astype(np.float32) / 255, self.coverage())
