"""Curves and strokes: the shapes that everything in the picture is cut from.

Lengths are picture units (the page is 1280 x 1280 of them), y grows downwards.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Points = Sequence[tuple[float, float]]

CX = 640.0  # the column on which the face stands; hair, brows, mouth and light are not symmetric about it


def spline(points: Points, closed: bool = False, steps: int = 16) -> Array:
    """A Catmull-Rom curve through the points, so shapes are given by what they pass through."""
    p = np.asarray(points, np.float32)
    p = np.vstack([p[-1:], p, p[:2]]) if closed else np.vstack([2 * p[0] - p[1], p, 2 * p[-1] - p[-2]])
    t = np.linspace(0, 1, steps, endpoint=False, dtype=np.float32)[:, None]
    parts = []
    for a, b, c, d in zip(p[:-3], p[1:-2], p[2:-1], p[3:], strict=True):
        parts.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    if not closed:
        parts.append(p[-2:-1])
    return np.vstack(parts).astype(np.float32)


def moved(outline: Array, dx: float, dy: float) -> Array:
    return np.asarray(outline + np.array([dx, dy], np.float32), np.float32)


def sided(side: int, points: Points, closed: bool = False) -> Array:
    """A curve given as (distance from the centre line, y), on the left (-1) or right (1) of the face."""
    return spline([(CX + side * dx, y) for dx, y in points], closed)


def mirrored(half: Points) -> list[tuple[float, float]]:
    """Close a half outline given as (distance from the centre line, y), from bottom to top."""
    right = [(CX + dx, y) for dx, y in half]
    left = [(CX - dx, y) for dx, y in reversed(half) if dx > 0]
    return right + left


def normals_of(path: Array) -> Array:
    tangent = np.gradient(path, axis=0)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], 1)
    return np.asarray(normal / (np.linalg.norm(normal, axis=1, keepdims=True) + 1e-6), np.float32)


def ribbon(path: Array, widths: Array) -> Array:
    """The outline of a stroke along a path whose width varies."""
    half = normals_of(path) * widths[:, None] / 2
    return np.vstack([path + half, (path - half)[::-1]]).astype(np.float32)


def tapered(path: Array, width: float, start: float = 0.0, end: float = 0.0) -> Array:
    """A stroke that swells to ``width`` in the middle and thins to the given shares of it at its ends."""
    t = np.linspace(0, 1, len(path), dtype=np.float32)
    swell = np.clip(np.sin(np.pi * t), 0, 1) ** 0.7
    share = np.maximum(swell, np.where(t < 0.5, start, end))
    return ribbon(path, (width * share).astype(np.float32))
