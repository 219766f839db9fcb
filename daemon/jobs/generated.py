"""The shapes of generated portraits, and how one is chosen."""

from __future__ import annotations

import math
from typing import Final

#: `aspect` in a manifest → width and height of the generated picture, px: sizes of about a megapixel that SDXL was trained with.
GENERATED_SHAPES: Final[dict[str, tuple[int, int]]] = {"1:1": (1024, 1024), "16:9": (1344, 768), "9:16": (768, 1344)}


def generated_size(aspect: str | None, size: str | None) -> tuple[int, int]:
    """Choose width and height of a generated picture, px: the shape that is nearest to the video's.

    Args:
        aspect: WIDTH:HEIGHT, or None.
        size: WIDTHxHEIGHT of the video, px, or None. Without either the picture is square.
    """
    width, height = (int(side) for side in (aspect or (size or "1:1").replace("x", ":")).split(":"))
    wanted = math.log(width / height)
    return min(GENERATED_SHAPES.values(), key=lambda shape: abs(math.log(shape[0] / shape[1]) - wanted))
