"""Chooses which part of the picture the video shows, at what size, and where in the video."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

import cv2
import numpy as np
import numpy.typing as npt

from stages.face import mesh
from stages.face.mesh import FloatArray

#: Vertical position of the face's middle in a crop, as a fraction of its height.
_FACE_HEIGHT = 0.45
#: The longer side of a video without `size` by its `max_side_px`.
LONGEST = Fraction(16, 9)
#: How far the head reaches beyond the mesh of the face: hair above the forehead, ears and hair to the sides, a little below the
#: chin; in heights and widths of the face.
_HAIR, _EARS, _CHIN = 0.4, 0.16, 0.08
#: What an extended picture shows beside the head, above it and below it, in the head's widths and heights.
_BESIDE, _OVER, _UNDER = 0.07, 0.05, 0.25
#: What is left out at a border where the picture is extended: the outermost pixels are often damaged; of the shorter side.
_EDGE = 0.008
#: How far down in the video the middle of a head may be moved by what is added above, in the video's height.
_LOWEST_MIDDLE = 0.56
#: Part of the upper and lower borders that is above: captions go below.
_BORDER_ABOVE = 1 / 4
#: How much of a crop's side a head may be cut by before the picture gets borders, and the least width of these together, in the
#: video's side, where the picture can be narrowed for them: thin ones look like a mistake.
_SLIGHT, _LEAST_BORDERS = 0.05, 0.14


@dataclass(frozen=True)
class Box:
    """A box in a picture, px."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """px."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """px."""
        return self.bottom - self.top

    def within(self, width: float, height: float) -> Box:
        """Return the part of it that lies in a picture of so many px."""
        return Box(max(self.left, 0), max(self.top, 0), min(self.right, width), min(self.bottom, height))


def head_box(landmarks: FloatArray) -> Box:
    """The box around a head with its hair and ears, from the landmarks, [478, 3] px; it may reach out of the picture."""
    oval = landmarks[list(mesh.OVAL), :2]
    up = landmarks[mesh.FOREHEAD, :2] - landmarks[mesh.CHIN, :2]
    across = landmarks[mesh.RIGHT_SIDE, :2] - landmarks[mesh.LEFT_SIDE, :2]
    middle = (landmarks[mesh.FOREHEAD, :2] + landmarks[mesh.CHIN, :2]) / 2
    higher = (oval - middle) @ up / max(float(up @ up), 1e-6) + 0.5  # 0 at the chin, 1 at the forehead
    aside = (oval - middle) @ across / max(float(across @ across), 1e-6)  # -1/2 and 1/2 at the sides
    grown = oval + np.outer(np.where(higher > 0.5, _HAIR * higher, -_CHIN), up) + np.outer(2 * _EARS * aside, across)
    points = np.concatenate([oval, grown])
    low, high = points.min(axis=0), points.max(axis=0)
    return Box(float(low[0]), float(low[1]), float(high[0]), float(high[1]))


@dataclass(frozen=True)
class OutputFrame:
    """A crop of the picture (px, from its top left), the size in px that it is scaled to, and its place in the video.

    Sizes and places are even. The video is larger than the scaled crop where the picture gets borders, or, if it is `extended`,
    goes on there.
    """

    x: int
    y: int
    crop_width: int
    crop_height: int
    width: int
    height: int
    video_width: int
    video_height: int
    left: int = 0
    top: int = 0
    extended: bool = False

    @property
    def fills(self) -> bool:
        """Whether the scaled crop is as large as the video."""
        return (self.width, self.height) == (self.video_width, self.video_height)

    @property
    def margins(self) -> tuple[int, int, int, int]:
        """What the video shows beside the scaled crop, at the top, left, bottom and right, px."""
        return (
            self.top,
            self.left,
            self.video_height - self.top - self.height,
            self.video_width - self.left - self.width,
        )

    def render(self, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Cut and scale a picture to [height, width, 3]; without scaling the pixels stay as they are."""
        crop = picture[self.y : self.y + self.crop_height, self.x : self.x + self.crop_width]
        if (self.crop_width, self.crop_height) == (self.width, self.height):
            return np.ascontiguousarray(crop)
        method = cv2.INTER_AREA if self.width < self.crop_width else cv2.INTER_LANCZOS4
        return np.asarray(cv2.resize(crop, (self.width, self.height), interpolation=method), np.uint8)

    def halved(self) -> OutputFrame:
        """Return the same at half the width and height."""
        width, height = _even(self.width / 2), _even(self.height / 2)
        video = max(_even(self.video_width / 2), width), max(_even(self.video_height / 2), height)
        left, top = (min(_even_place(at / 2), whole - part) for at, whole, part in
                     zip((self.left, self.top), video, (width, height), strict=True))  # fmt: skip
        if self.extended:
            top = video[1] - height
        return replace(
            self, width=width, height=height, video_width=video[0], video_height=video[1], left=left, top=top
        )

    def bordered(self, head: Box) -> OutputFrame:
        """Return the same part of the picture with borders in place of what is added where it is extended.

        Thin borders become wider, as far as the part that is farthest from the head can be left out.
        """
        x, width, inner_width = _narrowed(
            self.x, self.crop_width, self.width, self.video_width, (head.left, head.right), _BESIDE
        )
        y, height, inner_height = _narrowed(
            self.y, self.crop_height, self.height, self.video_height, (head.top, head.bottom), _OVER
        )
        left, top = (self.video_width - inner_width) / 2, (self.video_height - inner_height) * _BORDER_ABOVE
        return replace(
            self, x=x, y=y, crop_width=width, crop_height=height, width=inner_width, height=inner_height,
            left=_even_place(left), top=_even_place(top), extended=False,
        )  # fmt: skip

    def to_output(self, landmarks: FloatArray) -> FloatArray:
        """Convert landmarks, [n, 3] px, from the picture to the scaled crop; depth is scaled like the width."""
        across, down = self.width / self.crop_width, self.height / self.crop_height
        # Pixel centres: (x + 1/2) scales, not x.
        shifted = (landmarks - np.array([self.x - 0.5, self.y - 0.5, 0.0])) * np.array([across, down, across])
        return np.asarray(shifted - np.array([0.5, 0.5, 0.0]), np.float32)


