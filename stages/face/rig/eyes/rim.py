"""Finds the upper rim of glasses before an eye: a lid closes behind it."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.eye_outline import EyeOutline, strongest_path
from stages.face.rig.eyes.eye_strip import EyeStrip, smooth
from stages.face.sampling import blur

Grid = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]

#: Greatest height of a dark line that is a rim of glasses, and of a whole rim, in eye widths, and how much darker than the skin
#: beside it it is at least.
_HEIGHT, _THICKEST, _DARK = 0.13, 0.2, 0.13
#: A rim is smooth: over the eye and so many eye widths beyond, it is at most so many away from a curve of the third degree.
#: A crease or lashes that touch it are none of it.
_BEYOND, _AWAY = 0.15, 0.03
#: What belongs to a rim beside what is dark, px: its soft edge.
_EDGE_PX = 1.0


def find_rim(strip: EyeStrip, shown: Grid, eye: EyeOutline) -> Values | None:
    """Find where the upper rim of glasses ends over the eye, px along `eye.down` for each column; None where there is none.

    It is a dark line that goes on beyond both corners of the eye. Lashes and creases do not. It is as thick everywhere as it
    stays dark, in most columns, on the way down to the lid's edge: metal shines in some.
    """
    level = shown.mean(axis=-1)
    tall = cv2.getStructuringElement(cv2.MORPH_RECT, (1, max(round(_HEIGHT * eye.width), 2) | 1))
    closed = blur(cv2.morphologyEx(level, cv2.MORPH_CLOSE, tall), 0.5)
    darker = 1 - level / np.maximum(closed, 1.0)
    rows = np.arange(-round(0.6 * eye.width), 1, dtype=np.float64)
    line = strip.read(np.asarray(darker, np.float32), np.zeros_like(strip.upper), rows)
    line[rows[:, None] > strip.upper[None] - 0.04 * eye.width] = 0.0
    path = strongest_path(line.astype(np.float64), 0.02)
    dark = np.take_along_axis(line, path[None], axis=0)[0]
    place = strip.columns / eye.width
    parts = (place < 0, (place > 0) & (place < 1), place > 1)
    if min(float(np.median(dark[part])) for part in parts) < _DARK:
        return None
    middle = smooth(_on_a_curve(rows[path], place, eye.width), 0.05 * eye.width)
    under = np.arange(0, round(_THICKEST * eye.width) + 1, dtype=np.float64)
    broad = cv2.getStructuringElement(cv2.MORPH_RECT, (1, max(round(2 * _THICKEST * eye.width), 2) | 1))
    skin = np.maximum(blur(cv2.morphologyEx(level, cv2.MORPH_CLOSE, broad), 0.5), 1.0)
    shade = strip.read(np.asarray(1 - level / skin, np.float32), middle.astype(np.float32), under)
    stays = np.logical_and.accumulate(shade > _DARK, axis=0).sum(axis=0)
    ends = middle + float(np.median(stays)) + _EDGE_PX
    return np.asarray(np.minimum(ends, np.maximum(strip.upper, middle)), np.float64)


def _on_a_curve(rows: Values, place: Values, width: float) -> Values:
    """Keep a line near a curve of the third degree that most of it follows, over the eye."""
    over = (place > -_BEYOND) & (place < 1 + _BEYOND)
    weights = np.ones(int(over.sum()))
    for _ in range(3):
        curve = np.poly1d(np.polyfit(place[over], rows[over], 3, w=weights))(place[over])
        weights = 1 / (1 + np.square((rows[over] - curve) / (_AWAY * width)))
    kept = rows.copy()
    kept[over] = np.clip(rows[over], curve - _AWAY * width, curve + _AWAY * width)
    return kept
