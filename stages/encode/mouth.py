"""The opening between the lips in one frame, and the interior of the mouth drawn into it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.rig.colours import FaceColours
from stages.face.rig.face_frame import FaceFrame
from stages.face.rig.mouth_interior import MouthInterior
from stages.face.sampling import on_colours

FloatArray = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

#: Fraction by which the tongue follows the jaw, and lift of a raised tongue in units.
_TONGUE_FOLLOWS, _TONGUE_LIFT = 0.66, 0.16
#: Rounded lips stand before the teeth: they cover the lower ones by so many units more, the upper ones, too, and shade these by
#: so much. A wide opening, of a jaw that is down by the double of `_SMALL` units, covers no more of the upper ones, which visibly
#: stay in place, and shades them by the fraction `_LIT` less. Within `_STRIP` units of a rounded lip they lie in its shadow,
#: which leaves so much light: a thin strip of them would look like a splinter. In a wide opening it is the last number: they
#: would else vanish at once as an "ah" goes over into an "oh".
_HIDES_LOWER, _HIDES_UPPER, _ROUND_DARKENS, _SMALL, _LIT = 0.17, 0.07, 0.20, 0.14, 0.4
_STRIP, _STRIP_LIGHT, _STRIP_LIGHT_WIDE = 0.08, 0.08, 0.45
#: Under the upper lip so much light falls on the tongue; all of it from this part of the gap on, at least so many units below.
_SHADE, _SHADE_PART, _SHADE_LEAST = 0.30, 0.62, 0.10
#: Rounded lips keep this part of the light off the tongue and the lower teeth.
_ROUND_DIM = 0.15
#: A gap up to which less light falls on the upper teeth, units, and the least light.
_SLIT, _SLIT_LIGHT = 0.05, 0.3
#: Lips that part by less than this part of the greatest gap are shut, and toward the corners those that part by so many units.
_SLIT_PART, _SLIT_LEAST = 0.25, 0.012
#: An eighth of its width from its ends, a round opening has at most the first part of its greatest height; a wide one has the
#: second.
_ROUND_ASIDE, _WIDE_ASIDE = 0.22, 0.36
#: The lips' edges part over so many points from the corners on; those of a wide opening.
_TAPERS, _TAPERS_WIDE = 9.0, 1.0
#: How much of what is behind the lips a slit between them shows, and from which height on an opening shows all, units.
_SLIT_COVER, OPEN_SLIT = 0.35, 0.055
#: The contact line of closed lips fades within so many units of the corners.
_LINE_ENDS = 0.14
#: Exponents of the shade per channel, BGR: shade inside a mouth is warm, so blue darkens more than red.
_WARMTH = np.array([1.2, 1.08, 0.85], np.float32)
#: The same for teeth, which the lips around them light: in shade they would look grey, or green. What part of the shade falls on
#: teeth whose colour was seen in the picture, and on others.
_TEETH_WARMTH = np.array([1.25, 1.14, 0.78], np.float32)
_SHADE_SEEN, _SHADE_PAINTED = 0.10, 0.18


@dataclass(frozen=True)
class MouthOpening:
    """The opening between the lips in one frame, and the box around it.

    Attributes:
        left, top, right, bottom: the box, px; even, except in `visible`.
        upper, lower: y of the lips' edges in each column of the box, px.
        middle: y at which each column is cut into the two layers, px.
        softness: px over which one layer blends into the other; grows outside the corners.
        blunt: how far thin ends count as shut, 0 to 1: those of a wide opening go on to where the lips' edges end.
    """

    left: int
    top: int
    right: int
    bottom: int
    upper: FloatArray
    lower: FloatArray
    middle: FloatArray
    softness: FloatArray
    blunt: float = 1.0

    @classmethod
    def between(cls, upper: FloatArray, lower: FloatArray, unit: float, size: tuple[int, int]) -> MouthOpening:
        """Make the opening between the lips' edges, [n, 2] px each, in a frame of `size` (width, height)."""
        margin = 0.30 * unit + 4
        width, height = size
        blunt = _bluntness(upper, lower, unit)
        lower = _tapered(upper, lower, blunt)
        upper, lower = _rounded_off(upper, lower, unit, blunt)
        left, right = min(upper[0, 0], lower[0, 0]), max(upper[-1, 0], lower[-1, 0])
        x0, x1 = _even(left - margin, right + margin + 1, width)
        y0, y1 = _even(
            min(upper[:, 1].min(), lower[:, 1].min()) - 6, max(upper[:, 1].max(), lower[:, 1].max()) + 7, height
        )
        x = np.arange(x0, x1, dtype=np.float32)
        top = np.interp(x, np.maximum.accumulate(upper[:, 0]), upper[:, 1]).astype(np.float32)
        bottom = np.interp(x, np.maximum.accumulate(lower[:, 0]), lower[:, 1]).astype(np.float32)
        middle = (top + bottom) / 2
        np.maximum(bottom, top, out=bottom)
        softness = np.full(len(x), 0.7, np.float32)
        first, last = max(math.ceil(left) - x0, 0), max(math.floor(right) + 1 - x0, 0)
        for beyond, outside in ((slice(0, first), left - x[:first]), (slice(last, None), x[last:] - right)):
            top[beyond] = bottom[beyond] = middle[beyond]
            softness[beyond] += 0.8 * outside
        return cls(x0, y0, x1, y1, top, bottom, middle, softness, blunt)

    def side_at(self, points: FloatArray) -> FloatArray:
        """The layer that each grid point belongs to, 0 (upper) to 1 (lower), extended beyond the box."""
        columns = np.arange(self.left, self.right, dtype=np.float32)
        middle, softness = (
            np.interp(points[0, :, 0], columns, values).astype(np.float32) for values in (self.middle, self.softness)
        )
        return np.clip((points[:, :1, 1] - middle) * (1 / softness) + np.float32(0.5), 0, 1)

    def visible(self, above: float = 0.0, below: float = 0.0) -> MouthOpening | None:
        """The part of the box in which anything is visible between the lips, and so many px more; None if the mouth is shut."""
        open_ = self.lower > self.upper
        if not open_.any():
            return None
        first = int(open_.argmax())
        last = len(open_) - int(open_[::-1].argmax())
        top = math.floor(float(self.upper[first:last].min()) - above)
        bottom = math.ceil(float(self.lower[first:last].max()) + below) + 1
        edges = (self.upper, self.lower, self.middle, self.softness)
        upper, lower, middle, softness = (edge[first:last] for edge in edges)
        left, right = self.left + first, self.left + last
        top, bottom = max(top, self.top), min(bottom, self.bottom)
        return MouthOpening(left, top, right, bottom, upper, lower, middle, softness, self.blunt)

    def within(self, outer: MouthOpening) -> tuple[slice, slice]:
        """Rows and columns of this box in another one."""
        return (
            slice(self.top - outer.top, self.bottom - outer.top),
            slice(self.left - outer.left, self.right - outer.left),
        )

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of the box in the frame."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def rows(self) -> FloatArray:
        """The y of each row of the box, [height, 1]."""
        return np.arange(self.top, self.bottom, dtype=np.float32)[:, None]

    def side(self) -> FloatArray:
        """The share of the lower layer in each pixel, 0 to 1, [height, width]."""
        share = self.rows() * (1 / self.softness)
        share += np.float32(0.5) - self.middle / self.softness
        return np.clip(share, 0, 1, out=share)

    def cut_rows(self) -> npt.NDArray[np.intp]:
        """The row of the box in which each column is cut into the two layers."""
        return np.clip(np.rint(self.middle).astype(np.intp) - self.top, 0, self.bottom - self.top - 1)

    def seam(self, side: FloatArray) -> tuple[npt.NDArray[np.intp], ...]:
        """The pixels between the corners that lie on the cut between both layers: their rows and columns."""
        rows = self.cut_rows()
        share = side[rows, np.arange(len(rows))]  # a third of the time of take_along_axis
        # Between the corners the layers blend over less than a px: in one row at most.
        columns = np.flatnonzero((share > 0) & (share < 1) & (self.softness < 1))
        return rows[columns], columns

    def cover(self, slit: float = 1e-3) -> FloatArray:
        """The fraction of each pixel that lies between the lips, [height, width]; exact vertically, in thirds across.

        Light falls through an opening's thin ends, where it is less than `slit` px high: there it is covered in part.
        """
        rows = self.rows()
        upper, lower = (_in_thirds(edge) for edge in (self.upper, self.lower))
        found = np.minimum(rows + np.float32(0.5), lower)
        found -= np.maximum(rows - np.float32(0.5), upper)
        clear = _SLIT_COVER + (1 - _SLIT_COVER) * np.clip((self.lower - self.upper) / max(slit, 1e-3), 0, 1)
        np.clip(found, 0, 1, out=found)
        total = cv2.add(cv2.add(found[0], found[1]), found[2])  # numpy's mean takes three times as long
        return np.asarray(total * (clear / 3).astype(np.float32), np.float32)


