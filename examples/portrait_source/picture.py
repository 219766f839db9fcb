"""The order of painting, from the wall forwards."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .backdrop import finish, paint_backdrop
from .brows import paint_brow
from .canvas import PAGE, SCALE, Canvas
from .eyes import paint_eye
from .garment import paint_garment, paint_neck
from .hair import paint_back_hair, paint_front_hair
from .mouth import paint_mouth
from .skin import paint_face

SEED = 7  # every run draws the same picture


def draw() -> NDArray[np.uint8]:
    rng = np.random.default_rng(SEED)
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
