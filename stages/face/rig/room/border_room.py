"""Keeps the border of a figure that touches the picture's border out of view: no frame shows what is beyond, which nobody knows.

The zoom takes the border out of view, and the head may move inward there as far as the zoom hides. Where it would move farther,
all of its motion is less for a moment.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.rig.head_bounds import Zoom
from stages.face.rig.rig import Rig

FloatArray = npt.NDArray[np.float32]

#: So far inward of the border, px, it may come: less than is seen.
_UNSEEN = 0.25
#: Cells of the border of which one is looked at, since the fields are smooth; and alpha from which it shows the figure.
_EVERY, _FIGURE = 4, 64
#: Places move with the head as a whole if they do so by this part of what the border's most moved place does.
_CARRIED = 0.3
#: Time before and after a frame that needs a change in which this comes and goes, seconds.
_AROUND_S = 0.12


@dataclass(frozen=True)
class Side:
    """One of the picture's borders, at the places where the figure touches it.

    Attributes:
        head, face: how far inward each parameter moves these places, px, [parameters, places].
        hidden: how far beyond the border the zoom takes them, px, [places].
        shift: the index of the parameter that moves the head across this border.
        at_bottom: whether it is the lower one.
    """

    head: FloatArray
    face: FloatArray
    hidden: FloatArray
    shift: int
    at_bottom: bool

    def room(self, heads: FloatArray, faces: FloatArray) -> FloatArray:
        """How much farther inward the head may shift in each frame, in units of the parameter; less than 0 where it is too far.

        Args:
            heads, faces: the motion, [frames, parameters].
        """
        pushed = np.abs(self.head[self.shift])
        carried = pushed > _CARRIED * pushed.max(initial=0.0)
        if not carried.any():
            return np.zeros(len(heads), np.float32)
        free = self.hidden + _UNSEEN - heads @ self.head - faces @ self.face
        return np.asarray((free[:, carried] / pushed[carried]).min(axis=1), np.float32)

    def share(self, heads: FloatArray, faces: FloatArray) -> FloatArray:
        """The part of the head's motion, 0 to 1, that keeps every place of the border out of view, [frames]."""
        moved = heads @ self.head
        free = np.maximum(self.hidden + _UNSEEN - faces @ self.face, _UNSEEN)
        return np.asarray((free / np.maximum(moved, np.maximum(free, 1e-6))).min(axis=1, initial=1.0), np.float32)


def sides_of(rig: Rig, zoom: Zoom, size: tuple[int, int]) -> list[Side]:
    """Find the borders of a picture, of this width and height, that the rig's figure touches."""
    cells, step = rig.head_cells, rig.step
    points = cells.points(step)
    places = np.minimum(points.round().astype(int), np.array(size) - 1)
    figure = rig.matte.alpha[places[..., 1], places[..., 0]] > _FIGURE if rig.matte else np.ones(cells.shape, bool)
    face = np.zeros((len(rig.face_names), *cells.shape, 2), np.float32)
    face[:, *rig.face_cells.within(cells)] = rig.lower
    zoomed = zoom.field(points)
    sides = []
    for axis, line, at_border in (
        (0, (slice(None), 0), cells.left == 0),
        (0, (slice(None), -1), cells.right * step >= size[0]),
        (1, (0, slice(None)), cells.top == 0),
        (1, (-1, slice(None)), cells.bottom * step >= size[1]),
    ):
        touched = np.flatnonzero(figure[line])
        if at_border and len(touched):
            touched = np.unique([*touched[::_EVERY], touched[-1]])
            inward = -1 if -1 in line else 1
            sides.append(
                Side(
                    head=inward * rig.head[:, *line, axis][:, touched],
                    face=inward * face[:, *line, axis][:, touched],
                    hidden=-inward * zoomed[*line, axis][touched],
                    shift=rig.head_names.index("head_y" if axis else "head_x"),
                    at_bottom=axis == 1 and inward < 0,
                )
            )
    return sides


def kept_out_of_view(heads: FloatArray, faces: FloatArray, sides: list[Side], fps: float) -> FloatArray:
    """The head's motion, [frames, parameters], made smaller where a border would still come into view."""
    given = np.zeros(len(heads), np.float32)
    for side in sides:
        given = np.maximum(given, 1.0 - side.share(heads, faces))
    return np.asarray(heads * (1.0 - covering(given, fps))[:, None], np.float32)


def room_above(heads: FloatArray, faces: FloatArray, sides: list[Side]) -> FloatArray:
    """How far the head may rise in each frame before the lower border comes into view, in units of head_y."""
    most = np.full(len(heads), np.inf, np.float32)
    for side in sides:
        if side.at_bottom:
            most = np.maximum(side.room(heads, faces), 0.0)
    return most


def covering(needs: FloatArray, fps: float) -> FloatArray:
    """A smooth course that is nowhere less than what each frame needs, [frames]."""
    if not needs.any():
        return needs
    around = max(1, round(_AROUND_S * fps))
    window = np.hanning(2 * around + 3)[1:-1].astype(np.float32)[None]
    held = cv2.dilate(needs.astype(np.float32)[None], np.ones((1, 2 * around + 1), np.uint8))
    return np.asarray(cv2.filter2D(held, -1, window / window.sum(), borderType=cv2.BORDER_REPLICATE)[0], np.float32)
