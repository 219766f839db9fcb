"""Finds the upper teeth that a portrait shows between its lips. They are used only when the row is whole.

Teeth are the brightest thing in a mouth and less red than the lips. In each column the teeth are one run of such pixels; a row is
whole if nearly every column of the opening has one, without holes, and if the runs' lower ends form a smooth line.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.face.rig.colours import LUMA, FaceColours, luma, red_share
from stages.face.rig.face_frame import FaceBox, FaceFrame, smoothstep
from stages.face.sampling import blur, sample

Grid = npt.NDArray[np.float64]
Curves = tuple[Grid, Grid]
Rgba = npt.NDArray[np.uint8]

#: Columns and rows of the opening that are looked at, between the lips and from corner to corner.
_COLUMNS, _ROWS = 121, 41
#: Part of the opening, from its middle to both sides, that teeth must fill.
_SPAN = 0.50
#: A mouth shows no teeth if its brightest pixels are darker than this fraction of a tooth's brightness.
_DARK = 0.60
#: With less than this part of the opening filled, what is bright may be a reflection.
_FEW = 0.08
#: In a whole row, at least this part of the columns has teeth, and this part of each column's teeth is bright.
_FILLED, _SOLID = 0.90, 0.90
#: A whole row's lower end deviates from a smooth line by at most this, in units (root of the mean square), and its front teeth
#: differ in length by at most this fraction: a row with gaps looks eaten as soon as its mouth opens.
_RAGGED, _UNEVEN = 0.016, 0.4
#: No tooth in the middle `_FRONT` of a whole row is longer than its arch by so many units: else a lower one is joined to it. What
#: is longer by the third number is a bit of it, or the lower lip's shine.
_LONGER, _FRONT, _BULGE = 0.03, 0.6, 0.012
#: Teeth that end less than this above the lower lip, in units, may go on behind it, unless a usual tooth's length is seen.
_CLEAR, _LONG = 0.055, 0.10
#: Lower teeth begin where a column falls by this part of its brightness within `_STEP` rows, in the lower part of its teeth from
#: `_UPPER_PART` on, if at least so many rows follow; and where this part of the columns in the middle has such a fall.
_FALL, _STEP, _UPPER_PART, _FOLLOW, _AGREE = 0.09, 3, 0.3, 5, 0.35
#: Teeth show their colour in the pixels above this percentile of brightness; how much of their red is their own.
_BRIGHTEST, _REDDER = 86, 0.5
#: Least and greatest height of the row, and the greatest distance of its upper end from the lip, in units, or in parts of the gap
#: where that is more; gums that reach down between two teeth, about a tooth's width of `_TOOTH` columns, do not count.
_LEAST, _MOST, _FROM_LIP, _GUMMY, _TOOTH = 0.035, 0.26, 0.055, 0.25, 9
#: Beside the row, what the picture shows is cut out down to so many units from the lower lip; units over which it begins there
#: and ends in the corners; softness of the lower edge of the row, and of what is beside it.
_FROM_LOWER, _GOES_OVER, _EDGE, _SOFT_EDGE = 0.03, 0.07, 0.016, 0.05


@dataclass(frozen=True)
class OwnTeeth:
    """The teeth in a portrait.

    Attributes:
        colour: RGB, 0 to 255.
        row: the cut-out upper row with the dark beside it; None if the row is not whole.
        end: where the row ends below the upper lip, in units, of each pixel's column.
    """

    colour: npt.NDArray[np.float64]
    row: Rgba | None
    end: Grid | None


def find_own_teeth(box: FaceBox, curves: Curves, tones: FaceColours) -> OwnTeeth | None:
    """Find the upper teeth in a portrait with an open mouth; None if it shows no teeth.

    Args:
        box: the part of the portrait that is cut out of.
        curves: edges of the upper and the lower lip in the face's coordinates, [n, 2] px.
        tones: the portrait's colours.
    """
    frame = box.frame
    upper = curves[0]
    x = np.linspace(upper[0, 0], upper[-1, 0], _COLUMNS)
    top, bottom = (np.interp(x, curve[:, 0], curve[:, 1]) for curve in curves)
    share = (np.arange(_ROWS) + 0.5) / _ROWS
    places = np.stack([np.broadcast_to(x, (_ROWS, _COLUMNS)), top + share[:, None] * (bottom - top)], axis=-1)
    soft = blur(box.portrait, max(0.006 * frame.unit, 0.5))
    seen = sample(soft, frame.picture(places).astype(np.float32)).astype(np.float64)
    teeth = _tooth_pixels(seen, tones, frame.along_mouth(x))
    if teeth is None or teeth.mean() < _FEW:
        return None
    middle = np.abs(frame.along_mouth(x)) <= _SPAN
    front = seen[:, middle][teeth[:, middle]]
    colour = _colour(front if len(front) else seen[teeth], tones)
    row = _whole_row(_above_lower_teeth(teeth, seen @ LUMA), x, top, bottom, frame)
    if row is None:
        return OwnTeeth(colour, None, None)
    return OwnTeeth(colour, *_cut(box, curves, row))


def _colour(shown: Grid, tones: FaceColours) -> Grid:
    """The colour of the brightest and least red of the teeth's pixels: the others are in shade, at a lip's edge or gums.

    It is not darker than teeth in this picture's light can be, and by at most the part `_REDDER` of what is seen redder: lips and
    gums redden what is between them.
    """
    level = shown @ LUMA
    bright = shown[level >= np.percentile(level, _BRIGHTEST)]
    redness = red_share(bright)
    colour = np.median(bright[redness <= np.median(redness)], axis=0)
    least = colour[0] * tones.teeth[1:] / max(tones.teeth[0], 1.0)
    colour[1:] += (1.0 - _REDDER) * np.maximum(least - colour[1:], 0.0)
    return np.asarray(colour * max(1.0, 0.95 * luma(tones.teeth) / max(luma(colour), 1.0)))


def _whole_row(
    teeth: npt.NDArray[np.bool_], x: Grid, top: Grid, bottom: Grid, frame: FaceFrame
) -> tuple[Grid, Grid, Grid] | None:
    """The row's columns, and in each the upper lip's edge (px) and the teeth's lower end below it (units); None if not whole."""
    start, end, solid = _runs(teeth)
    height = (bottom - top) / frame.unit
    middle = np.abs(frame.along_mouth(x)) <= _SPAN
    found = (end - start) / _ROWS * height >= _LEAST
    padded = np.pad(start / _ROWS * height, _TOOTH // 2, mode="edge")
    nearest = np.lib.stride_tricks.sliding_window_view(padded, _TOOTH).min(axis=1)
    good = found & (solid >= _SOLID) & (nearest < max(_FROM_LIP, _GUMMY * float(height.max())))
    if good[middle].mean() < _FILLED:
        return None
    first, last = _widest_run(good)
    below = end[first:last] / _ROWS * height[first:last]
    smooth = _smoothed(np.minimum(below, _MOST))
    if float(np.sqrt(np.mean((below - smooth) ** 2))) > _RAGGED:
        return None
    along = frame.along_mouth(x[first:last])
    near = np.abs(along) <= _SPAN / 2
    front = smooth[near]
    if not len(front) or front.min() < (1.0 - _UNEVEN) * front.max():
        return None
    arch = np.abs(along) <= _FRONT
    longer = smooth - np.polyval(np.polyfit(along[arch], smooth[arch], 2), along)
    if float(longer[arch].max()) > _LONGER:
        return None
    usual = arch & (longer < _BULGE / 2)
    curve = np.polyval(np.polyfit(along[usual], smooth[usual], 2), along)
    smooth = np.where(arch, np.minimum(smooth, curve + _BULGE), smooth)
    clear = float(np.median((height[first:last] - below)[near]))
    seen = float(np.median((below - start[first:last] / _ROWS * height[first:last])[near]))
    if clear < _CLEAR and seen < _LONG:
        return None
    return x[first:last], top[first:last], smooth


def _tooth_pixels(seen: Grid, tones: FaceColours, along: Grid) -> npt.NDArray[np.bool_] | None:
    """Which pixels are teeth, in columns `along` the mouth (-1 to 1); None if the mouth shows none."""
    level = seen @ LUMA
    bright = float(np.percentile(level, 88))
    if bright < _DARK * luma(tones.teeth):
        return None
    redness = red_share(seen)
    pale = float(np.median(redness[level > 0.9 * bright]))
    lip = float(red_share(tones.lip))
    if lip - pale < 0.02 and luma(tones.lip) > 0.8 * bright:  # grey lips as bright as what is between them
        return None
    reddest = pale + 0.55 * max(lip - pale, 0.03)
    shade = 1.0 - 0.35 * along**2  # toward the corners it is darker
    return np.asarray((level > 0.55 * bright * shade) & (redness < reddest))


def _runs(teeth: npt.NDArray[np.bool_]) -> tuple[Grid, Grid, Grid]:
    """First row of teeth in each column, one past the last, and the part of the rows between that is teeth.

    A dark line ends the run: below it are the lower teeth.
    """
    rows, columns = teeth.shape
    start, end, solid = np.zeros(columns), np.zeros(columns), np.zeros(columns)
    dark_line = max(2, rows // 14)
    for column in range(columns):
        lit = np.flatnonzero(teeth[:, column])
        if not len(lit):
            continue
        breaks = np.flatnonzero(np.diff(lit) > dark_line)
        parts = np.split(lit, breaks + 1)
        run = max(parts[:2], key=len)
        start[column], end[column] = run[0], run[-1] + 1
        solid[column] = len(run) / (run[-1] + 1 - run[0])
    return start, end, solid


def _above_lower_teeth(teeth: npt.NDArray[np.bool_], level: Grid) -> npt.NDArray[np.bool_]:
    """The same pixels without lower teeth that no dark line parts from the upper ones: they are in the shade of these."""
    start, end, _ = _runs(teeth)
    fall = np.zeros_like(level)
    fall[:-_STEP] = level[:-_STEP] - level[_STEP:]
    rows = np.arange(len(level))[:, None]
    here = (rows >= start + _UPPER_PART * (end - start)) & (rows + _STEP + _FOLLOW <= end)
    fall = np.where(here, fall, 0.0) / np.maximum(np.where(teeth, level, 0.0).max(axis=0), 1.0)
    first = fall.argmax(axis=0)
    falls = fall.max(axis=0) > _FALL
    quarter = len(falls) // 4
    if falls[quarter:-quarter].mean() < _AGREE:
        return teeth
    # Where a column shows no fall, its neighbours tell where the upper tooth ends at most.
    columns = np.arange(len(falls))
    last = np.interp(columns, columns[falls], first[falls] + _STEP / 2)
    return np.asarray(teeth & (rows < last))


def _widest_run(good: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """First and one past the last column of the part around the middle that is good but for single columns."""
    near = np.convolve(good, np.ones(5), mode="same") >= 3
    middle = len(good) // 2
    bad = np.flatnonzero(~near)
    left, right = bad[bad < middle], bad[bad > middle]
    return int(left[-1]) + 1 if len(left) else 0, int(right[0]) if len(right) else len(good)


def _smoothed(values: Grid) -> Grid:
    """A line through `values` that follows the teeth, but not single columns."""
    padded = np.pad(values, 4, mode="edge")
    median = np.median(np.lib.stride_tricks.sliding_window_view(padded, 9), axis=1)
    kernel = np.exp(-0.5 * (np.arange(-4, 5) / 1.6) ** 2)
    return np.convolve(np.pad(median, 4, mode="edge"), kernel / kernel.sum(), mode="valid")


def _cut(box: FaceBox, curves: Curves, row: tuple[Grid, Grid, Grid]) -> tuple[Rgba, Grid]:
    """Cut out the row, and where it ends in each pixel's column: from the upper lip down to its smooth lower end (`row[2]` units
    below at `row[0]`). On either side of it, what the picture shows between the lips goes on to the corners.
    """
    x, _, height = row
    upper, frame = curves[0], box.frame
    across = box.local[..., 0]
    top, bottom = (np.interp(across, curve[:, 0], curve[:, 1]) for curve in curves)
    aside = smoothstep(np.maximum(x[0] - across, across - x[-1]) / (_GOES_OVER * frame.unit))
    open_ = np.maximum((bottom - top) / frame.unit - _FROM_LOWER, 0.0)
    end = np.interp(across, x, height)
    end += aside * (open_ - end)
    below = (box.local[..., 1] - top) / frame.unit
    soft = _EDGE + aside * (_SOFT_EDGE - _EDGE)
    cover = smoothstep((end - soft / 4 - below) / soft + 0.5) * smoothstep(below / 0.012 + 1.0)
    fade = _GOES_OVER * frame.unit
    cover *= smoothstep((across - upper[0, 0]) / fade) * smoothstep((upper[-1, 0] - across) / fade)
    return np.dstack([box.at(), np.clip(255 * cover + 0.5, 0, 255).astype(np.uint8)]), end
