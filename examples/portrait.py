"""Draw the example portrait: an invented person, painted from scratch with numpy and OpenCV.

Run ``python examples/portrait.py``; it rewrites ``portrait.png`` next to this file. Nothing is sampled from a
photograph. The face is a sculpted height field lit by three lamps; features and hair are painted over it.

All coordinates are picture units (a 1280 x 1280 page). The page is painted at twice that size and scaled down, so
edges come out smooth without any shape having to think about it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float32]
Colour = tuple[int, int, int]
Points = Sequence[tuple[float, float]]

PAGE = 1280
SCALE = 2
CX = 640.0  # the face is symmetric about this column; hair and light are not
SUBPIXEL_BITS = 4

# One palette, so that the picture stays in one key.
BACKDROP_LIGHT: Colour = (250, 239, 226)
BACKDROP_DARK: Colour = (218, 197, 179)
CLOTH: Colour = (38, 92, 96)
HAIR_BASE: Colour = (38, 22, 18)
INK: Colour = (40, 20, 17)
LIP: Colour = (186, 84, 78)
# From core shadow to highlight. The dark end is redder than it is dark: light scatters inside skin.
SKIN_RAMP: tuple[tuple[float, Colour], ...] = (
    (0.00, (84, 38, 32)),
    (0.22, (134, 70, 54)),
    (0.42, (178, 107, 82)),
    (0.62, (216, 150, 120)),
    (0.82, (240, 188, 158)),
    (1.00, (252, 220, 197)),
)


# ---------------------------------------------------------------------------------------------------- small tools


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


def mirrored(half: Points) -> list[tuple[float, float]]:
    """Close a half outline given as (distance from the centre line, y), from bottom to top."""
    right = [(CX + dx, y) for dx, y in half]
    left = [(CX - dx, y) for dx, y in reversed(half) if dx > 0]
    return right + left


def ribbon(path: Array, widths: Array) -> Array:
    """The outline of a stroke along a path whose width varies."""
    tangent = np.gradient(path, axis=0)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], 1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-6
    half = normal * widths[:, None] / 2
    return np.vstack([path + half, (path - half)[::-1]]).astype(np.float32)


def tapered(path: Array, width: float, start: float = 0.0, end: float = 0.0) -> Array:
    """A stroke that swells to ``width`` in the middle and thins to the given shares of it at its ends."""
    t = np.linspace(0, 1, len(path), dtype=np.float32)
    swell = np.clip(np.sin(np.pi * t), 0, 1) ** 0.7
    share = np.maximum(swell, np.where(t < 0.5, start, end))
    return ribbon(path, (width * share).astype(np.float32))


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


# ------------------------------------------------------------------------------------------------------ the shapes

FACE_HALF: Points = (
    (0, 944), (46, 940), (90, 924), (142, 886), (190, 826), (227, 746), (253, 660),
    (270, 575), (273, 490), (267, 400), (246, 305), (200, 222), (120, 164), (0, 142),
)  # fmt: skip
FACE = spline(mirrored(FACE_HALF), closed=True)

EYE_X, EYE_Y = 112.0, 542.0
EYE_SIZE = 1.06
IRIS_R = 27.5
# Eye shapes run from the inner corner outwards, as (distance from the eye's centre, y).
UPPER_LID: Points = ((-57, 10), (-48, -2), (-28, -16.5), (0, -22.5), (27, -18.5), (44, -8.5), (52.5, 3))
LOWER_LID: Points = ((52.5, 3), (42, 11.5), (21, 18.5), (-5, 20.3), (-30, 17.5), (-48, 13), (-57, 10))
CREASE: Points = ((-52, -13), (-34, -30), (0, -38), (33, -33), (55, -18), (64, -6))

UPPER_LIP_HALF: Points = ((0, 790.5), (17, 785), (38, 786), (72, 788.5), (98, 790.5))
LOWER_LIP_HALF: Points = ((0, 843.5), (36, 840), (72, 822), (98, 791.5))
LIP_LINE: Points = (
    (-100, 790), (-74, 798.5), (-44, 804.5), (-17, 806), (0, 808), (17, 806), (44, 804.5), (74, 798.5), (100, 790),
)  # fmt: skip


def lip_curve(half: Points) -> Array:
    left = [(CX - dx, y) for dx, y in reversed(half)]
    right = [(CX + dx, y) for dx, y in half[1:]]
    return spline(left + right)


def lip_line() -> Array:
    return spline([(CX + dx, y) for dx, y in LIP_LINE])


def upper_lip() -> Array:
    return np.vstack([lip_curve(UPPER_LIP_HALF), lip_line()[::-1]])


def lower_lip() -> Array:
    return np.vstack([lip_line(), lip_curve(LOWER_LIP_HALF)[::-1]])


# ------------------------------------------------------------------------------------------ backdrop, body, garment


def paint_backdrop(page: Canvas) -> None:
    gx, gy = page.grid()
    glow = np.exp(-(((gx - 560) / 620) ** 2) - ((gy - 470) / 640) ** 2).astype(np.float32)
    page.paint(ramp_colour(glow, [(0.0, BACKDROP_DARK), (1.0, BACKDROP_LIGHT)]), np.ones_like(glow))


NECK_HALF: Points = (
    (0, 1240), (120, 1220), (230, 1150), (205, 1112), (156, 1085), (126, 1050), (114, 1000), (112, 900),
    (112, 760), (0, 700),
)  # fmt: skip
BODY_HALF: Points = (
    (0, 1330), (760, 1330), (690, 1262), (600, 1208), (490, 1170), (384, 1140), (300, 1116), (236, 1094), (212, 1088),
    (188, 1120), (140, 1158), (74, 1180), (0, 1187),
)  # fmt: skip


# Folds fall from the collar towards the arms; each with its depth.
FOLDS: tuple[tuple[Points, float], ...] = (
    (((200, 1120), (272, 1224), (330, 1300)), 0.13),
    (((300, 1140), (394, 1234), (470, 1300)), 0.11),
    (((110, 1190), (154, 1259), (190, 1300)), 0.08),
)


def paint_neck(page: Canvas) -> None:
    area = page.window(300, 680, 980, 1280)
    gx, gy = area.grid()
    across = (gx - CX) / 205
    light = 0.66 - 0.30 * across**2 - 0.13 * across
    # The two neck muscles meet in the pit of the throat; the collar bones run outwards from it.
    for side in (-1, 1):
        path = spline([(CX + side * 122, 930), (CX + side * 78, 1050), (CX + side * 24, 1142)])
        light += 0.07 * area.fill(tapered(path, 30, 0.4, 0.5), soft=9)
        bone = spline([(CX + side * 26, 1150), (CX + side * 110, 1132), (CX + side * 220, 1118)])
        light += 0.12 * area.fill(tapered(bone, 15, 0.6), soft=5)
        light -= 0.10 * area.fill(tapered(moved(bone, 0, 17), 18, 0.4), soft=7)
    light -= 0.14 * area.spot(CX, 1148, 24, 26)
    # The head shades the neck: hard near the jaw, fading downwards, thrown a little away from the key light.
    shade = area.fill(moved(FACE, 14, 58), soft=15)
    light -= 0.32 * shade + 0.16 * area.fill(moved(FACE, 6, 16), soft=8)
    light -= 0.10 * (1 - smoothstep(960, 1120, gy))
    area.paint(ramp_colour(np.clip(light, 0, 1), SKIN_RAMP), area.fill(spline(mirrored(NECK_HALF), True), soft=0.5))


def paint_garment(page: Canvas, rng: np.random.Generator) -> None:
    area = page.window(0, 1040, 1280, 1280)
    gx, gy = area.grid()
    outline = spline(mirrored(BODY_HALF), closed=True)
    mask = area.fill(outline)
    neckline = np.abs(gx - CX) < 214
    area.paint((60, 30, 26), area.fill(moved(outline, 0, -5), soft=6) * 0.45 * neckline, "multiply")
    light = 0.66 - 0.00030 * (gx - 430) - 0.0008 * (gy - 1130)
    inner = area.fill(outline, soft=22)
    light += 0.30 * (inner - 1)
    for side in (-1, 1):
        for points, deep in FOLDS:
            fold = spline([(CX + side * dx, y) for dx, y in points])
            light -= deep * area.fill(tapered(fold, 22), soft=9)
            light += deep * 0.7 * area.fill(tapered(moved(fold, -16, -4), 16), soft=8)
    light += 0.006 * noise(area.shape, 3, rng) + 0.02 * noise(area.shape, 60, rng)
    stops = [(0.0, (10, 34, 38)), (0.35, (24, 66, 70)), (0.65, CLOTH), (1.0, (92, 152, 150))]
    area.paint(ramp_colour(np.clip(light, 0, 1), stops), mask)
    paint_collar(area)


def paint_collar(area: Canvas) -> None:
    """A ribbed band round the neckline."""
    edge = [(212, 1088), (188, 1120), (140, 1158), (74, 1180), (0, 1187)]
    path = spline([(CX - dx, y) for dx, y in edge] + [(CX + dx, y) for dx, y in reversed(edge[:-1])])
    band = moved(path, 0, 11)
    area.paint((8, 30, 34), area.fill(tapered(moved(band, 0, 13), 8, 0.9, 0.9), soft=3) * 0.55)
    area.paint((46, 104, 107), area.fill(tapered(band, 23, 1, 1), soft=0.6))
    area.paint((120, 176, 172), area.fill(tapered(moved(band, -1, -8), 4, 1, 1), soft=1.5) * 0.45)
    area.paint((8, 30, 34), area.fill(tapered(moved(band, 0, 8), 7, 1, 1), soft=2.5) * 0.35)


# -------------------------------------------------------------------------------------------------- the sculpted face


@dataclass(frozen=True)
class Lump:
    """A soft bump (or dent) on the face; one with ``dx`` other than 0 also stands on the other side."""

    dx: float
    y: float
    sx: float
    sy: float
    height: float
    tilt: float = 0.0  # degrees; positive turns the outer end down

    def on(self, gx: Array, gy: Array) -> Array:
        total = np.zeros(gx.shape, np.float32)
        for side in (-1, 1) if self.dx else (1,):
            u, v = side * (gx - CX) - self.dx, gy - self.y
            c, s = np.cos(np.radians(self.tilt)), np.sin(np.radians(self.tilt))
            total += np.exp(-(((u * c + v * s) / self.sx) ** 2) - ((v * c - u * s) / self.sy) ** 2)
        return np.asarray(total * self.height, np.float32)


LUMPS = (
    Lump(112, 522, 66, 36, -20, 4),  # eye sockets
    Lump(56, 530, 22, 30, -15),
    Lump(112, 541, 47, 27, 19),  # eyeballs behind the lids
    Lump(120, 468, 84, 24, 11, 6),  # brow bones
    Lump(0, 478, 34, 22, 6),
    Lump(0, 380, 190, 90, 10),  # forehead
    Lump(262, 440, 34, 80, -12),  # temples
    Lump(164, 640, 80, 56, 28, -14),  # cheek bones
    Lump(150, 700, 60, 60, 10),
    Lump(0, 796, 108, 84, 24),  # the mouth stands forward over the teeth
    Lump(198, 780, 50, 70, -10, -20),  # hollow of the cheek
    Lump(109, 792, 15, 15, -7),  # mouth corners
    Lump(0, 862, 56, 15, -10),  # dent over the chin
    Lump(0, 912, 62, 38, 18),  # chin
    Lump(0, 758, 9, 20, -3),  # philtrum
    Lump(15, 760, 8, 20, 1.2),
)

# The nose in profile and from the front: height above the face and half width, down its length.
NOSE_Y = (470, 498, 534, 580, 626, 664, 690, 708, 722, 734, 754)
NOSE_HEIGHT = (4, 9, 17, 30, 44, 58, 65, 60, 40, 14, 0)
NOSE_HALF = (34, 25, 21, 22, 26, 31, 34, 34, 32, 30, 30)


def nose_relief(gx: Array, gy: Array) -> Array:
    # The tip hangs lower than the wings, so the profile is read further down away from the middle.
    down = gy + 9 * np.clip(np.abs(gx - CX) / 34, 0, 1.6) ** 2 * smoothstep(626, 695, gy)
    height = blur(np.interp(down, NOSE_Y, NOSE_HEIGHT).astype(np.float32), 6)
    half = blur(np.interp(gy, NOSE_Y, NOSE_HALF).astype(np.float32), 7)
    u = np.abs(gx - CX) / half
    bridge = height * np.exp(-(u**2.3))
    wing = Lump(39, 701, 16, 18, 24, 20).on(gx, gy)
    tip = Lump(0, 691, 22, 18, 10).on(gx, gy)
    return np.asarray(bridge + wing + tip, np.float32)


def lip_relief(canvas: Canvas) -> Array:
    gx, gy = canvas.grid()
    upper = canvas.fill(upper_lip(), soft=4.5) * 8
    lower = canvas.fill(lower_lip(), soft=7) * 15
    rolls = Lump(24, 820, 34, 13, 5).on(gx, gy) + Lump(0, 797, 12, 9, 3).on(gx, gy)
    line = canvas.fill(tapered(lip_line(), 4, 0.6, 0.6), soft=2.5) * -7
    return np.asarray(upper + lower + rolls + line, np.float32)


def face_height(canvas: Canvas) -> Array:
    """The face's relief: a dome inside the outline, with lumps, a nose and lips on it."""
    gx, gy = canvas.grid()
    mask = (canvas.fill(FACE) > 0.5).astype(np.uint8)
    inside = np.asarray(cv2.distanceTransform(mask, cv2.DIST_L2, 5), np.float32) / SCALE
    rim = np.clip(inside / 150, 0, 1)
    round_edge = blur(np.sqrt(1 - (1 - rim) ** 2).astype(np.float32), 9 * SCALE) * 105
    dome = 120 * np.sqrt(np.clip(1 - ((gx - CX) / 330) ** 2 - ((gy - 560) / 520) ** 2, 0.02, 1))
    relief = round_edge + dome + nose_relief(gx, gy) + lip_relief(canvas)
    for lump in LUMPS:
        relief = relief + lump.on(gx, gy)
    return np.asarray(blur(relief, 1.6 * SCALE), np.float32)


