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
_LUMA = np.array([0.299, 0.587, 0.114])


def luma(colour: Colour) -> float:
    """Compute the luma of an RGB colour (BT.601), on the scale of the colour."""
    return float(colour @ _LUMA)


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
        skin = np.median(
            np.concatenate([_around(portrait, landmarks[index], 0.02, landmarks) for index in mesh.CHEEKS]), axis=0
        )
        lip = np.median(_inside(portrait, landmarks, mesh.LOWER_LIP_OUTER, mesh.LOWER_LIP_INNER), axis=0)
        warmth = float(np.clip(np.ptp(skin) / max(luma(skin), 1.0) / 0.15, 0.0, 1.0))
        teeth = _teeth(skin, _eye_white(portrait, landmarks), warmth)
        cavity = 0.17 * (0.6 * lip + 0.4 * luma(lip) * _tint(1.25, 0.8, 0.75, warmth))
        cavity += 0.6 * _darkest(portrait, landmarks) * _tint(1.15, 0.95, 0.9, warmth)
        tongue = 0.74 * (0.7 * lip + 0.3 * luma(skin) * _tint(1.2, 0.72, 0.7, warmth))
        return cls(skin, lip, teeth, cavity, tongue, warmth, _grain(portrait, landmarks))


def _tint(red: float, green: float, blue: float, warmth: float) -> Colour:
    """A tint that fades with `warmth`: in a grey photograph the mouth is grey, too."""
    return 1.0 + warmth * (np.array([red, green, blue]) - 1.0)


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
    return float(np.percentile(portrait[y0:y1, x0:x1].reshape(-1, 3) @ _LUMA, 2))


def _eye_white(portrait: Picture, landmarks: FloatArray) -> float:
    """Luma of the brightest pixels inside the eyes: how white looks in this picture's light."""
    values = [_inside(portrait, landmarks, upper, lower) @ _LUMA for upper, lower, _ in mesh.EYES]
    return float(np.percentile(np.concatenate(values), 85))


def _teeth(skin: Colour, white: float, warmth: float) -> Colour:
    """Colour of teeth: about as bright as the white of the eyes, near the skin's brightness, and slightly warm."""
    level = float(np.clip(1.03 * white, 0.88 * luma(skin), min(1.45 * luma(skin) + 12, 222.0)))
    cast = skin / max(luma(skin), 1.0)
    return level * (0.65 * _tint(1.03, 1.0, 0.94, warmth) + 0.35 * cast)


def _grain(portrait: Picture, landmarks: FloatArray) -> float:
    cheek = landmarks[list(mesh.CHEEKS), :2]
    x0, y0 = np.maximum(cheek.min(axis=0).astype(int), 0)
    x1, y1 = cheek.max(axis=0).astype(int) + 1
    patch = portrait[y0:y1, x0:x1].astype(np.float32)
    if patch.size == 0:
        return 0.0
    fine = patch - blur(patch, 1.5)
    return float(np.clip(1.4826 * np.median(np.abs(fine)), 0.0, 6.0))
