"""The hairdo: where the falls hang, the parting, the shadow the hair throws, baby hairs along the forehead.

Guides run from the root to the tip; each family goes from the strands nearest the face to the outline.
"""

from __future__ import annotations

import numpy as np

from .canvas import SCALE, Canvas, blur, smoothstep
from .curves import Array, Points, ribbon, spline, tapered
from .falls import Style, draw_fall, draw_flyaways, draw_loose
from .plan import BODY, FACE, NECK
from .strands import Guides, Mane

LEFT_FALL: Guides = (
    (
        (572, 270), (544, 281), (492, 326), (444, 410), (416, 520),
        (402, 640), (398, 760), (408, 880), (428, 1000), (446, 1168),
    ),
    (
        (581, 214), (522, 230), (444, 288), (392, 392), (360, 510),
        (344, 640), (338, 770), (346, 890), (368, 1010), (412, 1194),
    ),
    (
        (593, 158), (518, 164), (422, 220), (356, 334), (322, 480),
        (302, 630), (290, 770), (292, 900), (314, 1030), (380, 1204),
    ),
    (
        (606, 95), (552, 93), (486, 110), (404, 166), (330, 276), (292, 440),
        (266, 620), (252, 770), (254, 900), (280, 1030), (352, 1182),
    ),
)  # fmt: skip
RIGHT_FALL: Guides = (
    (
        (572, 270), (634, 274), (736, 322), (818, 408), (866, 516),
        (880, 640), (876, 760), (862, 880), (838, 1000), (826, 1156),
    ),
    (
        (581, 214), (680, 212), (786, 262), (870, 370), (914, 500),
        (930, 640), (932, 770), (924, 890), (900, 1010), (852, 1184),
    ),
    (
        (593, 158), (706, 152), (818, 206), (904, 324), (950, 480),
        (970, 630), (980, 770), (978, 900), (956, 1030), (884, 1198),
    ),
    (
        (606, 95), (672, 92), (744, 107), (838, 162), (932, 284), (982, 450),
        (1006, 620), (1018, 770), (1016, 900), (990, 1030), (912, 1176),
    ),
)  # fmt: skip
LEFT_STYLE = Style(36, 42, wave=21, turns=2.2, gain=1.0, ragged=0.07)
RIGHT_STYLE = Style(36, 42, wave=25, turns=1.9, gain=0.97, phase=0.35, ragged=0.06)
STEPS = (0.0, 0.4, 1.0)  # where along a root hair its curve is pinned
PARTING: Points = ((572, 272), (580, 222), (592, 165), (603, 118))
# Thin locks that have come away, each between two guides, with its number of strands.
LOOSE: tuple[tuple[Guides, int], ...] = (
    (
        (
            ((598, 264), (698, 298), (790, 374), (844, 478), (858, 590), (852, 690), (864, 770)),
            ((604, 262), (710, 290), (812, 368), (868, 474), (882, 590), (872, 690), (878, 780)),
        ),
        8,
    ),
)
# Behind the neck the hair is seen from inside the fall, in shade.
BACK_FALL: Guides = (
    ((380, 420), (350, 640), (350, 860), (430, 1110)),
    ((470, 420), (470, 640), (480, 860), (496, 1130)),
    ((640, 420), (640, 640), (640, 860), (640, 1090)),
    ((810, 420), (810, 640), (800, 860), (784, 1130)),
    ((900, 420), (920, 640), (920, 860), (850, 1110)),
)
BACK_STYLE = Style(26, 30, wave=12, turns=1.6, gain=0.62)
BACK_HAIR: Points = (
    (612, 130), (500, 136), (390, 210), (312, 400), (282, 620), (272, 800), (280, 950), (304, 1090), (328, 1150),
    (440, 1170), (640, 1170), (840, 1170), (912, 1150), (940, 1090), (978, 950), (998, 800), (986, 620), (962, 400),
    (884, 210), (750, 136),
)  # fmt: skip
# Where the mass of hair turns to a lamp: x, y, strength.
SHEEN = ((440, 262, 0.20), (826, 250, 0.12), (318, 700, 0.08), (960, 690, 0.08))


