"""Paints closed lids from the skin around each eye, once per portrait; a blink slides them over the eye."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from stages.face import mesh
from stages.face.mesh import FloatArray
from stages.face.rig.colours import FaceColours
from stages.face.sampling import blur, sample

Picture = npt.NDArray[np.uint8]
Grid = npt.NDArray[np.float32]

#: Reach of the lashes above the lid's edge, and width of the painted surroundings of the eye, in eye widths.
_LASHES, _AROUND = 0.14, 0.32
#: The lower lid rises by this fraction of the opening, where the lids meet.
LOWER_LID_RISE = 0.14
#: Fraction of the eye's width added on both sides, because the mesh's corners lie inside the eye's.
_CORNERS = 0.05


@dataclass(frozen=True)
class Lid:
    """The closed lid of one eye.

    Attributes:
        origin: x and y of the box's top left pixel in the portrait.
        skin: appearance of the closed lid, RGB float32 [height, width, 3].
        stray: eyeball visible outside the mesh's lids, 0 to 1, [height, width]: drawn eyes are larger than real ones.
        upper, lower: y of the lids' edges in each column, px in the box; equal where there is no eye.
        lashes: darkness of the lid's edge, 0 to 1, [reach, width]: row r lies r - offset px below the edge.
        offset: rows of `lashes` above the edge.
        lash_colour: RGB.
    """

    origin: tuple[int, int]
    skin: Grid
    stray: Grid
    upper: Grid
    lower: Grid
    lashes: Grid
    offset: int
    lash_colour: Grid


def paint_lid(portrait: Picture, landmarks: FloatArray, side: int, tones: FaceColours) -> Lid:
    """Paint the closed lid of the eye on the picture's left (`side` 0) or right (1), for an RGB portrait."""
    upper_index, lower_index, _ = mesh.EYES[side]
    upper, lower = landmarks[list(upper_index), :2], landmarks[list(lower_index), :2]
    eye_width = float(np.linalg.norm(upper[0] - upper[-1]))
    margin = _AROUND * eye_width + 3
    points = np.concatenate([upper, lower])
    limit = np.array([portrait.shape[1], portrait.shape[0]])
    x0, y0 = np.maximum(np.floor(points.min(axis=0) - margin), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(points.max(axis=0) + margin), limit).astype(int)
    box = portrait[y0:y1, x0:x1].astype(np.float32)
    columns = np.arange(x0, x1, dtype=np.float64)
    top = _edge(upper, columns) - y0
    bottom = np.maximum(_edge(lower, columns) - y0, top)
    lash_height = max(2.0, _LASHES * eye_width)
    skin = _skin(box, top, bottom, lash_height, eye_width, tones)
    lashes, colour = _lash_strip(box, skin, top, lash_height)
    return Lid(
        (int(x0), int(y0)),
        skin,
        _visible_eyeball(box, skin, top, bottom, eye_width),
        top.astype(np.float32),
        bottom.astype(np.float32),
        lashes,
        round(lash_height),
        colour,
    )


