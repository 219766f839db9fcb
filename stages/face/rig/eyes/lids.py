"""Prepares the closing of an eye, once per portrait: the lid's bare skin, how far the skin around it moves, and the lashes.

A closing lid is one surface from its crease to its edge. Its colours come from the skin around the eye, its grain from the skin
under the brow; the crease flattens, the lashes travel with the edge, and the skin above and below follows a little.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.eye_outline import EyeOutline, strongest_path
from stages.face.mesh import FloatArray
from stages.face.rig.colours import FaceColours
from stages.face.rig.eyes.eye_strip import ASIDE, EyeStrip, smooth
from stages.face.rig.eyes.lashes import find_single_lashes, find_thick_lashes, read_lashes
from stages.face.rig.eyes.lid_skin import LidPlace, paint_skin
from stages.face.rig.eyes.lower_lid import with_lower_lid
from stages.face.rig.eyes.rim import find_rim
from stages.face.sampling import blur, sample

Picture = npt.NDArray[np.uint8]
Grid = npt.NDArray[np.float32]

#: The box around the eye, in eye widths above and below the line of its corners.
_ABOVE, _BELOW = 0.72, 0.62
#: The lower lid rises by this fraction of the opening, where the lids meet.
LOWER_LID_RISE = 0.15
#: Height of the skin that a closing lid unfolds, in eye widths.
_UNFOLDS = 0.34
#: A crease is at most so far above the edge, in eye widths, and takes so much of the light; others are not seen.
_HIGHEST_CREASE, _SEEN_CREASE = 0.26, 0.07
#: A crease takes at least and at most this share of the light; its line's half width upward and down to the lid, in eye widths.
_LEAST_CREASE, _MOST_CREASE, _CREASE = 0.05, 0.4, (0.05, 0.03)
#: What is less red than the skin by more than this part is the eyeball: red over green, as a logarithm; less than so much of that
#: is seen in grey pictures, too.
_LESS_RED, _GREY = 0.4, 0.05
#: The eyeball under the lid: its radius in eye widths, how far its middle is below the eye's upper edge, in parts of the opening,
#: the light from the front and from above, and how strongly a lid shows it; and the cornea's bulge: its strength and radius.
_BALL, _BALL_MIDDLE, _LIGHT, _SHOWS, _CORNEA, _CORNEA_SIZE = 0.62, 0.4, (0.8, 0.42), 0.5, 0.05, 0.2
#: What differs from the skin around it by so many times the most that grain does is a hair.
_NO_GRAIN = 2.5
#: Where the skin below the eye begins and how far it goes, from the lower lid's edge on, in eye widths.
_CHEEK = (0.22, 0.2)
#: The lid's grain is so strong, in parts of that beside the eye, where that is less: between brow and lid, or below. Sampling
#: between pixels softens it. And by what it is changed at least and at most for that,
#: and how far it is taken from beside, in parts of the height.
_LIKE, _MOST_CHANGED, _SLANT = 1.0, (0.5, 2.5), 0.35


@dataclass(frozen=True)
class Lid:
    """What closes one eye.

    Attributes:
        origin: x and y of the box's top left pixel in the portrait.
        down: unit vector from the upper to the lower lid, picture px.
        eye_width: px.
        skin: the lid without eye, lashes and crease, RGB float32 [height, width, 3].
        grain: fine detail of the skin as seen on the open lid, to be moved with its edge, levels, [height, width].
        below: px along `down` from the upper lid's edge, [height, width].
        opening: px from the upper to the lower lid's edge at each pixel's place along the eye, [height, width].
        unfolds: px above the edge to which the lid's skin is unfolded, [height, width].
        taper: 0 beyond the corners, 1 along the eye, [height, width].
        ball: light that the eyeball's curve gives a closed lid or takes from it, in parts of the light, [height, width].
        side: the same as `taper`, but it reaches beyond the outer corner as far as the lashes there do.
        stray: lashes that reach high above the edge, 0 to 1, [height, width].
        along: column of `lashes` for each pixel, [height, width].
        fold: px above the edge at which the crease is, [height, width].
        crease: how much of the light the crease takes away, 0 to 1, [height, width].
        rim: 1 where the rim of glasses is before the lid, 0 elsewhere, [height, width].
        lashes: darkness of the lid's edge, 0 to 1, [reach, width]: row r lies `offset` - r px above the edge.
        offset: rows of `lashes` above the edge.
        lash_colour: RGB.
    """

    origin: tuple[int, int]
    down: Grid
    eye_width: float
    skin: Grid
    grain: Grid
    below: Grid
    opening: Grid
    unfolds: Grid
    taper: Grid
    ball: Grid
    side: Grid
    stray: Grid
    fold: Grid
    crease: Grid
    rim: Grid
    along: Grid
    lashes: Grid
    offset: int
    lash_colour: Grid


def paint_lid(portrait: Picture, landmarks: FloatArray, side: int, tones: FaceColours) -> Lid:
    """Prepare the eye on the picture's left (`side` 0) or right (1) of an RGB portrait."""
    eye = with_lower_lid(portrait, EyeOutline.of(landmarks, side))
    box = eye.box(ASIDE, _ABOVE, _BELOW, (portrait.shape[1], portrait.shape[0]))
    shown = portrait[box[1] : box[3], box[0] : box[2]].astype(np.float32)
    along, down = eye.local(box)
    upper, lower = eye.edges(along)
    below, opening = down - upper, lower - upper
    taper = np.clip(opening / max(0.4 * float(opening.max()), 1.0), 0, 1)
    strip = EyeStrip(eye, box)
    free = _free_height(strip, eye)
    top = strip.over(free, along)
    heights, depths = _crease(strip, shown, eye)
    fold = strip.over(heights, along)
    ends = find_rim(strip, shown, eye)
    rim = np.zeros_like(below) if ends is None else np.clip(strip.over(ends, along) + 1.0 - down, 0, 1)
    skin = paint_skin(strip, shown, LidPlace(along, below, opening, taper, top, free, fold, rim, ends))
    single = find_single_lashes(shown, skin, eye)
    from_fold = (-below - fold) / eye.width
    line = np.exp(-np.square(from_fold / np.where(from_fold > 0, *_CREASE)))
    crease = np.asarray(strip.over(depths, along) * line, np.float32)
    lashes, offset, colour = read_lashes(strip, shown, skin, eye, side)
    return Lid(
        origin=(box[0], box[1]),
        down=eye.down.astype(np.float32),
        eye_width=eye.width,
        skin=skin,
        grain=_grain(shown, below, opening, top, single, eye, tones),
        below=below,
        opening=opening,
        unfolds=top,
        taper=taper,
        ball=_ball(along, below, opening, eye) * taper,
        side=_side(along / eye.width if side == 0 else 1 - along / eye.width),
        stray=np.maximum(single, find_thick_lashes(shown, skin, below, taper, eye)),
        fold=fold,
        crease=crease,
        rim=rim.astype(np.float32),
        along=along - strip.start,
        lashes=lashes,
        offset=offset,
        lash_colour=colour,
    )