class InteriorPainter:
    """Draws the inside of the mouth into an opening, BGR."""

    def __init__(self, oral: MouthInterior, tones: FaceColours, frame: FaceFrame) -> None:
        self._oral, self._frame = oral, frame
        warmth = 1 + np.float32(tones.warmth) * (_WARMTH - 1)
        self._warm = _shades(warmth)
        self._cavity = tones.cavity[::-1].astype(np.float32)
        self._layers = {name: _premultiplied(getattr(oral, name)) for name in ("tongue", "jaw", "skull", "shown")}
        #: Exponents of the shade on the upper teeth; a colour that was seen inside a mouth has most of it already.
        on_teeth = _SHADE_SEEN if oral.own_colour else _SHADE_PAINTED
        beside_lips = 1 + np.float32(tones.warmth) * (_TEETH_WARMTH - 1)
        self._beside_lips, self._on_teeth = _shades(beside_lips), _shades(np.float32(on_teeth) * beside_lips)
        #: Strength of the shading of the lips' edges; a picture with an open mouth already shows it.
        self._edge = np.float32(0.35 if oral.own_teeth else 1.0)

    def paint(
        self,
        opening: MouthOpening,
        head: FloatArray,
        jaw: tuple[float, float],
        tongue: float,
        covered: float,
        as_shown: float = 0.0,
    ) -> FloatArray:
        """Draw what is visible through the opening, float32 [height, width, 3].

        Args:
            opening: the opening of this frame.
            head: the head's motion at the mouth, a 2 × 3 matrix from portrait px to frame px.
            jaw: drop of the chin, and how far it rises to close a mouth that is open in the picture, px.
            tongue: how far the tongue is raised, 0 to 1.
            covered: how far the lips cover the teeth, 0 to 1: rounded lips stand forward, or the upper lip hangs down.
            as_shown: share of what the picture shows between the lips, 0 to 1, which stays with the skull.
        """
        unit = self._frame.unit
        shade = self._shade(opening)
        seen = self._throat(opening)
        drop, rise = jaw
        wide = min(max((drop / unit - _SMALL) / _SMALL, 0.0), 1.0)
        lift = _TONGUE_LIFT * unit * tongue
        self._over(seen, "tongue", opening, head, _TONGUE_FOLLOWS * drop - rise - lift)
        self._over(seen, "jaw", opening, head, drop - rise + _HIDES_LOWER * unit * covered)
        seen *= _shade_of(shade * np.float32(1 - _ROUND_DIM * covered), self._warm)
        light = _shade_of(shade, self._on_teeth) * np.float32(1 - _ROUND_DARKENS * covered * (1 - _LIT * wide))
        # Through a slit between lips that meet, no light falls on the teeth.
        slit = np.clip((opening.lower - opening.upper) / (_SLIT * unit), _SLIT_LIGHT, 1)
        light = light * _shade_of(np.broadcast_to(slit.astype(np.float32), shade.shape), self._warm)
        if covered > 0:
            strip = np.clip((opening.rows() - opening.upper) / np.float32(_STRIP * unit), 0, 1)
            strip *= strip
            left = _STRIP_LIGHT + wide * (_STRIP_LIGHT_WIDE - _STRIP_LIGHT)
            light *= _shade_of(1 - np.float32(covered * (1 - left)) * (1 - strip), self._beside_lips)
        self._over(seen, "skull", opening, head, -_HIDES_UPPER * unit * covered * (1 - wide), light)
        if as_shown > 0:
            painted = seen.copy()
            self._over(seen, "shown", opening, head, 0.0)
            cv2.addWeighted(seen, as_shown, painted, 1 - as_shown, 0, seen)
        return seen

    def _throat(self, opening: MouthOpening) -> FloatArray:
        """The cavity behind the teeth: darkest at its middle, where it is deepest."""
        half = np.maximum((opening.lower - opening.upper) / 2, 1)
        depth = opening.rows() - opening.middle
        depth *= np.float32(0.7**0.5) / half
        depth *= depth
        np.subtract(1 - _from_middle(len(half)), depth, out=depth)
        np.clip(depth, 0, 1, out=depth)
        depth *= np.float32(-1.30)
        depth += np.float32(2.10)
        return np.asarray(cv2.merge([depth * channel for channel in self._cavity]), np.float32)

    def shade_lips(self, whole: MouthOpening, lips: FloatArray, amount: float) -> None:
        """Darken the lips' edges by `amount` in place, because the lips of an open mouth turn inward."""
        unit = np.float32(self._frame.unit)
        opening = whole.visible(above=0.05 * self._frame.unit, below=0.035 * self._frame.unit)
        if opening is None:
            return
        lips = lips[opening.within(whole)]
        rows = opening.rows()
        height = np.clip((opening.lower - opening.upper) / (0.08 * unit), 0, 1)
        above, below = rows - opening.upper, opening.lower - rows
        dark = np.maximum(0.42 * _near_edge(above, 0.05 * unit), 0.22 * _near_edge(below, 0.035 * unit))
        dark *= np.float32(-amount) * self._edge * height
        dark += 1
        lips *= _shade_of(dark, self._warm)

    def draw_contact(self, opening: MouthOpening, lips: FloatArray, touching: FloatArray) -> None:
        """Draw the dark line where lips touch, in place. `touching`: its strength in each column of the opening, 0 to 1."""
        unit = np.float32(self._frame.unit)
        columns = np.arange(len(opening.softness), dtype=np.float32)
        inside = columns[opening.softness < 1]
        if not len(inside):
            return
        from_ends = np.minimum(columns - inside[0], inside[-1] - columns) / (_LINE_ENDS * unit)
        dark = 0.40 * touching * np.clip(1 - (opening.lower - opening.upper) / (0.03 * unit), 0, 1)
        line = np.clip(from_ends, 0, 1) * np.exp(-(((opening.rows() - opening.middle) / (0.014 * unit)) ** 2))
        lips *= _shade_of((1 - dark * line).astype(np.float32), self._warm)

    def _over(
        self,
        seen: FloatArray,
        name: str,
        opening: MouthOpening,
        head: FloatArray,
        drop: float,
        light: FloatArray | None = None,
    ) -> None:
        """Composite a layer over `seen`, in place: moved with the head, by `drop` px toward the chin, and shaded by `light`."""
        x, y = self._oral.origin
        shift = self._frame.down * drop
        matrix = head.astype(np.float64).copy()
        matrix[:, 2] += matrix[:, :2] @ (np.array([x, y]) + shift) - np.array([opening.left, opening.top])
        size = (seen.shape[1], seen.shape[0])
        layer = np.asarray(cv2.warpAffine(self._layers[name], matrix, size, flags=cv2.INTER_LINEAR), np.uint8)
        through = on_colours(np.asarray(cv2.bitwise_not(cv2.extractChannel(layer, 3)), np.uint8))
        cv2.multiply(seen, through, seen, scale=1 / 255, dtype=cv2.CV_32F)
        colours = cv2.cvtColor(layer, cv2.COLOR_BGRA2BGR)
        shown = colours if light is None else cv2.multiply(colours, light, dtype=cv2.CV_32F)
        cv2.add(seen, shown, seen, dtype=cv2.CV_32F)

    def _shade(self, opening: MouthOpening) -> FloatArray:
        """Shade of light from the front, [height, width]: darker under the upper lip, in the corners, and in a narrow gap."""
        unit = np.float32(self._frame.unit)
        rows = opening.rows()
        gap = opening.lower - opening.upper
        narrow = np.clip(gap / (0.10 * unit), 0, 1) * (0.55 + 0.45 * min(float(gap.max() / (0.12 * unit)), 1.0))
        shade = rows - opening.upper
        shade /= np.maximum(np.float32(_SHADE_LEAST * unit), np.float32(_SHADE_PART) * gap)
        np.clip(shade, 0, 1, out=shade)
        shade *= np.float32(1 - _SHADE)
        shade += np.float32(_SHADE)
        above = opening.lower - rows
        above /= 0.04 * unit
        np.clip(above, 0, 1, out=above)
        above *= np.float32(0.28)
        above += np.float32(0.72)
        shade *= above
        shade *= (0.35 + 0.65 * narrow).astype(np.float32)
        return shade


