"""Prepares the turning of an eye, once per portrait: the eyeball without its highlight, and how far there is white to turn to."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.eye_outline import EyeOutline
from stages.face.mesh import FloatArray
from stages.face.rig.eyes.lower_lid import with_lower_lid
from stages.face.rig.matting.fill import mean_around, spread
from stages.face.sampling import blur, sample

Picture = npt.NDArray[np.uint8]
Grid = npt.NDArray[np.float32]

#: Farthest that the iris moves, as fractions of the white on that side and, up and down, of the eye's width.
_OF_WHITE, _UP, _DOWN = 0.6, 0.028, 0.045
#: Between these heights of the opening, of the eye's width, and these contrasts of iris and white, an eye becomes one that is
#: seen well enough to turn as far as it can; one below both turns by the product of the least parts.
_NARROW, _FAINT = ((0.14, 0.28), (0.2, 0.45)), (0.3, 0.4)
#: The upper lid's own edge, in eye widths, which stays as it is.
_RIM = 0.022
#: The iris is looked for so far from the mesh's, and with such a radius, in the mesh's radii; its usual radius there.
_MOVES, _SIZES, _USUAL_SIZE = np.linspace(-0.15, 0.15, 7), np.linspace(0.76, 1.06, 7), 0.9
#: Least and most share of light that shade leaves.
_DARKEST, _LIGHTEST = 0.2, 1.1


@dataclass(frozen=True)
class Eyeball:
    """What turns one eye.

    Attributes:
        origin: x and y of the box's top left pixel in the portrait.
        axes: unit vectors along the eye and toward its lower lid, picture px, [2, 2].
        eye_width: px.
        reach: px that the iris can move to the left, right, up and down, [4].
        ball: the eyeball continued under the lids, without shade and highlight, RGB uint8 [height, width, 3].
        highlight: what the highlight adds to it, RGB uint8 [height, width, 3].
        share: how much each pixel moves with the iris, 1 to 0 at the corners, [height, width].
        opening: 1 between the lids, 0 outside, [height, width].
        shade: what lids, lashes and the corner leave of each colour's light on the eyeball, and what stays in place when
            the eye turns, RGB [height, width, 3].
        margin: what to add to the lower lid's edge when the iris leaves it, RGB [height, width, 3].
    """

    origin: tuple[int, int]
    axes: Grid
    eye_width: float
    reach: Grid
    ball: Picture
    highlight: Picture
    share: Grid
    opening: Grid
    shade: Grid
    margin: Grid


def find_eyeball(portrait: Picture, landmarks: FloatArray, side: int) -> Eyeball:
    """Prepare the eye on the picture's left (`side` 0) or right (1) of an RGB portrait."""
    eye = with_lower_lid(portrait, EyeOutline.of(landmarks, side))
    eye = _with_iris(portrait, eye)
    box = _box_around_opening(eye, (portrait.shape[1], portrait.shape[0]))
    shown = portrait[box[1] : box[3], box[0] : box[2]]
    along, down = eye.local(box)
    upper, lower = eye.edges(along)
    rim = max(_RIM * eye.width, 0.6)
    from_iris = np.hypot(along - eye.iris[0], down - eye.iris[1]) / eye.radius
    inside = np.clip(down - upper - rim + 0.5, 0, 1) * np.clip(lower - down + 0.5, 0, 1)
    opening = np.asarray(inside, np.float32)
    left, right, contrast = _white_beside(shown, eye, along, opening)
    edges = (upper + 1.5 * rim, lower)
    shade, clean, white = _without_shade(shown, eye, from_iris, along, down, edges)
    ball, highlight = _without_highlight(_under_lids(clean, white, eye, from_iris, down, edges), eye, box)
    beyond = np.abs(along - eye.iris[0]) - 1.05 * eye.radius
    room = np.where(along < eye.iris[0], eye.iris[0], eye.width - eye.iris[0]) - 1.05 * eye.radius
    fade = np.clip(beyond / np.maximum(room, 1.0), 0, 1)
    height = float((lower - upper).max())
    most = np.array([_OF_WHITE * left, _OF_WHITE * right, min(_UP * eye.width, 0.13 * height), _DOWN * eye.width])
    most *= _seen_well(height / eye.width, contrast)
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
        shade=shade,
        margin=_lower_margin(shown, from_iris, down - lower, eye.width),
    )


