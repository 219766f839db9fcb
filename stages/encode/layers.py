"""The layers of a frame: the moving figure over a still background.

If the picture could not be split, the figure is the whole picture.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from stages.encode.planes import BLACK, NEUTRAL, PlanarFrame, halve, halved, to_ycc
from stages.face.rig.matting.matte import Matte, background_share
from stages.face.sampling import swap_red_and_blue

Picture = npt.NDArray[np.uint8]
Box = tuple[slice, slice]

#: Pixels around a chroma sample that its filter reads; even.
_EDGE = 2


def make_figure(portrait: Picture, matte: Matte, new_background: bool) -> Picture:
    """Cut the figure out of a BGR portrait: BGRA with premultiplied alpha, uint8 [height, width, 4]."""
    if not matte:
        return np.asarray(cv2.cvtColor(portrait, cv2.COLOR_BGR2BGRA), np.uint8)
    plate = swap_red_and_blue(matte.plate)
    alpha = matte.cut if new_background else matte.alpha
    colours = cv2.subtract(portrait, background_share(plate, alpha))
    if new_background:  # colour above alpha is left over from the old background
        colours = np.minimum(colours, alpha[..., None])
    return np.asarray(cv2.merge([*cv2.split(colours), alpha]), np.uint8)


class Background:
    """The still background of a video, and the composition of the figure over it.

    Attributes:
        frame: a frame that shows only the background.
    """

    def __init__(self, picture: Picture, transparent: bool) -> None:
        """`picture`: BGR; not shown if `transparent`."""
        self.frame = PlanarFrame.from_bgr(picture)
        if transparent:
            height, width = picture.shape[:2]
            self.frame = PlanarFrame.empty(width, height, transparent=True)
            self.frame.y.fill(BLACK)
            self.frame.cb.fill(NEUTRAL)
            self.frame.cr.fill(NEUTRAL)
            self.frame.alpha.fill(0)

    def show(self, figure: Picture, box: Box, frame: PlanarFrame) -> None:
        """Draw a block of the figure, BGRA with premultiplied alpha, at `box`, which has even bounds.

        The outermost pixels of the block, unless they lie at the frame's border, are only what chroma is filtered from.
        """
        self.show_values(to_ycc(np.ascontiguousarray(figure)), box, frame)

    def show_values(self, values: Picture, box: Box, frame: PlanarFrame) -> None:
        """The same for a block that `to_ycc` has converted."""
        inner, inside = _inner(box, frame)
        half, small = halved(inner), halve(values)[halved(inside)]
        whole_alpha = np.asarray(cv2.extractChannel(values, 3), np.uint8)
        planes = frame.y[inner], frame.cb[half], frame.cr[half]
        for channel, (plane, source) in enumerate(zip(planes, (values[inside], small, small), strict=True)):
            cv2.extractChannel(source, channel, plane)
        if frame.transparent:
            frame.alpha[inner] = whole_alpha[inside]
        if whole_alpha.min() < 255:  # else the figure hides all of the background
            self.mix_luma(planes[0], whole_alpha[inside], self.frame.y[inner])
            self.show_chroma(planes[1], planes[2], np.asarray(cv2.extractChannel(small, 3), np.uint8), inner, frame)

    def mix_luma(self, luma: Picture, alpha: Picture, still: Picture) -> None:
        """Make the frame's Y, in place, of premultiplied Y, uint8 [height, width]; `still`: the background's Y there."""
        if self.frame.transparent:
            cv2.max(cv2.divide(luma, alpha, scale=255), np.array([BLACK], np.float64), luma)
        else:
            cv2.add(luma, cv2.multiply(still, cv2.bitwise_not(alpha), scale=1 / 255), luma)

    def show_chroma(self, blue: Picture, red: Picture, alpha: Picture, box: Box, frame: PlanarFrame) -> None:
        """Draw Cb and Cr as in `FigurePlanes.chroma`, uint8 [height / 2, width / 2], at `box`, in px of the frame."""
        rows, columns = (slice(part.start // 2, part.stop // 2) for part in box)
        if frame.transparent:
            scale = np.float32(255) / np.maximum(alpha, 1)
            for values, target in ((blue, frame.cb), (red, frame.cr)):
                full = NEUTRAL + (values.astype(np.float32) - NEUTRAL) * scale
                target[rows, columns] = np.where(alpha > 0, np.clip(np.round(full), 0, 255), NEUTRAL)
            return
        # In 8 bits, which is several times as fast: share = NEUTRAL + (1 - alpha) * (background - NEUTRAL).
        through = np.asarray(cv2.bitwise_not(alpha), np.uint8)
        offset = cv2.convertScaleAbs(through, alpha=NEUTRAL / 255)
        for values, still, target in ((blue, self.frame.cb, frame.cb), (red, self.frame.cr, frame.cr)):
            share = cv2.multiply(still[rows, columns], through, scale=1 / 255)
            cv2.addWeighted(share, 1, offset, -1, NEUTRAL, share)
            cv2.addWeighted(values, 1, share, 1, -NEUTRAL, target[rows, columns])


def _inner(box: Box, frame: PlanarFrame) -> tuple[Box, Box]:
    """The box without its outermost pixels, in the frame and in the box."""

    def side(part: slice, end: int) -> slice:
        return slice(part.start + (_EDGE if part.start else 0), part.stop - (_EDGE if part.stop < end else 0))

    inner = side(box[0], frame.height), side(box[1], frame.width)
    rows, columns = (slice(a.start - b.start, a.stop - b.start) for a, b in zip(inner, box, strict=True))
    return inner, (rows, columns)
