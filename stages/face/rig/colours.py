"""Measures colours in the portrait, so that painted parts (teeth, tongue, lids) match its light."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from stages.face import mesh
from stages.face.mesh import FloatArray
from stages.face.sampling import blur

Picture = npt.NDArray[np.uint8]
Colour = npt.NDArray[np.float64]

#: Luma of an RGB colour (BT.601).
LUMA = np.array([0.299, 0.587, 0.114])

#: Lowest ratio of blue to green in skin of any tone in white light, and the highest: more is pink or violet light.
_LEAST_BLUE, _MOST_BLUE = 0.70, 0.88
#: Cheeks darker than this part of the lips are covered.
_COVERED = 0.85
#: The white of an eye that is more saturated than this is in shade, reddened or painted: it does not tell the light's colour.
_PALE = 0.15
#: Teeth have at most so many times as much red as green, or they look pink, and as blue, or they look brown.
_PINK, _BROWN = 1.17, 1.28
#: Highest ratio of blue to green in teeth: enamel is a little yellow in white light.
_BLUEST = 0.94
#: A lower lip has this part of its skin's brightness, or less; the least light at a mouth, of that on the cheeks.
_LIP_LIGHT, _LEAST_LIGHT = 0.87, 0.35
#: A face's darkest areas tell how faded the picture is, up to this part of the lip's brightness: else they are no dark areas.
_DARKEST_OF_LIP = 0.25
#: Brightness of a tongue in full light beside that of white things, and at most beside that of the lower lip.
_TONGUE, _TONGUE_OF_LIP = 0.60, 0.86


def luma(colour: Colour) -> float:
    """Compute the luma of an RGB colour (BT.601), on the scale of the colour."""
    return float(colour @ LUMA)


def red_share(colours: Colour) -> Colour:
    """How much more red than green is in RGB colours [..., 3], as a part of their sum."""
    return np.asarray((colours[..., 0] - colours[..., 1]) / np.maximum(colours.sum(axis=-1), 1.0))


@dataclass(frozen=True)
class FaceColours:
    """Colours of a portrait.

    Attributes:
        skin, lip, teeth, cavity, tongue: RGB, 0 to 255. `cavity` is the dark of the open mouth.
        warmth: how coloured the picture is, 0 (grey) to 1.
        grain: standard deviation of the picture's grain, 8-bit levels.
    """

    skin: Colour
    lip: Colour
    teeth: Colour
    cavity: Colour
    tongue: Colour
    warmth: float
    grain: float

    @classmethod
    def of(cls, portrait: Picture, landmarks: FloatArray) -> FaceColours:
        """Measure an RGB portrait, uint8 [height, width, 3], with landmarks [478, 3] px."""
        skin, beside = (_median_around(portrait, landmarks, points) for points in (mesh.CHEEKS, mesh.BESIDE_MOUTH))
        lip = np.median(_inside(portrait, landmarks, mesh.LOWER_LIP_OUTER, mesh.LOWER_LIP_INNER), axis=0)
        if (
            luma(skin) < _COVERED * luma(lip) < luma(beside)
        ):  # lips are darker than skin: these cheeks are behind glasses
            skin = beside
        warmth = float(np.clip(np.ptp(skin) / max(luma(skin), 1.0) / 0.15, 0.0, 1.0))
        eyes = np.concatenate([_inside(portrait, landmarks, upper, lower) for upper, lower, _ in mesh.EYES])
        chin = _median_around(portrait, landmarks, mesh.BELOW_LIP)
        at_mouth = max(luma(beside), luma(chin), luma(lip) / _LIP_LIGHT) / max(luma(skin), 1.0)
        light = float(np.clip(at_mouth, _LEAST_LIGHT, 1.0))
        white = light * _white(skin, float(np.percentile(eyes @ LUMA, 97)))
        varnish = _yellow(skin)
        teeth = white * _teeth_tint(skin, eyes, warmth) * varnish
        dark = _darkest(portrait, landmarks)
        cavity = 0.12 * (0.4 * lip + 0.6 * luma(lip) * _tint(1.75, 0.62, 0.52, warmth))
        cavity += 0.35 * min(dark, _DARKEST_OF_LIP * luma(lip)) * _tint(1.3, 0.9, 0.82, warmth)
        tongue = _tongue(skin, lip, white, warmth) * varnish
        return cls(skin, lip, teeth, cavity, tongue, warmth, _grain(portrait, landmarks))


def _yellow(skin: Colour) -> Colour:
    """The yellow of varnish or warm light, by which white things lose blue: skin in white light has more, whatever its tone.

    They lose some green, too: they turn golden, not olive.
    """
    blue = float(np.clip(skin[2] / max(skin[1], 1.0) / _LEAST_BLUE, 0.5, 1.0))
    return np.array([1.0, blue**0.25, blue])


def _tint(red: float, green: float, blue: float, warmth: float) -> Colour:
    """A tint that fades with `warmth`: in a grey photograph the mouth is grey, too."""
    return 1.0 + warmth * (np.array([red, green, blue]) - 1.0)


def _median_around(portrait: Picture, landmarks: FloatArray, points: tuple[int, ...]) -> Colour:
    """The median colour of small squares around some points of the mesh."""
    return np.asarray(
        np.median(np.concatenate([_around(portrait, landmarks[index], 0.02, landmarks) for index in points]), axis=0)
    )


def _around(portrait: Picture, point: FloatArray, size: float, landmarks: FloatArray) -> Colour:
    """Pixels of a small square around a point, [n, 3]; its half side is the fraction `size` of the face's width."""
    radius = max(1, round(size * float(np.ptp(landmarks[list(mesh.OVAL), 0]))))
    x, y = round(float(point[0])), round(float(point[1]))
    patch = portrait[max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1]
    return patch.reshape(-1, 3).astype(np.float64)