def _near_edge(inward: FloatArray, reach: np.float32) -> FloatArray:
    """How close each pixel is to a lip's edge, 0 to 1, squared; 0 from one px inside the opening on. `inward`: px."""
    near = np.minimum(inward / reach + 1, 1)
    np.maximum(near, 0, out=near)
    near *= near
    near *= inward < 1
    return near


def _shades(exponents: FloatArray) -> FloatArray:
    """A table of shades, 0 to 1 in steps of 1/255, raised to an exponent for each channel, [1, 256, 3]."""
    return np.asarray((np.arange(256, dtype=np.float32) / 255)[None, :, None] ** exponents, np.float32)


def _shade_of(shade: FloatArray, table: FloatArray) -> FloatArray:
    """What is left of each channel in a shade, 0 to 1 [height, width]: [height, width, 3]. Powers of each pixel take long."""
    level = np.asarray(cv2.convertScaleAbs(shade, alpha=255), np.uint8)
    return np.asarray(cv2.LUT(on_colours(level), table), np.float32)


def _in_thirds(edge: FloatArray) -> FloatArray:
    """An edge a third of a column to the left, where it is, and a third to the right, [3, 1, columns]."""
    thirds = np.empty((3, 1, len(edge)), np.float32)
    thirds[:] = edge
    step = np.diff(edge) / 3
    thirds[0, 0, 1:] -= step
    thirds[2, 0, :-1] += step
    return thirds


