"""What a motion track uses of a rig: the bounds of its head's movement, the zoom that hides them, and the fields that act."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.rig.head_bounds import REACH, Zoom, within_reach
from stages.face.rig.rig import Rig
from stages.face.rig.room.border_room import kept_out_of_view, room_above, sides_of
from stages.face.rig.room.chin_room import chin_above_border
from stages.lipsync.motion_track import MOUTH, PARAMETERS, MotionTrack

FloatArray = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]


def bounded(values: FloatArray, names: tuple[str, ...]) -> FloatArray:
    """A track whose head stays where the rig's fields are bounded."""
    columns = [PARAMETERS.index(name) for name in names]
    bounded = values.copy()
    bounded[:, columns] = within_reach(values[:, columns], names)
    return bounded


def in_picture(values: FloatArray, rig: Rig, zoom: Zoom, size: tuple[int, int], fps: float) -> FloatArray:
    """A track whose chin stays in the picture, of this width and height, and whose figure's border stays out of view.

    Args:
        values: the motion, [frames, parameters], its head within the reach of the rig's fields.
        zoom: how much larger the portrait is shown.
    """
    heads, faces = ([PARAMETERS.index(name) for name in names] for names in (rig.head_names, rig.face_names))
    sides = sides_of(rig, zoom, size)
    room = room_above(values[:, heads], values[:, faces], sides)
    kept = chin_above_border(values, (heads, faces), rig, zoom, size[1], fps, room)
    kept[:, heads] = kept_out_of_view(kept[:, heads], kept[:, faces], sides, fps)
    return kept


def zoom_of(rig: Rig, track: MotionTrack) -> Zoom:
    """The rig's zoom for a head that moves as far as is usual, in quarters of it for one that moves less."""
    columns = [PARAMETERS.index(name) for name in rig.head_names]
    reach = np.array([REACH[name] for name in rig.head_names], np.float32)
    share = float(np.max(np.abs(track.values[:, columns]) / reach, initial=0.0))
    return replace(rig.zoom, by=rig.zoom.by * min(math.ceil(4 * share) / 4, 1.0))


def zoomed(picture: Picture, zoom: Zoom) -> Picture:
    """A picture as large as before, that shows less."""
    if not zoom.by:
        return picture
    matrix = np.array([[1 + zoom.by, 0, -zoom.by * zoom.x], [0, 1 + zoom.by, -zoom.by * zoom.y]])
    size = picture.shape[1], picture.shape[0]
    return np.asarray(
        cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def used(names: tuple[str, ...], fields: FloatArray, values: FloatArray) -> tuple[list[str], FloatArray]:
    """The parameters that are not always 0 in a track, and their fields."""
    index = [i for i, name in enumerate(names) if np.any(values[:, PARAMETERS.index(name)])]
    return [names[i] for i in index], fields[index]


def lips_move(values: FloatArray, apart: FloatArray) -> bool:
    """Whether a track, [frames, parameters], moves the lips.

    `apart`: how the lower layer's fields that the track uses differ from the upper one's.
    """
    shapes = values[:, [PARAMETERS.index(name) for name in MOUTH]]
    return bool(shapes.any() or apart.any())