def _edge(points: FloatArray, columns: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Fit a lid's edge, y per column: a polynomial of degree 4 through the landmarks, constant outside them."""
    ordered = points[np.argsort(points[:, 0])].astype(np.float64)
    middle, half = (ordered[0, 0] + ordered[-1, 0]) / 2, max((ordered[-1, 0] - ordered[0, 0]) / 2, 1.0)
    weights = np.ones(len(ordered))
    weights[[0, -1]] = 4.0
    fit: Any = np.polynomial.Polynomial.fit
    curve = fit((ordered[:, 0] - middle) / half, ordered[:, 1], 4, w=weights)
    inside = (columns - middle) / (half * (1 + 2 * _CORNERS))
    return np.asarray(curve(np.clip(inside, -1, 1)))


def _skin(
    box: Grid,
    top: npt.NDArray[np.float64],
    bottom: npt.NDArray[np.float64],
    lash_height: float,
    eye_width: float,
    tones: FaceColours,
) -> Grid:
    """Fill the eye smoothly from the skin around it, shade it as round, and add the picture's grain."""
    rows = np.arange(box.shape[0])[:, None]
    there = (bottom - top > 0.5)[None]
    eye = (rows > top[None] - lash_height) & (rows < bottom[None] + 0.12 * eye_width) & there
    known = 1.0 - cv2.dilate(eye.astype(np.float32), np.ones((3, 3), np.uint8))
    filled = _fill(box, known * _bare_skin(box, known))
    middle = (top + bottom)[None] / 2
    ball = np.exp(-(((rows - middle) / (0.24 * eye_width)) ** 2)) * there
    closing = bottom - LOWER_LID_RISE * (bottom - top)
    near_edge = np.exp(-(((rows - closing[None]) / (0.05 * eye_width)) ** 2))
    inside = blur(1.0 - known, max(0.03 * eye_width, 0.8))
    light = 1.0 + inside * (0.06 * ball - 0.08 * near_edge)
    grain = np.random.default_rng(1).normal(0.0, 1.0, box.shape[:2]).astype(np.float32)
    grain = blur(grain, 0.6) * (1.5 * tones.grain)
    return np.asarray(np.clip(filled * light[..., None] + (grain * inside)[..., None], 0, 255), np.float32)


def _bare_skin(box: Grid, known: Grid) -> Grid:
    """1 on bare skin, near 0 on much darker pixels: lashes, creases, brows."""
    level = box.mean(axis=-1)
    usual = float(np.percentile(level[known > 0.5], 60)) if (known > 0.5).any() else 255.0
    return np.asarray(np.clip((level - 0.66 * usual) / (0.22 * usual), 0.02, 1.0), np.float32)


def _visible_eyeball(
    box: Grid, skin: Grid, top: npt.NDArray[np.float64], bottom: npt.NDArray[np.float64], eye_width: float
) -> Grid:
    """Find white of the eye outside the mesh's lids: pixels near the eye that are bluer than skin, 0 to 1."""
    rows = np.arange(box.shape[0])[:, None]
    inside = ((rows > top[None]) & (rows < bottom[None]) & (bottom - top > 1.0)[None]).astype(np.float32)
    reach = 2 * round(0.09 * eye_width) + 1
    around = cv2.dilate(inside, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    whiter = np.clip((box[..., 2] - skin[..., 2] - 18.0) / 20.0, 0, 1)  # blue: the white's difference from any skin
    wide = cv2.dilate(whiter.astype(np.float32) * around, np.ones((3, 3), np.uint8))
    return np.asarray(blur(wide * around, 0.8), np.float32)


def _fill(box: Grid, known: Grid) -> Grid:
    """Fill unknown pixels smoothly from a pyramid of ever coarser averages (push-pull)."""
    if min(box.shape[:2]) <= 2 or known.min() > 0.5:
        mean = (box * known[..., None]).sum(axis=(0, 1)) / max(float(known.sum()), 1e-3)
        return np.where(known[..., None] > 0, box, mean).astype(np.float32)
    weighted, weight = cv2.pyrDown(box * known[..., None]), cv2.pyrDown(known)
    coarse = _fill(weighted / np.maximum(weight, 1e-3)[..., None], np.minimum(weight * 4, 1.0))
    fine = cv2.pyrUp(coarse, dstsize=(box.shape[1], box.shape[0]))
    return (box * known[..., None] + fine * (1.0 - known[..., None])).astype(np.float32)


def _lash_strip(box: Grid, skin: Grid, top: npt.NDArray[np.float64], lash_height: float) -> tuple[Grid, Grid]:
    """Read the dark line along the lid's edge from the picture, straightened, and its colour."""
    offset = round(lash_height)
    reach = np.arange(-offset, max(2, offset // 2) + 1)
    columns = np.broadcast_to(np.arange(box.shape[1], dtype=np.float32), (len(reach), box.shape[1]))
    rows = (top[None] + reach[:, None]).astype(np.float32)
    places = np.dstack([columns, rows])
    shown, bare = sample(box, places), sample(skin, places)
    dark_luma, bare_luma = shown.mean(axis=-1), bare.mean(axis=-1)
    colour = shown[dark_luma <= np.percentile(dark_luma, 12)].mean(axis=0)
    colour = np.minimum(colour, 0.62 * bare.mean(axis=(0, 1)))
    depth = np.clip((bare_luma - dark_luma) / np.maximum(bare_luma - colour.mean(), 8.0), 0, 1)
    line = 0.62 * np.exp(-((reach[:, None] / max(0.30 * lash_height, 1.0)) ** 2))
    fade = np.where(reach[:, None] > 0, np.exp(-((reach[:, None] / max(0.22 * lash_height, 0.8)) ** 2)), 1.0)
    ends = np.minimum(1.0, (reach[:, None] + offset) / max(offset * 0.4, 1.0))
    return (np.maximum(depth * fade * ends, line)).astype(np.float32), colour.astype(np.float32)
