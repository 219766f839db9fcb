"""Frames in the planes that video encoders take: Y, Cb and Cr of BT.709 in limited range, 4:2:0 sited left, and alpha.

The portrait is drawn in these planes from the start, so that no frame needs to be converted. Sources: ITU-R BT.709 (the matrix),
ITU-T H.264 annex E (the siting: a chroma sample lies at even columns, between two rows).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
Box = tuple[slice, slice]

#: Y and C of black: the offsets of the limited range.
BLACK, NEUTRAL = 16, 128
_KR, _KB = 0.2126, 0.0722
_LUMA = np.array([_KB, 1 - _KB - _KR, _KR])  # of B, G, R
#: From BGR, 0 to 255, to Y, Cb and Cr without their offsets.
BGR_TO_YCC = np.stack(
    [
        _LUMA * 219 / 255,
        (np.array([1.0, 0.0, 0.0]) - _LUMA) / (2 * (1 - _KB)) * 224 / 255,
        (np.array([0.0, 0.0, 1.0]) - _LUMA) / (2 * (1 - _KR)) * 224 / 255,
    ]
)

#: The same with their offsets: to Y, Cb and Cr.
_TO_YCC = np.column_stack([BGR_TO_YCC, [BLACK, NEUTRAL, NEUTRAL]])


def to_ycc(picture: Picture) -> Picture:
    """Convert BGR, or BGRA with premultiplied alpha, to Y, Cb, Cr, A at full resolution, uint8 [height, width, 4].

    Y is then premultiplied by alpha, too, with its offset; Cb and Cr without theirs, which would clip what a strand of hair that
    the matte missed leaves in the figure.
    """
    if picture.shape[2] == 4 and np.asarray(cv2.extractChannel(picture, 3)).min() < 255:
        by_alpha, fixed = [BLACK / 255, 0, 0], [0, NEUTRAL, NEUTRAL]
        matrix = np.vstack([np.column_stack([BGR_TO_YCC, by_alpha, fixed]), [0, 0, 0, 1, 0]])
        return np.asarray(cv2.transform(picture, matrix), np.uint8)
    # OpenCV's product of three channels with a matrix takes a tenth of the time of one of four.
    colours = picture if picture.shape[2] == 3 else cv2.cvtColor(picture, cv2.COLOR_BGRA2BGR)
    converted = cv2.transform(colours, _TO_YCC)
    return np.asarray(cv2.cvtColor(converted, cv2.COLOR_BGR2BGRA), np.uint8)


def halve(picture: Picture) -> Picture:
    """Filter channels at full resolution down to the chroma planes' samples, [height / 2, width / 2, channels]."""
    pairs = cv2.addWeighted(picture[::2], 0.5, picture[1::2], 0.5, 0)  # 15 times as fast as cv2.resize with INTER_AREA
    smooth = cv2.GaussianBlur(pairs, (3, 1), 0, borderType=cv2.BORDER_REPLICATE)  # 1/4, 1/2, 1/4
    half = picture.shape[1] // 2, picture.shape[0] // 2
    return np.asarray(cv2.resize(smooth, half, interpolation=cv2.INTER_NEAREST), np.uint8)


def halved(box: Box) -> Box:
    """The box in the chroma planes."""
    rows, columns = box  # a third of the time of a loop over both
    return slice(rows.start // 2, rows.stop // 2), slice(columns.start // 2, columns.stop // 2)


@dataclass(frozen=True)
class PlanarFrame:
    """One frame; its sides are even.

    Attributes:
        data: all planes one after the other, as ffmpeg's yuv420p or yuva420p, uint8.
        width, height: px.
        transparent: whether there is an alpha plane; Y, Cb and Cr are not multiplied by it.
        kept: how many frames its source yields after it before the memory, which processes then share, is drawn over.
    """

    data: Picture
    width: int
    height: int
    transparent: bool = False
    kept: int = 0

    @classmethod
    def empty(cls, width: int, height: int, transparent: bool = False) -> PlanarFrame:
        """Make a frame with undefined content."""
        return cls(np.empty(cls.size(width, height, transparent), np.uint8), width, height, transparent)

    @classmethod
    def from_bgr(cls, picture: Picture) -> PlanarFrame:
        """Convert BGR, or BGRA with straight alpha, uint8 [height, width, 3 or 4]."""
        height, width, channels = picture.shape
        frame = cls.empty(width, height, channels == 4)
        values = to_ycc(np.ascontiguousarray(picture[..., :3]))
        chroma = halve(values)
        for channel, (plane, source) in enumerate(((frame.y, values), (frame.cb, chroma), (frame.cr, chroma))):
            cv2.extractChannel(source, channel, plane)
        if channels == 4:
            frame.alpha[:] = picture[..., 3]
        return frame

    @staticmethod
    def size(width: int, height: int, transparent: bool) -> int:
        """Bytes of a frame."""
        return width * height * (5 if transparent else 3) // 2

    @staticmethod
    def layout(transparent: bool) -> str:
        """ffmpeg's name of the layout."""
        return "yuva420p" if transparent else "yuv420p"

    @cached_property
    def y(self) -> Picture:
        """[height, width]."""
        return self.data[: self.width * self.height].reshape(self.height, self.width)

    @cached_property
    def cb(self) -> Picture:
        """[height / 2, width / 2]."""
        return self._chroma(0)

    @cached_property
    def cr(self) -> Picture:
        """[height / 2, width / 2]."""
        return self._chroma(1)

    @cached_property
    def alpha(self) -> Picture:
        """[height, width]; only if `transparent`."""
        return self.data[self.width * self.height * 3 // 2 :].reshape(self.height, self.width)

    def _chroma(self, number: int) -> Picture:
        size = self.width * self.height // 4
        start = self.width * self.height + number * size
        return self.data[start : start + size].reshape(self.height // 2, self.width // 2)

    def planes(self) -> list[Picture]:
        """All planes in their order."""
        return [self.y, self.cb, self.cr, *([self.alpha] if self.transparent else [])]

    def copy(self) -> PlanarFrame:
        """Return a frame with the same content in memory of its own."""
        return PlanarFrame(self.data.copy(), self.width, self.height, self.transparent)

    def to_bgr(self) -> Picture:
        """Convert to BGR, or BGRA if `transparent`, uint8 [height, width, 3 or 4]."""
        to_chroma = np.array([[0.5, 0, 0], [0, 0.5, -0.25]])
        full = [
            cv2.warpAffine(
                plane,
                to_chroma,
                (self.width, self.height),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
            for plane in (self.cb, self.cr)
        ]
        inverse = np.linalg.inv(BGR_TO_YCC)
        matrix = np.column_stack([inverse, -inverse @ np.array([BLACK, NEUTRAL, NEUTRAL])])
        colours = np.asarray(cv2.transform(cv2.merge([self.y, *full]), matrix), np.uint8)
        return np.asarray(cv2.merge([*cv2.split(colours), self.alpha]), np.uint8) if self.transparent else colours
