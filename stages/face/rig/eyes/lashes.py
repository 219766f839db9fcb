"""Finds the lashes of an open eye: what moves with the lid's edge as it closes, and what the closing lid covers."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.eye_outline import EyeOutline
from stages.face.rig.eyes.eye_strip import EyeStrip
from stages.face.sampling import blur

Grid = npt.NDArray[np.float32]

#: Height of the lashes that move with the lid's edge above it, in eye widths.
_LASHES = 0.15
#: Thick lashes are darker than the lid's skin by this part, begin within so many eye widths of the lid's edge, and end at most so
#: many above it.
_DARK, _ROOT, _REACH = 0.16, 0.04, 0.30
#: Sharpest edge of an eye, from its darkest to its lightest in px: so many standard deviations of what softens it.
_EDGE = 2.5


def read_lashes(strip: EyeStrip, shown: Grid, skin: Grid, eye: EyeOutline, side: int) -> tuple[Grid, int, Grid]:
    """Read the darkness of lashes and lid's edge from the picture, straightened; rows above the edge, and the colour.

    The line of a closed lid is as soft as the picture's own edges. The colour is read beside the iris, which is dark, too.
    """
    offset = max(round(_LASHES * eye.width), 2)
    rows = np.arange(-offset, max(2, offset // 2) + 1, dtype=np.float64)
    seen, bare = strip.read(shown, strip.upper, rows), strip.read(skin, strip.upper, rows)
    dark, light = seen.mean(axis=-1), bare.mean(axis=-1)
    beside = np.abs(strip.columns - eye.iris[0]) > eye.radius
    darkest = np.percentile(dark[:, beside], 8)
    colour = seen[:, beside][dark[:, beside] <= darkest].mean(axis=0)
    colour = np.minimum(colour, 0.6 * bare.mean(axis=(0, 1)))
    depth = np.clip((light - dark) / np.maximum(light - colour.mean(), 8.0), 0, 1)
    # A crease above a strip of bright lid is no lash: darkness only falls on the way up from the edge.
    core = round(0.03 * eye.width)
    above = np.minimum.accumulate(depth[: offset - core][::-1], axis=0)[::-1]
    outward = strip.columns / eye.width if side else 1 - strip.columns / eye.width
    reach = (0.045 + 0.105 * np.clip(outward + 0.1, 0, 1)) * eye.width  # they are shorter toward the nose
    depth[: offset - core] = above * np.clip(2 - 2 * -rows[: offset - core, None] / reach[None], 0, 1)
    soft = _softness(shown)
    depth *= np.where(rows > 0, np.exp(-((rows / max(0.025 * eye.width, soft)) ** 2)), 1.0)[:, None]
    line = 0.6 * np.exp(-((rows / max(0.028 * eye.width, soft)) ** 2))[:, None]
    opening = strip.lower - strip.upper
    taper = np.clip(opening / max(0.35 * float(opening.max()), 1.0), 0, 1)
    taper *= np.clip(outward / 0.22, 0, 1)  # there are none at the inner corner
    return (np.maximum(depth, line) * taper).astype(np.float32), offset, colour.astype(np.float32)


def _softness(shown: Grid) -> float:
    """How soft the sharpest edges of an eye are, px, at least as soft as a pixel."""
    level = shown.mean(axis=-1)
    steepest = max(float(np.abs(np.diff(level, axis=axis)).max()) for axis in (0, 1))
    return max(float(np.ptp(level)) / max(steepest, 1.0) / _EDGE, 0.9)


def find_single_lashes(shown: Grid, skin: Grid, eye: EyeOutline) -> Grid:
    """Find thin dark lines that point up, 0 to 1: darker than the pixels on both sides, as creases are not."""
    level = shown.mean(axis=-1)
    across = cv2.getStructuringElement(cv2.MORPH_RECT, (max(round(0.1 * eye.width), 2) | 1, 1))
    thin = cv2.morphologyEx(level, cv2.MORPH_BLACKHAT, across) / np.maximum(skin.mean(axis=-1), 1.0)
    return _softly(np.clip(thin / 0.08 - 0.5, 0, 1).astype(np.float32))


def find_thick_lashes(shown: Grid, skin: Grid, below: Grid, taper: Grid, eye: EyeOutline) -> Grid:
    """Find what is dark and hangs together with the lid's edge, 0 to 1: bundles of lashes, which are broad.

    Args:
        shown, skin: the box around the eye, and the lid's bare skin there, [height, width, 3].
        below: px from the upper lid's edge down, [height, width].
        taper: above 0 along the eye, [height, width].
        eye: the eye.
    """
    dark = 1 - shown.mean(axis=-1) / np.maximum(skin.mean(axis=-1), 1.0)
    height = -below / eye.width
    near = (dark > _DARK) & (height < _REACH) & (height > -_ROOT)
    _, parts = cv2.connectedComponents(near.view(np.uint8), connectivity=8)
    rooted = np.unique(parts[near & (height < _ROOT) & (taper > 0)])
    return _softly((near & np.isin(parts, rooted)).astype(np.float32))


def _softly(found: Grid) -> Grid:
    """The same a px wider, with a soft edge."""
    return blur(cv2.dilate(found, np.ones((3, 3), np.uint8)), 0.8)
