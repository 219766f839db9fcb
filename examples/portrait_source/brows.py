"""The brows: single hairs in three tones over a soft shade."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, Colour, smoothstep
from .curves import CX, Array, Points, moved, ribbon, sided, spline

# Lower and upper edge from the inner end outwards, as (distance from the centre line, y).
BROW_LOW: Points = ((54, 475), (86, 468), (122, 460), (156, 459), (192, 476))
BROW_HIGH: Points = ((55, 459), (86, 449), (122, 440), (158, 442), (194, 472))
LIFT = {-1: 0.0, 1: -3.0}  # one brow sits a little higher, as in most faces
# Colour, number of hairs and strength, painted in this order.
TONES: tuple[tuple[Colour, int, float], ...] = (
    ((92, 56, 44), 190, 0.46),
    ((64, 37, 29), 160, 0.60),
    ((120, 78, 60), 46, 0.5),
)


def hair_angle(t: float, across: float) -> float:
    """Degrees above the horizontal: hairs stand up at the inner end and lie down towards the outer one."""
    return 62 - 50 * min(1.0, t * 1.7) - 60 * max(0.0, t - 0.5) - 34 * (across - 0.3) * min(1.0, t * 3)


def brow_hair(low: Array, high: Array, side: int, rng: np.random.Generator) -> Array:
    t = float(rng.uniform(0, 1) ** 0.82)
    i = int(t * (len(low) - 1))
    across = float(rng.uniform(0, 1) ** 1.15)
    ragged = side * abs(rng.normal(0, 10)) * (1 - t) ** 4  # the inner end thins out instead of stopping
    root = moved(low[i] + (high[i] - low[i]) * across * 0.8, ragged, 0)
    angle = np.radians(hair_angle(t, across) + rng.normal(0, 7))
    reach = rng.uniform(11, 20) * (1 - 0.3 * t) * (0.72 + 0.28 * min(1.0, t * 6))
    step = reach * np.array([side * np.cos(angle), -np.sin(angle)], np.float32)
    curl = np.array([side * 2.2, 0.8], np.float32)
    stops = (root, root + step * 0.5 - curl, root + step)
    path = spline([(float(x), float(y)) for x, y in stops], steps=5)
    return ribbon(path, np.linspace(1.7, 0.3, len(path)).astype(np.float32))


def paint_brow(page: Canvas, side: int, rng: np.random.Generator) -> None:
    middle = int(CX + side * 120)
    area = page.window(middle - 110, 410, middle + 110, 520)
    low = moved(sided(side, BROW_LOW), 0, LIFT[side])
    high = moved(sided(side, BROW_HIGH), 0, LIFT[side])
    area.paint((104, 62, 50), area.fill(moved(np.vstack([low, high[::-1]]), side * 3, 2), soft=4.5) * 0.34)
    # The inner end is sown thinly: it must fade into the skin, or the face frowns.
    gx, _ = area.grid()
    fade = 0.4 + 0.6 * smoothstep(50, 86, np.asarray(np.abs(gx - CX), np.float32))
    for colour, count, strength in TONES:
        hairs = [brow_hair(low, high, side, rng) for _ in range(count)]
        area.paint(colour, area.fill(*hairs, soft=0.6) * fade * strength)