def choose_output_frame(
    picture_size: tuple[int, int],
    face_center: tuple[float, float],
    size: tuple[int, int] | None,
    aspect: tuple[int, int] | None,
    max_side_px: int,
    fit: str = "crop",
    head: Box | None = None,
    cut_out: bool = False,
) -> OutputFrame:
    """Choose the part of the picture, and the size of the video.

    Args:
        picture_size: width and height of the upright picture, px.
        face_center: x and y in that picture, px.
        size: requested width and height; the largest crop of that shape around the face is scaled to it.
        aspect: requested shape; cropped in the same way, but never enlarged.
        max_side_px: maximum length of the shorter side if `size` is None; the longer one may have `LONGEST` of it.
        fit: as in the manifest: "crop"; "pad" or "blur" for the whole picture with borders; "auto" for a picture that is extended
            if a crop would cut the head, or gets borders if the head would then be low in the video.
        head: the head in that picture, px; a crop shows all of it, if it can.
        cut_out: whether the person is put in front of another background; instead of getting borders, the person is extended.
    """
    cropped = _crop(picture_size, face_center, size, aspect, max_side_px, head)
    if fit == "crop" or (fit == "auto" and (head is None or _shows(cropped, head.within(*picture_size)))):
        return cropped  # hair is cut slightly rather than thin borders made
    if fit == "auto" and head is not None:
        shape = size or aspect or picture_size
        part = _around(head.within(*picture_size), picture_size, shape)
        frame = _extended(part, head, size, aspect, max_side_px)
        return frame.bordered(head) if _too_low(frame, head) and not cut_out else frame
    if cut_out:
        middle = Box(face_center[0], 0, face_center[0], 0) if head is None else head
        return _extended(Box(0, 0, *picture_size), middle, size, aspect, max_side_px)
    return _whole(picture_size, size, aspect, max_side_px)


def _around(head: Box, picture_size: tuple[int, int], shape: tuple[int, int]) -> Box:
    """The part of the picture that shows the head as large as the video's shape allows, with what is above and below it."""
    width, height = picture_size
    if width * shape[1] > height * shape[0]:  # the video is narrower than the picture
        beside = _BESIDE * head.width
        return Box(math.floor(head.left - beside), 0, math.ceil(head.right + beside), height).within(width, height)
    over, under = _OVER * head.height, _UNDER * head.height
    return Box(0, math.floor(head.top - over), width, math.ceil(head.bottom + under)).within(width, height)


def _extended(
    part: Box, head: Box, size: tuple[int, int] | None, aspect: tuple[int, int] | None, max_side_px: int
) -> OutputFrame:
    """A part of the picture that stands on the lower edge of a video of another shape, with the head in its middle."""
    left, top, right, bottom = (round(side) for side in (part.left, part.top, part.right, part.bottom))
    edge = max(1, round(_EDGE * min(right - left, bottom - top)))
    shape = size or aspect or (right - left, bottom - top)
    if (right - left) * shape[1] >= (bottom - top) * shape[0]:
        top += edge
    else:
        left, right = left + edge, right - edge
    frame = _whole((right - left, bottom - top), size, aspect, max_side_px)
    scale = frame.width / frame.crop_width
    beside = frame.video_width / 2 - ((head.left + head.right) / 2 - left) * scale
    beside = _even_place(min(max(beside, 0), frame.video_width - frame.width))
    return replace(
        frame, x=left, y=top, left=beside, top=frame.video_height - frame.height, extended=not frame.fills
    )  # fmt: skip


