"""Sums displacement fields, inverts them, and samples the figure through them: once per pixel and frame."""

from __future__ import annotations

from itertools import accumulate, groupby, pairwise
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from stages.encode.figure_planes import FigurePlanes
from stages.encode.layers import Background, Box
from stages.encode.planes import PlanarFrame, halved
from stages.face.rig.grid import CellBlock
from stages.face.sampling import sample

FloatArray = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

_remap: Any = cv2.remap  # its stub knows no empty second map
#: Cells added on each side of the grid, so that interpolation reaches the block's border; even times any step.
_PAD = 2
#: An inversion stops when no pixel misses its source by more cells (OpenCV's interpolation knows places to 1/32), after at most
#: so many steps; the first are plain ones.
_CLOSE = np.zeros(2), np.full(2, 1 / 16)
_MOST_STEPS, _PLAIN_STEPS = 24, 4
#: Width of the tiles, px; a multiple of twice every grid step, and so is a band's height.
_TILE_PX = 24
#: Pixels of a band: so many stay in the processor's cache.
_BAND_PIXELS = 100_000


class FieldSum:
    """Fields over the same cells.

    They are added one by one: a matrix product would be shared among the threads of BLAS, which wait for each other longer than
    this takes, and differs in the last bit from one processor to the next.
    """

    def __init__(self, fields: FloatArray) -> None:
        """Take the fields, [k, rows, columns, 2]."""
        self._shape = fields.shape[1:]
        self._matrix = np.ascontiguousarray(fields).reshape(len(fields), 1, int(np.prod(self._shape)))

    def sum(self, weights: FloatArray) -> FloatArray:
        """Sum the fields by `weights`, [k], to a displacement in px, [rows, columns, 2]."""
        total = np.zeros(self._matrix.shape[1:], np.float32)
        for weight, field in zip(weights.tolist(), self._matrix, strict=True):
            if weight:
                cv2.scaleAdd(field, weight, total, total)
        return total.reshape(self._shape)