def unit(x: float, y: float, z: float) -> Array:
    v = np.array([x, y, z], np.float32)
    return np.asarray(v / np.linalg.norm(v), np.float32)


def normals(relief: Array) -> Array:
    dx = cv2.Sobel(relief, cv2.CV_32F, 1, 0, scale=SCALE / 8)
    dy = cv2.Sobel(relief, cv2.CV_32F, 0, 1, scale=SCALE / 8)
    n = np.dstack([-dx, -dy, np.ones_like(dx)])
    return np.asarray(n / np.linalg.norm(n, axis=2, keepdims=True), np.float32)


def lit(normal: Array, lamp: Array, wrap: float) -> Array:
    """Wrapped diffuse light: the bigger the lamp, the further it reaches round."""
    return np.asarray(np.clip((normal @ lamp + wrap) / (1 + wrap), 0, 1), np.float32)


def paint_face(page: Canvas, rng: np.random.Generator) -> None:
    area = page.window(340, 120, 940, 960)
    relief = face_height(area)
    normal = normals(relief)
    key = lit(normal, unit(-0.45, -0.55, 0.75), 0.35)
    fill = lit(normal, unit(0.6, -0.05, 0.7), 0.5)
    sky = lit(normal, unit(0.0, -1.0, 0.25), 0.6)
    bounce = lit(normal, unit(-0.1, 0.75, 0.5), 0.4)  # the light thrown back by the garment and a desk
    # Hollows get less of the sky: compare the relief with its surroundings.
    hollow = np.clip((blur(relief, 14 * SCALE) - relief) / 26, 0, 1)
    light = 0.60 * key + 0.22 * fill + 0.16 * sky + 0.10 * bounce - 0.01 - 0.17 * hollow
    light = light + face_shadows(area)
    light = light + 0.006 * noise(area.shape, 2.5, rng) + 0.010 * noise(area.shape, 26, rng)
    skin = ramp_colour(np.clip(light, 0, 1), SKIN_RAMP)
    mask = area.fill(FACE, soft=0.7)
    area.paint(skin, mask)
    paint_complexion(area, mask)
    paint_shine(area, normal, mask, rng)
    paint_nostrils(area)
    paint_freckles(area, rng)


