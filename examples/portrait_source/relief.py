"""The sculpted face: a height field, in picture units towards the viewer, that the lamps are then shone on."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .canvas import SCALE, Canvas, blur, smoothstep
from .curves import CX, Array, tapered
from .plan import FACE, NOSE_TIP_Y, lip_line, lower_lip, upper_lip


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
    Lump(111, 522, 64, 36, -19, 4),  # eye sockets
    Lump(56, 530, 22, 30, -12),
    Lump(111, 541, 47, 27, 19),  # eyeballs behind the lids
    Lump(116, 466, 80, 24, 9, 6),  # brow bones
    Lump(0, 478, 34, 22, 4),
    Lump(0, 380, 176, 90, 10),  # forehead
    Lump(244, 440, 34, 80, -12),  # temples
    Lump(148, 640, 70, 54, 25, -14),  # cheek bones
    Lump(126, 690, 50, 46, 13, -20),  # apples of the cheeks: a smile lifts them
    Lump(0, 796, 100, 84, 22),  # the mouth stands forward over the teeth
    Lump(176, 776, 46, 70, -12, -20),  # hollow of the cheek
    Lump(105, 787, 15, 15, -5),  # mouth corners
    Lump(0, 863, 50, 15, -9),  # dent over the chin
    Lump(0, 908, 44, 34, 17),  # chin
    Lump(0, 755, 8, 19, -2.6),  # philtrum
    Lump(14, 756, 8, 19, 1.0),
)

# The nose in profile and from the front: height above the face and half width, down its length.
NOSE_Y = (470, 498, 534, 580, 626, 664, 690, 708, 722, 734, 754)
NOSE_HEIGHT = (3, 5, 10, 19, 33, 50, 62, 60, 41, 14, 0)
NOSE_HALF = (46, 39, 33, 31, 32, 34, 35, 34, 32, 30, 30)


def nose_relief(gx: Array, gy: Array) -> Array:
    # The tip hangs lower than the wings, so the profile is read further down away from the middle.
    down = gy + 9 * np.clip(np.abs(gx - CX) / 34, 0, 1.6) ** 2 * smoothstep(626, 695, gy)
    height = blur(np.interp(down, NOSE_Y, NOSE_HEIGHT).astype(np.float32), 6)
    half = blur(np.interp(gy, NOSE_Y, NOSE_HALF).astype(np.float32), 7)
    u = np.abs(gx - CX) / half
    bridge = height * np.exp(-(u**2.2))
    wing = Lump(39, 701, 16, 18, 24, 20).on(gx, gy)
    tip = Lump(0, NOSE_TIP_Y, 21, 20, 12).on(gx, gy)
    # Softened once more: a bridge whose top is a ridge catches the lamp as a ruled line.
    return blur(np.asarray(bridge + wing + tip, np.float32), 4.5 * SCALE)


def lip_relief(canvas: Canvas) -> Array:
    gx, gy = canvas.grid()
    upper = canvas.fill(upper_lip(), soft=5.5) * 6.5
    lower = canvas.fill(lower_lip(), soft=7) * 15
    rolls = Lump(24, 820, 34, 13, 5).on(gx, gy) + Lump(0, 797, 12, 9, 3).on(gx, gy)
    line = canvas.fill(tapered(lip_line(), 4, 0.6, 0.6), soft=2.5) * -7
    return np.asarray(upper + lower + rolls + line, np.float32)


def dome(canvas: Canvas) -> Array:
    """The head without features: an egg whose edge turns away over the last 150 units."""
    gx, gy = canvas.grid()
    mask = (canvas.fill(FACE) > 0.5).astype(np.uint8)
    inside = np.asarray(cv2.distanceTransform(mask, cv2.DIST_L2, 5), np.float32) / SCALE
    rim = np.clip(inside / 150, 0, 1)
    edge = blur(np.sqrt(1 - (1 - rim) ** 2).astype(np.float32), 9 * SCALE) * 100
    egg = 124 * np.sqrt(np.clip(1 - ((gx - CX) / 306) ** 2 - ((gy - 560) / 520) ** 2, 0.02, 1))
    return np.asarray(edge + egg, np.float32)


def face_height(canvas: Canvas) -> Array:
    gx, gy = canvas.grid()
    relief = dome(canvas) + nose_relief(gx, gy) + lip_relief(canvas)
    for lump in LUMPS:
        relief = relief + lump.on(gx, gy)
    return np.asarray(blur(relief, 1.6 * SCALE), np.float32)


def normals(relief: Array) -> Array:
    dx = cv2.Sobel(relief, cv2.CV_32F, 1, 0, scale=SCALE / 8)
    dy = cv2.Sobel(relief, cv2.CV_32F, 0, 1, scale=SCALE / 8)
    n = np.dstack([-dx, -dy, np.ones_like(dx)])
    return np.asarray(n / np.linalg.norm(n, axis=2, keepdims=True), np.float32)
