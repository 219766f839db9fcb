"""The wall behind, and what the whole picture gets at the end."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .canvas import PAGE, Canvas, Colour, ramp_colour
from .curves import Array

# Warm where the lamp falls on the wall, cooler and darker away from it, so that the head stands free on both sides.
WALL: tuple[tuple[float, Colour], ...] = (
    (0.0, (200, 183, 170)),
    (0.45, (221, 204, 188)),
    (0.8, (242, 229, 213)),
    (1.0, (252, 243, 230)),
)
VIGNETTE = 0.13  # how much light the corners lose
GRAIN = 0.0013  # spread of the film grain, of full scale: enough to stop banding, little to store


def paint_backdrop(page: Canvas) -> None:
    """A plain wall with one pool of light on it, falling from the upper left."""
    gx, gy = page.grid()
    along = (gx - 470) * 0.9 + (gy - 430) * 0.42
    across = (gy - 430) * 0.9 - (gx - 470) * 0.42
    pool = np.exp(-((along / 760) ** 2) - (across / 640) ** 2)
    page.paint(ramp_colour(pool.astype(np.float32), WALL), np.ones(page.shape, np.float32))


def vignette() -> Array:
    """The share of light each pixel of the page keeps."""
    edge = np.linspace(-1, 1, PAGE, dtype=np.float32)
    gx, gy = np.meshgrid(edge, edge)
    return np.asarray(1 - VIGNETTE * np.clip(np.hypot(gx, gy) - 0.6, 0, 1), np.float32)


def finish(page: Canvas, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Scale down, darken the corners, grain, and round to bytes."""
    rgb = np.asarray(cv2.resize(page.rgb, (PAGE, PAGE), interpolation=cv2.INTER_AREA), np.float32)
    rgb = rgb * vignette()[..., None] + GRAIN * rng.standard_normal((PAGE, PAGE, 1)).astype(np.float32)
    return np.asarray(np.clip(rgb * 255 + 0.5, 0, 255), np.uint8)
