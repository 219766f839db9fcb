"""Finds glasses: they are stiff, so that the face must move behind them and not with them.

A thin rim is no darker than a fold below an eye. So three kinds of lines are looked for, which have to be there together: the
bridge across the nose, the lower rims, and the temples that lead from the rims to the ears. All are narrow and cross the skin
from one side to the other.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.mesh import FloatArray
from stages.face.rig.face_frame import FaceFrame, ramp
from stages.face.sampling import blur, sample

Grid = npt.NDArray[np.float64]
Box = tuple[slice, slice]

#: Pixels for one eye distance in the flattened picture of the eyes' surroundings, and its blur, px.
_SCALE, _BLUR = 96, 0.8
#: How far it reaches from the middle of the eyes: left and right, above, below; px, as all that follows.
_LEFT, _ABOVE, _BELOW = 120, 60, 70
#: Rows and columns, from the middle of the eyes, of the bridge, of both lower rims, of both temples, and of the skin below all.
_BRIDGE: Box = slice(-30, 26), slice(-13, 14)
_RIMS: tuple[Box, Box] = (slice(18, 60), slice(-72, -23)), (slice(18, 60), slice(24, 73))
_TEMPLES: tuple[Box, Box] = (slice(-26, 20), slice(-112, -80)), (slice(-26, 20), slice(80, 112))
_SKIN: Box = slice(35, 55), slice(-80, 80)
#: Thickness of the widest line that is found: rims lie closer to other edges.
_THICK, _RIM_THICK = 11, 9
#: A line has to stand out on all but this share of its length, in percent; rims are broken by reflections.
_HIDDEN, _RIM_HIDDEN = 20, 25
#: Weights of the kinds of lines and the most that each counts for, in parts of the skin's tone: the bridge, each temple, and the
#: weaker lower rim. With so much in all, glasses are worn.
_BRIDGE_MOST, _TEMPLE_PART, _TEMPLE_MOST, _RIM_PART, _RIM_MOST, _WORN = 0.2, 0.5, 0.1, 0.3, 0.2, 0.125
#: A lower rim that stands out so much tells how low the glasses reach, with half its thickness, if that is lower than usual: so
#: far below the eyes. In eye distances.
_RIM_SEEN, _HALF_RIM, _USUAL_RIM = 0.1, 0.03, 0.42
#: How far brows move behind an upper rim, which is drawn along.
_BROWS = 0.2
#: Way from a rim down over which the cheeks begin to move, in eye distances.
_CHEEKS = 0.35


def find_glasses(portrait: npt.NDArray[np.uint8], landmarks: FloatArray, frame: FaceFrame) -> float | None:
    """How low glasses reach, as the face's `down` coordinate, px; None where none are worn.

    Args:
        portrait: RGB uint8 [height, width, 3].
        landmarks: [478, 3] px.
        frame: the face's coordinates.
    """
    left, right = (frame.local(landmarks[list(corners), :2]).mean(axis=0) for corners in ((33, 133), (362, 263)))
    across = (right - left) / _SCALE
    down = np.array([-across[1], across[0]])
    x, y = np.meshgrid(np.arange(-_LEFT, _LEFT + 1), np.arange(-_ABOVE, _BELOW + 1))
    local = (left + right) / 2 + x[..., None] * across + y[..., None] * down
    seen = sample(portrait, frame.picture(local).astype(np.float32))
    tone = blur(np.asarray(cv2.cvtColor(seen, cv2.COLOR_RGB2LAB)[..., 0], np.float32), _BLUR)
    skin = max(float(np.median(tone[_within(_SKIN)])), 1.0)
    bridge, _ = _line(tone / skin, _BRIDGE, _THICK, _HIDDEN, bright=False)
    temples = [_line(tone / skin, box, _THICK, _HIDDEN)[0] for box in _TEMPLES]
    rims = [_line(tone / skin, box, _RIM_THICK, _RIM_HIDDEN) for box in _RIMS]
    found = min(bridge, _BRIDGE_MOST) + _TEMPLE_PART * sum(min(one, _TEMPLE_MOST) for one in temples)
    if found + _RIM_PART * min(rims[0][0], rims[1][0], _RIM_MOST) < _WORN:
        return None
    lowest = [usual_rim(landmarks, frame)]
    for (strength, rows), box in zip(rims, _RIMS, strict=True):
        if strength > _RIM_SEEN:
            place = float(local[_within(box)][rows, np.arange(len(rows)), 1].max())
            lowest.append(place + _HALF_RIM * float(np.linalg.norm(right - left)))
    return max(lowest)


def usual_rim(landmarks: FloatArray, frame: FaceFrame) -> float:
    """Where the lower rims of glasses usually end, as the face's `down` coordinate, px."""
    eyes = frame.local(landmarks[[33, 133, 362, 263], :2]).reshape(2, 2, 2).mean(axis=1)
    return float(eyes[:, 1].mean() + _USUAL_RIM * np.linalg.norm(eyes[1] - eyes[0]))


def _within(box: Box) -> Box:
    """A box around the middle of the eyes, in the flattened picture."""
    rows, columns = box
    return (
        slice(rows.start + _ABOVE, rows.stop + _ABOVE),
        slice(columns.start + _LEFT, columns.stop + _LEFT),
    )


def _line(
    tone: FloatArray, box: Box, thick: int, hidden: int, bright: bool = True
) -> tuple[float, npt.NDArray[np.intp]]:
    """How much the line that stands out most in a box from left to right is darker, or `bright`er, than what is above and below
    it, and its row in each column.
    """
    rows, columns = _within(box)
    around = tone[rows.start - thick // 2 : rows.stop + thick // 2, columns]
    kernel = np.ones((thick, 1), np.uint8)
    stands_out = cv2.morphologyEx(around, cv2.MORPH_CLOSE, kernel) - around
    if bright:
        stands_out = stands_out + around - cv2.morphologyEx(around, cv2.MORPH_OPEN, kernel)
    inside = np.asarray(stands_out[thick // 2 : -(thick // 2)], np.float32)
    path = _best_path(inside)
    return float(np.percentile(inside[path, np.arange(inside.shape[1])], hidden)), path


def _best_path(values: FloatArray) -> npt.NDArray[np.intp]:
    """The row in each column of the path with the largest sum that changes by one row at most, [columns]."""
    total = values.copy()
    for column in range(1, values.shape[1]):
        before = np.pad(total[:, column - 1], 1, constant_values=-np.inf)
        total[:, column] += np.max([before[:-2], before[1:-1], before[2:]], axis=0)
    path = [int(total[:, -1].argmax())]
    for column in range(values.shape[1] - 2, -1, -1):
        near = range(max(path[-1] - 1, 0), min(path[-1] + 2, len(values)))
        path.append(max(near, key=lambda row: float(total[row, column])))
    return np.array(path[::-1])


def share_behind(rim: float, name: str, down: Grid, eye_distance: float) -> Grid:
    """How much of a brow's or cheek's movement stays behind glasses: 0 to 1, [rows, columns].

    Args:
        rim: as of `find_glasses`.
        name: of the expression.
        down: the face's coordinate, px, [rows, columns].
        eye_distance: px.
    """
    if name == "cheeks":
        return ramp((down - rim) / (_CHEEKS * eye_distance))
    return np.full(down.shape, _BROWS)
