"""Lashes: hairs that stick together in small pointed groups, fine and few at the inner corner."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas
from .curves import Array, moved, ribbon, spline, tapered
from .plan import INK


def lash(root: Array, tip: Array, side: int, sag: float, thick: float) -> Array:
    """One hair from the lid's edge: it leaves towards the viewer, so it sags before it curves to its tip."""
    reach = float(np.hypot(*(tip - root)))
    bend = (root + tip) / 2 + np.array([side * 0.10 * reach, sag * reach], np.float32)
    path = spline([(float(x), float(y)) for x, y in (root, bend, tip)], steps=6)
    return ribbon(path, (thick * np.linspace(1, 0.12, len(path))).astype(np.float32))


def lash_group(edge: Array, t: float, side: int, length: float, rng: np.random.Generator) -> list[Array]:
    """Two to four upper lashes that meet near one point; ``t`` runs from the inner corner (0) to the outer (1)."""
    lean = side * (-0.30 + 1.40 * t + rng.uniform(-0.12, 0.12))
    middle = edge[int(t * (len(edge) - 1))]
    reach = length * (0.28 + 0.72 * t**1.6) * rng.uniform(0.6, 1.12)
    point = middle + reach * np.array([lean * 0.85, -(1 - 0.42 * abs(lean))], np.float32)
    hairs = []
    for _ in range(int(rng.integers(2, 5))):
        root = edge[int(np.clip(t + rng.normal(0, 0.014), 0, 1) * (len(edge) - 1))]
        tip = point + 0.55 * (root - middle) + rng.normal(0, 0.7, 2).astype(np.float32)
        hairs.append(lash(root, tip.astype(np.float32), side, 0.17 * (1 - 0.8 * t), rng.uniform(1.0, 1.6)))
    return hairs


def paint_upper_lashes(area: Canvas, side: int, edge: Array, rng: np.random.Generator) -> None:
    # Seen from the front most lashes point at the viewer: their mass is a soft dark band, only some stand out of it.
    outer = edge[len(edge) // 4 :]
    area.paint(INK, area.fill(tapered(moved(outer, side * 1.5, -2.6), 5.0, 0.1, 0.5), soft=1.6) * 0.42)
    hairs: list[Array] = []
    t = 0.16
    while t < 0.94:
        hairs += lash_group(edge, t, side, 16.0, rng)
        t += rng.uniform(0.020, 0.062)
    area.paint(INK, area.fill(*hairs, soft=0.5) * 0.56)


def paint_lower_lashes(area: Canvas, side: int, edge: Array, rng: np.random.Generator) -> None:
    """Short, pale, uneven; the edge runs from the outer corner inwards."""
    hairs = []
    for t in rng.uniform(0.06, 0.74, 20):
        along = 1 - float(t)
        root = edge[int(t * (len(edge) - 1))] + np.array([0, 1.6], np.float32)
        reach = rng.uniform(2.5, 6.0) * (0.3 + 0.7 * along)
        lean = side * (-0.2 + 1.1 * along + rng.uniform(-0.25, 0.25))
        tip = root + reach * np.array([lean * 0.8, 0.9], np.float32)
        hairs.append(lash(root, tip.astype(np.float32), side, 0.0, 0.8))
    area.paint(INK, area.fill(*hairs, soft=0.5) * 0.24)