def paint_back_hair(page: Canvas, rng: np.random.Generator) -> None:
    page.paint((24, 13, 12), page.fill(spline(BACK_HAIR, True), soft=1))
    mane = Mane.on(page)
    draw_fall(mane, BACK_FALL, BACK_STYLE, rng)
    mane.settle()


def paint_shadow(page: Canvas, cover: Array) -> None:
    """The hair shades face, neck and blouse, away from the key lamp."""
    shadow = np.roll(blur(cover, 9 * SCALE), (10 * SCALE, 5 * SCALE), (0, 1))
    page.paint((150, 84, 68), shadow * page.fill(FACE, NECK, BODY) * 0.72, "multiply")


def paint_baby_hairs(page: Canvas, rng: np.random.Generator) -> None:
    """Fine short hairs along the forehead, so that the hairline is not an edge."""
    area = page.window(380, 230, 900, 560)
    for guide, side in ((LEFT_FALL[0], -1), (RIGHT_FALL[0], 1)):
        edge = spline(guide, steps=24)[4:66]
        hairs = []
        for i in rng.integers(0, len(edge) - 10, 30):
            root = edge[i] + rng.normal(0, 3, 2)
            ahead = edge[i + 9] - edge[i]
            ahead = ahead / (np.hypot(*ahead) + 1e-6)
            inwards = np.array([-side * abs(ahead[1]), abs(ahead[0])])
            reach = rng.uniform(8, 24)
            lift = rng.uniform(0.05, 0.38)
            stops = [root, root + reach * (0.5 * ahead + lift * 0.6 * inwards), root + reach * (ahead + lift * inwards)]
            path = spline([(float(x), float(y)) for x, y in stops], steps=6)
            hairs.append(ribbon(path, np.linspace(1.2, 0.15, len(path)).astype(np.float32)))
        area.paint((84, 48, 36), area.fill(*hairs, soft=0.7) * 0.24)


def paint_parting(page: Canvas, rng: np.random.Generator) -> None:
    """Scalp glimpsed between the roots, most at the forehead, then short hairs that cross it and break it up."""
    area = page.window(510, 90, 680, 310)
    path = spline(PARTING)
    _, gy = area.grid()
    seen = area.fill(tapered(path, 7.0, 0.9, 0.0), soft=2.8) * smoothstep(112, 262, gy)
    area.paint((176, 116, 92), seen * 0.40)
    mane = Mane.on(area)
    for _ in range(56):
        side = 1 if rng.uniform() < 0.5 else -1
        root = path[int(rng.uniform(0.05, 1) * (len(path) - 1))] + rng.normal(0, (2.6, 2.0))
        reach = rng.uniform(18, 44)
        slope = rng.uniform(-0.10, 0.12)
        stops = [
            (float(root[0] + side * reach * k), float(root[1] + reach * (slope * k + 0.06 * k * k))) for k in STEPS
        ]
        hair = spline(stops, steps=8)
        light = np.linspace(0.2, 0.36, len(hair), dtype=np.float32) + np.float32(rng.normal(0, 0.06))
        mane.strand(hair, light, 1)
    mane.settle()


def paint_front_hair(page: Canvas, rng: np.random.Generator) -> None:
    mane = Mane.on(page)
    for guides, style in ((LEFT_FALL, LEFT_STYLE), (RIGHT_FALL, RIGHT_STYLE)):
        draw_flyaways(mane, guides, 16, rng)
        draw_fall(mane, guides, style, rng)
    for guides, count in LOOSE:
        draw_loose(mane, guides, count, rng)
    cover = mane.coverage()
    paint_shadow(page, cover)
    paint_baby_hairs(page, rng)
    mane.settle()
    # The mass of hair is a body too: lit where the head turns to the lamp, dim where it hangs below the jaw.
    for x, y, strength in SHEEN:
        page.paint((214, 150, 104), page.spot(x, y, 110, 170) * cover * strength, "screen")
    hanging = smoothstep(760, 1120, page.grid()[1])
    page.paint((136, 110, 104), hanging * cover * 0.45, "multiply")
    paint_parting(page, rng)
