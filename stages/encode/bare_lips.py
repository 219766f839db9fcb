"""Puts lips without what is between them into the figure that the moving lips are sampled from."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.rig.mouth_interior import MouthInterior
from stages.face.sampling import on_colours, sample

Picture = npt.NDArray[np.uint8]

#: Part of the turns over which a pixel's share of the skin grows from none to all.
_FADES = 0.5


class BareLips:
    """The bare lips of a rig (stages/face/rig/bare_lips.py) and the skin beside them, for a figure of `size` (width, height).

    As the lips are drawn in, the skin is painted from their old corners on inward, in the order of the rig's turns. The corners
    of half rounded lips would be seen through skin that is painted everywhere by half: as a line beside the mouth.

    Attributes:
        slices: rows and columns of their box in the figure.
    """

    def __init__(self, oral: MouthInterior, size: tuple[int, int]) -> None:
        x, y = oral.origin
        # The layers' box is several times as large.
        first_x, first_y, width, height = cv2.boundingRect(cv2.max(oral.bare[..., 3], oral.corners[..., 3]))
        left, top = max(x + first_x, 0), max(y + first_y, 0)
        right, bottom = min(x + first_x + width, size[0]), min(y + first_y + height, size[1])
        self.slices = slice(top, bottom), slice(left, right)
        within = slice(top - y, bottom - y), slice(left - x, right - x)
        self._bare = _Layer(oral.bare[within])
        self._corners = _Layer(oral.corners[within], oral.turns[within])
        self._origin = np.array([left, top], np.float32)

    def put_skin(self, figure: Picture, drawn_in: float) -> None:
        """Mix the skin beside the lips into a BGRA figure as far as these are drawn in, 0 to 1."""
        box = figure[self.slices]
        mixed = cv2.cvtColor(box, cv2.COLOR_BGRA2BGR).astype(np.float32)
        self._corners.mix(mixed, drawn_in)
        _show(mixed, box)

    def put_lips(self, figure: Picture, bare: float, drawn_in: float) -> Picture:
        """Mix the lips into a BGRA figure by `bare`, 0 to 1, under the skin that it has for `drawn_in`; returns what was in their
        box.
        """
        box = figure[self.slices]
        kept = box.copy()
        if bare > 0:
            mixed = cv2.cvtColor(kept, cv2.COLOR_BGRA2BGR).astype(np.float32)
            self._bare.mix(mixed, bare, self._corners.over(self._bare, drawn_in))
            _show(mixed, box)
        return kept

    def skin_at(self, places: npt.NDArray[np.float32], drawn_in: float) -> npt.NDArray[np.float32]:
        """Return the share of the painted skin at places of the figure, [n, 2] px: [n]."""
        if drawn_in <= 0:
            return np.zeros(len(places), np.float32)
        inside = (places - self._origin)[None]
        return np.asarray(sample(self._corners.share(drawn_in), inside, outside=cv2.BORDER_CONSTANT)[0], np.float32)


class _Layer:
    """A layer that is mixed into a figure.

    Args:
        layer: its colours and its share, RGBA.
        turns: when each pixel's turn comes as the amount grows, 0 to 255; None: all are mixed by the amount.
    """

    def __init__(self, layer: Picture, turns: npt.NDArray[np.uint8] | None = None) -> None:
        self._colours = np.ascontiguousarray(layer[..., 2::-1]).astype(np.float32)
        self._whole = layer[..., 3].astype(np.float32) / 255
        self._turns = None if turns is None else turns.astype(np.float32) / np.float32(255 * _FADES)

    def share(self, amount: float) -> npt.NDArray[np.float32]:
        """Return which share of each pixel the layer has, [rows, columns]."""
        if self._turns is None:
            return self._whole * np.float32(amount)
        come = np.clip(np.float32(amount * (1 + _FADES) / _FADES) - self._turns, 0, 1)
        return np.asarray(self._whole * come, np.float32)

    def over(self, under: _Layer, amount: float) -> npt.NDArray[np.float32]:
        """Return the colours of this layer over those of another one, BGR."""
        if amount <= 0:
            return under._colours
        change = cv2.subtract(self._colours, under._colours)
        cv2.multiply(change, on_colours(self.share(amount)), change)
        return np.asarray(cv2.add(change, under._colours), np.float32)

    def mix(
        self, mixed: npt.NDArray[np.float32], amount: float, colours: npt.NDArray[np.float32] | None = None
    ) -> None:
        """Mix the layer into a BGR picture of its size by `amount`, in place; `colours` are shown in place of its own."""
        if amount > 0:
            change = cv2.subtract(self._colours if colours is None else colours, mixed)
            cv2.multiply(change, on_colours(self.share(amount)), change)
            cv2.add(mixed, change, mixed)


def _show(mixed: npt.NDArray[np.float32], box: Picture) -> None:
    """Round BGR values into a box of a BGRA figure, whose alpha stays."""
    cv2.mixChannels([cv2.convertScaleAbs(mixed)], [box], [0, 0, 1, 1, 2, 2])
