"""The figure as planes that are quick to sample: Y and alpha enlarged and in quads, and small chroma.

A quad holds four pixels, two by two, as the channels of one: OpenCV samples it 2.7 times as fast as the four by themselves. All
four are displaced as their middle is: between neighbours the displacement differs by some hundredths of a pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from stages.encode.planes import NEUTRAL, halve, halved, to_ycc

Picture = npt.NDArray[np.uint8]
Box = tuple[slice, slice]
#: Planes, the boxes in them that a repaint changes, and what is there before and after it.
Repaint = list[tuple[Picture, Box, Picture, Picture]]

#: Taps of the Lanczos filter (a = 4) halfway between two samples.
_HALVES = np.arange(-3.5, 4.0)
_WEIGHTS = np.asarray(np.sinc(_HALVES) * np.sinc(_HALVES / 4), np.float64)
TAPS = np.asarray(_WEIGHTS / _WEIGHTS.sum(), np.float32)
_REACH = len(TAPS) // 2
#: Samples without a figure: of Y or alpha, and of `FigurePlanes.chroma`.
NOTHING, NO_CHROMA = np.zeros(1, np.uint8), np.array([NEUTRAL, NEUTRAL, 0, 0], np.uint8)
#: How many times as large as two boxes one around both may be.
_MUCH_LARGER = 2.0
#: Pixels of the largest picture that is enlarged: its quads take 32 bytes for each pixel.
_MOST_ENLARGED = 2048 * 2048
#: Bytes that the processor's cache reads at once, and those of a quad.
_LINE_BYTES, _QUAD_BYTES = 64, 4
#: The planes go on, mirrored, beyond the picture's borders by this part of its shorter side, and by so many px at least: a figure
#: that touches the border may come inward there by less than a px, and filters read on. Farther out, the last sample is repeated.
#: A figure that ends before the border does not go on beyond it: hair close below would come in from above as the head nods.
_MIRRORED, _LEAST_MIRRORED_PX, _OUTSIDE = 0.03, 8, cv2.BORDER_REFLECT_101


def enlarge(plane: Picture) -> Picture:
    """Enlarge a plane to [2 * height, 2 * width]: sample (2 * y, 2 * x) is the plane's own, those between are Lanczos's.

    Linear interpolation of the result is as sharp as cubic interpolation of the plane, takes half the time, and gives the plane's
    own samples where nothing moves.
    """
    height, width = plane.shape
    tall = np.empty((2 * height, width), np.uint8)
    tall[::2] = plane
    tall[1::2] = _between(plane, TAPS[:, None])
    return np.asarray(cv2.merge([tall, _between(tall, TAPS[None])]), np.uint8).reshape(2 * height, 2 * width)


def _between(plane: Picture, taps: npt.NDArray[np.float32]) -> Picture:
    """Filter along one side. cv2.sepFilter2D takes twice as long, since it filters along the other one, too."""
    anchor = tuple((side - 1) // 2 for side in taps.shape[::-1])
    return np.asarray(cv2.filter2D(plane, -1, taps, anchor=anchor, borderType=cv2.BORDER_REPLICATE), np.uint8)


@dataclass(frozen=True)
class Place:
    """How a part of a plane is made of the figure, and where it lies.

    Attributes:
        source: rows and columns of the figure's pixels that are filtered.
        used: the samples that are kept of what the filter gives.
        part: the pixels that these belong to.
        margins: samples beyond them, before and after, in rows and in columns.
        places: rows and columns in the plane.
    """

    source: Box
    used: Box
    part: Box
    margins: list[tuple[int, int]]
    places: Box


@dataclass(frozen=True)
class FigureChanges:
    """How the figure of a frame differs from the figure at rest, before it moves.

    Attributes:
        painted: the figure with these changes, but for the painted mouth: BGRA with premultiplied alpha; valid during the call.
        boxes: where lids, irises and lips were painted.
        folds: how deep the folds beside the mouth are, 0 to 1; they are in `painted`, too, at the composer's `folds_at`.
        mouth: the number of the painted mouth to paste over all of this; None for none.
    """

    painted: Picture
    boxes: tuple[Box, ...]
    folds: float
    mouth: int | None


class FigurePlanes:
    """The planes of a figure, BGRA with premultiplied alpha; see `to_ycc`.

    Attributes:
        values: the figure as `to_ycc` converts it.
        scale: samples for each pixel, in both directions, of `luma` and `alpha`: 2, see `enlarge`; 1 in a very large picture.
        margin: samples that `luma` and `alpha` go on beyond each border of the picture.
        luma: quads of Y: the upper left pixel of quad (y, x) is sample (y, x) - `margin`, then come the ones at its right,
            below it and at the right of that; uint8 [scale * (height - 1) + 2 * margin, scale * (width - 1) + 2 * margin, 4].
        alpha: the same for alpha.
        chroma: Cb, Cr, alpha and an unused channel (OpenCV samples four channels faster than three),
            uint8 [height / 2 + margin / scale, width / 2 + margin / scale, 4]; it goes on beyond the borders as far as `luma`.
    """

    def __init__(self, figure: Picture) -> None:
        self.values = to_ycc(figure)
        height, width = figure.shape[:2]
        self.scale = 2 if height * width <= _MOST_ENLARGED else 1
        #: The places that were made, by plane and by box: each frame repaints the same few boxes.
        self._places: dict[tuple[str, int, int, int, int], Place] = {}
        self._margin_px = max(_LEAST_MIRRORED_PX, round(_MIRRORED * min(height, width) / 2) * 2)
        self.margin = self.scale * self._margin_px
        whole = slice(0, height), slice(0, width)
        with ThreadPoolExecutor(2) as threads:
            self.luma, self.alpha = threads.map(lambda channel: self._quads(channel, whole)[1], (0, 3))
        self.chroma = self._chroma(whole)[1]
        self._kept: list[tuple[Picture, Box, Picture]] = []

    @property
    def nbytes(self) -> int:
        """Bytes of all planes."""
        return sum(plane.nbytes for plane in (self.values, self.luma, self.alpha, self.chroma))

    def repaint(self, colours: Picture, box: Box) -> None:
        """Replace the colours in `box`, BGRA like the figure, until `restore`; alpha stays as it is."""
        self._set(self.values, box, to_ycc(colours))
        self._set(self.luma, *self._quads(0, box))
        self._set(self.chroma, *self._chroma(box))

    def prepare(self, colours: Picture, box: Box) -> Repaint:
        """Make what `repaint` would, for `mix`."""
        self.repaint(colours, box)
        prepared = [(plane, place, before, plane[place].copy()) for plane, place, before in self._kept]
        self.restore()
        return prepared

    def mix(self, prepared: Repaint, share: float) -> None:
        """Mix colours that were prepared, by their `share` of 0 to 1, with those at rest, until `restore`.

        Takes a fraction of the time of `repaint`; calls of that come later.
        """
        for plane, box, before, after in prepared:
            self._kept.append((plane, box, before))
            cv2.addWeighted(after, share, before, 1 - share, 0, plane[box])

    def chroma_place(self, box: Box) -> Place:
        """Return how all chroma samples that a change in `box` reaches are made, and where they are."""
        return self._made_once("chroma", self._make_chroma_place, box)

    def quads_place(self, box: Box) -> Place:
        """Return how all quads that a change in `box` reaches are made, and where they are."""
        return self._made_once("quads", self._make_quads_place, box)

    def _made_once(self, plane: str, make: Callable[[Box], Place], box: Box) -> Place:
        rows, columns = box
        key = plane, rows.start, rows.stop, columns.start, columns.stop
        if key not in self._places:
            self._places[key] = make(box)
        return self._places[key]

    def _make_chroma_place(self, box: Box) -> Place:
        height, width = self.values.shape[:2]
        box = _grow(box, 2, height, width)
        box = self._to_border(box[0], height), self._to_border(box[1], width)
        source = _grow(box, 2, height, width)
        margin = self._margin_px // 2
        margins = [
            (margin if part.start == 0 else 0, margin if part.stop == end else 0)
            for part, end in zip(box, (height, width), strict=True)
        ]
        places = [
            slice(part.start // 2 + margin - before, part.stop // 2 + margin + after)
            for part, (before, after) in zip(box, margins, strict=True)
        ]
        return Place(source, halved(_inside(box, source)), box, margins, (places[0], places[1]))

    def _make_quads_place(self, box: Box) -> Place:
        height, width = self.values.shape[:2]
        box = _grow(box, _REACH, height, width)
        box = self._to_border(box[0], height), self._to_border(box[1], width)
        source = _grow(box, _REACH + 1, height, width)
        used, places, margins, parts = [], [], [], []
        for part, whole, end in zip(box, source, (height, width), strict=True):
            first, last = max(part.start - 1, 0), min(part.stop + 1, end)
            used.append(slice((first - whole.start) * self.scale, (last - whole.start) * self.scale))
            before, after = (self.margin if at_border else 0 for at_border in (part.start == 0, part.stop == end))
            margins.append((before, after))
            parts.append(slice(first, last))
            places.append(
                slice(
                    first * self.scale + self.margin - before,
                    (last - 1) * self.scale + self.margin + after,
                )
            )
        return Place(source, (used[0], used[1]), (parts[0], parts[1]), margins, (places[0], places[1]))

    def _chroma(self, box: Box) -> tuple[Box, Picture]:
        place = self.chroma_place(box)
        samples = halve(_chroma_channels(self.values[place.source]))[place.used]
        return place.places, self._with_margins(samples, place.part, place.margins, NO_CHROMA)

    def _quads(self, channel: int, box: Box) -> tuple[Box, Picture]:
        place = self.quads_place(box)
        # numpy takes ten times as long
        samples = np.asarray(cv2.extractChannel(self.values[place.source], channel), np.uint8)
        if self.scale == 2:
            samples = enlarge(samples)
        samples = self._with_margins(samples[place.used], place.part, place.margins, NOTHING)
        apart = slice(None, -self.scale), slice(self.scale, None)
        return place.places, np.asarray(cv2.merge([samples[y, x] for y in apart for x in apart]), np.uint8)

    def _with_margins(self, samples: Picture, box: Box, margins: list[tuple[int, int]], empty: Picture) -> Picture:
        """Let samples of `box` go on by so many beyond its upper and lower, left and right border, where the figure does.

        `empty` is the sample of no figure.
        """
        if not any(map(any, margins)):
            return samples
        whole = np.asarray(cv2.copyMakeBorder(samples, *margins[0], *margins[1], _OUTSIDE), np.uint8)
        for axis, (before, after) in enumerate(margins):
            for count, edge in ((before, 0), (after, -1)):
                if not count:
                    continue
                share = self.margin_share(axis, edge, box, margins, samples.shape[1 - axis])
                if share is None:
                    continue
                beyond = slice(0, count) if edge == 0 else slice(-count, None)
                strip = whole[beyond] if axis == 0 else whole[:, beyond]
                share = np.expand_dims(share, [axis, *range(2, strip.ndim)])
                strip[:] = empty + share * (strip.astype(np.float32) - empty) + 0.5
        return whole

    def margin_share(
        self, axis: int, edge: int, box: Box, margins: list[tuple[int, int]], length: int
    ) -> npt.NDArray[np.float32] | None:
        """Compute how much of the figure goes on beyond a border of the picture, 0 to 1, along it; None where all of it does.

        Args:
            axis, edge: which border: 0 and 0 is the upper one, 1 and -1 the right one.
            box, margins: of the samples, as in `Place`.
            length: number of samples along the border, without the margins.
        """
        alpha = (self.values[edge, :, 3] if axis == 0 else self.values[:, edge, 3])[box[1 - axis]]
        if alpha.min() == 255:
            return None
        line = cv2.resize(alpha[None], (length, 1), interpolation=cv2.INTER_NEAREST)[0]
        return np.pad(line, margins[1 - axis], mode="reflect").astype(np.float32) / 255

    def _to_border(self, part: slice, end: int) -> slice:
        """Grow one side of a box up to a border near it, and inward so far as the mirrored margin of that border shows."""
        start, stop, deep = part.start, part.stop, self._margin_px + 2
        if start < deep:
            start, stop = 0, min(max(stop, deep), end)
        if stop > end - deep:
            start, stop = max(min(start, end - deep), 0) // 2 * 2, end
        return slice(start, stop)

    def restore(self) -> None:
        """Undo all changes since the last call."""
        for plane, box, before in reversed(self._kept):
            plane[box] = before
        self._kept.clear()

    def _set(self, plane: Picture, box: Box, values: Picture) -> None:
        self._kept.append((plane, box, plane[box].copy()))
        plane[box] = values


def read_ahead(plane: Picture, places: npt.NDArray[np.float32]) -> None:
    """Read what lies about `places`, [rows, columns, 2], of a plane of quads row by row, so that it is in the processor's cache.

    Sampling goes along rows of the frame. In a turned head these lead across rows of the plane, so that nearly every line of the
    cache comes from another row, which the processor cannot foresee. Reading in the plane's order first and then sampling took
    four fifths of the time of sampling alone.
    """
    last, right_most, at = places.shape[0] - 1, places.shape[1] - 1, places.item  # half the time of slices
    x = at(0, 0, 0), at(0, right_most, 0), at(last, 0, 0), at(last, right_most, 0)
    y = at(0, 0, 1), at(0, right_most, 1), at(last, 0, 1), at(last, right_most, 1)
    left, top, right, bottom = max(int(min(x)), 0), max(int(min(y)), 0), max(int(max(x)), 0), max(int(max(y)), 0)
    quads = _LINE_BYTES // _QUAD_BYTES
    columns = slice(left // quads * _LINE_BYTES, (right // quads + 2) * _LINE_BYTES, _LINE_BYTES)
    plane.reshape(len(plane), -1)[top : bottom + 2, columns].copy()  # takes less time than their maximum


def _chroma_channels(values: Picture) -> Picture:
    """Y, Cb, Cr, A to Cb, Cr, A, A."""
    _, blue, red, alpha = cv2.split(values)
    return np.asarray(cv2.merge([blue, red, alpha, alpha]), np.uint8)


def block_around(box: Box, height: int, width: int) -> Box:
    """Grow a box to the block that `Background.show` needs to draw all of it."""
    return _grow(box, 2, height, width)


def together(boxes: list[Box]) -> list[Box]:
    """Make one box of both eyes', unless it is much larger: one repaint of a little more takes less time than two."""
    if len(boxes) < 2:
        return boxes
    first, second, *others = boxes
    rows, columns = (slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(first, second, strict=True))
    if _area((rows, columns)) > _MUCH_LARGER * (_area(first) + _area(second)):
        return boxes
    return [(rows, columns), *others]


def _area(box: Box) -> int:
    rows, columns = box
    return int(rows.stop - rows.start) * int(columns.stop - columns.start)


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
