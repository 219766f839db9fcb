"""Makes the skin of a closed lid, which the open eye hides: its light and its tint come from the bare skin around the eye.

Skin in shade is redder than the same skin in light. So the tint follows the light, as it does in the skin around this eye: a lid
then has a colour that this face has where it is as bright.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.rig.eyes.eye_strip import EyeStrip, smooth
from stages.face.sampling import blur

Grid = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]

#: Weight in the colours around the lid of the skin below the eye, and of the open lid itself, which its fold and lashes shade.
#: What is from this part of the free height on upward is the brow's.
_FROM_BELOW, _FROM_LID, _UNDER_BROW = 0.25, 0.25, 0.62
#: Skin beside the lid is read from so many eye widths above its edge up to this part of the free height, and in this range below
#: the lower lid's, in so many rows of a picture that is softened by so many; what is read is smoothed along the eye by so many.
#: Above, this percentile counts: folds and hair are darker, and single light pixels are no skin.
_ABOVE, _UP_TO, _UNDER, _ROWS, _SOFT, _SMOOTH, _BRIGHT = 0.05, 0.8, (0.10, 0.30), 9, 0.03, 0.12, 75
#: With less skin than this between the lid and a rim of glasses, in eye widths, only that below tells the light.
_ROOM = 0.1
#: The lid bulges out of its socket into the light that falls on the skin below the eye. By so much of how that differs from the
#: light above, as logarithms, the lid is lighter at its top and at its edge, or darker; and by at most so much.
_LIGHTER, _DARKER, _MOST_LIGHTER = (0.65, 1.1), (0.0, 0.6), 0.7
#: Dark things that are narrower than so many eye widths are hair, lashes or a crease; broader ones are shade, which the lid has.
_NARROW = 0.16
#: A lid is so much redder than the skin around it that it has the tint of skin in this part of its own light.
_RUDDY = 0.95
#: The tint of the skin beside the lid counts by this part of how it differs from what is usual around the eye, and of at most so
#: much, as a logarithm: a pale line over the lashes is a highlight.
_BESIDE, _MOST_BESIDE = 0.7, 0.08
#: Skin is found within so many eye widths of the eye's middle, and not where a colour is lighter than this, which is cut off,
#: unless less than this part of it is left.
_NEAR, _CUT_OFF, _ENOUGH = 0.65, 250, 0.02
#: Tints are fitted with this variance of the light's logarithm added, so that an even light tells no slope, and so often without
#: what differs by more than so many times the usual. Each step of light of this height counts nearly alike, by this power of its
#: number of pixels: there is less skin in shade than in light.
_EVEN, _ROUNDS, _OTHER, _STEP, _ALIKE = 0.01, 4, 1.5, 0.15, 0.7
#: The fit goes on so far beyond its middle.
_GOES_ON = 0.8
#: The lid's own surface goes over into the skin above it from this part of its fold's height on, and over so many eye widths.
_OVER_FROM, _OVER = 0.5, 0.12


@dataclass(frozen=True)
class LidPlace:
    """Where the pixels of an eye's box lie, px.

    Attributes:
        along: along the eye from its corner, [height, width].
        below, opening: see `Lid`.
        taper: see `Lid`.
        free: how far above the edge there is skin, [height, width], and for each column of the strip.
        fold: how far above the edge the crease is, [height, width].
        rim: see `Lid`.
        rim_of_column: where the rim ends, px along the eye's `down`, for each column of the strip; None without glasses.
    """

    along: Grid
    below: Grid
    opening: Grid
    taper: Grid
    free: Grid
    free_of_column: Values
    fold: Grid
    rim: Grid
    rim_of_column: Values | None


def paint_skin(strip: EyeStrip, shown: Grid, place: LidPlace) -> Grid:
    """Paint the skin of a closed lid over an eye's box, RGB float32 [height, width, 3].

    Args:
        strip: reads the box.
        shown: the box, RGB float32 [height, width, 3].
        place: where its pixels lie.
    """
    width = strip.width
    below, opening = place.below, place.opening
    covered = (below > -0.09 * width * place.taper) & (below < opening + 0.13 * width * place.taper)
    free = ~(covered & (place.taper > 0)) & (below > -place.free) & (place.rim == 0)
    bare = _bare(shown, free, width)
    upper = np.where(below > -_UNDER_BROW * place.free, _FROM_LID, 1.0)
    weights = bare * np.where(below > 0.5 * opening, _FROM_BELOW, upper).astype(np.float32)
    filled = np.log(np.maximum(_fill_softly(shown, weights, width), 1.0))
    around = filled.mean(axis=-1)
    top, end = _light_at_ends(strip, shown, place)
    way = np.clip(below / np.maximum(opening, 1.0), 0, 1)
    light = top + way * (end - top)
    over = np.clip((-below - _OVER_FROM * place.fold) / (_OVER * width), 0, 1)
    over = over * over * (3 - 2 * over)
    light = light + over * (np.minimum(around, top) - light)
    near = bare * (np.abs(place.along / width - 0.5) < _NEAR)
    whole = near * (shown.max(axis=-1) < _CUT_OFF)
    usual = _fit_tints(np.log(shown + 1), whole if whole.sum() > _ENOUGH * near.sum() else near)
    beside = filled - around[..., None] - usual.at(around)
    tint = usual.at(light + np.log(_RUDDY)) + _BESIDE * np.clip(beside, -_MOST_BESIDE, _MOST_BESIDE)
    skin = np.exp(tint)
    return np.asarray(skin * (np.exp(light) / skin.mean(axis=-1))[..., None], np.float32)


def _light_at_ends(strip: EyeStrip, shown: Grid, place: LidPlace) -> tuple[Grid, Grid]:
    """The light on the lid at its top and at its edge when it is shut, as logarithms, [height, width]."""
    width, steps = strip.width, np.linspace(0, 1, _ROWS)[:, None]
    free = place.free_of_column
    if place.rim_of_column is not None:
        free = np.minimum(free, strip.upper - place.rim_of_column)
    above = -_ABOVE * width - steps * np.maximum(_UP_TO * free - _ABOVE * width, 0)
    under = np.repeat((_UNDER[0] + steps * (_UNDER[1] - _UNDER[0])) * width, len(free), axis=1)
    soft = blur(shown.mean(axis=-1), max(_SOFT * width, 0.5))
    upper = np.log(np.maximum(np.percentile(strip.read(soft, strip.upper, above), _BRIGHT, axis=0), 1.0))
    lower = np.log(np.maximum(strip.read(soft, strip.lower, under).mean(axis=0), 1.0))
    if place.rim_of_column is not None:  # skin above it is not seen through the glass
        room = strip.upper - place.rim_of_column
        upper = np.where(room > _ROOM * width, upper, lower)
    more = _MOST_LIGHTER * np.tanh((lower - upper) / _MOST_LIGHTER)
    ends = (
        upper + np.where(more > 0, lighter, darker) * more for lighter, darker in zip(_LIGHTER, _DARKER, strict=True)
    )
    top, end = (strip.over(smooth(one, _SMOOTH * width), place.along) for one in ends)
    return top, end


@dataclass(frozen=True)
class _Tints:
    """How the tint of skin, the logarithm of its colours without their mean, follows from its light, the mean, in a line.

    Attributes:
        light: in the middle.
        tint: at that light, [3].
        slope: change of the tint by that of the light, [3].
    """

    light: float
    tint: Values
    slope: Values

    def at(self, light: Grid) -> Grid:
        """The tint at a light, [height, width, 3]."""
        away = np.clip(light - self.light, -_GOES_ON, _GOES_ON)
        return np.asarray(self.tint + away[..., None] * self.slope, np.float32)


def _fit_tints(colours: Grid, bare: Grid) -> _Tints:
    """Fit the tints of what is skin, by its weight `bare`, [height, width], to logarithms of colours, [height, width, 3]."""
    seen = blur(colours, 0.7)[bare > 0.05].astype(np.float64)
    known = bare[bare > 0.05].astype(np.float64)
    if not len(known):
        return _Tints(0.0, np.zeros(3), np.zeros(3))
    light = seen.mean(axis=-1)
    tints = seen - light[:, None]
    steps = np.round((light - light.min()) / _STEP).astype(int)
    weights = known = known / np.bincount(steps, known)[steps] ** _ALIKE
    for _ in range(_ROUNDS):
        middle, tint = (np.average(one, axis=0, weights=weights) for one in (light, tints))
        away, beyond = light - middle, tints - tint
        slope = np.average(away[:, None] * beyond, axis=0, weights=weights)
        slope /= np.average(away * away, weights=weights) + _EVEN
        off = np.abs(beyond - away[:, None] * slope).max(axis=-1)
        weights = known / (1 + np.square(off / (_OTHER * np.median(off) + 1e-3))) ** 2
    return _Tints(float(middle), tint, slope)


def _bare(shown: Grid, free: npt.NDArray[np.bool_], eye_width: float) -> Grid:
    """Weight of each pixel as bare skin: 1, near 0 for narrow dark things (lashes, creases, hair), 0 for what is not `free`."""
    known = cv2.erode(free.astype(np.float32), np.ones((3, 3), np.uint8))
    level = blur(shown.mean(axis=-1), 0.5)
    wide = max(round(_NARROW * eye_width), 2) | 1
    without = cv2.morphologyEx(level, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (wide, wide)))
    bright = np.clip((level / np.maximum(without, 1.0) - 0.78) / 0.16, 0.01, 1.0)
    around = 0.25 * eye_width  # thick lashes are broad, and still darker than the shade of a deep-set eye
    usual = blur(level * known, around) / np.maximum(blur(known, around), 1e-3)
    bright *= np.clip((level / np.maximum(usual, 1.0) - 0.55) / 0.25, 0.1, 1.0)
    return np.asarray(known * bright, np.float32)


def _fill(box: Grid, known: Grid) -> Grid:
    """Fill unknown pixels smoothly from a pyramid of ever coarser averages (push-pull)."""
    if min(box.shape[:2]) <= 2 or known.min() > 0.5:
        mean = (box * known[..., None]).sum(axis=(0, 1)) / max(float(known.sum()), 1e-3)
        return np.where(known[..., None] > 0, box, mean).astype(np.float32)
    weighted, weight = cv2.pyrDown(box * known[..., None]), cv2.pyrDown(known)
    coarse = _fill(weighted / np.maximum(weight, 1e-3)[..., None], np.minimum(weight * 4, 1.0))
    fine = cv2.pyrUp(coarse, dstsize=(box.shape[1], box.shape[0]))
    return (box * known[..., None] + fine * (1.0 - known[..., None])).astype(np.float32)


def _fill_softly(box: Grid, known: Grid, eye_width: float) -> Grid:
    """Fill the whole box with the soft colours of its known pixels."""
    sigma = max(0.07 * eye_width, 1.0)
    weight = blur(known, sigma)
    soft = blur(box * known[..., None], sigma) / np.maximum(weight, 1e-3)[..., None]
    return np.asarray(blur(_fill(soft.astype(np.float32), np.clip(weight * 2.0 - 0.2, 0, 1)), 0.6 * sigma), np.float32)
