"""The closed lips: colour, the shade of the upper one, gleams on the lower one, the line between."""

from __future__ import annotations

import cv2
import numpy as np

from .canvas import Canvas, Colour, noise
from .curves import Array, moved, sided, tapered
from .plan import LIP_TOP, lip_line, lower_lip, upper_lip

LIP: Colour = (190, 84, 80)
# Where the lips shine: x, y, width, height, strength.
LIP_GLEAMS = (
    (616, 819, 25, 7, 0.24),
    (664, 820, 20, 6, 0.14),
    (622, 785, 9, 3.0, 0.12),
    (656, 785, 8, 2.8, 0.08),
)


def lip_creases(area: Canvas, rng: np.random.Generator) -> Array:
    """Noise drawn out along the height of the lips, about 3 pixels across."""
    height, width = area.shape
    creases = np.clip(noise((height // 14 + 1, width), 3.0, rng), -2, 2)
    return np.asarray(cv2.resize(creases, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def paint_body(area: Canvas, both: Array) -> None:
    area.paint(LIP, both * 0.50)
    area.paint((206, 140, 132), both * 0.46, "multiply")
    # The upper lip faces down and lies in its own shade; the lower one faces the light.
    area.paint((196, 120, 114), area.fill(upper_lip(), soft=1.8) * 0.50, "multiply")
    area.paint((242, 144, 132), area.fill(lower_lip(), soft=7) * 0.32)


def paint_gleams(area: Canvas, both: Array, creases: Array) -> None:
    area.paint((120, 40, 42), np.clip(creases, 0, 2) * area.fill(lower_lip(), soft=3) * 0.05)
    for x, y, sx, sy, strength in LIP_GLEAMS:
        gleam = area.spot(x, y, sx, sy) * np.clip(1 - 0.25 * creases, 0, 2)
        area.paint((255, 226, 214), np.asarray(gleam * both * strength, np.float32), "screen")
    bow = moved(sided(1, LIP_TOP), 0, -3.5)
    area.paint((255, 226, 204), area.fill(tapered(bow[34:-34], 4), soft=3) * 0.08, "screen")


def paint_line(area: Canvas) -> None:
    """Where the lips meet: a broad soft shade and a thin dark core, lost towards the corners."""
    line = lip_line()
    area.paint((116, 40, 42), area.fill(tapered(line, 9, 0.3, 0.3), soft=3) * 0.46)
    area.paint((76, 22, 26), area.fill(tapered(line, 3.2, 0.35, 0.35), soft=0.8) * 0.82)


def paint_mouth(page: Canvas, rng: np.random.Generator) -> None:
    area = page.window(500, 750, 780, 900)
    both = area.fill(upper_lip(), lower_lip(), soft=2.2)
    paint_body(area, both)
    paint_gleams(area, both, lip_creases(area, rng))
    paint_line(area)