def _side(outward: Grid) -> Grid:
    """1 along the eye, fading beyond the outer corner (at `outward` 0, in eye widths) and before the inner one (at 1)."""
    outer, inner = np.clip((outward + 0.24) / 0.24, 0, 1), np.clip((1.04 - outward) / 0.2, 0, 1)
    return (outer * outer * (3 - 2 * outer) * inner * inner * (3 - 2 * inner)).astype(np.float32)


def _ball(along: Grid, below: Grid, opening: Grid, eye: EyeOutline) -> Grid:
    """Light on the eyeball under the lid: the most at its middle and above, less toward the corners and below."""
    across = (along / eye.width - 0.5) / _BALL
    down = (below - _BALL_MIDDLE * float(opening.max())) / (_BALL * eye.width)
    front = np.sqrt(np.clip(1 - across * across - down * down, 0.05, 1))
    light = _SHOWS * (_LIGHT[0] * (front - 0.9) - _LIGHT[1] * down)
    away = np.hypot(along - eye.iris[0], below - 0.5 * opening) / (_CORNEA_SIZE * eye.width)
    return np.asarray(light + _CORNEA * np.exp(-away * away), np.float32)


def _free_height(strip: EyeStrip, eye: EyeOutline) -> npt.NDArray[np.float64]:
    """How far above the lid's edge, px, there is skin: up to some way below the brow."""
    brow = np.maximum(0.8 * (strip.upper - eye.brow), 0.1 * eye.width)
    return np.maximum(smooth(np.minimum(brow, _UNFOLDS * eye.width), 0.1 * eye.width), 2.0)


