"""Lets hair or cloth go on beyond a border by patches of it, which overlap by half, so that it is neither mirrored nor drawn out.

What is fine in the patches is mixed so that its contrast stays (Heitz and Neyret, "High-Performance By-Example Noise", 2018).
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.mesh import FloatArray
from stages.face.rig.face_frame import smoothstep
from stages.face.sampling import blur, on_colours, sample

Picture = npt.NDArray[np.uint8]

#: Side of a patch, how far to the side it may come from (a parting stays where it is), sigma of the blur that parts fine from
#: coarse, and height up to which the strands that cross the border go on instead; of the shorter side.
_PATCH, _ASIDE, _COARSE, _FIRST = 0.09, 0.006, 0.012, 0.035
#: In which row patches come from a whole patch aside at most.
_PLAIN = 4
#: How much of their own tones the patches keep: locks, but no spot is seen again and again.
_OWN_TONE = 0.4
#: How much stronger than usual the texture may be, and sigma of what is compared, of the shorter side: an edge or an ornament at
#: the border would be seen again and again.
_STRONGEST, _AROUND = 2.0, 0.02
#: Starts of the four grids of patches, in patches, to the right and upwards; columns begin at different heights, too.
_GRIDS = ((0.0, 0.0), (0.0, 0.5), (0.5, 0.0), (0.5, 0.5))


def patchwork(below: Picture, lean: FloatArray, limit: FloatArray, tone: FloatArray, side: int) -> FloatArray:
    """The texture above a border, [rows, width, 3], 0 to 255; its last row lies at the border. The same for the same picture.

    Args:
        below: what is below the border, RGB uint8 [some rows, width, 3].
        lean: how far to the side its strands go for each px upwards, [width].
        limit: how far below the border it may be taken from, px, [width]; a patch's height in any case.
        tone: what it comes to, RGB [rows, width, 3].
        side: shorter side of the picture, px.
    """
    rows, width = tone.shape[:2]
    patch = max(2, min(round(_PATCH * side), len(below) - 1))
    coarse = blur(below.astype(np.float32), max(_COARSE * side, 0.5))
    fine = below - coarse
    strength = np.sqrt(blur((fine**2).mean(axis=2), max(_AROUND * side, 0.5)))
    most = _STRONGEST * np.median(strength) / np.maximum(strength, 1e-3)
    even = fine * on_colours(np.asarray(np.minimum(most, 1), np.float32))
    up = np.repeat(rows - 0.5 - np.arange(rows, dtype=np.float32)[:, None], width, axis=1)
    x = np.repeat(np.arange(width, dtype=np.float32)[None], rows, axis=0)
    first = smoothstep(1 - up / (_FIRST * side)).astype(np.float32)
    layers = [(first, np.stack([x - 2 * up * lean, up], axis=-1), 1.0, fine)]
    random = np.random.default_rng(0)
    starts = random.random((2, width // patch + 2)).astype(np.float32)
    for right, above in _GRIDS:
        across = x / patch + right
        upwards = up / patch + above + starts[round(2 * right), across.astype(np.intp)]
        weight = (1 - first) * (np.sin(math.pi * across) * np.sin(math.pi * upwards)) ** 2
        column, row = across.astype(np.intp), upwards.astype(np.intp)
        count = int(row.max()) + 1, int(column[0, -1]) + 1
        middles = (np.arange(count[1]) + 0.5 - right) * patch
        room = np.maximum(np.interp(middles, np.arange(width), limit) - patch, 0)
        # The same patch again and again would make a pattern: where little may be taken, it comes from farther and farther aside.
        reach = _ASIDE * side + np.maximum(patch - room, 0) * np.minimum(np.arange(count[0]) / _PLAIN, 1)[:, None]
        aside = (random.uniform(-1, 1, count) * reach).astype(np.float32)
        deep = (random.random(count) * room).astype(np.float32)
        y = deep[row, column] + patch * (1 - upwards + row)
        layers.append((weight, np.stack([x + aside[row, column], y], axis=-1), _OWN_TONE, even))
    made, detail, squares = (np.zeros((rows, width, channels), np.float32) for channels in (3, 3, 1))
    for weight, places, own, texture in layers:
        part, at = on_colours(weight.astype(np.float32)), places.astype(np.float32)
        made += part * (tone + np.float32(own) * (sample(coarse, at, outside=cv2.BORDER_REFLECT_101) - tone))
        detail += part * sample(texture, at, outside=cv2.BORDER_REFLECT_101)
        squares += part[..., :1] ** 2
    return np.asarray(made + detail / np.sqrt(np.maximum(squares, 1e-6)), np.float32)
