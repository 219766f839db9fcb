"""The layers of a frame: the moving figure over a still background.

If the picture could not be split, the figure is the whole picture.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from stages.encode.planes import BLACK, NEUTRAL, PlanarFrame, halve, to_ycc
from stages.face.rig.matte import Matte, background_share

Picture = npt.NDArray[np.uint8]
Box = tuple[slice, slice]


def make_figure(portrait: Picture, matte: Matte, new_background: bool) -> Picture:
    """Cut the figure out of a BGR portrait: BGRA with premultiplied alpha, uint8 [height, width, 4]."""
    if not matte:
        return np.asarray(cv2.cvtColor(portrait, cv2.COLOR_BGR2BGRA), np.uint8)
    plate = np.ascontiguousarray(matte.plate[..., ::-1])
    colours = cv2.subtract(portrait, background_share(plate, matte.alpha))
    if new_background:  # colour above alpha is left over from the old background
        colours = np.minimum(colours, matte.alpha[..., None])
    return np.asarray(cv2.merge([*cv2.split(colours), matte.alpha]), np.uint8)


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
        """Draw a block of the figure, BGRA with premultiplied alpha, at `box` with even bounds."""
        values = to_ycc(np.ascontiguousarray(figure))
        luma, blue, red, alpha = cv2.split(values)
        self.show_luma(np.asarray(luma, np.uint8), np.asarray(alpha, np.uint8), box, frame)
        small = halve(np.asarray(cv2.merge([blue, red, alpha]), np.uint8))
        self.show_chroma(small[..., 0], small[..., 1], small[..., 2], box, frame)

    def show_luma(self, luma: Picture, alpha: Picture, box: Box, frame: PlanarFrame) -> None:
        """Draw premultiplied Y, uint8 [height, width], at `box`."""
        if frame.transparent:
            frame.alpha[box] = alpha
            frame.y[box] = cv2.max(cv2.divide(luma, alpha, scale=255), np.array([BLACK], np.float64))
        else:
            share = cv2.multiply(self.frame.y[box], cv2.bitwise_not(alpha), scale=1 / 255)
            frame.y[box] = cv2.add(luma, share)

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
            share = cv2.addWeighted(share, 1, offset, -1, NEUTRAL)
            target[rows, columns] = cv2.addWeighted(values, 1, share, 1, -NEUTRAL)