def _crease(strip: EyeStrip, shown: Grid, eye: EyeOutline) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Find the crease over the open lid: px above the edge, and the share of the light that it takes, for each column.

    It is dark between two brighter strips, the lid and the skin above; lashes, which rise from the edge, are not.
    """
    width = eye.width
    rows = np.arange(0, round((_UNFOLDS + 0.1) * width) + 1, dtype=np.float64)
    soft = max(0.01 * width, 0.4)
    level = strip.read(blur(shown.mean(axis=-1), soft), strip.upper, -rows)  # upward from the edge
    wide = cv2.getStructuringElement(cv2.MORPH_RECT, (max(round(0.12 * width), 2) | 1, 1))
    level = np.asarray(cv2.morphologyEx(level, cv2.MORPH_CLOSE, wide), np.float32)  # without single lashes
    # Where the mesh's edge is too low, the eyeball lies below the lashes, as bright as a lid, but less red.
    red, green = (strip.read(blur(shown[..., i], soft), strip.upper, -rows) + 1 for i in (0, 1))
    redness = np.log(red / green)
    usual = float(np.median(redness[round(0.1 * width) :]))
    skin = redness >= usual - max(_LESS_RED * abs(usual), _GREY)
    lid = np.maximum.accumulate(np.where(skin, level, 0.0), axis=0)
    reach = max(round(0.14 * width), 2)
    window = cv2.getStructuringElement(cv2.MORPH_RECT, (1, reach))
    over = cv2.dilate(level, window, anchor=(0, 0))  # brightest within `reach` rows farther up
    depth = np.clip(1 - level / np.maximum(np.minimum(lid, over), 1.0), 0, 1)
    low, high = round(0.05 * width), round(_HIGHEST_CREASE * width)
    place = 2 * strip.columns / width - 1
    near = np.abs(place) < 1.15
    path = low + strongest_path(depth[low : high + 1, near].astype(np.float64), 0.01)
    found = np.take_along_axis(depth[:, near], path[None], axis=0)[0]
    default = 0.13 * width * (1 - 0.35 * np.clip(place * place, 0, 1))
    if float(np.median(found)) < _SEEN_CREASE:
        return default, np.full(len(place), _LEAST_CREASE)
    weights = np.sqrt(np.clip(found, 1e-3, 0.2))
    curve = np.poly1d(np.polyfit(place[near], rows[path], 3, w=weights))
    heights = np.clip(curve(np.clip(place, -1.15, 1.15)), 0.04 * width, high)
    strip_of = np.arange(len(place))
    around = np.arange(-round(0.03 * width), round(0.03 * width) + 1)
    at = np.clip(np.round(heights).astype(int)[None] + around[:, None], 0, len(rows) - 1)
    depths = smooth(depth[at, strip_of[None]].max(axis=0).astype(np.float64), 0.1 * width)
    return heights, np.clip(depths, _LEAST_CREASE, _MOST_CREASE)


def _grain(
    shown: Grid, below: Grid, opening: Grid, top: Grid, stray: Grid, eye: EyeOutline, tones: FaceColours
) -> Grid:
    """Fine detail for the lid: that of the skin between crease and brow, or of that below the eye where there is none.

    It is repeated to and fro.
    """
    fine = shown.mean(axis=-1)
    fine = fine - blur(fine, max(0.05 * eye.width, 1.0))
    most = 4.0 * tones.grain + 2.0
    skin = np.clip(1 - 2 * blur(stray, 1.0), 0, 1) * (np.abs(fine) < _NO_GRAIN * most)  # and no hair
    fine *= skin
    wide = max(0.08 * eye.width, 1.0)
    shades = [cv2.GaussianBlur(one, (0, 0), sigmaX=wide, sigmaY=0.1) for one in (fine, skin.astype(np.float32))]
    fine = (fine - shades[0] / np.maximum(shades[1], 0.05)) * skin  # no creases
    span = np.maximum(0.4 * top, 2.0)
    strength = np.clip((top / eye.width - 0.12) / 0.1, 0, 1)  # there is no bare skin to take it from under a low rim
    above = _repeated(fine, -below, -0.45 * top, -span, eye)
    under = _repeated(fine, -below, opening + _CHEEK[0] * eye.width, np.full_like(top, _CHEEK[1] * eye.width), eye)
    detail = strength * above + (1 - strength) * under
    along = (opening > 0.3 * float(opening.max())) & (skin > 0.5)
    beside = (
        (along & (below < -0.45 * top) & (below > -0.45 * top - span)),
        along & (below > opening + _CHEEK[0] * eye.width),
    )
    strong = _LIKE * min((_spread(fine[part]) for part in beside if part.any()), default=tones.grain)
    detail *= np.clip(strong / max(_spread(detail[along]), 0.1), *_MOST_CHANGED)
    return np.asarray(np.clip(detail, -most, most), np.float32)


def _spread(values: Grid) -> float:
    """A standard deviation that single large values do not change."""
    return 1.4826 * float(np.median(np.abs(values))) if values.size else 0.0


def _repeated(fine: Grid, height: Grid, start: Grid, span: Grid, eye: EyeOutline) -> Grid:
    """Detail from `start` px below the upper lid's edge on, over `span` px, to and fro with the pixels' `height` above it, px."""
    size = np.abs(span)
    place = start + np.sign(span) * (size - np.abs(np.mod(height, 2 * size) - size))
    aside = _SLANT * height  # else both halves would be mirror images
    shift = (place + height)[..., None] * eye.down.astype(np.float32) + aside[..., None] * eye.across.astype(np.float32)
    y, x = np.indices(height.shape, dtype=np.float32)
    detail = sample(fine, np.dstack([x, y]) + shift.astype(np.float32))
    # The mean over what is repeated would be an upright streak.
    return np.asarray(detail - cv2.blur(detail, (1, round(2 * float(np.median(size))) | 1)), np.float32)
