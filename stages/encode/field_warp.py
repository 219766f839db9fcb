"""Sums displacement fields, inverts them, and samples the figure through them: once per pixel and frame."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from stages.encode.figure.coverage import SQUARE_PX, Coverage
from stages.encode.figure_planes import NO_CHROMA, FigurePlanes, read_ahead
from stages.encode.layers import Background, Box
from stages.encode.planes import PlanarFrame, halved
from stages.face.rig.grid import CellBlock
from stages.face.sampling import sample, sample_into

FloatArray = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

_compare: Any = cv2.compare  # its stub knows no number
#: Cells added on each side of the grid, so that interpolation reaches the block's border; even times any step.
_PAD = 2
#: An inversion stops when no pixel misses its source by more cells (OpenCV's interpolation knows places to 1/32), after at most
#: so many steps; the first are plain ones.
_CLOSE = 1 / 16
_MOST_STEPS, _PLAIN_STEPS = 24, 4
#: Width of the tiles, in each of which the coverage is looked up, and height of the strips, px; multiples of every grid step, and
#: of twice every odd one.
_TILE_PX, _STRIP_PX = SQUARE_PX, 48
#: Quads of Y and alpha and samples of chroma without a figure, as one number each: numpy copies these several times as fast.
_EMPTY = (0, 0, int(NO_CHROMA.view(np.uint32)[0]))
#: Pixels of a band: so many stay in the processor's cache.
_BAND_PIXELS = 200_000


class FieldSum:
    """Fields over the same cells.

    They are added one by one, each where it is not zero: a matrix product would be shared among the threads of BLAS, which wait
    for each other longer than this takes, and differs in the last bit from one processor to the next.
    """

    def __init__(self, fields: FloatArray) -> None:
        """Take the fields, [k, rows, columns, 2]."""
        self._shape = fields.shape[1:]
        self._parts = [_where_not_zero(shift) for shift in fields]

    def sum(self, weights: FloatArray) -> FloatArray:
        """Sum the fields by `weights`, [k], to a displacement in px, [rows, columns, 2]."""
        total = np.zeros(self._shape, np.float32)
        self.add(weights, total)
        return total

    def add(self, weights: FloatArray, total: FloatArray) -> None:
        """Add the sum to a displacement, in place."""
        for weight, (box, shift) in zip(weights.tolist(), self._parts, strict=True):
            if weight:
                part = total[box]
                cv2.scaleAdd(shift, weight, part, part)


def _where_not_zero(shift: FloatArray) -> tuple[Box, FloatArray]:
    """The smallest box that holds all of a field, [rows, columns, 2], that is not zero, and the field in it."""
    # In a fifth of numpy's time; both channels as one, see `FieldInverter`.
    x, y, width, height = cv2.boundingRect(_compare(np.ascontiguousarray(shift).reshape(len(shift), -1), 0, cv2.CMP_NE))
    if not width:
        return (slice(0, 1), slice(0, 1)), np.zeros((1, 1, 2), np.float32)
    box = slice(y, y + height), slice(x // 2, (x + width + 1) // 2)
    return box, np.ascontiguousarray(shift[box])


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
        start, scale = (toward[self._within], 1.0) if guess is None else (guess, 1 / self._step)
        places = np.asarray(cv2.scaleAdd(start, scale, self._identity), np.float32)
        top, left, (bottom, right) = 0, 0, places.shape[:2]
        for count in range(_MOST_STEPS):
            rows, columns = slice(top, bottom), slice(left, right)
            here = places[rows, columns]
            found = sample(toward, here)
            cv2.add(found, self._identity[rows, columns], found)
            apart = cv2.absdiff(found, here)
            here[:] = found if count < _PLAIN_STEPS else cv2.addWeighted(found, 0.5, here, 0.5, 0)
            # As one channel, which is compared in a third of the time of two.
            far = _compare(apart.reshape(len(apart), -1), _CLOSE, cv2.CMP_GT)
            x, y, width, height = cv2.boundingRect(far)
            if not width:
                break
            top, bottom = top + y, top + y + height
            left, right = left + x // 2, left + (x + width + 1) // 2
        self.residual = float(cv2.norm(apart, cv2.NORM_INF)) * self._step
        places -= self._identity
        places *= np.float32(self._step)
        return places


@dataclass(frozen=True)
class BandTiles:
    """What the tiles of a band may show.

    Attributes:
        first, stop: the first tile that shows any of the figure, and one past the last.
        shown, mixed, empty: parts of the strips with any of the figure, with background, too, and only with that, between these
            tiles: rows and columns of quads, from the upper left one of the tile `first` on.
        composed: first and one past the last of each run of tiles that hold any background.
    """

    first: int
    stop: int
    shown: list[Box] = field(default_factory=list)
    mixed: list[Box] = field(default_factory=list)
    empty: list[Box] = field(default_factory=list)
    composed: list[tuple[int, int]] = field(default_factory=list)


class FigureSampler:
    """Draws the figure, displaced by a field, into the planes of a frame.

    Works on bands of rows, which stay in the processor's cache; what is made of a band lies in memory that all bands share. In a
    band the figure is sampled strip by strip: most of the time is spent on reading its planes, and a strip is narrower than its
    band. Tiles in which there is only background are left out, and alpha is sampled only in tiles that hold both.
    """

    def __init__(self, planes: FigurePlanes, background: Background, cells: CellBlock, coverage: Coverage) -> None:
        """Prepare to draw the block `cells`, whose bounds are even or at the picture's border; `coverage` is of these planes."""
        step = coverage.step
        self._planes, self._background, self._cells, self._step = planes, background, cells, step
        height, width = background.frame.height, background.frame.width
        self.left, self.top = cells.left * step, cells.top * step
        self.right, self.bottom = min(cells.right * step, width), min(cells.bottom * step, height)
        #: Cells added before and after the rows and the columns; an even number of cells is the result, see `_enlarge_map`.
        self._beside = [(_PAD, _PAD + side % 2) for side in cells.shape]
        even = CellBlock(cells.top, cells.left, cells.bottom + cells.shape[0] % 2, cells.right + cells.shape[1] % 2)
        self._points = quad_points(planes, even, step, _PAD)
        #: Strips in a band.
        self._strips = max(1, round(_BAND_PIXELS / (self.right - self.left) / _STRIP_PX))
        self._tile = self._strips * _STRIP_PX // step, _TILE_PX // step  # cells
        #: The rows and columns of cells at which the tiles' content is looked up, in the middle of squares as wide as a tile; and
        #: where they are in the coverage, in which all that a square may show is seen.
        square, beyond = coverage.square, coverage.beyond
        rows, columns = (np.minimum(np.arange(0, side, square) + square // 2, side - 1) for side in cells.shape)
        self._looked_up = rows[:, None], columns
        x, y = np.meshgrid(columns + cells.left + beyond, rows + cells.top + beyond)
        self._looked_up_at = np.dstack([x, y]).astype(np.float32)
        self._coverage = coverage.values
        #: As high as a strip, in rows of squares.
        self._strip_rows = np.ones((_STRIP_PX // step // square, 1), np.uint8)
        most = self._strips * _STRIP_PX // 2, (self.right - self.left) // 2  # quads in a band
        self._in_chroma = np.empty((*most, 2), np.float32)
        self._luma, self._alpha, self._chroma = (np.empty((*most, 4), np.uint8) for _ in range(3))
        self._thin = np.empty(most, np.uint8)
        #: The background's Y in quads, in which the figure's is sampled: so both are mixed before they are written apart.
        self._still = _fold(background.frame.y)

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
        padded = cv2.copyMakeBorder(backward, *self._beside[0], *self._beside[1], cv2.BORDER_REPLICATE)
        quads = np.asarray(cv2.scaleAdd(padded, self._planes.scale, self._points), np.float32)
        for band, tiles in enumerate(self._tiles(backward)):
            self._show_background(band, tiles, frame)
            if tiles.shown:
                self._draw_tiles(quads, band, tiles, frame)

    def _show_background(self, band: int, tiles: BandTiles, frame: PlanarFrame) -> None:
        """Draw what is beside the figure in a band: the background alone."""
        rows, figure = self._box_of(band, tiles.first, tiles.stop) if tiles.shown else self._box_of(band, 0, 0)
        for columns in (slice(self.left, figure.start), slice(figure.stop, self.right)):
            if columns.start < columns.stop:
                for plane, still in zip(frame.planes(), self._background.frame.planes(), strict=True):
                    box = (rows, columns) if len(plane) == frame.height else halved((rows, columns))
                    plane[box] = still[box]

    def _tiles(self, backward: FloatArray) -> list[BandTiles]:
        """Find what the tiles of each band may show."""
        # As one number of 8 bytes for both channels: numpy takes six times as long to copy them by themselves.
        places = (
            backward.view(np.complex64)[self._looked_up].squeeze(-1).view(np.float32).reshape(self._looked_up_at.shape)
        )
        cv2.scaleAdd(places, 1 / self._step, self._looked_up_at, places)
        found = sample(self._coverage, places, cv2.INTER_NEAREST)
        # The maximum of each strip, in a fifth of the time of numpy's reduceat.
        most = cv2.dilate(found, self._strip_rows, anchor=(0, 0))[:: len(self._strip_rows)]
        shown, whole = most[..., 1] > 0, most[..., 0] == 0
        bands = np.arange(0, len(shown), self._strips)
        used, even = np.logical_or.reduceat(shown, bands, axis=0), np.logical_and.reduceat(whole, bands, axis=0)
        first, stop = used.argmax(axis=1), used.shape[1] - used[:, ::-1].argmax(axis=1)
        tiles = [BandTiles(*bounds) for bounds in zip(first.tolist(), stop.tolist(), strict=True)]
        column, strip = np.arange(used.shape[1]), np.arange(len(shown)) // self._strips
        inside = ((column >= first[:, None]) & (column < stop[:, None]))[strip]
        composed = used.any(axis=1)[:, None] & inside[:: self._strips] & ~even
        for row, start, stop in _runs(np.concatenate([shown, shown & ~whole, inside & ~shown, composed])):
            kind, number = divmod(row, len(shown))
            if kind == 3:  # of a band, not of a strip
                tiles[number].composed.append((start, stop))
                continue
            band, above = divmod(number, self._strips)
            part, top = tiles[band], above * (_STRIP_PX // 2)
            columns = slice((start - part.first) * (_TILE_PX // 2), (stop - part.first) * (_TILE_PX // 2))
            (part.shown, part.mixed, part.empty)[kind].append((slice(top, top + _STRIP_PX // 2), columns))
        return tiles

    def _draw_tiles(self, quads: FloatArray, band: int, tiles: BandTiles, frame: PlanarFrame) -> None:
        """Draw the figure in a band, over its background."""
        box = self._box_of(band, tiles.first, tiles.stop)
        rows, columns = ((part.stop - part.start) // 2 for part in box)
        luma, alpha, chroma = (buffer[:rows, :columns] for buffer in (self._luma, self._alpha, self._chroma))
        self._sample(self._enlarge_map(quads, band, tiles.first, box), tiles, (luma, alpha, chroma))
        half = halved(box)
        blue, red, thin = frame.cb[half], frame.cr[half], self._thin[:rows, :columns]
        for number, plane in enumerate((blue, red, thin)):
            cv2.extractChannel(chroma, number, plane)
        for start, stop in tiles.composed:
            part = self._box_of(band, start, stop)
            left, right = ((column - box[1].start) // 2 for column in (part[1].start, part[1].stop))
            inside = slice(None), slice(left, right)
            mixed = luma[inside], alpha[inside], self._still[halved(part)]
            self._background.mix_luma(*(quads.reshape(rows, -1) for quads in mixed))
            self._background.show_chroma(blue[inside], red[inside], thin[inside], part, frame)
        _unfold(luma, frame.y[box])
        if frame.transparent:
            _unfold(alpha, frame.alpha[box])

    def _sample(self, places: FloatArray, tiles: BandTiles, planes: tuple[Picture, Picture, Picture]) -> None:
        """Sample Y, alpha and chroma at the quads `places` of a band into `planes`, where there is any of the figure."""
        luma, alpha, chroma = planes
        # Chroma sample (x, y) lies at (2 * x, 2 * y + 1/2): half a px to the left of the quad's middle, as its upper left pixel.
        in_chroma = self._in_chroma[: places.shape[0], : places.shape[1]]
        cv2.scaleAdd(places, 0.5 / self._planes.scale - 1, places, in_chroma)  # a third of the time of a product
        for part in tiles.shown:
            read_ahead(self._planes.luma, places[part])
            sample_into(self._planes.luma, places[part], luma[part])
            sample_into(self._planes.chroma, in_chroma[part], chroma[part])
        alpha.fill(255)
        for part in tiles.mixed:
            sample_into(self._planes.alpha, places[part], alpha[part])
        for plane, nothing in zip((plane.view(np.uint32)[..., 0] for plane in planes), _EMPTY, strict=True):
            for part in tiles.empty:
                plane[part] = nothing

    def _box_of(self, band: int, first: int, last: int) -> Box:
        """Rows and columns in the frame of the tiles `first` to `last` of a band."""
        height, width = (tile * self._step for tile in self._tile)
        return (
            slice(self.top + band * height, min(self.top + (band + 1) * height, self.bottom)),
            slice(self.left + first * width, min(self.left + last * width, self.right)),
        )

    def _enlarge_map(self, coarse: FloatArray, band: int, first: int, box: Box) -> FloatArray:
        """Interpolate a padded grid of points linearly, to the middles of the quads of a box."""
        height, width = self._tile
        scale = self._step / 2
        rows, columns = ((side.stop - side.start) // 2 for side in box)
        top, left = band * height, first * width
        # Where a side does not become a whole number, OpenCV's resizing (4.11, with IPP) never frees some kilobytes.
        bottom, right = (-(-math.ceil(side / scale) // 2) * 2 + 2 * _PAD for side in (rows, columns))
        part = coarse[top : top + bottom, left : left + right]
        fine = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        margin = round(_PAD * scale)
        return np.asarray(fine[margin : margin + rows, margin : margin + columns], np.float32)


def _fold(plane: Picture) -> Picture:
    """Make quads, [height / 2, width / 2, 4], of a plane."""
    pairs = np.asarray(cv2.merge([rows.view(np.uint16) for rows in (plane[::2], plane[1::2])]), np.uint16)
    return pairs.view(np.uint8)


def _unfold(quads: Picture, plane: Picture) -> None:
    """Write quads, [rows, columns, 4], into a plane, [2 * rows, 2 * columns]."""
    pairs = quads.view(np.uint16)
    for number, rows in enumerate((plane[::2], plane[1::2])):
        # Not cv2.split: at widths such as 512 it takes 15 times as long, since all three arrays share lines of the cache.
        cv2.extractChannel(pairs, number, rows.view(np.uint16))


def quad_points(planes: FigurePlanes, cells: CellBlock, step: int, pad: int) -> FloatArray:
    """Compute where the cells of a block, and `pad` more on each side, lie in `planes.luma`, [rows, columns, 2] as (x, y)."""
    x, y = np.meshgrid(
        np.arange(cells.left - pad, cells.right + pad, dtype=np.float32),
        np.arange(cells.top - pad, cells.bottom + pad, dtype=np.float32),
    )
    # The upper left pixel of a quad is half a px above and to the left of its middle.
    points = np.dstack([x, y]) * np.float32(step) + np.float32((step - 1) / 2 - 0.5)
    return np.asarray(points * np.float32(planes.scale) + np.float32(planes.margin), np.float32)


def _runs(marks: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int, int]]:
    """Yield the row, the first column and the one past the last of all runs of marked tiles, [rows, columns]."""
    beside = np.zeros((marks.shape[0], marks.shape[1] + 2), bool)
    beside[:, 1:-1] = marks
    rows, ends = np.nonzero(beside[:, 1:] != beside[:, :-1])
    return zip(rows[::2].tolist(), ends[::2].tolist(), ends[1::2].tolist(), strict=True)


def field_at_points(field: FloatArray, cells: CellBlock, step: int, points: FloatArray) -> FloatArray:
    """Interpolate a block's field, [rows, columns, channels], bilinearly at portrait points, [..., 2] px: [..., channels]."""
    places = (points - np.float32((step - 1) / 2)) * np.float32(1.0 / step) - np.array(
        [cells.left, cells.top], np.float32
    )
    flat = places.reshape(-1, 1, 2) if places.ndim == 2 else places
    values = sample(field, flat.astype(np.float32))
    return np.asarray(values, np.float32).reshape(*points.shape[:-1], field.shape[-1])


def field_in_box(
    field: FloatArray, cells: CellBlock, step: int, box: Box, plus: FloatArray | None = None
) -> FloatArray:
    """The same, with the field `plus` added, at all pixels of a box, [height, width, channels]: many times as fast."""
    used, beyond, inside = [], [], []
    for part, first, end in zip(box, (cells.top, cells.left), cells.shape, strict=True):
        start, stop = part.start // step - first - 1, -(-part.stop // step) - first + 1
        beyond.append((max(-start, 0), max(stop - end, 0)))
        used.append(slice(min(max(start, 0), end - 1), max(min(stop, end), 1)))
        inside.append(slice(part.start - (start + first) * step, part.stop - (start + first) * step))
    part_of_it = field[tuple(used)] if plus is None else cv2.add(field[tuple(used)], plus[tuple(used)])
    if any(map(any, beyond)):
        part_of_it = np.asarray(cv2.copyMakeBorder(part_of_it, *beyond[0], *beyond[1], cv2.BORDER_REPLICATE))
    fine = cv2.resize(part_of_it, None, fx=step, fy=step, interpolation=cv2.INTER_LINEAR)
    return np.asarray(fine[inside[0], inside[1]], np.float32)