def _crop(
    picture_size: tuple[int, int],
    face_center: tuple[float, float],
    size: tuple[int, int] | None,
    aspect: tuple[int, int] | None,
    max_side_px: int,
    head: Box | None,
) -> OutputFrame:
    width, height = picture_size
    shape = size or aspect or picture_size
    crop_width = min(width, round(height * shape[0] / shape[1]))
    crop_height = min(height, round(width * shape[1] / shape[0]))
    scale = _within(crop_width, crop_height, max_side_px)
    if size is None and scale == 1:
        crop_width, crop_height = crop_width // 2 * 2, crop_height // 2 * 2
        size = crop_width, crop_height
    if size is None:
        size = _even(crop_width * scale), _even(crop_height * scale)
    x, y = face_center[0] - crop_width / 2, face_center[1] - crop_height * _FACE_HEIGHT
    if head is not None:
        shown = head.within(width, height)
        x = _containing(x, crop_width, shown.left, shown.right)
        y = _containing(y, crop_height, shown.top, shown.bottom, keep_high=True)
    x, y = min(max(x, 0), width - crop_width), min(max(y, 0), height - crop_height)
    return OutputFrame(round(x), round(y), crop_width, crop_height, *size, *size)


def _within(width: float, height: float, max_side_px: int) -> float:
    """Return the scale, 1 at most, at which a picture has the size of a video without `size`."""
    return min(1.0, max_side_px / min(width, height), float(LONGEST * max_side_px) / max(width, height))


def _containing(start: float, length: float, low: float, high: float, keep_high: bool = False) -> float:
    """Move a stretch as little as possible, so that it contains another one, or slightly less of one that is slightly longer: of
    its middle, or without its low end.
    """
    longer = high - low - length
    if longer > _SLIGHT * length:
        return start  # around the face, whose hair is cut
    if longer > 0:
        return high - length if keep_high else low + longer / 2
    return min(max(start, high - length), low)


def _shows(frame: OutputFrame, head: Box) -> bool:
    """Return whether the head is whole in the crop, but for a slight part, and the chin to the pixel."""
    across, down = _SLIGHT * frame.crop_width / 2 + 1, _SLIGHT * frame.crop_height + 1
    return (
        frame.x <= head.left + across
        and frame.y <= head.top + down
        and frame.x + frame.crop_width >= head.right - across
        and frame.y + frame.crop_height >= head.bottom - 1
    )


def _narrowed(
    start: int, length: int, inner: int, video: int, head: tuple[float, float], beside: float
) -> tuple[int, int, int]:
    """Leave out so much of a part of the picture beside the head that the borders become `_LEAST_BORDERS` of the video's side.

    Args:
        start, length: the part, px of the picture.
        inner, video: what it takes of the video's side, and that; px of the video.
        head: where the head begins and ends, px of the picture.
        beside: what is kept on either side of it, in its length.

    Returns:
        The narrower part, and what it takes of the video's side; as given where there is no border, or a wide one.
    """
    wanted = video * (1 - _LEAST_BORDERS)
    if not wanted < inner < video:
        return start, length, inner
    kept = beside * (head[1] - head[0])
    low, high = max(head[0] - kept, start), min(head[1] + kept, start + length)
    scale = inner / length
    narrow = min(max(_even(wanted), 2 * math.ceil((high - low) * scale / 2)), inner)
    part = min(round(narrow / scale), length)
    first = min(max(start + (length - part) / 2, high - part), low)
    return min(max(round(first), start), start + length - part), part, narrow


def _too_low(frame: OutputFrame, head: Box) -> bool:
    """Return whether all that is added above the picture would move the eyes, in the middle of the head, too far down."""
    middle = frame.top + ((head.top + head.bottom) / 2 - frame.y) * frame.height / frame.crop_height
    return frame.extended and frame.top > 0 and middle > _LOWEST_MIDDLE * frame.video_height


def _whole(
    picture_size: tuple[int, int], size: tuple[int, int] | None, aspect: tuple[int, int] | None, max_side_px: int
) -> OutputFrame:
    """The whole picture in the middle of a video of another shape."""
    width, height = picture_size
    if size is None:
        shape = aspect or picture_size
        around = max(width, height * shape[0] / shape[1]), max(height, width * shape[1] / shape[0])
        scale = _within(*around, max_side_px)
        size = _even(around[0] * scale), _even(around[1] * scale)
    scale = min(size[0] / width, size[1] / height)
    inner = min(_even(width * scale), size[0]), min(_even(height * scale), size[1])
    left, top = (_even_place((outer - part) / 2) for outer, part in zip(size, inner, strict=True))
    # Without scaling, a row or column of an odd picture is cut off, as in a crop.
    crop = (inner[0], inner[1]) if scale == 1 else (width, height)
    return OutputFrame(0, 0, min(crop[0], width), min(crop[1], height), *inner, *size, left, top)


def _even(side: float) -> int:
    return max(2, round(side / 2) * 2)


def _even_place(at: float) -> int:
    return int(at // 2) * 2


def parse_pair(text: str | None, separator: str) -> tuple[int, int] | None:
    """Parse `"720x480"` or `"9:16"` into two numbers; None stays None."""
    if text is None:
        return None
    first, second = text.split(separator)
    return int(first), int(second)
