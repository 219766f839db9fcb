"""The drawing's plan: where the outlines lie that more than one part of the painting needs, and the skin's colours.

Half outlines are (distance from the centre line, y), right halves, from the bottom up.
"""

from __future__ import annotations

import numpy as np

from .canvas import Colour
from .curves import Array, Points, mirrored, sided, spline

INK: Colour = (40, 20, 17)  # the darkest line: brown, since black next to skin looks printed
# From core shadow to highlight. The dark end is redder than it is dark: light scatters inside skin.
SKIN_RAMP: tuple[tuple[float, Colour], ...] = (
    (0.00, (84, 38, 32)),
    (0.22, (136, 70, 54)),
    (0.42, (180, 107, 83)),
    (0.62, (217, 151, 122)),
    (0.82, (241, 190, 161)),
    (1.00, (253, 222, 200)),
)

# An egg that narrows from the cheek bones: the jaw gives way early, the chin is small and round.
FACE_HALF: Points = (
    (0, 946), (38, 942), (76, 927), (117, 897), (161, 843), (199, 768), (227, 686),
    (244, 604), (251, 515), (249, 425), (234, 318), (194, 228), (118, 166), (0, 142),
)  # fmt: skip
FACE = spline(mirrored(FACE_HALF), closed=True)

NECK_HALF: Points = (
    (0, 1290), (120, 1270), (230, 1150), (205, 1112), (150, 1082), (118, 1046), (106, 1000), (104, 900),
    (104, 760), (0, 700),
)  # fmt: skip
NECK = spline(mirrored(NECK_HALF), closed=True)

BODY_HALF: Points = (
    (0, 1330), (760, 1330), (690, 1262), (600, 1208), (490, 1168), (384, 1136), (300, 1110), (236, 1092), (176, 1082),
    (122, 1096), (80, 1148), (40, 1208), (0, 1262),
)  # fmt: skip
BODY = spline(mirrored(BODY_HALF), closed=True)

EYE_X, EYE_Y = 112.0, 542.0  # the middle of each eye: distance from the centre line, y
IRIS_R = 27.5
NOSE_TIP_Y = 690.0

# Mouth curves run across the whole lip, as (distance from the centre line, y). One corner smiles a little more.
LIP_TOP: Points = (
    (-91, 787.5), (-66, 785.5), (-36, 780), (-15, 776.5), (0, 781), (15, 776.5), (36, 779.5), (66, 784.5), (91, 786),
)  # fmt: skip
LIP_LINE: Points = (
    (-95, 786), (-70, 796), (-42, 803), (-17, 805), (0, 807), (17, 805), (42, 802.5), (70, 795), (95, 784.5),
)  # fmt: skip
LIP_BOTTOM: Points = (
    (-91, 788.5), (-75, 805), (-52, 825), (-26, 837.5), (0, 840), (26, 837.5), (52, 824.5), (75, 804), (91, 787),
)  # fmt: skip


def lip_line() -> Array:
    """Where the closed lips meet."""
    return sided(1, LIP_LINE)


def upper_lip() -> Array:
    return np.vstack([sided(1, LIP_TOP), lip_line()[::-1]])


def lower_lip() -> Array:
    return np.vstack([lip_line(), sided(1, LIP_BOTTOM)[::-1]])