def _box_around_opening(eye: EyeOutline, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The box around the opening, what comes into it from under the upper lid, and the lower lid's edge."""
    x0, y0, x1, y1 = box = eye.box(0.02, 0.5, 0.4, size)
    along, down = eye.local(box)
    upper, lower = eye.edges(along)
    inside = (lower > upper) & (down > upper - (_DOWN + 0.01) * eye.width) & (down < lower + 0.05 * eye.width)
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        return x0, y0, x1, y1
    return x0 + int(columns[0]), y0 + int(rows[0]), x0 + int(columns[-1]) + 1, y0 + int(rows[-1]) + 1


def _seen_well(height: float, contrast: float) -> float:
    """The part of its reach by which an eye is turned: in a narrow or dim one the iris would become a smear."""
    parts = [
        float(np.interp(value, between, (least, 1.0)))
        for value, between, least in zip((height, contrast), _NARROW, _FAINT, strict=True)
    ]
    return parts[0] * parts[1]


def _white_beside(shown: Picture, eye: EyeOutline, along: Grid, opening: Grid) -> tuple[float, float, float]:
    """Width of the white on the left and the right of the iris, px, and how much darker the iris is, as seen in the picture."""
    level = shown.mean(axis=-1, dtype=np.float32)
    columns = np.round(along).astype(int)
    inside = opening > 0.9
    far = np.abs(along - eye.iris[0]) - eye.radius
    white = level[inside & (far > 0.15 * eye.radius)]
    iris = level[inside & (far < -0.3 * eye.radius)]
    if not white.size or not iris.size:
        return 0.0, 0.0, 0.0
    dark, light = float(np.median(iris)), float(np.percentile(white, 75))
    least = 0.7 * dark + 0.3 * light
    bright = inside & (level > least) & (far > 0)
    count = []
    for part in (along < eye.iris[0], along > eye.iris[0]):
        seen = [np.mean(bright[here]) for c in np.unique(columns[part & inside & (far > 0)])
                if (here := part & inside & (columns == c)).any()]  # fmt: skip
        count.append(float(np.sum(np.array(seen) > 0.35)))
    return count[0], count[1], 1 - dark / max(light, 1.0)


def _with_iris(portrait: Picture, eye: EyeOutline) -> EyeOutline:
    """The same eye with the circle at whose rim the picture gets brightest; the mesh's is often too large."""
    x0, y0, x1, y1 = eye.box(0.1, 0.4, 0.4, (portrait.shape[1], portrait.shape[0]))
    level = blur(portrait[y0:y1, x0:x1].mean(axis=-1, dtype=np.float32), max(0.015 * eye.width, 0.5))
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    ray = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    moves = np.array(np.meshgrid(_MOVES, _MOVES, _SIZES, indexing="ij")).reshape(3, -1).T * eye.radius
    centres = np.array(eye.iris) + moves[:, :2]
    turn = np.stack([eye.across, eye.down])
    sides = []
    for beside in (-0.14, 0.14):
        rims = centres[:, None] + (moves[:, 2:, None] + beside * eye.radius) * ray
        sides.append(sample(level, (eye.corner - (x0, y0) + rims @ turn).astype(np.float32)))
    upper, lower = eye.edges(rims[..., 0])
    seen = ((rims[..., 1] > upper + 0.03 * eye.width) & (rims[..., 1] < lower - 0.02 * eye.width)).astype(np.float32)
    brighter = ((sides[1] - sides[0]) * seen).sum(axis=1) / np.maximum(seen.sum(axis=1), 1.0)
    far = np.hypot(moves[:, 0], moves[:, 1]) / eye.radius + np.abs(moves[:, 2] / eye.radius - _USUAL_SIZE)
    score = np.where(seen.sum(axis=1) >= 8, brighter * (1 - far), 0.0)
    best = int(score.argmax())
    if score[best] <= 0:
        return eye
    return replace(eye, iris=(float(centres[best, 0]), float(centres[best, 1])), radius=float(moves[best, 2]))


def _without_shade(
    shown: Picture, eye: EyeOutline, from_iris: Grid, along: Grid, down: Grid, edges: tuple[Grid, Grid]
) -> tuple[Grid, Grid, Grid]:
    """Split the opening into what stays in place when the eye turns, RGB shares of light, and the eyeball without it, RGB levels.

    Also returns the eyeball's white without veins, everywhere.

    Near the lids' edges and in the corners all that is darker or redder than the white is shade. Elsewhere, and on the iris, it
    is the upper lid's shadow, as the white at the same distance from the lid has it.
    """
    colours = shown.astype(np.float32)
    level = colours.mean(axis=-1)
    inside = (down > edges[0]) & (down < edges[1])
    beside = inside & (from_iris > 1.2) & (np.abs(along / eye.width - 0.5) < 0.42)
    if beside.sum() < 12:
        return np.ones_like(colours), colours, spread(colours, inside.astype(np.float32))
    bright = beside & (level >= np.percentile(level[beside], 60))
    usual_white = np.where(bright[..., None], colours, colours[bright].mean(axis=0)).astype(np.float32)
    white = blur(spread(usual_white, np.maximum(bright.astype(np.float32), 0.003)), 0.06 * eye.width)
    depth = (down - edges[0]) / eye.width
    bins = np.linspace(0, 0.3, 16)
    darker = level / np.maximum(white.mean(axis=-1), 1.0)
    rows = np.clip(np.digitize(depth, bins) - 1, 0, len(bins) - 1)
    found = [
        float(np.median(darker[beside & (rows == row)])) if (beside & (rows == row)).any() else 1.0
        for row in range(len(bins))
    ]
    course = np.maximum.accumulate(np.clip(found, _DARKEST, 1.0))
    usual = np.interp(depth, bins + bins[1] / 2, course)[..., None]
    seen = np.clip(colours / np.maximum(white, 1.0), 0.04, _LIGHTEST)
    at_corner = (np.abs(along / eye.width - 0.5) - 0.3) / 0.12
    at_lower = 1 - (edges[1] - down) / (0.05 * eye.width)
    at_upper = np.maximum(1 - depth / 0.06, at_corner) * np.clip((from_iris - 1.1) / 0.2, 0, 1)
    part = np.clip(np.maximum(at_upper, at_lower * np.clip((from_iris - 1.25) / 0.2, 0, 1)), 0, 1)
    shade = np.asarray(usual + part[..., None] * (seen - usual), np.float32)
    return shade, colours / shade, white


def _lower_margin(shown: Picture, from_iris: Grid, below: Grid, width: float) -> Grid:
    """What to add to the lower lid's edge, px `below` it, to take away the rim of the iris that the picture shows on it, RGB."""
    colours = shown.astype(np.float32)
    known = (below > 0) & (from_iris > 1.4)
    if not known.any():
        return np.zeros_like(colours)
    near = np.clip(1.5 - below / (0.03 * width), 0, 1) * np.clip((1.5 - from_iris) / 0.2, 0, 1) * (below > -1)
    without = spread(
        np.where(known[..., None], colours, colours[known].mean(axis=0)), np.maximum(known, 0.003).astype(np.float32)
    )
    return np.asarray(near[..., None] * np.maximum(without - colours, 0), np.float32)  # a rim is dark


def _under_lids(
    clean: Grid, white: Grid, eye: EyeOutline, from_iris: Grid, down: Grid, edges: tuple[Grid, Grid]
) -> Picture:
    """Continue the eyeball above and below the opening: the iris as a disc, the white around it."""
    inside = ((down > edges[0]) & (down < edges[1])).astype(np.float32)
    if not inside.any():
        return np.asarray(np.clip(clean, 0, 255), np.uint8)
    rings = np.linspace(0, 1.3, 27)
    ring = np.clip(np.round(from_iris / rings[1]), 0, len(rings) - 1).astype(int)
    count = np.bincount(ring.ravel(), inside.ravel(), len(rings))
    sums = [np.bincount(ring.ravel(), (inside * clean[..., c]).ravel(), len(rings)) for c in range(3)]
    known = count > 0
    disc = np.stack([np.interp(from_iris, rings[known], total[known] / count[known]) for total in sums], axis=-1)
    part = np.clip((from_iris - 1.1) / 0.15, 0, 1)[..., None]
    model = np.asarray(disc + part * (white - disc), np.float32)
    # Where the lids cut the iris, the disc goes on with what the picture has there.
    off = mean_around(clean - model, inside, 0.06 * eye.width) * (1 - part).astype(np.float32)
    shift = np.clip(down, edges[0], np.maximum(edges[1], edges[0])) - down
    y, x = np.indices(down.shape, dtype=np.float32)
    places = np.dstack([x + shift * eye.down[0], y + shift * eye.down[1]]).astype(np.float32)
    hidden = model + sample(off, places)
    from_edge = np.minimum(down - edges[0], edges[1] - down)
    cover = np.clip(from_edge / max(0.03 * eye.width, 1.0), 0, 1)[..., None]
    ball = hidden + cover * (clean - hidden)
    return np.asarray(np.clip(ball + 0.5, 0, 255), np.uint8)


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
