"""Finds the gap of lips that are slightly open in the picture, of which the mesh says that they are closed.

What lies between the lips is much darker than both of them, or, where teeth are seen, less red. In each column of the picture
the gap is one run of such pixels that contains the dark line between the lips; the runs of neighbouring columns end at nearly the
same height. Both ends are found together, by dynamic programming.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stages.face.rig.colours import LUMA, red_share
from stages.face.rig.face_frame import FaceFrame
from stages.face.sampling import blur, sample

Grid = npt.NDArray[np.float64]

#: A step of the search, and its reach above and below the line, in mouth widths; it ends within the lips, at these parts of their
#: thickness, because hair or a reflection may lie farther out.
_STEP, _REACH, _UPPER_PART, _LOWER_PART = 0.004, 0.06, 0.55, 0.4
#: Lips that touch have a dark line of this width between them, in mouth widths; so many steps of it say nothing.
_LINE, _LINE_STEPS = 0.010, 2
#: A pixel lies between the lips if it is darker than both by the first fraction, or less red than both by the second; it is
#: certain where the fraction is larger by `_SURE`. Teeth in the gap have at least `_LIT` of the lips' brightness.
_DARKER, _PALER, _SURE, _LIT = 0.45, 0.25, 0.12, 0.55
#: Parts of the lips' thickness between which their colour is measured, at so many places, and its smoothing along the mouth, in
#: columns.
_MEASURED, _PLACES, _SMOOTH = (0.2, 0.6), 8, 10.0
#: The gap ends before the corners, at this part of the half mouth.
_CORNERS = 0.88
#: What it costs that an end moves by one step from a column to the next, in certain pixels.
_SLOPE = 0.15
_IMPOSSIBLE = -1e9


def find_slight_gap(
    portrait: npt.NDArray[np.uint8], line: Grid, frame: FaceFrame, mouth_width: float
) -> tuple[Grid, float]:
    """Find the gap around the lip line of an RGB portrait.

    Args:
        portrait: RGB uint8 [height, width, 3].
        line: the dark line between the lips in the face's coordinates, [n, 2] px.
        frame: the face's coordinates.
        mouth_width: px.

    Returns:
        How far the gap reaches above (negative) and below the line, [n, 2] px; its greatest height without the dark line of lips
        that touch, in mouth widths.
    """
    step = _STEP * mouth_width
    above = round(min(_REACH * mouth_width, _UPPER_PART * frame.upper_lip) / step)
    below = round(min(_REACH * mouth_width, _LOWER_PART * frame.lower_lip) / step)
    soft = blur(portrait, max(mouth_width / 250, 0.6))
    parts = np.linspace(*_MEASURED, _PLACES)
    upper = _lip(_sampled(soft, line, -parts * frame.upper_lip, frame))
    lower = _lip(_sampled(soft, line, parts * frame.lower_lip, frame))
    steps = np.arange(-above, below + 1)
    between = _between(_sampled(soft, line, steps * step, frame), upper, lower)
    near = np.abs(steps) <= _LINE_STEPS
    between[:, near] = np.maximum(between[:, near], 0.0)
    between[np.abs(np.linspace(-1, 1, len(line))) > _CORNERS] = -1.0
    ends = _best_ends(between, above)
    ends[ends[:, 0] == 0, 0] = above  # a run that reaches the end of the search is no gap: there is hair on the lip
    ends[ends[:, 1] == len(steps), 1] = above + 1
    height = float((ends[:, 1] - ends[:, 0]).max()) * _STEP - _LINE
    return (ends - above - 0.5) * step, height


def _sampled(picture: npt.NDArray[np.uint8], line: Grid, offsets: Grid, frame: FaceFrame) -> Grid:
    """The picture's colours at so many px below each point of a line, [n, offsets, 3]."""
    places = line[:, None, :] + np.stack([np.zeros_like(offsets), offsets], axis=1)[None]
    return sample(picture, frame.picture(places).astype(np.float32)).astype(np.float64)


def _lip(shown: Grid) -> tuple[Grid, Grid]:
    """The brightness and redness of a lip in each column of its colours [n, places, 3], [n] each, smooth along the mouth.

    Reflections are less red than the lip: some of the places may show one.
    """
    return _along(np.median(shown @ LUMA, axis=1)), _along(np.percentile(red_share(shown), 75, axis=1))


def _along(values: Grid) -> Grid:
    """Smooth values along the mouth; near the corners, where there may be skin, they are those farther in."""
    count, reach = len(values), int(2.5 * _SMOOTH)
    edge = count // 6
    inner = values[np.clip(np.arange(count), edge, count - 1 - edge)]
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / _SMOOTH) ** 2)
    return np.convolve(np.pad(inner, reach, mode="edge"), kernel / kernel.sum(), mode="valid")


def _between(shown: Grid, upper: tuple[Grid, Grid], lower: tuple[Grid, Grid]) -> Grid:
    """How surely each pixel [n, rows] lies between lips of such brightness and redness: -1 to 1, negative for a lip's."""
    level = shown @ LUMA
    lips, red = (np.minimum(*both)[:, None] for both in zip(upper, lower, strict=True))
    dark = 1.0 - level / np.maximum(lips, 1.0) - _DARKER
    pale = (red - red_share(shown)) / np.maximum(red, 0.04) - _PALER
    pale = np.where(level > _LIT * lips, pale, -_SURE)
    return np.clip(np.maximum(dark, pale) / _SURE, -1.0, 1.0)


def _best_ends(between: Grid, line: int) -> npt.NDArray[np.intp]:
    """First row of the gap in each column and one past its last, [n, 2], around the row `line`: the greatest sum of `between`."""
    columns, rows = between.shape
    total = np.concatenate([np.zeros((columns, 1)), np.cumsum(between, axis=1)], axis=1)
    gain = total[:, None, line + 1 :] - total[:, : line + 1, None]
    moves = [(first, last) for first in (-1, 0, 1) for last in (-1, 0, 1)]
    best, origin = gain[0], np.zeros((columns, line + 1, rows - line), np.int8)
    for column in range(1, columns):
        padded = np.pad(best, 1, constant_values=_IMPOSSIBLE)
        choices = np.stack(
            [
                padded[1 + first : line + 2 + first, 1 + last : rows - line + 1 + last]
                - _SLOPE * (abs(first) + abs(last))
                for first, last in moves
            ]
        )
        origin[column] = choices.argmax(axis=0)
        best = choices.max(axis=0) + gain[column]
    path = np.zeros((columns, 2), np.intp)
    path[-1] = np.unravel_index(int(best.argmax()), best.shape)
    for column in range(columns - 1, 0, -1):
        path[column - 1] = path[column] + moves[origin[column][tuple(path[column])]]
    path[:, 1] += line + 1
    return path
