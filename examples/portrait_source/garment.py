"""Neck and garment: the neck in the head's shade, a plain blouse with a soft folded collar."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, Colour, noise, ramp_colour, smoothstep
from .curves import CX, Array, Points, moved, sided, spline, tapered
from .plan import BODY, FACE, NECK, SKIN_RAMP

CLOTH: tuple[tuple[float, Colour], ...] = (
    (0.0, (10, 34, 38)),
    (0.35, (24, 66, 70)),
    (0.65, (40, 95, 98)),
    (1.0, (112, 170, 164)),
)
SEAM: Colour = (8, 30, 34)
# Folds fall from the collar towards the arms; each with its depth.
FOLDS: tuple[tuple[Points, float], ...] = (
    (((236, 1120), (296, 1210), (340, 1300)), 0.13),
    (((320, 1136), (404, 1226), (470, 1300)), 0.11),
    (((420, 1160), (520, 1230), (600, 1300)), 0.07),
    (((120, 1244), (140, 1270), (170, 1300)), 0.10),
)
# One leaf of the collar, lying open: up the edge of the opening to the neck, down the outer edge to its point, back.
OPENING: Points = ((4, 1276), (38, 1214), (78, 1148), (105, 1092), (119, 1036))
OUTER_EDGE: Points = ((119, 1036), (146, 1050), (180, 1078), (203, 1118), (209, 1164), (203, 1212), (190, 1262))
UNDERSIDE: Points = ((190, 1262), (134, 1254), (74, 1267), (4, 1286))


def throat_light(area: Canvas) -> Array:
    """The neck as a lit column: muscles that meet in the pit of the throat, collar bones that run out from it."""
    gx, _ = area.grid()
    across = (gx - CX) / 195
    light = 0.67 - 0.32 * across**2 - 0.14 * across
    for side in (-1, 1):
        muscle = sided(side, ((116, 930), (76, 1050), (24, 1150)))
        light += 0.07 * area.fill(tapered(muscle, 30, 0.4, 0.5), soft=9)
        bone = sided(side, ((26, 1162), (100, 1144), (220, 1126)))
        light += 0.12 * area.fill(tapered(bone, 15, 0.6), soft=5)
        light -= 0.10 * area.fill(tapered(moved(bone, 0, 17), 18, 0.4), soft=7)
    return np.asarray(light - 0.14 * area.spot(CX, 1158, 24, 26), np.float32)


def paint_neck(page: Canvas) -> None:
    area = page.window(300, 680, 980, 1280)
    _, gy = area.grid()
    light = throat_light(area)
    # The head shades the neck: hard near the jaw, fading downwards, thrown a little away from the key light.
    light -= 0.30 * area.fill(moved(FACE, 18, 62), soft=17) + 0.16 * area.fill(moved(FACE, 6, 16), soft=8)
    light -= 0.10 * (1 - smoothstep(960, 1120, gy))
    light -= 0.09 * area.fill(moved(BODY, 0, -4), soft=12)
    area.paint(ramp_colour(np.clip(light, 0, 1), SKIN_RAMP), area.fill(NECK, soft=0.5))


def cloth_light(area: Canvas, rng: np.random.Generator) -> Array:
    """How lit the cloth is: less to the right and downwards, rounded at the shoulders, creased, woven."""
    gx, gy = area.grid()
    light = 0.68 - 0.00034 * (gx - 430) - 0.0008 * (gy - 1130)
    light += 0.30 * (area.fill(BODY, soft=22) - 1)
    for side in (-1, 1):
        for points, deep in FOLDS:
            fold = sided(side, points)
            deep *= 1.0 if side < 0 else 0.75  # flatter away from the lamp
            light -= deep * area.fill(tapered(fold, 22), soft=9)
            light += deep * 0.7 * area.fill(tapered(moved(fold, -16, -4), 16), soft=8)
    light += 0.006 * noise(area.shape, 3, rng) + 0.02 * noise(area.shape, 60, rng)
    return np.asarray(light, np.float32)


def paint_leaf(area: Canvas, side: int, light: Array) -> None:
    """One collar leaf: its shadow on the blouse, the cloth itself, the rolled edge and a row of stitching."""
    leaf = np.vstack([sided(side, OPENING), sided(side, OUTER_EDGE), sided(side, UNDERSIDE)])
    shadow = area.fill(moved(leaf, 7, 11), soft=7) * area.fill(BODY, soft=2)
    area.paint(SEAM, shadow * 0.62)
    mask = area.fill(leaf, soft=0.5)
    roll = area.fill(tapered(moved(sided(side, OPENING), side * 13, 0), 26, 0.5, 0.8), soft=8)
    hem = area.fill(tapered(sided(side, OUTER_EDGE), 9, 0.6, 0.6), soft=3)
    lit = light + (0.10 if side < 0 else 0.03) + 0.16 * roll + 0.07 * hem
    area.paint(ramp_colour(np.clip(lit, 0, 1), CLOTH), mask)
    stitch = moved(sided(side, OUTER_EDGE)[48:], -side * 9, -5)
    area.paint(SEAM, area.fill(tapered(stitch, 1.8, 0.7, 0.7), soft=0.8) * mask * 0.4)
    inner = sided(side, OPENING)
    area.paint((150, 200, 192), area.fill(tapered(moved(inner, side * 3, 0), 3, 0.6, 0.8), soft=1.3) * mask * 0.42)


def paint_garment(page: Canvas, rng: np.random.Generator) -> None:
    area = page.window(0, 1030, 1280, 1280)
    gx, _ = area.grid()
    skin = np.abs(gx - CX) < 214  # cloth shades the neck, not the wall
    area.paint((60, 30, 26), area.fill(moved(BODY, 3, -5), soft=6) * 0.45 * skin, "multiply")
    light = cloth_light(area, rng)
    area.paint(ramp_colour(np.clip(light, 0, 1), CLOTH), area.fill(BODY))
    for side in (1, -1):  # left over right
        paint_leaf(area, side, light)
    placket = spline([(CX + 8, 1262), (CX + 10, 1290)])
    area.paint(SEAM, area.fill(tapered(placket, 3, 1, 1), soft=1.2) * 0.6)