def face_shadows(area: Canvas) -> Array:
    """Cast shadows, which a height field lit from afar does not give by itself."""
    below_nose = spline([(604, 728), (640, 736), (682, 727), (688, 744), (652, 756), (612, 746)], closed=True)
    below_lip = spline([(592, 843), (640, 849), (690, 843), (672, 863), (642, 867), (608, 862)], closed=True)
    beside_nose = spline([(662, 555), (676, 630), (694, 684), (712, 674), (692, 600), (676, 545)], closed=True)
    under_nose, under_lip = area.fill(below_nose, soft=8), area.fill(below_lip, soft=7)
    nose_side = area.fill(beside_nose, soft=11)
    fringe = 1 - area.fill(moved(FACE * np.float32(0.93), 45, 46), soft=26)
    return np.asarray(-0.13 * under_nose - 0.08 * under_lip - 0.05 * nose_side - 0.07 * fringe, np.float32)


def paint_complexion(area: Canvas, mask: Array) -> None:
    """Blood near the surface: cheeks, nose, chin and ears are rosier, the forehead more golden."""
    for side in (-1, 1):
        area.paint((236, 112, 98), area.spot(CX + side * 168, 662, 88, 60) * mask * 0.21)
        area.paint((150, 70, 66), area.spot(CX + side * 112, 578, 60, 14) * mask * 0.10)
        area.paint((168, 84, 70), area.spot(CX + side * 112, 512, 70, 24) * mask * 0.07)
        fold = spline([(CX + side * 62, 712), (CX + side * 94, 744), (CX + side * 123, 779)])
        area.paint((150, 76, 62), area.fill(tapered(fold, 12, 0.5), soft=7) * 0.26)
        corner = spline([(CX + side * 101, 783), (CX + side * 108, 790), (CX + side * 107, 801)])
        area.paint((126, 56, 48), area.fill(tapered(corner, 8), soft=3.5) * 0.34)
    area.paint((232, 110, 92), area.spot(CX, 692, 42, 26) * mask * 0.20)
    area.paint((232, 124, 106), area.spot(CX, 912, 60, 30) * mask * 0.12)
    area.paint((250, 206, 150), area.spot(CX - 20, 350, 170, 90) * mask * 0.12)


