"""Light and colour on the face: three lamps and a bounce, cast shadows, complexion, shine, freckles, nostrils."""

from __future__ import annotations

import numpy as np

from .canvas import SCALE, Canvas, blur, noise, ramp_colour
from .curves import CX, Array, Points, moved, sided, spline, tapered
from .plan import FACE, NOSE_TIP_Y, SKIN_RAMP
from .relief import face_height, normals

NOSTRIL: Points = ((14, 726), (21, 719.5), (30, 717.5), (36, 721), (29, 726.5), (20, 729))
# Where the nose shines: x, y, width, height, strength. They wander off the centre line towards the lamp.
NOSE_GLEAMS = (
    (CX - 5, 560, 9, 26, 0.09),
    (CX - 3, 630, 8, 20, 0.10),
    (CX - 5, 684, 13, 10, 0.32),
    (CX - 40, 696, 8, 9, 0.08),
)


def unit(x: float, y: float, z: float) -> Array:
    v = np.array([x, y, z], np.float32)
    return np.asarray(v / np.linalg.norm(v), np.float32)


def lit(normal: Array, lamp: Array, wrap: float) -> Array:
    """Wrapped diffuse light: the bigger the lamp, the further it reaches round."""
    return np.asarray(np.clip((normal @ lamp + wrap) / (1 + wrap), 0, 1), np.float32)


def lamps(area: Canvas, relief: Array, normal: Array) -> Array:
    """A large key lamp from the upper left, a weak fill from the right, the sky, and light thrown back from below."""
    key = lit(normal, unit(-0.48, -0.52, 0.75), 0.35)
    fill = lit(normal, unit(0.6, -0.05, 0.7), 0.5)
    sky = lit(normal, unit(0.0, -1.0, 0.25), 0.6)
    bounce = lit(normal, unit(-0.1, 0.75, 0.5), 0.4)
    # Hollows get less of the sky: compare the relief with its surroundings.
    hollow = np.clip((blur(relief, 14 * SCALE) - relief) / 26, 0, 1)
    light = 0.68 * key + 0.18 * fill + 0.16 * sky + 0.10 * bounce - 0.045 - 0.16 * hollow
    return np.asarray(light + cast_shadows(area), np.float32)


def cast_shadows(area: Canvas) -> Array:
    """Cast shadows, which a height field lit from afar does not give by itself."""
    below_nose = spline([(604, 728), (640, 736), (682, 727), (688, 744), (652, 756), (612, 746)], closed=True)
    below_lip = spline([(592, 843), (640, 849), (690, 843), (672, 863), (642, 867), (608, 862)], closed=True)
    beside_nose = spline([(662, 555), (676, 630), (694, 684), (712, 674), (692, 600), (676, 545)], closed=True)
    under_nose, under_lip = area.fill(below_nose, soft=8), area.fill(below_lip, soft=7)
    nose_side = area.fill(beside_nose, soft=11)
    fringe = 1 - area.fill(moved(FACE * np.float32(0.93), 45, 46), soft=26)
    return np.asarray(-0.13 * under_nose - 0.08 * under_lip - 0.05 * nose_side - 0.07 * fringe, np.float32)


def paint_face(page: Canvas, rng: np.random.Generator) -> None:
    area = page.window(340, 120, 940, 960)
    relief = face_height(area)
    normal = normals(relief)
    light = lamps(area, relief, normal)
    light = light + 0.006 * noise(area.shape, 2.5, rng) + 0.010 * noise(area.shape, 26, rng)
    mask = area.fill(FACE, soft=0.7)
    area.paint(ramp_colour(np.clip(light, 0, 1), SKIN_RAMP), mask)
    paint_complexion(area, mask)
    paint_smile_folds(area, mask)
    paint_shine(area, normal, mask, rng)
    paint_nostrils(area)
    paint_freckles(area, rng)