def _even(first: float, last: float, side: int) -> tuple[int, int]:
    """Round a range outward to even bounds, which a block of chroma samples has, within 0 to `side`."""
    return max(math.floor(first / 2) * 2, 0), min(math.ceil(last / 2) * 2, side)


def _bluntness(upper: FloatArray, lower: FloatArray, unit: float) -> float:
    """How far thin ends of the opening count as shut, 0 to 1: fully if it is small, or round, so that it has slits beside it."""
    gap = (lower - upper)[:, 1]
    greatest, end = float(gap.max()), len(gap) // 8
    wide = min(max((greatest / unit - _SMALL) / _SMALL, 0.0), 1.0)
    aside = float(min(gap[end], gap[-1 - end])) / max(greatest, 1e-6)
    return 1 - wide * min(max((aside - _ROUND_ASIDE) / (_WIDE_ASIDE - _ROUND_ASIDE), 0.0), 1.0)


def _tapered(upper: FloatArray, lower: FloatArray, blunt: float) -> FloatArray:
    """Move the lower edge to the upper one at both corners, where the coarse fields leave a blunt end."""
    share = _taper(len(upper), _TAPERS)
    share = share + (1 - np.float32(blunt)) * (_taper(len(upper), _TAPERS_WIDE) - share)
    return np.asarray(upper + share * (lower - upper), np.float32)