def paint_shine(area: Canvas, normal: Array, mask: Array, rng: np.random.Generator) -> None:
    """A satin gloss, broken up by pores."""
    half_way = unit(-0.24, -0.34, 0.92)
    gloss = np.clip(normal @ half_way, 0, 1) ** 26
    pores = np.clip(1 + 0.22 * noise(area.shape, 2.2, rng), 0, 2)
    area.paint((255, 232, 212), np.asarray(gloss * pores * mask * 0.20, np.float32), "screen")
    area.paint((255, 240, 226), area.spot(CX - 4, 686, 12, 9) * 0.34, "screen")
    ridge = spline([(637, 556), (636.5, 605), (637, 660)])
    area.paint((255, 236, 220), area.fill(tapered(ridge, 10), soft=7) * 0.2, "screen")
    rim = np.clip(normal @ unit(0.95, -0.05, 0.12), 0, 1) ** 2.2
    area.paint((255, 196, 150), np.asarray(rim * mask * 0.22, np.float32), "screen")


def paint_freckles(area: Canvas, rng: np.random.Generator) -> None:
    """A few, faint, over the nose and cheeks; skin without a single mark looks like plastic."""
    dots = []
    for _ in range(90):
        side = 1 if rng.uniform() < 0.5 else -1
        x, y = CX + side * abs(rng.normal(95, 62)), rng.normal(632, 30)
        size = rng.uniform(0.6, 1.4)
        turn = np.linspace(0, 2 * np.pi, 9)[:-1]
        dots.append(np.stack([x + size * np.cos(turn), y + 0.8 * size * np.sin(turn)], 1).astype(np.float32))
    area.paint((140, 74, 52), area.fill(*dots, soft=0.5) * 0.24)


NOSTRIL: Points = ((14, 726), (21, 719), (31, 717), (37, 721), (30, 727), (20, 729.5))


def paint_nostrils(area: Canvas) -> None:
    for side in (-1, 1):
        hole = spline([(CX + side * dx, y) for dx, y in NOSTRIL], closed=True)
        area.paint((92, 36, 30), area.fill(hole, soft=3.5) * 0.7)
        area.paint((58, 22, 20), area.fill(hole, soft=1.6) * 0.72)
        wing = spline([(CX + side * dx, y) for dx, y in ((51, 683), (58, 697), (55, 714), (44, 724))])
        area.paint((132, 62, 50), area.fill(tapered(wing, 6), soft=3) * 0.5)


# ---------------------------------------------------------------------------------------------------------- features


# Where the lips shine: x, y, width, height, strength.
LIP_GLEAMS = (
    (614, 820, 24, 7, 0.24),
    (664, 821, 20, 6, 0.15),
    (627, 792, 12, 3.2, 0.16),
    (653, 792, 9, 3, 0.10),
)