def _inside(portrait: Picture, landmarks: FloatArray, *rims: tuple[int, ...]) -> Colour:
    """Pixels between two rims, [n, 3]."""
    outline = np.concatenate([landmarks[list(rims[0]), :2], landmarks[list(rims[1])[::-1], :2]])
    mask = np.zeros(portrait.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], (1,))
    pixels = portrait[mask > 0].astype(np.float64)
    return pixels if len(pixels) else portrait.reshape(-1, 3).astype(np.float64)


def _darkest(portrait: Picture, landmarks: FloatArray) -> float:
    """Luma of the face's darkest areas, which in a faded picture are grey."""
    low, high = landmarks[list(mesh.OVAL), :2].min(axis=0), landmarks[list(mesh.OVAL), :2].max(axis=0)
    x0, y0 = np.maximum(low.astype(int), 0)
    x1, y1 = high.astype(int) + 1
    return float(np.percentile(portrait[y0:y1, x0:x1].reshape(-1, 3) @ LUMA, 2))


def _white(skin: Colour, eye: float) -> float:
    """Luma of a white thing before the face. Eyes lie in the shade of brows, glasses and lashes, or are painted white: it is near
    the skin's.
    """
    return float(np.clip(eye, 0.99 * luma(skin), min(1.15 * luma(skin) + 15, 225.0)))


def _teeth_tint(skin: Colour, eyes: Colour, warmth: float) -> Colour:
    """Tint of teeth: white in the picture's light, which the white of the eyes shows, or else the skin; slightly warm."""
    cast = skin / max(luma(skin), 1.0)
    pink = np.clip(skin[2] / max(skin[1], 1.0) / _MOST_BLUE, 1.0, 1.15)
    tint = 0.72 * _tint(1.04, 1.0, 0.93 * pink, warmth) + 0.28 * cast
    white = _eye_white(eyes)
    if white is not None:
        tint = 0.5 * tint + 0.5 * _tint(1.03, 1.0, 0.94, warmth) * white / luma(white)
    tint[1] = np.clip(tint[1], tint[0] / _PINK, tint[0])
    tint[2] = np.clip(tint[2], tint[0] / _BROWN, tint[1] * pink * (1.0 - warmth * (1.0 - _BLUEST)))
    return np.asarray(tint / luma(tint))


def _eye_white(eyes: Colour) -> Colour | None:
    """The colour of the white of the eyes: the palest of their bright pixels, [n, 3]; None if none of them is pale."""
    level = eyes @ LUMA
    bright = eyes[level >= np.percentile(level, 80)]
    saturation = np.ptp(bright, axis=1) / np.maximum(bright.max(axis=1), 1.0)
    white = np.median(bright[saturation <= np.median(saturation)], axis=0)
    return np.asarray(white) if np.ptp(white) < _PALE * white.max() else None


def _tongue(skin: Colour, lip: Colour, white: float, warmth: float) -> Colour:
    """Colour of the tongue in the light at the mouth: pink in every face, in the cast of its lips."""
    level = max(min(_TONGUE * white, _TONGUE_OF_LIP * luma(lip)), _LEAST_LIGHT * white)
    pink = level * _tint(1.38, 0.84, 0.82, warmth)
    return 0.65 * pink + 0.35 * lip * min(level / max(luma(lip), 1.0), 1.3)


def _grain(portrait: Picture, landmarks: FloatArray) -> float:
    cheek = landmarks[list(mesh.CHEEKS), :2]
    x0, y0 = np.maximum(cheek.min(axis=0).astype(int), 0)
    x1, y1 = cheek.max(axis=0).astype(int) + 1
    patch = portrait[y0:y1, x0:x1].astype(np.float32)
    if patch.size == 0:
        return 0.0
    fine = patch - blur(patch, 1.5)
    return float(np.clip(1.4826 * np.median(np.abs(fine)), 0.0, 6.0))
