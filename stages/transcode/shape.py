"""Works out the size of a converted picture, and the ffmpeg filters that give it that size."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from daemon.errors import JobError
from daemon.jobs.manifest import Manifest
from stages.info.tracks import VideoTrack

#: Smallest side of a draft, px.
_LEAST = 16
#: The blurred ground is made in a picture this many times smaller, and with a blur of so many of its pixels.
_SMALLER, _BLUR_PX = 8, 5


@dataclass(frozen=True)
class Shape:
    """The picture's size, and how it comes about.

    Attributes:
        width, height: of the video, px; even.
        filters: ffmpeg's filters, in their order.
        keys: keys of the manifest that change the picture's shape.
    """

    width: int
    height: int
    filters: tuple[str, ...]
    keys: tuple[str, ...]


def shape_of(manifest: Manifest, track: VideoTrack) -> Shape:
    """Work out the shape of a video that is made from `track`, as `crop`, `size`, `aspect`, `fit` and `quality` say.

    Raises:
        JobError: `crop-outside`.
    """
    width, height = track.shown_size
    filters: list[str] = []
    keys: list[str] = []
    if track.sample_aspect != 1:
        filters += [f"scale={width}:{height}", "setsar=1"]
    if manifest.crop and (cut := _cut(manifest.crop, width, height)) != (width, height, 0, 0):
        width, height = cut[:2]
        filters.append(f"crop={':'.join(map(str, cut))}:exact=1")
        keys.append("crop")
    wanted = _wanted(manifest, width, height)
    if manifest.quality == "draft":
        wanted = max(_LEAST, wanted[0] // 2), max(_LEAST, wanted[1] // 2)
        keys.append("quality")
    even = wanted[0] // 2 * 2, wanted[1] // 2 * 2
    if manifest.size or manifest.aspect or manifest.quality == "draft":
        if (width, height) != even:
            filters += _fitted(manifest.fit, width, height, *even)
            keys += [key for key in ("size", "aspect") if getattr(manifest, key)]
    elif even != (width, height):  # colour is stored for pairs of pixels
        filters.append(f"crop={even[0]}:{even[1]}:0:0")
    return Shape(*even, tuple(filters), tuple(keys))


def _cut(crop: str, width: int, height: int) -> tuple[int, int, int, int]:
    size, left, top = crop.split("+")
    wide, high = map(int, size.split("x"))
    if int(left) + wide > width or int(top) + high > height:
        raise JobError(
            "crop-outside",
            f"`crop: {crop}` reaches beyond the picture, which has {width} × {height} px.",
            "Write WIDTHxHEIGHT+LEFT+TOP of a part that lies inside it.",
        )
    if min(wide, high) < _LEAST:
        raise JobError(
            "crop-outside",
            f"`crop: {crop}` keeps less than {_LEAST} px of a side.",
            f"Write a width and a height of at least {_LEAST}.",
        )
    return wide, high, int(left), int(top)


def _wanted(manifest: Manifest, width: int, height: int) -> tuple[int, int]:
    if manifest.size:
        wide, high = map(int, manifest.size.split("x"))
        return wide, high
    if not manifest.aspect:
        return width, height
    aspect = Fraction(*map(int, manifest.aspect.split(":")))
    wider = Fraction(width, height) > aspect
    if manifest.fit == "crop":  # the largest part of this shape
        return (_even(height * aspect), height) if wider else (width, _even(width / aspect))
    return (width, _even(width / aspect)) if wider else (_even(height * aspect), height)


def _even(side: Fraction) -> int:
    return max(2, 2 * round(side / 2))


def _fitted(fit: str, width: int, height: int, wide: int, high: int) -> list[str]:
    """Return the filters that bring a picture of `width` × `height` px into one of `wide` × `high` px."""
    factor = max(Fraction(wide, width), Fraction(high, height))
    covering = max(wide, ceil(width * factor / 2) * 2), max(high, ceil(height * factor / 2) * 2)
    smaller = min(Fraction(wide, width), Fraction(high, height))
    inside = min(wide, _even(width * smaller)), min(high, _even(height * smaller))
    if inside == (wide, high):
        return [f"scale={wide}:{high}:flags=lanczos", "setsar=1"]
    if fit == "crop":
        return [f"scale={covering[0]}:{covering[1]}:flags=lanczos", f"crop={wide}:{high}", "setsar=1"]
    middle = f"{(wide - inside[0]) // 4 * 2}:{(high - inside[1]) // 4 * 2}"
    scaled = f"scale={inside[0]}:{inside[1]}:flags=lanczos"
    if fit == "blur":
        small = max(2, covering[0] // _SMALLER // 2 * 2), max(2, covering[1] // _SMALLER // 2 * 2)
        ground = f"scale={small[0]}:{small[1]}:flags=area,gblur={_BLUR_PX},scale={covering[0]}:{covering[1]},crop={wide}:{high}"
        return [
            f"split[whole][ground];[ground]{ground}[soft];[whole]{scaled}[sharp];[soft][sharp]overlay={middle}",
            "setsar=1",
        ]
    return [scaled, f"pad={wide}:{high}:{middle}:black", "setsar=1"]
