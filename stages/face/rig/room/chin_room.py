"""Raises a head slowly where its chin would go down over the picture's lower border while it speaks.

In a close crop there is less room below the chin than an open mouth takes, and nothing is known of what is below. Where the head
cannot rise as far, since the picture's lower border rises with it, the jaw opens less, and the lower lip goes down more.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.rig.expressions.fields import JAW, LOWER_LIP
from stages.face.rig.grid import CellBlock
from stages.face.rig.head_bounds import REACH, Zoom
from stages.face.rig.rig import Rig
from stages.face.rig.room.border_room import covering

FloatArray = npt.NDArray[np.float32]

#: Room that is wanted below the chin, of the picture's height: with less it seems to rest on the border.
_ROOM = 0.03
#: The head rises before what needs it, and stays up after it, by so many seconds; sigma of how it moves there, and the time in
#: which that begins and ends with the video.
_AROUND_S, _SOFT_S, _ENDS_S = 0.5, 0.2, 0.4
#: The parameters that lower the jaw, and the one that shuts lips by as much.
_OPENS, _SHUTS = ("jaw", "round"), ("seal",)
#: The part of what the jaw opens less that the lower lip goes down instead.
_LIP_GOES = 0.6
#: The least part of its opening that the jaw keeps, and sigma of how that changes, seconds.
_LEAST_OPEN, _JAW_SOFT_S = 0.45, 0.03


def chin_above_border(
    values: FloatArray,
    columns: tuple[list[int], list[int]],
    rig: Rig,
    zoom: Zoom,
    height: int,
    fps: float,
    room: FloatArray | None = None,
) -> FloatArray:
    """A track whose head rises where the chin would leave the picture, and whose jaw opens less where that is not enough.

    The lower lip goes down for a part of that.

    The head rises no farther than it moves in the track anyhow.

    Args:
        values: the motion, [frames, parameters], its head within the reach of the rig's fields.
        columns: those of the rig's `head_names` and `face_names` in it.
        rig: the portrait's.
        zoom: how much larger the portrait is shown.
        height: of the portrait, px.
        fps: frames per second.
        room: how far the head may rise in each frame, in units of head_y, [frames]; None if the border does not bound it.
    """
    heads, faces = columns
    chin = rig.frame.picture(np.array([0.0, rig.frame.chin]))
    per_head, per_face = _down_at(chin, rig.head, rig.head_cells, rig), _down_at(chin, rig.lower, rig.face_cells, rig)
    down = values[:, heads] @ per_head + values[:, faces] @ per_face + zoom.by * (chin[1] - zoom.y)
    reached = np.array([REACH[name] for name in rig.head_names], np.float32)
    parts = values[:, heads] / reached
    length = np.linalg.norm(parts, axis=1)
    most = min(float(length.max(initial=0.0)), 1.0)
    column = rig.head_names.index("head_y")
    by_reach = float(per_head[column]) * REACH["head_y"]
    rise = _rise(chin[1] + down, height, by_reach * (most + np.maximum(parts[:, column], 0.0)), fps)
    if room is not None:
        beyond = np.maximum(rise - room / REACH["head_y"] * by_reach, 0.0)
        rise = np.maximum(rise - covering(np.asarray(beyond, np.float32), fps), 0.0)
    if rise.any():
        parts[:, column] -= rise / by_reach
        parts *= np.minimum(1.0, np.maximum(length, most) / np.maximum(np.linalg.norm(parts, axis=1), 1e-6))[:, None]
    over = chin[1] + down + (parts * reached - values[:, heads]) @ per_head - height
    opens, shuts = ([rig.face_names.index(name) for name in names] for names in (_OPENS, _SHUTS))
    opened = values[:, [faces[index] for index in opens]] @ per_face[opens]
    kept = _jaw_kept(np.asarray(over, np.float32), np.asarray(opened, np.float32), fps)
    raised = values.copy()
    if rise.any():
        raised[:, heads] = parts * reached
    raised[:, [faces[index] for index in opens + shuts]] *= kept[:, None]
    jaw, seal, lip = (faces[rig.face_names.index(name)] for name in ("jaw", "seal", "lower_lip"))
    apart = np.maximum(values[:, jaw] - values[:, seal], 0.0)  # lips that are shut stay shut
    raised[:, lip] += _LIP_GOES * JAW / LOWER_LIP * apart * (1 - kept)
    return raised


def _down_at(point: npt.NDArray[np.float64], fields: FloatArray, cells: CellBlock, rig: Rig) -> FloatArray:
    """How far fields, [k, rows, columns, 2], move a point of the picture down, px: [k]."""
    column, row = ((point - (rig.step - 1) / 2) / rig.step).round().astype(int)
    if not (cells.top <= row < cells.bottom and cells.left <= column < cells.right):
        return np.zeros(len(fields), np.float32)
    return np.asarray(fields[:, row - cells.top, column - cells.left, 1], np.float32)


def _rise(chin: FloatArray, height: int, most: FloatArray, fps: float) -> FloatArray:
    """How far the head has to rise in each frame, px: [frames].

    Args:
        chin: its place in each frame, px from the picture's top, [frames].
        height: of the picture, px.
        most: that the head may rise in each frame, px, [frames].
        fps: frames per second.
    """
    over = np.clip(chin - (1 - _ROOM) * height, 0.0, most).astype(np.float32)[None]
    if not over.any():
        return np.zeros(over.shape[1], np.float32)
    held = cv2.dilate(over, np.ones((1, 2 * round(_AROUND_S * fps) + 1), np.uint8))
    soft = cv2.GaussianBlur(held, (0, 0), sigmaX=_SOFT_S * fps, sigmaY=0.1)[0]
    since = (np.arange(len(soft)) / (_ENDS_S * fps)).clip(0, 1)
    ends = since * since * (3 - 2 * since)
    return np.asarray(soft * ends * ends[::-1], np.float32)


def _jaw_kept(over: FloatArray, opened: FloatArray, fps: float) -> FloatArray:
    """The part of its opening that the jaw keeps in each frame, [frames].

    Args:
        over: how far the chin is below the picture, px, [frames]; negative above the border.
        opened: how far down the jaw takes it, px, [frames].
        fps: frames per second.
    """
    given = np.clip(over / np.maximum(opened, 1e-3), 0.0, 1 - _LEAST_OPEN) * (over > 0)
    if not given.any():
        return np.ones(len(over), np.float32)
    held = cv2.dilate(given.astype(np.float32)[None], np.ones((1, 2 * round(2 * _JAW_SOFT_S * fps) + 1), np.uint8))
    return np.asarray(1 - cv2.GaussianBlur(held, (0, 0), sigmaX=_JAW_SOFT_S * fps, sigmaY=0.1)[0], np.float32)