def paint_mouth(page: Canvas, rng: np.random.Generator) -> None:
    area = page.window(500, 760, 780, 900)
    both = area.fill(upper_lip(), lower_lip(), soft=1.6)
    area.paint(LIP, both * 0.52)
    area.paint((206, 140, 132), both * 0.50, "multiply")
    # The upper lip faces down and lies in its own shade; the lower one faces the light.
    area.paint((196, 120, 114), area.fill(upper_lip(), soft=1.8) * 0.55, "multiply")
    area.paint((240, 140, 128), area.fill(lower_lip(), soft=7) * 0.30)
    creases = np.clip(noise((area.shape[0] // 14 + 1, area.shape[1]), 3.0, rng), -2, 2)
    creases = np.asarray(cv2.resize(creases, (area.shape[1], area.shape[0]), interpolation=cv2.INTER_CUBIC), np.float32)
    area.paint((120, 40, 42), np.clip(creases, 0, 2) * area.fill(lower_lip(), soft=3) * 0.05)
    for x, y, sx, sy, strength in LIP_GLEAMS:
        gleam = area.spot(x, y, sx, sy) * np.clip(1 - 0.25 * creases, 0, 2)
        area.paint((255, 226, 214), gleam * both * strength, "screen")
    bow = moved(lip_curve(UPPER_LIP_HALF), 0, -3.5)
    area.paint((255, 226, 204), area.fill(tapered(bow[14:-14], 4), soft=2.6) * 0.16, "screen")
    line = lip_line()
    area.paint((110, 36, 38), area.fill(tapered(line, 9, 0.3, 0.3), soft=3) * 0.5)
    area.paint((70, 20, 24), area.fill(tapered(line, 3.4, 0.35, 0.35), soft=0.8) * 0.85)


def eye_points(side: int, shape: Points) -> Array:
    return spline([(CX + side * (EYE_X + EYE_SIZE * dx), EYE_Y + EYE_SIZE * y) for dx, y in shape])


def paint_eye(page: Canvas, side: int, rng: np.random.Generator) -> None:
    cx = CX + side * EYE_X
    area = page.window(int(cx) - 100, 470, int(cx) + 100, 600)
    gx, _ = area.grid()
    upper, lower = eye_points(side, UPPER_LID), eye_points(side, LOWER_LID)
    opening = area.fill(np.vstack([upper, lower]), soft=0.4)
    paint_lid_fold(area, side)
    # The ball is a sphere: greyer towards both corners, and shaded by the upper lid.
    white = ramp_colour(np.clip(np.abs(gx - cx) / 62, 0, 1) ** 2, [(0.0, (243, 236, 230)), (1.0, (206, 178, 168))])
    area.paint(white, opening)
    tear = area.spot(cx - side * 51, EYE_Y + 8, 9, 6)
    area.paint((206, 122, 112), tear * opening * 0.85)
    paint_iris(area, cx, EYE_Y + 0.5, opening, rng)
    lid_shade = area.fill(tapered(moved(upper, 0, 4), 15, 0.6, 0.6), soft=4)
    area.paint((70, 44, 44), lid_shade * opening * 0.62)
    # Catchlights come from the lamp, so they sit on the same side in both eyes.
    window = [(cx - 12, 531), (cx - 6, 528), (cx - 1.5, 531), (cx - 3, 537), (cx - 9, 539)]
    area.paint((255, 253, 250), area.fill(spline(window, closed=True), soft=0.7) * 0.95)
    area.paint((255, 240, 226), area.spot(cx + 10, EYE_Y + 9, 5, 3.5) * opening * 0.35, "screen")
    paint_lid_edges(area, upper, lower)
    paint_lashes(area, side, upper, lower, rng)


def paint_lid_fold(area: Canvas, side: int) -> None:
    crease = eye_points(side, CREASE)
    area.paint((150, 78, 62), area.fill(tapered(moved(crease, 0, -4), 17, 0.3, 0.3), soft=6) * 0.36)
    area.paint((98, 44, 38), area.fill(tapered(crease, 3.6, 0.1, 0.2), soft=1.3) * 0.62)
    lid = eye_points(side, ((-40, -18), (-20, -27.5), (4, -31.5), (30, -27), (48, -15)))
    area.paint((255, 214, 186), area.fill(tapered(lid, 7), soft=2.6) * 0.26, "screen")


IRIS_RAMP: tuple[tuple[float, Colour], ...] = (
    (0.00, (52, 26, 14)),
    (0.42, (112, 66, 32)),
    (0.62, (126, 76, 38)),
    (0.84, (82, 46, 25)),
    (1.00, (34, 18, 14)),
)


def paint_iris(area: Canvas, cx: float, cy: float, opening: Array, rng: np.random.Generator) -> None:
    gx, gy = area.grid()
    radius = np.hypot(gx - cx, gy - cy) / IRIS_R
    angle = np.arctan2(gy - cy, gx - cx)
    # Fibres: noise that varies round the iris but hardly along its spokes.
    spokes = rng.standard_normal((3, 150)).astype(np.float32)
    spokes = np.asarray(cv2.GaussianBlur(np.tile(spokes, 3), (0, 0), 0.8), np.float32)[:, 150:300]
    column = ((angle / (2 * np.pi) + 0.5) * 149 + 6 * (radius - 0.6)).astype(np.float32) % 149
    fibre = cv2.remap(spokes, column, np.clip(radius * 2, 0, 2).astype(np.float32), cv2.INTER_LINEAR)
    colour = ramp_colour(radius, IRIS_RAMP) * (1 + 0.24 * fibre[..., None])
    below = smoothstep(-0.4, 1.0, np.asarray((gy - cy) / IRIS_R, np.float32))
    colour = colour * (0.72 + 0.75 * below[..., None])
    disc = 1 - smoothstep(0.93, 1.05, radius.astype(np.float32))
    area.paint(np.clip(colour, 0, 1).astype(np.float32), disc * opening)
    area.paint((12, 8, 9), (1 - smoothstep(0.36, 0.45, radius.astype(np.float32))) * opening)


def paint_lid_edges(area: Canvas, upper: Array, lower: Array) -> None:
    # The lower lid has a thin wet rim; without it the eye looks cut out.
    area.paint((232, 172, 154), area.fill(tapered(moved(lower, 0, 0.6), 3.4, 0.6, 0.4), soft=0.8) * 0.8)
    area.paint((126, 62, 52), area.fill(tapered(moved(lower, 0, 3.2), 3.2, 0.7, 0.2), soft=1.2) * 0.55)
    t = np.linspace(0, 1, len(upper), dtype=np.float32)
    width = 2.0 + 3.0 * np.sin(np.pi * np.clip(t * 0.8 + 0.08, 0, 1)) * (0.45 + 0.55 * t)
    area.paint(INK, area.fill(ribbon(moved(upper, 0, -0.6), width.astype(np.float32)), soft=0.5) * 0.94)


def paint_lashes(area: Canvas, side: int, upper: Array, lower: Array, rng: np.random.Generator) -> None:
    for edge, count, length, up in ((upper, 62, 16.0, -1), (lower, 30, 5.0, 1)):
        hairs = []
        for t in np.linspace(0.15, 0.94, count) + rng.normal(0, 0.005, count):
            along = float(t if up < 0 else 1 - t)
            root = edge[int(t * (len(edge) - 1))]
            reach = length * (0.2 + 0.8 * along**1.5) * rng.uniform(0.8, 1.1)
            lean = side * (-0.35 + 1.45 * along + rng.uniform(-0.10, 0.10))
            tip = root + reach * np.array([lean * 0.85, up * (1 - 0.45 * abs(lean))], np.float32)
            bend = (root + tip) / 2 + np.array([side * 0.08 * reach, -up * 0.16 * reach], np.float32)
            path = spline([tuple(root), tuple(bend), tuple(tip)], steps=6)
            thick = (1.4 if up < 0 else 0.9) * np.linspace(1, 0.15, len(path))
            hairs.append(ribbon(path, thick.astype(np.float32)))
        area.paint(INK, area.fill(*hairs, soft=0.3) * (0.68 if up < 0 else 0.3))


BROW_LOW: Points = ((50, 478), (84, 472), (122, 464), (158, 462), (197, 480))
BROW_HIGH: Points = ((51, 460), (84, 450), (122, 442), (160, 445), (199, 476))


def paint_brow(page: Canvas, side: int, rng: np.random.Generator) -> None:
    area = page.window(int(CX + side * 120) - 110, 410, int(CX + side * 120) + 110, 520)
    low = spline([(CX + side * dx, y) for dx, y in BROW_LOW])
    high = spline([(CX + side * dx, y) for dx, y in BROW_HIGH])
    area.paint((92, 52, 42), area.fill(moved(np.vstack([low, high[::-1]]), 0, 2), soft=4) * 0.36)
    for colour, count, strength in (((84, 48, 38), 190, 0.5), ((54, 30, 24), 170, 0.7), ((112, 70, 54), 40, 0.5)):
        hairs = []
        for t in np.sort(rng.uniform(0, 1, count) ** 0.9):
            i = int(t * (len(low) - 1))
            across = rng.uniform(0, 1) ** 1.15
            ragged = side * abs(rng.normal(0, 9)) * (1 - t) ** 4  # the inner end thins out instead of stopping
            root = moved(low[i] + (high[i] - low[i]) * across * 0.8, ragged, 0)
            # Hairs stand up at the inner end and lie down towards the outer one.
            lying = 50 * min(1.0, t * 1.7) + 60 * max(0.0, t - 0.5) + 34 * (across - 0.3) * min(1.0, t * 3)
            angle = np.radians(62 - lying)
            reach = rng.uniform(13, 21) * (1 - 0.3 * t)
            step = reach * np.array([side * np.cos(angle), -np.sin(angle)], np.float32)
            curl = np.array([side * 2.2, 0.8], np.float32)
            path = spline([tuple(root), tuple(root + step * 0.5 - curl), tuple(root + step)], steps=5)
            hairs.append(ribbon(path, np.linspace(1.7, 0.3, len(path)).astype(np.float32)))
        area.paint(colour, area.fill(*hairs, soft=0.35) * strength)


# -------------------------------------------------------------------------------------------------------------- hair

Guides = Sequence[Points]


HAIR_SAMPLES = 121


def normals_of(path: Array) -> Array:
    tangent = np.gradient(path, axis=0)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], 1)
    return np.asarray(normal / (np.linalg.norm(normal, axis=1, keepdims=True) + 1e-6), np.float32)


def guide_surface(guides: Guides, samples: int) -> Callable[[float], Array]:
    """A family of strands: give 0..1 for one between the first guide and the last."""
    curves = []
    for guide in guides:
        curve = spline(guide, steps=24)
        span = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
        at = np.linspace(0, span[-1], samples)
        curves.append(np.stack([np.interp(at, span, curve[:, 0]), np.interp(at, span, curve[:, 1])], 1))
    stack = np.stack(curves).astype(np.float32)

    def strand(u: float) -> Array:
        place = np.clip(u, 0, 1) * (len(stack) - 1)
        i = min(int(place), len(stack) - 2)
        f = place - i
        return np.asarray(stack[i] * (1 - f) + stack[i + 1] * f, np.float32)

    return strand


HAIR_STOPS: tuple[tuple[float, Colour], ...] = (
    (0.0, (18, 9, 9)),
    (0.3, (48, 27, 21)),
    (0.55, (92, 54, 37)),
    (0.78, (150, 96, 64)),
    (1.0, (214, 160, 116)),
)


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

    def strand(self, path: Array, light: Array, width: int, start: int) -> None:
        """Draw one hair, from ``start`` so that the colour steps of neighbours do not line up."""
        pixels = self.page.pixels(path)
        shades = (ramp_colour(np.clip(light, 0, 1), HAIR_STOPS) * 255).astype(int).tolist()
        thin = int(len(pixels) * 0.96)
        for i in range(-start, len(pixels) - 1, 2):
            piece = [pixels[max(i, 0) : i + 3]]
            thick = width if i < thin else 1
            cv2.polylines(self.colour, piece, False, shades[max(i, 0)], thick, cv2.LINE_AA, SUBPIXEL_BITS)
        cv2.polylines(self.cover, [pixels[:thin]], False, (255,), width, cv2.LINE_AA, SUBPIXEL_BITS)
        cv2.polylines(self.cover, [pixels[thin - 1 :]], False, (255,), 1, cv2.LINE_AA, SUBPIXEL_BITS)

    def settle(self) -> None:
        cover = self.cover.astype(np.float32) / 255
        self.page.paint(self.colour.astype(np.float32) / 255, cover)


@dataclass(frozen=True)
class Style:
    """How one fall of hair behaves."""

    locks: int
    per_lock: int
    wave: float
    turns: float
    gain: float  # overall light


def draw_fall(mane: Mane, guides: Guides, style: Style, rng: np.random.Generator) -> None:
    """Hang locks between the guides, each a bundle of hairs that gathers towards its tip."""
    strand_at = guide_surface(guides, HAIR_SAMPLES)
    t = np.linspace(0, 1, HAIR_SAMPLES, dtype=np.float32)
    blend = (t**2.2)[:, None]
    centres = (np.arange(style.locks) + 0.5) / style.locks
    for centre in centres[::-1]:
        phase = 1.1 * centre + rng.uniform(-0.08, 0.08)
        tone = rng.normal(0, 0.022)
        spread = 1.1 / style.locks * rng.uniform(1.0, 1.7)
        length = rng.uniform(0.95, 1.0)
        for _ in range(style.per_lock):
            offset = float(np.clip(rng.normal(0, 0.55), -1.2, 1.2))
            u0, u1 = centre + offset * spread, centre + offset * spread * 0.5
            path = np.asarray(strand_at(u0) * (1 - blend) + strand_at(u1) * blend, np.float32)
            swing = 2 * np.pi * (style.turns * t + phase + 0.03 * offset)
            amount = style.wave * np.clip((t - 0.22) / 0.5, 0, 1) ** 1.2 * (1 - 0.5 * centre)
            path = path + normals_of(path) * (amount * np.sin(swing) + rng.normal(0, 1.8) * t)[:, None]
            path[:, 0] += rng.normal(0, 2.2) * np.exp(-t / 0.03)
            gloss_at = 0.20 + 0.025 * np.sin(centre * 6) + rng.normal(0, 0.03)
            gloss = np.exp(-(((t - gloss_at) / rng.uniform(0.06, 0.12)) ** 2))
            bends = np.clip(np.cos(swing + 0.6 + rng.normal(0, 0.4)), 0, 1) ** 2 * np.clip((t - 0.28) / 0.3, 0, 1)
            roundness = 1 - 0.8 * offset**2
            light = 0.29 + tone + 0.05 * roundness + (0.46 * gloss + 0.26 * bends) * (0.45 + 0.55 * roundness)
            light = light * style.gain + rng.normal(0, 0.055) - 0.10 * np.exp(-t / 0.03) - 0.07 * t
            light = light + 0.12 * max(0.0, u0 - 0.85) / 0.15 * style.gain
            end = int(HAIR_SAMPLES * length) - int(rng.integers(0, 13))
            width = 3 if rng.uniform() < 0.35 else 2
            mane.strand(path[:end].astype(np.float32), light[:end], width, int(rng.integers(0, 2)))


def draw_flyaways(mane: Mane, guides: Guides, rng: np.random.Generator) -> None:
    """A few loose hairs outside the outline, which would otherwise look cut with scissors."""
    strand_at = guide_surface(guides, HAIR_SAMPLES)
    t = np.linspace(0, 1, HAIR_SAMPLES, dtype=np.float32)
    for _ in range(34):
        inner = strand_at(float(rng.uniform(0.94, 1.0)))
        away = rng.uniform(2, 9) * np.sin(np.pi * np.clip(t * rng.uniform(1.0, 2.2), 0, 1))
        out = normals_of(inner)
        out *= np.where((inner[:, :1] > CX) == (out[:, :1] > 0), 1, -1).astype(np.float32)
        path = inner + out * away[:, None]
        start = int(rng.integers(6, 50))
        light = np.full(HAIR_SAMPLES, rng.uniform(0.3, 0.5), np.float32)
        stop = start + int(rng.integers(26, 60))
        mane.strand(path[start:stop].astype(np.float32), light[start:stop], 1, 0)


LEFT_FALL: Guides = (
    (
        (597, 270), (562, 279), (502, 322), (442, 412), (408, 524),
        (396, 640), (402, 760), (422, 880), (440, 1000), (440, 1150),
    ),
    (
        (595, 214), (520, 230), (438, 288), (384, 392), (352, 510),
        (338, 640), (336, 770), (348, 890), (372, 1010), (408, 1172),
    ),
    (
        (594, 160), (510, 166), (410, 222), (344, 336), (312, 480),
        (294, 630), (284, 770), (288, 900), (314, 1030), (370, 1176),
    ),
    (
        (597, 100), (510, 107), (398, 164), (316, 290), (280, 450),
        (258, 620), (246, 770), (250, 900), (280, 1030), (346, 1158),
    ),
)  # fmt: skip
RIGHT_FALL: Guides = (
    (
        (597, 270), (648, 274), (742, 316), (826, 404), (876, 516),
        (890, 640), (880, 760), (860, 880), (842, 1000), (846, 1150),
    ),
    (
        (598, 214), (680, 212), (790, 262), (878, 370), (926, 500),
        (942, 640), (944, 770), (932, 890), (908, 1010), (874, 1172),
    ),
    (
        (597, 160), (700, 152), (822, 208), (914, 324), (962, 480),
        (984, 630), (994, 770), (990, 900), (966, 1030), (910, 1176),
    ),
    (
        (597, 100), (690, 105), (832, 156), (940, 284), (992, 450),
        (1018, 620), (1030, 770), (1026, 900), (998, 1030), (934, 1158),
    ),
)  # fmt: skip
PART: Points = ((597, 128), (596, 190), (597, 268))
# Behind the neck the hair is seen from inside the fall, in shade.
BACK_FALL: Guides = (
    ((380, 420), (350, 640), (350, 860), (430, 1110)),
    ((470, 420), (470, 640), (480, 860), (496, 1130)),
    ((640, 420), (640, 640), (640, 860), (640, 1090)),
    ((810, 420), (810, 640), (800, 860), (784, 1130)),
    ((900, 420), (930, 640), (930, 860), (850, 1110)),
)
BACK_HAIR: Points = (
    (600, 128), (490, 132), (380, 200), (298, 400), (270, 620), (258, 800), (268, 950), (320, 1090), (440, 1160),
    (640, 1150), (840, 1160), (958, 1090), (1010, 950), (1020, 800), (1008, 620), (974, 400), (890, 200), (750, 132),
)  # fmt: skip


def paint_back_hair(page: Canvas, rng: np.random.Generator) -> None:
    page.paint((24, 13, 12), page.fill(spline(BACK_HAIR, True), soft=1))
    mane = Mane.on(page)
    draw_fall(mane, BACK_FALL, Style(26, 30, 12, 1.6, 0.62), rng)
    mane.settle()


def paint_front_hair(page: Canvas, rng: np.random.Generator) -> None:
    mane = Mane.on(page)
    for guides in (LEFT_FALL, RIGHT_FALL):
        draw_flyaways(mane, guides, rng)
        draw_fall(mane, guides, Style(36, 42, 21, 2.3, 1.0), rng)
    cover = mane.cover.astype(np.float32) / 255
    shadow = np.roll(blur(cover, 9 * SCALE), (10 * SCALE, 5 * SCALE), (0, 1))
    body = page.fill(FACE, spline(mirrored(NECK_HALF), True), spline(mirrored(BODY_HALF), True))
    page.paint((150, 84, 68), shadow * body * 0.75, "multiply")
    page.paint(mane.colour.astype(np.float32) / 255, cover)
    # The mass of hair is a body too: lit where the head turns to the lamp, dim where it hangs below the jaw.
    for x, y, strength in ((430, 270, 0.20), (836, 250, 0.13), (320, 720, 0.07), (960, 700, 0.07)):
        page.paint((214, 150, 104), page.spot(x, y, 110, 170) * cover * strength, "screen")
    hanging = smoothstep(760, 1120, page.grid()[1])
    page.paint((128, 104, 100), hanging * cover * 0.5, "multiply")
    page.paint((168, 112, 88), page.fill(tapered(spline(PART), 3.0, 0.0, 0.5), soft=1.4) * 0.3)


def finish(page: Canvas, rng: np.random.Generator) -> NDArray[np.uint8]:
    rgb = np.asarray(cv2.resize(page.rgb, (PAGE, PAGE), interpolation=cv2.INTER_AREA), np.float32)
    gx, gy = np.meshgrid(np.linspace(-1, 1, PAGE, dtype=np.float32), np.linspace(-1, 1, PAGE, dtype=np.float32))
    rgb = rgb * (1 - 0.10 * np.clip(np.hypot(gx, gy) - 0.6, 0, 1))[..., None]
    rgb = rgb + 0.0016 * rng.standard_normal((PAGE, PAGE, 1)).astype(np.float32)
    return np.asarray(np.clip(rgb * 255 + 0.5, 0, 255), np.uint8)


def draw() -> NDArray[np.uint8]:
    rng = np.random.default_rng(7)
    page = Canvas(np.zeros((PAGE * SCALE, PAGE * SCALE, 3), np.float32))
    paint_backdrop(page)
    paint_back_hair(page, rng)
    paint_neck(page)
    paint_garment(page, rng)
    paint_face(page, rng)
    paint_mouth(page, rng)
    for side in (-1, 1):
        paint_eye(page, side, rng)
        paint_brow(page, side, rng)
    paint_front_hair(page, rng)
    return finish(page, rng)


def main() -> None:
    Image.fromarray(draw()).save(Path(__file__).with_name("portrait.png"), optimize=True)


if __name__ == "__main__":
    main()
