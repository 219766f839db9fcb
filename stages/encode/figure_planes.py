"""The figure as planes that are quick to sample: an enlarged Y and alpha, and small chroma."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from stages.encode.planes import halve, halved, to_ycc

Picture = npt.NDArray[np.uint8]
Box = tuple[slice, slice]

#: Taps of the Lanczos filter (a = 4) halfway between two samples.
_HALVES = np.arange(-3.5, 4.0)
_WEIGHTS = np.asarray(np.sinc(_HALVES) * np.sinc(_HALVES / 4), np.float64)
_TAPS = _WEIGHTS / _WEIGHTS.sum()
_REACH = len(_TAPS) // 2
_ONE = np.ones(1)


def enlarge(plane: Picture) -> Picture:
    """Enlarge a plane to [2 * height, 2 * width]: sample (2 * y, 2 * x) is the plane's own, those between are Lanczos's.

    Linear interpolation of the result is as sharp as cubic interpolation of the plane, takes half the time, and gives the plane's
    own samples where nothing moves.
    """
    height, width = plane.shape
    tall = np.empty((2 * height, width), np.uint8)
    tall[::2] = plane
    tall[1::2] = _between(plane, _ONE, _TAPS)
    return np.asarray(cv2.merge([tall, _between(tall, _TAPS, _ONE)]), np.uint8).reshape(2 * height, 2 * width)


def _between(plane: Picture, across: npt.NDArray[np.float64], down: npt.NDArray[np.float64]) -> Picture:
    anchor = (_REACH - 1 if len(across) > 1 else 0, _REACH - 1 if len(down) > 1 else 0)
    return np.asarray(
        cv2.sepFilter2D(plane, -1, across, down, anchor=anchor, borderType=cv2.BORDER_REPLICATE), np.uint8
    )


class FigurePlanes:
    """The planes of a figure, BGRA with premultiplied alpha; see `to_ycc`.

    Attributes:
        luma: uint8 [2 * height, 2 * width], see `enlarge`.
        alpha: the same for alpha.
        chroma: Cb, Cr, alpha and an unused channel (OpenCV samples four channels faster than three),
            uint8 [height / 2, width / 2, 4].
    """

    def __init__(self, figure: Picture) -> None:
        self._plain = to_ycc(figure)
        self.luma = enlarge(cv2.extractChannel(self._plain, 0).astype(np.uint8))
        self.alpha = enlarge(cv2.extractChannel(self._plain, 3).astype(np.uint8))
        self.chroma = halve(_chroma_channels(self._plain))
        self._kept: list[tuple[Picture, Box, Picture]] = []

    def repaint(self, colours: Picture, box: Box) -> None:
        """Replace the colours in `box`, BGRA like the figure, until `restore`; alpha stays as it is."""
        height, width = self._plain.shape[:2]
        self._set(self._plain, box, to_ycc(colours))
        outer = _grow(box, _REACH, height, width)
        source = _grow(outer, _REACH, height, width)
        luma = enlarge(np.ascontiguousarray(self._plain[source][..., 0]))
        self._set(self.luma, _scaled(outer, 2), luma[_scaled(_inside(outer, source), 2)])
        outer = _grow(box, 2, height, width)
        source = _grow(outer, 2, height, width)
        chroma = halve(_chroma_channels(self._plain[source]))
        half = _inside(outer, source)
        self._set(self.chroma, halved(outer), chroma[halved(half)])

    def restore(self) -> None:
        """Undo all changes since the last call."""
        for plane, box, before in reversed(self._kept):
            plane[box] = before
        self._kept.clear()

    def _set(self, plane: Picture, box: Box, values: Picture) -> None:
        self._kept.append((plane, box, plane[box].copy()))
        plane[box] = values


def _chroma_channels(values: Picture) -> Picture:
    """Y, Cb, Cr, A to Cb, Cr, A, A."""
    _, blue, red, alpha = cv2.split(values)
    return np.asarray(cv2.merge([blue, red, alpha, alpha]), np.uint8)


def block_around(box: Box, height: int, width: int) -> Box:
    """Grow a box to the block that `Background.show` needs to draw all of it."""
    return _grow(box, 2, height, width)


def _grow(box: Box, by: int, height: int, width: int) -> Box:
    def side(part: slice, end: int) -> slice:
        return slice(max(part.start - by, 0) // 2 * 2, min((part.stop + by + 1) // 2 * 2, end))

    return side(box[0], height), side(box[1], width)


def _inside(box: Box, outer: Box) -> Box:
    rows, columns = (slice(a.start - b.start, a.stop - b.start) for a, b in zip(box, outer, strict=True))
    return rows, columns


def _scaled(box: Box, by: int) -> Box:
    rows, columns = (slice(part.start * by, part.stop * by) for part in box)
    return rows, columns
