"""Prepares the turning of an eye, once per portrait: the eyeball without its highlight, and how far there is white to turn to."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.eye_outline import EyeOutline
from stages.face.mesh import FloatArray
from stages.face.rig.lower_lid import with_lower_lid
from stages.face.sampling import blur, sample

Picture = npt.NDArray[np.uint8]
Grid = npt.NDArray[np.float32]

#: Farthest that the iris moves, as fractions of the white on that side and, up and down, of the eye's width.
_OF_WHITE, _UP, _DOWN = 0.6, 0.035, 0.045
#: The lids' own edges, in eye widths, which stay as they are.
_RIM = 0.022


@dataclass(frozen=True)
class Eyeball:
    """What turns one eye.

    Attributes:
        origin: x and y of the box's top left pixel in the portrait.
        axes: unit vectors along the eye and toward its lower lid, picture px, [2, 2].
        eye_width: px.
        reach: px that the iris can move to the left, right, up and down, [4].
        ball: the eyeball continued under the lids, without highlight, RGB uint8 [height, width, 3].
        highlight: what the highlight adds to it, RGB uint8 [height, width, 3].
        share: how much each pixel moves with the iris, 1 to 0 at the corners, [height, width].
        opening: 1 between the lids, 0 outside, [height, width].
    """

    origin: tuple[int, int]
    axes: Grid
    eye_width: float
    reach: Grid
    ball: Picture
    highlight: Picture
    share: Grid
    opening: Grid


def find_eyeball(portrait: Picture, landmarks: FloatArray, side: int) -> Eyeball:
    """Prepare the eye on the picture's left (`side` 0) or right (1) of an RGB portrait."""
    eye = with_lower_lid(portrait, EyeOutline.of(landmarks, side))
    box = _box_around_opening(eye, (portrait.shape[1], portrait.shape[0]))
    shown = portrait[box[1] : box[3], box[0] : box[2]]
    along, down = eye.local(box)
    upper, lower = eye.edges(along)
    rim = max(_RIM * eye.width, 0.6)
    inside = np.clip(down - upper - rim + 0.5, 0, 1) * np.clip(lower - down - rim + 0.5, 0, 1)
    opening = np.asarray(inside, np.float32)
    left, right = _white_beside(shown, eye, along, opening)
    ball, highlight = _without_highlight(_under_lids(shown, eye, down, upper + 1.5 * rim, lower - 1.5 * rim), eye, box)
    beyond = np.abs(along - eye.iris[0]) - 1.05 * eye.radius
    room = np.where(along < eye.iris[0], eye.iris[0], eye.width - eye.iris[0]) - 1.05 * eye.radius
    fade = np.clip(beyond / np.maximum(room, 1.0), 0, 1)
    height = float((lower - upper).max())
    most = np.array([_OF_WHITE * left, _OF_WHITE * right, min(_UP * eye.width, 0.13 * height), _DOWN * eye.width])
    return Eyeball(
        origin=(box[0], box[1]),
        axes=np.stack([eye.across, eye.down]).astype(np.float32),
        eye_width=eye.width,
        reach=most.astype(np.float32),
        ball=ball,
        highlight=highlight,
        # Its slope is at most 1.2, so that the white is squeezed to 0.28 of its width and never folded.
        share=np.asarray(1 - fade * (0.6 + 0.4 * fade * (3 - 2 * fade)), np.float32),
        opening=opening,
    )


def _box_around_opening(eye: EyeOutline, size: tuple[int, int]) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = box = eye.box(0.02, 0.5, 0.4, size)
    along, down = eye.local(box)
    upper, lower = eye.edges(along)
    inside = (down > upper) & (down < lower)
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        return x0, y0, x1, y1
    return x0 + int(columns[0]), y0 + int(rows[0]), x0 + int(columns[-1]) + 1, y0 + int(rows[-1]) + 1


def _white_beside(shown: Picture, eye: EyeOutline, along: Grid, opening: Grid) -> tuple[float, float]:
    """Width of the white on the left and the right of the iris, px, as seen in the picture."""
    level = shown.mean(axis=-1, dtype=np.float32)
    columns = np.round(along).astype(int)
    inside = opening > 0.9
    far = np.abs(along - eye.iris[0]) - eye.radius
    white = level[inside & (far > 0.15 * eye.radius)]
    iris = level[inside & (far < -0.3 * eye.radius)]
    if not white.size or not iris.size:
        return 0.0, 0.0
    least = 0.7 * float(np.median(iris)) + 0.3 * float(np.percentile(white, 75))
    bright = inside & (level > least) & (far > 0)
    count = []
    for part in (along < eye.iris[0], along > eye.iris[0]):
        seen = [np.mean(bright[here]) for c in np.unique(columns[part & inside & (far > 0)])
                if (here := part & inside & (columns == c)).any()]  # fmt: skip
        count.append(float(np.sum(np.array(seen) > 0.35)))
    return count[0], count[1]


def _under_lids(shown: Picture, eye: EyeOutline, down: Grid, upper: Grid, lower: Grid) -> Picture:
    """Continue the eyeball above and below the opening with the pixels at its edge."""
    shift = np.clip(down, upper, np.maximum(lower, upper)) - down
    y, x = np.indices(down.shape, dtype=np.float32)
    places = np.dstack([x + shift * eye.down[0], y + shift * eye.down[1]]).astype(np.float32)
    return sample(shown, places)


def _without_highlight(ball: Picture, eye: EyeOutline, box: tuple[int, int, int, int]) -> tuple[Picture, Picture]:
    """Split the eyeball into itself without the reflection of a lamp on the iris, and that reflection."""
    level = ball.mean(axis=-1, dtype=np.float32)
    across = 2 * round(0.38 * eye.radius) + 1
    small = level - cv2.morphologyEx(
        level, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (across, across))
    )
    along, down = eye.local(box)
    iris = np.hypot(along - eye.iris[0], down - eye.iris[1]) < 0.85 * eye.radius
    spot = cv2.dilate(((small > 30) & iris).astype(np.uint8), np.ones((3, 3), np.uint8))
    if not spot.any():
        return ball, np.zeros_like(ball)
    filled = np.asarray(cv2.inpaint(ball, spot, max(0.2 * eye.radius, 1.0), cv2.INPAINT_TELEA), np.uint8)
    share = blur(spot.astype(np.float32), 0.7)[..., None]
    plain = np.clip(ball + share * (filled.astype(np.float32) - ball), 0, ball).astype(np.uint8)
    return plain, np.asarray(cv2.subtract(ball, plain), np.uint8)