def _rounded_off(upper: FloatArray, lower: FloatArray, unit: float, blunt: float) -> tuple[FloatArray, FloatArray]:
    """Bring the edges together where they hardly part, toward the corners: an opening has round ends, and no slits beside it.

    What is left of the gap grows as steeply from its ends on as an ellipse, and is whole where the gap is greatest.
    """
    gap = np.maximum(lower[:, 1] - upper[:, 1], 0)
    left = np.maximum(gap - _from_middle(len(upper)) * np.float32(blunt * _SLIT_LEAST * unit), 0)
    greatest = max(float(left.max()), 1e-6)
    shut = (blunt * _SLIT_PART) ** 2
    left = greatest * np.sqrt(np.maximum((left / greatest) ** 2 - shut, 0) / (1 - shut))
    closer = np.zeros_like(upper)
    closer[:, 1] = (gap - left) / 2
    return upper + closer, lower - closer


@cache
def _from_middle(count: int) -> FloatArray:
    """The square of the distance from the middle, 0 to 1, of each of so many points."""
    return np.asarray(np.linspace(-1, 1, count) ** 2, np.float32)


@cache
def _taper(count: int, over: float) -> FloatArray:
    """The share of the lower edge at each of so many points, [count, 1]: all of it `over` so many points from the ends on."""
    index = np.arange(count)
    from_end = np.minimum(np.minimum(index, index[::-1]) / over, 1.0)
    return np.asarray((from_end * (2 - from_end))[:, None], np.float32)


def _premultiplied(layer: Picture) -> Picture:
    """Convert RGBA with straight alpha to BGRA with premultiplied alpha."""
    values = layer[..., [2, 1, 0, 3]].astype(np.float32)
    values[..., :3] *= values[..., 3:] / 255
    return np.ascontiguousarray(np.round(values), np.uint8)  # OpenCV would copy other layouts in each call
