"""The eyes: lids, ball, iris, catchlights and lashes."""

from __future__ import annotations

import cv2
import numpy as np

from .canvas import Canvas, Colour, ramp_colour, smoothstep
from .curves import CX, Array, Points, moved, ribbon, spline, tapered
from .lashes import paint_lower_lashes, paint_upper_lashes
from .plan import EYE_X, EYE_Y, INK, IRIS_R

EYE_SIZE = 1.06
# Eye shapes run from the inner corner outwards, as (distance from the eye's centre, y). The lower lid is pushed up
# a little in its outer half, which is what a smile does to it.
UPPER_LID: Points = ((-54, 10), (-46, -1.5), (-28, -16.5), (0, -23), (27, -19), (44, -9), (53, 2.5))
LOWER_LID: Points = ((53, 2.5), (42, 10), (21, 17), (-5, 19.5), (-30, 17.2), (-46, 13.2), (-54, 10))
CREASE: Points = ((-50, -14), (-33, -30), (0, -38), (33, -33), (54, -19), (64, -7))
LID_LIGHT: Points = ((-40, -18), (-20, -27.5), (4, -31.5), (30, -27), (48, -15))
IRIS_RAMP: tuple[tuple[float, Colour], ...] = (
    (0.00, (52, 26, 14)),
    (0.42, (112, 66, 32)),
    (0.62, (126, 76, 38)),
    (0.84, (82, 46, 25)),
    (1.00, (34, 18, 14)),
)


def eye_points(side: int, shape: Points) -> Array:
    return spline([(CX + side * (EYE_X + EYE_SIZE * dx), EYE_Y + EYE_SIZE * y) for dx, y in shape])


def paint_eye(page: Canvas, side: int, rng: np.random.Generator) -> None:
    cx = CX + side * EYE_X
    area = page.window(int(cx) - 100, 470, int(cx) + 100, 600)
    upper, lower = eye_points(side, UPPER_LID), eye_points(side, LOWER_LID)
    opening = area.fill(np.vstack([upper, lower]), soft=0.4)
    paint_lid_fold(area, side)
    paint_ball(area, side, opening)
    paint_iris(area, cx, EYE_Y + 0.5, opening, rng)
    lid_shade = area.fill(tapered(moved(upper, 0, 4), 15, 0.6, 0.6), soft=4)
    area.paint((70, 44, 44), lid_shade * opening * 0.6)
    paint_catchlights(area, cx, opening)
    paint_lid_edges(area, upper, lower)
    paint_upper_lashes(area, side, upper, rng)
    paint_lower_lashes(area, side, lower, rng)


def paint_ball(area: Canvas, side: int, opening: Array) -> None:
    """The white is a sphere, greyer towards both corners; the inner one is red and wet."""
    cx = CX + side * EYE_X
    gx, _ = area.grid()
    away = np.clip(np.abs(gx - cx) / 62, 0, 1) ** 2
    area.paint(ramp_colour(away.astype(np.float32), [(0.0, (241, 234, 228)), (1.0, (206, 178, 168))]), opening)
    area.paint((206, 122, 112), area.spot(cx - side * 49, EYE_Y + 8, 9, 6) * opening * 0.85)


def paint_catchlights(area: Canvas, cx: float, opening: Array) -> None:
    """They come from the lamp, so they sit on the same side in both eyes; a dim one answers from below."""
    window = [(cx - 12, 531), (cx - 6, 528), (cx - 1.5, 531), (cx - 3, 537), (cx - 9, 539)]
    area.paint((255, 253, 250), area.fill(spline(window, closed=True), soft=0.8) * 0.95)
    area.paint((255, 240, 226), area.spot(cx + 10, EYE_Y + 9, 5, 3.5) * opening * 0.35, "screen")


def paint_lid_fold(area: Canvas, side: int) -> None:
    crease = eye_points(side, CREASE)
    area.paint((150, 78, 62), area.fill(tapered(moved(crease, 0, -4), 17, 0.3, 0.3), soft=6) * 0.32)
    area.paint((104, 50, 42), area.fill(tapered(crease, 3.6, 0.1, 0.2), soft=1.5) * 0.55)
    area.paint((255, 214, 186), area.fill(tapered(eye_points(side, LID_LIGHT), 7), soft=2.6) * 0.26, "screen")


def iris_fibres(radius: Array, angle: Array, rng: np.random.Generator) -> Array:
    """Noise that varies round the iris but hardly along its spokes."""
    spokes = rng.standard_normal((3, 150)).astype(np.float32)
    spokes = np.asarray(cv2.GaussianBlur(np.tile(spokes, 3), (0, 0), 0.8), np.float32)[:, 150:300]
    column = ((angle / (2 * np.pi) + 0.5) * 149 + 6 * (radius - 0.6)).astype(np.float32) % 149
    fibre = cv2.remap(spokes, column, np.clip(radius * 2, 0, 2).astype(np.float32), cv2.INTER_LINEAR)
    return np.asarray(fibre, np.float32)


def paint_iris(area: Canvas, cx: float, cy: float, opening: Array, rng: np.random.Generator) -> None:
    gx, gy = area.grid()
    radius = np.asarray(np.hypot(gx - cx, gy - cy) / IRIS_R, np.float32)
    fibre = iris_fibres(radius, np.asarray(np.arctan2(gy - cy, gx - cx), np.float32), rng)
    # Light enters from above and leaves through the lower half, which glows.
    below = smoothstep(-0.4, 1.0, np.asarray((gy - cy) / IRIS_R, np.float32))
    shade = (1 + 0.24 * fibre) * (0.72 + 0.75 * below)
    colour = np.clip(ramp_colour(radius, IRIS_RAMP) * shade[..., None], 0, 1)
    area.paint(colour.astype(np.float32), (1 - smoothstep(0.92, 1.06, radius)) * opening)
    area.paint((12, 8, 9), (1 - smoothstep(0.36, 0.45, radius)) * opening)


def paint_lid_edges(area: Canvas, upper: Array, lower: Array) -> None:
    # The lower lid has a thin wet rim; without it the eye looks cut out.
    area.paint((232, 172, 154), area.fill(tapered(moved(lower, 0, 0.6), 3.4, 0.6, 0.4), soft=0.8) * 0.8)
    area.paint((126, 62, 52), area.fill(tapered(moved(lower, 0, 3.2), 3.2, 0.7, 0.2), soft=1.2) * 0.55)
    t = np.linspace(0, 1, len(upper), dtype=np.float32)
    width = 1.2 + 3.4 * np.sin(np.pi * np.clip(t * 0.8 + 0.08, 0, 1)) * (0.45 + 0.55 * t)
    area.paint(INK, area.fill(ribbon(moved(upper, 0, -0.6), width.astype(np.float32)), soft=0.5) * 0.94)