def coarsened(fields: FloatArray) -> FloatArray:
    """Halve the resolution of fields, [k, rows, columns, 2], for `refined`: that of `CellBlock.coarse`."""
    rows, columns = fields.shape[1:3]
    even = (cv2.copyMakeBorder(field, 0, rows % 2, 0, columns % 2, cv2.BORDER_REPLICATE) for field in fields)
    half = [cv2.resize(field, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for field in even]
    return np.asarray(half, np.float32).reshape(len(fields), (rows + 1) // 2, (columns + 1) // 2, 2)


def refined(coarse: FloatArray, part: Box) -> FloatArray:
    """Interpolate a field of half the resolution, [rows, columns, 2], in the cells `part` of the whole one."""
    source, inside = [], []
    for side, end in zip(part, coarse.shape, strict=False):
        first = max(side.start // 2 - 1, 0)
        source.append(slice(first, min((side.stop + 1) // 2 + 1, end)))
        inside.append(slice(side.start - 2 * first, side.stop - 2 * first))
    fine = cv2.resize(coarse[tuple(source)], None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    return np.asarray(fine[tuple(inside)], np.float32)


class FieldInverter:
    """Inverts a forward displacement (where a point moves to) into a backward one (where a pixel comes from).

    Plain steps to the fixed point converge fast where the field is level. Where they have not after a few, half steps go on: they
    converge wherever the field neither folds nor stretches by four.

    Attributes:
        residual: largest distance, px, by which a pixel misses its source after the last `invert`.
    """

    def __init__(self, cells: CellBlock, step: int, part: CellBlock | None = None) -> None:
        """Prepare to invert fields over the block `cells`, within the block `part` (default: all of it)."""
        rows, columns = (part or cells).within(cells)
        x, y = np.meshgrid(
            np.arange(columns.start, columns.stop, dtype=np.float32), np.arange(rows.start, rows.stop, dtype=np.float32)
        )
        self._identity = np.dstack([x, y])
        self._within = rows, columns
        self._step = step
        self.residual = 0.0

    def invert(self, forward: FloatArray, guess: FloatArray | None = None) -> FloatArray:
        """Compute the displacement from each destination to its source, px, [rows, columns, 2] of the part.

        Args:
            forward: the field, px, [rows, columns, 2] of the block.
            guess: about what the result is, which saves steps; by default the negative field.
        """
        toward = np.asarray(forward * np.float32(-1 / self._step), np.float32)  # in cells, like all that follows
        places: FloatArray = self._identity + (
            toward[self._within] if guess is None else guess * np.float32(1 / self._step)
        )
        top, left, (bottom, right) = 0, 0, places.shape[:2]
        for count in range(_MOST_STEPS):
            rows, columns = slice(top, bottom), slice(left, right)
            here = places[rows, columns]
            found = cv2.add(sample(toward, here), self._identity[rows, columns])
            apart = cv2.absdiff(found, here)
            here[:] = found if count < _PLAIN_STEPS else (found + here) * np.float32(0.5)
            far = cv2.bitwise_not(cv2.inRange(apart, _CLOSE[0], _CLOSE[1]))
            x, y, width, height = cv2.boundingRect(far)
            if not width:
                break
            top, left = top + y, left + x
            bottom, right = top + height, left + width
        self.residual = float(cv2.norm(apart, cv2.NORM_INF)) * self._step
        places -= self._identity
        places *= np.float32(self._step)
        return places


class FigureSampler:
    """Draws the figure, displaced by a field, into the planes of a frame.

    Works on bands of rows, which stay in the processor's cache. Tiles in which there is only background are left out, and
    alpha is sampled only in tiles that hold both.
    """

    def __init__(self, planes: FigurePlanes, background: Background, cells: CellBlock, step: int) -> None:
        """Prepare to draw the block `cells`, whose bounds are even or at the picture's border."""
        self._planes, self._background, self._cells, self._step = planes, background, cells, step
        height, width = background.frame.height, background.frame.width
        self.left, self.top = cells.left * step, cells.top * step
        self.right, self.bottom = min(cells.right * step, width), min(cells.bottom * step, height)
        x, y = np.meshgrid(
            np.arange(cells.left, cells.right, 2, dtype=np.float32),
            np.arange(cells.top, cells.bottom, 2, dtype=np.float32),
        )
        beyond = (planes.margin - planes.scale) // (planes.scale * step)  # cells
        self._every_second = np.dstack([x, y]) + np.float32(beyond)
        self._points = quad_points(planes, cells, step, _PAD)
        self._coverage = _coverage(planes, step, beyond)
        rows = max(1, round(_BAND_PIXELS / (self.right - self.left) / _TILE_PX)) * _TILE_PX
        self._tile = rows // step, _TILE_PX // step  # cells

    @property
    def box(self) -> Box:
        """Rows and columns of the block in the portrait."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def draw(self, backward: FloatArray, frame: PlanarFrame) -> None:
        """Draw the block, with its background, into `frame`.

        Args:
            backward: displacement from each destination to its source, px, float32 [rows, columns, 2].
            frame: the frame to draw into.
        """
        lowest, highest = self._tiles(backward)
        padded = cv2.copyMakeBorder(backward, _PAD, _PAD, _PAD, _PAD, cv2.BORDER_REPLICATE)
        quads = np.asarray(cv2.scaleAdd(padded, self._planes.scale, self._points), np.float32)
        for band, (low, high) in enumerate(zip(lowest, highest, strict=True)):
            used = np.flatnonzero(high)
            first, last = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 0)
            self._reset_tiles(band, 0, first, frame)
            self._reset_tiles(band, last, len(high), frame)
            if len(used):
                mixed = low[first:last] < 255
                self._draw_tiles(quads, band, first, last, mixed, frame)

    def _reset_tiles(self, band: int, first: int, last: int, frame: PlanarFrame) -> None:
        """Draw the background alone in the tiles `first` to `last` of a band."""
        if first == last:
            return
        rows, columns = self._box_of(band, first, last)
        for target, still in zip(frame.planes(), self._background.frame.planes(), strict=True):
            by = frame.height // target.shape[0]
            part = slice(rows.start // by, rows.stop // by), slice(columns.start // by, columns.stop // by)
            target[part] = still[part]

    def _tiles(self, backward: FloatArray) -> tuple[Picture, Picture]:
        """Lowest alpha that each tile may show, and 0 for tiles without any of the figure, [bands, tiles]."""
        places = np.ascontiguousarray(backward[::2, ::2])
        cv2.scaleAdd(places, 1 / self._step, self._every_second, places)
        found = sample(self._coverage, places, cv2.INTER_NEAREST)
        starts = [np.arange(0, side, tile // 2) for side, tile in zip(found.shape, self._tile, strict=False)]
        lowest = np.minimum.reduceat(np.minimum.reduceat(found[..., 0], starts[0], axis=0), starts[1], axis=1)
        highest = np.maximum.reduceat(np.maximum.reduceat(found[..., 1], starts[0], axis=0), starts[1], axis=1)
        return lowest, highest

    def _draw_tiles(
        self, quads: FloatArray, band: int, first: int, last: int, mixed: npt.NDArray[np.bool_], frame: PlanarFrame
    ) -> None:
        """Draw the tiles `first` to `last` of a band, and compose them where they are `mixed`."""
        box = self._box_of(band, first, last)
        half = halved(box)
        places = self._enlarge_map(quads, band, first, last, box)
        _unfold(sample(self._planes.luma, places), frame.y[box])
        # Chroma sample (x, y) lies at (2 * x, 2 * y + 1/2): half a px to the left of the quad's middle, as its upper left pixel.
        per_sample = 0.5 / self._planes.scale
        in_chroma = np.asarray(places * np.float32(per_sample), np.float32)
        blue, red = frame.cb[half], frame.cr[half]
        thin = np.empty(blue.shape, np.uint8)
        cv2.split(sample(self._planes.chroma, in_chroma), [blue, red, thin, np.empty_like(thin)])
        for start, stop in _runs(mixed):
            part = self._box_of(band, first + start, first + stop)
            left, right = ((column - box[1].start) // 2 for column in (part[1].start, part[1].stop))
            alpha = np.empty((part[0].stop - part[0].start, part[1].stop - part[1].start), np.uint8)
            _unfold(sample(self._planes.alpha, places[:, left:right]), alpha)
            self._background.show_luma(frame.y[part], alpha, part, frame)
            inside = slice(None), slice(left, right)
            self._background.show_chroma(blue[inside], red[inside], thin[inside], part, frame)
        if frame.transparent:
            for start, stop in _runs(~mixed):
                frame.alpha[self._box_of(band, first + start, first + stop)] = 255

    def _box_of(self, band: int, first: int, last: int) -> Box:
        """Rows and columns in the frame of the tiles `first` to `last` of a band."""
        height, width = (tile * self._step for tile in self._tile)
        return (
            slice(self.top + band * height, min(self.top + (band + 1) * height, self.bottom)),
            slice(self.left + first * width, min(self.left + last * width, self.right)),
        )

    def _enlarge_map(self, coarse: FloatArray, band: int, first: int, last: int, box: Box) -> FloatArray:
        """Interpolate a padded grid of points linearly, to the middles of the quads of a box."""
        height, width = self._tile
        part = coarse[
            band * height : (band + 1) * height + 2 * _PAD,
            first * width : last * width + 2 * _PAD,
        ]
        scale = self._step / 2
        fine = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        margin = round(_PAD * scale)
        rows, columns = ((side.stop - side.start) // 2 for side in box)
        return np.asarray(fine[margin : margin + rows, margin : margin + columns], np.float32)


def _unfold(quads: Picture, plane: Picture) -> None:
    """Write quads, [rows, columns, 4], into a plane, [2 * rows, 2 * columns]."""
    for number, rows in enumerate((plane[::2], plane[1::2])):
        # Not cv2.split: at widths such as 512 it takes 15 times as long, since all three arrays share lines of the cache.
        cv2.extractChannel(quads.view(np.uint16), number, rows.view(np.uint16))


def quad_points(planes: FigurePlanes, cells: CellBlock, step: int, pad: int) -> FloatArray:
    """Compute where the cells of a block, and `pad` more on each side, lie in `planes.luma`, [rows, columns, 2] as (x, y)."""
    x, y = np.meshgrid(
        np.arange(cells.left - pad, cells.right + pad, dtype=np.float32),
        np.arange(cells.top - pad, cells.bottom + pad, dtype=np.float32),
    )
    # The upper left pixel of a quad is half a px above and to the left of its middle.
    points = np.dstack([x, y]) * np.float32(step) + np.float32((step - 1) / 2 - 0.5)
    return np.asarray(points * np.float32(planes.scale) + np.float32(planes.margin), np.float32)


def _coverage(planes: FigurePlanes, step: int, beyond: int) -> Picture:
    """Lowest alpha, and highest alpha or Y, within three cells of each cell, uint8 [rows, columns, 2], with so many cells beyond
    each of the picture's borders.

    Where alpha is 0 there may still be Y: a strand of hair that the matte missed.
    """
    side = planes.scale * step
    first = planes.margin - beyond * side
    rest = slice(first, planes.scale - first or None)

    def of_cells(chosen: np.ufunc, quads: Picture) -> Picture:
        plane = np.asarray(cv2.extractChannel(quads[rest, rest], 0), np.uint8)
        height, width = plane.shape
        whole = np.asarray(
            cv2.copyMakeBorder(plane, 0, -height % side, 0, -width % side, cv2.BORDER_REPLICATE), np.uint8
        )
        # Axis by axis, which is several times as fast.
        flat = chosen.reduce(whole.reshape(-1, side, whole.shape[1]), axis=1)
        return np.asarray(chosen.reduce(flat.reshape(len(flat), -1, side), axis=2), np.uint8)

    kernel = np.ones((7, 7), np.uint8)
    lowest = of_cells(np.minimum, planes.alpha)
    highest = np.maximum(of_cells(np.maximum, planes.alpha), of_cells(np.maximum, planes.luma))
    return np.asarray(cv2.merge([cv2.erode(lowest, kernel), cv2.dilate(highest, kernel)]), np.uint8)


def _runs(marks: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and one past the last of each run of marked tiles."""
    ends = accumulate(len(list(run)) for _, run in groupby(marks.tolist()))
    return [(start, stop) for start, stop in pairwise([0, *ends]) if marks[start]]


def field_at_points(field: FloatArray, cells: CellBlock, step: int, points: FloatArray) -> FloatArray:
    """Interpolate a block's field, [rows, columns, channels], bilinearly at portrait points, [..., 2] px: [..., channels]."""
    places = (points - np.float32((step - 1) / 2)) * np.float32(1.0 / step) - np.array(
        [cells.left, cells.top], np.float32
    )
    flat = places.reshape(-1, 1, 2) if places.ndim == 2 else places
    values = sample(field, flat.astype(np.float32))
    return np.asarray(values, np.float32).reshape(*points.shape[:-1], field.shape[-1])


def field_in_box(field: FloatArray, cells: CellBlock, step: int, box: Box) -> FloatArray:
    """The same at all pixels of a box, [height, width, channels]: many times as fast."""
    used, beyond, inside = [], [], []
    for part, first, end in zip(box, (cells.top, cells.left), cells.shape, strict=True):
        start, stop = part.start // step - first - 1, -(-part.stop // step) - first + 1
        beyond.append((max(-start, 0), max(stop - end, 0)))
        used.append(slice(min(max(start, 0), end - 1), max(min(stop, end), 1)))
        inside.append(slice(part.start - (start + first) * step, part.stop - (start + first) * step))
    part_of_it = field[used[0], used[1]]
    if any(map(any, beyond)):
        part_of_it = np.asarray(cv2.copyMakeBorder(part_of_it, *beyond[0], *beyond[1], cv2.BORDER_REPLICATE))
    fine = cv2.resize(part_of_it, None, fx=step, fy=step, interpolation=cv2.INTER_LINEAR)
    return np.asarray(fine[inside[0], inside[1]], np.float32)