def paint_complexion(area: Canvas, mask: Array) -> None:
    """Blood near the surface: cheeks, nose and chin are rosier, the forehead more golden."""
    for side in (-1, 1):
        area.paint((238, 120, 106), area.spot(CX + side * 146, 668, 92, 66) * mask * 0.15)
        area.paint((236, 108, 98), area.spot(CX + side * 138, 660, 54, 40) * mask * 0.08)
        area.paint((150, 70, 66), area.spot(CX + side * 112, 580, 60, 14) * mask * 0.08)
        area.paint((168, 84, 70), area.spot(CX + side * 112, 512, 70, 24) * mask * 0.07)
    area.paint((232, 110, 92), area.spot(CX, NOSE_TIP_Y, 42, 26) * mask * 0.16)
    area.paint((232, 124, 106), area.spot(CX, 908, 52, 30) * mask * 0.12)
    area.paint((250, 206, 150), area.spot(CX - 20, 350, 170, 90) * mask * 0.12)


def paint_smile_folds(area: Canvas, mask: Array) -> None:
    """What a slight smile folds: beside the nose, at the mouth's corners, under the lower lids."""
    for side, strength in ((-1, 0.9), (1, 1.0)):
        nose_fold = sided(side, ((60, 712), (92, 742), (122, 776)))
        area.paint((160, 82, 66), area.fill(tapered(nose_fold, 13, 0.5), soft=8) * 0.24 * strength)
        corner = sided(side, ((97, 777), (105, 784), (105, 797)))
        area.paint((126, 56, 48), area.fill(tapered(corner, 8), soft=4) * 0.22 * strength)
        lid = sided(side, ((62, 571), (104, 582), (150, 573)))
        area.paint((176, 96, 80), area.fill(tapered(lid, 6), soft=4) * mask * 0.22 * strength)


def paint_shine(area: Canvas, normal: Array, mask: Array, rng: np.random.Generator) -> None:
    """A satin gloss, broken up by pores; on the nose it sits in patches, since the bridge is bone, then gristle."""
    half_way = unit(-0.24, -0.34, 0.92)
    gloss = np.clip(normal @ half_way, 0, 1) ** 26
    pores = np.clip(1 + 0.22 * noise(area.shape, 2.2, rng), 0, 2)
    area.paint((255, 232, 212), np.asarray(gloss * pores * mask * 0.18, np.float32), "screen")
    for x, y, sx, sy, strength in NOSE_GLEAMS:
        area.paint((255, 238, 224), area.spot(x, y, sx, sy) * pores.astype(np.float32) * strength, "screen")
    rim = np.clip(normal @ unit(0.95, -0.05, 0.12), 0, 1) ** 2.2
    area.paint((255, 200, 160), np.asarray(rim * mask * 0.24, np.float32), "screen")


def paint_freckles(area: Canvas, rng: np.random.Generator) -> None:
    """A few, faint, over the nose and cheeks; skin without a single mark looks like plastic."""
    for strength in (0.08, 0.13, 0.18):
        dots = []
        for _ in range(34):
            side = 1 if rng.uniform() < 0.5 else -1
            x, y = CX + side * abs(rng.normal(84, 54)), rng.normal(634, 26)
            size = rng.uniform(0.8, 1.6)
            turn = np.linspace(0, 2 * np.pi, 9)[:-1]
            dots.append(np.stack([x + size * np.cos(turn), y + 0.8 * size * np.sin(turn)], 1).astype(np.float32))
        area.paint((150, 80, 56), area.fill(*dots, soft=0.8) * strength)


def paint_nostrils(area: Canvas) -> None:
    for side in (-1, 1):
        hole = sided(side, NOSTRIL, closed=True)
        area.paint((100, 42, 34), area.fill(hole, soft=4) * 0.62)
        area.paint((62, 24, 22), area.fill(hole, soft=1.8) * 0.66)
        wing = sided(side, ((50, 685), (57, 698), (54, 714), (43, 724)))
        area.paint((136, 66, 54), area.fill(tapered(wing, 6), soft=3.2) * 0.42)
