"""Decodes the dropped picture into upright 8-bit sRGB, or raises an error that says what the file is instead."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, UnidentifiedImageError

from daemon.errors import JobError, MachineError, from_exception
from stages.face.cpu_limit import cpu_limit
from stages.face.jpeg_end import with_end_mark
from stages.face.jpeg_scans import count_scans
from stages.kept_in_memory import free_kept
from stages.media.beginnings import PHONE_PICTURE, PICTURES, incomplete, kind_by_beginning, what_begins_so

#: The only decoders that are tried: each of Pillow's forty adds attack surface.
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
_MAKE_JPEG = (
    "Make a JPEG of it: share or export the picture as JPEG. An iPhone takes JPEGs with Settings, Camera, Formats, Most "
    "Compatible; an Android phone where the camera's setting for HEIF or “high efficiency” is off."
)
_READABLE = "Use a PNG, JPEG, WebP, TIFF, BMP or GIF picture."
#: Transparent pixels are composited over this light grey.
NEUTRAL = (222, 222, 222)
#: A picture with a longer side is reduced by a whole factor on reading: no video is larger, and 100 Mpx would take gigabytes.
WORK_SIDE_PX = 4096
_ROWS = 256  # converted at a time
#: Minimum length of the shorter side, in px, and maximum ratio of the sides: beyond these no face can be seen.
LEAST_SIDE_PX, MOST_NARROW = 16, 20
#: Maximum number of JPEG scans. A progressive JPEG has 10, a strongly optimised one a few dozen; libtiff's limit is 100, too.
MOST_SCANS = 100
#: CPU time that reading a picture may take: about twenty times that of the slowest benign pictures. s, and s per Mpx
CPU_S, CPU_PER_MPX_S = 15.0, 0.6
#: Bytes given to a decoder at once; it can be interrupted between two blocks.
_BLOCK_BYTES = 4096

#: Transformation that makes a picture upright, by EXIF orientation.
_TURNS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

#: From this EXIF orientation on, width and height are exchanged.
_LYING = 5


def read_picture(
    path: Path,
    max_pixels: int,
    opened: Callable[[float], None] = lambda megapixels: None,
    endless: Callable[[], None] = lambda: None,
) -> tuple[npt.NDArray[np.uint8], float]:
    """Read a picture of any supported kind.

    Args:
        path: the file.
        max_pixels: maximum number of pixels.
        opened: called with the picture's size in millions of pixels before it is decoded.
        endless: called where a JPEG is whole but for its end mark.

    Returns:
        The picture, RGB uint8 [height, width, 3], and the file's pixels per pixel of it along a side (>= 1).

    Raises:
        JobError: `image-empty`, `image-unreadable`, `image-truncated`, `image-too-large`, `image-too-small`,
            `image-too-narrow`, `image-too-complex`.
    """
    _check_not_empty(path)
    with _header_limit():
        image = _open(path)
        _check_size(image.size, max_pixels)
        # libjpeg works through the whole picture for each scan: `max_pixels` alone does not bound its work.
        if image.format in ("JPEG", "MPO") and count_scans(path, MOST_SCANS) > MOST_SCANS:
            raise _too_complex(f"it is a JPEG of more than {MOST_SCANS} scans")
    megapixels = image.width * image.height / 1e6
    opened(megapixels)
    if max(image.size) > WORK_SIDE_PX:
        free_kept()  # to read it whole takes more memory than to draw a video
    seconds = CPU_S + CPU_PER_MPX_S * megapixels
    with cpu_limit(seconds, _too_complex(f"decoding it takes more than {seconds:.0f} s")):
        try:
            return _decode(image)
        except JobError:
            whole = with_end_mark(path, WORK_SIDE_PX) if image.format == "JPEG" else None
            if whole is None:
                raise
            endless()
            return _decode(_decoder(io.BytesIO(whole)))


def check_header(path: Path, max_pixels: int) -> None:
    """Check what the header of a picture file says, without decoding the picture. Arguments as in `read_picture`.

    Raises:
        JobError: `image-empty`, `image-unreadable`, `image-truncated`, `image-too-large`, `image-too-small`, `image-too-narrow`,
            `image-too-complex`.
    """
    _check_not_empty(path)
    with _header_limit():
        _check_size(_open(path).size, max_pixels)


def read_header(path: Path) -> tuple[str, int, int]:
    """Read the header of a picture file: Pillow's name of its format, in small letters, and its upright width and height, px.

    Raises:
        JobError: `image-unreadable`, `image-truncated`.
    """
    image = _open(path)
    width, height = image.size
    return (image.format or "").lower(), *((height, width) if _orientation(image) >= _LYING else (width, height))


def _decode(image: Image.Image) -> tuple[npt.NDArray[np.uint8], float]:
    full_side = max(image.size)
    try:
        image.draft("RGB", (WORK_SIDE_PX, WORK_SIDE_PX))  # a JPEG can be decoded at a half or a quarter
        image.load()
        orientation = _orientation(image)
        image = _to_averageable_mode(image)
        image = image.reduce(-(-max(image.size) // WORK_SIDE_PX)) if max(image.size) > WORK_SIDE_PX else image
        scale = full_side / max(image.size)
        return np.asarray(_upright_srgb(image, orientation)), scale
    except Exception as exc:  # decoders raise OSError, SyntaxError, ValueError, struct.error, zlib.error, EOFError
        if isinstance(from_exception(exc), MachineError):
            raise
        what = "The picture is truncated or damaged: its header is whole, but not what follows."
        raise JobError("image-truncated", what, "Copy or export the picture again.") from exc


def _open(path: Path) -> Image.Image:
    Image.MAX_IMAGE_PIXELS = None  # our own limit is checked from the header, before anything is decoded
    try:
        return _decoder(path)
    except Exception as exc:  # a damaged header makes a decoder raise nearly anything
        if isinstance(from_exception(exc), MachineError):
            raise
        if kind := kind_by_beginning(path, PICTURES):
            what = f"The picture file {incomplete(path, kind)}."
            raise JobError("image-truncated", what, "Copy or export the picture again.") from exc
        if not isinstance(exc, UnidentifiedImageError):
            raise JobError(
                "image-unreadable", "The picture's header is damaged.", f"Copy the picture again. {_READABLE}"
            ) from exc
        what = describe_file(path)
        remedy = _MAKE_JPEG if what.startswith(PHONE_PICTURE) else _READABLE
        raise JobError("image-unreadable", f"The picture file is {what}.", remedy) from exc


def _decoder(source: Path | io.BytesIO) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = Image.open(source, formats=FORMATS)
    image.decodermaxblock = _BLOCK_BYTES
    return image


def _check_not_empty(path: Path) -> None:
    if path.stat().st_size == 0:
        raise JobError("image-empty", "The picture file is empty (0 bytes).", "Copy the picture again.")


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise JobError(
            "image-too-large",
            f"The picture has {width} × {height} = {width * height:,} pixels; at most {max_pixels:,} are accepted.",
            "Scale the picture down first; 1080 px on the short side are enough.",
        )
    if min(size) < LEAST_SIDE_PX:
        raise JobError(
            "image-too-small",
            f"The picture has {width:,} × {height:,} pixels; both sides must be at least {LEAST_SIDE_PX} px long.",
            "Use a larger picture; 1080 px on the short side are best.",
        )
    if max(size) > MOST_NARROW * min(size):
        raise JobError(
            "image-too-narrow",
            f"The picture has {width:,} × {height:,} pixels; one side may be at most {MOST_NARROW} times as long as the other.",
            "Crop the picture.",
        )


def _header_limit() -> AbstractContextManager[None]:
    return cpu_limit(CPU_S, _too_complex(f"its header alone takes more than {CPU_S:.0f} s to read"))


def _too_complex(why: str) -> JobError:
    return JobError(
        "image-too-complex",
        f"The picture takes too much work to read: {why}.",
        "Open the picture in an image editor and save it again.",
    )


def describe_file(path: Path) -> str:
    """Describe the kind of a file that is not a readable picture, as a noun phrase for an error message."""
    what = what_begins_so(path)
    if what is None:
        return "not a picture of a known format"
    return f"{what}, a format that is not supported" if what == PHONE_PICTURE else f"{what}, not a picture"


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation; 1 (upright) if the tag is missing or invalid."""
    with contextlib.suppress(Exception):
        value = image.getexif().get(0x0112, 1)
        return value if value in _TURNS else 1
    return 1


def _to_averageable_mode(image: Image.Image) -> Image.Image:
    """Convert palette, 1-bit and 16-bit pictures to a mode whose pixel values can be averaged."""
    if image.mode.startswith("I;16"):
        return _eight_bit(image)
    if image.mode == "1":
        return image.convert("L")
    if image.mode in ("P", "PA"):
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image


def _upright_srgb(image: Image.Image, orientation: int) -> Image.Image:
    profile = image.info.get("icc_profile")
    image = _eight_bit(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (*NEUTRAL, 255))
        image = Image.alpha_composite(ground, image).convert("RGB")
    if profile:
        image = _to_srgb(image, profile)
    image = image.convert("RGB")
    turn = _TURNS.get(orientation)
    return image.transpose(turn) if turn is not None else image


def _eight_bit(image: Image.Image) -> Image.Image:
    """Convert 16-bit and float greys to 8 bit, which Pillow would clip to white. Works by rows, as the picture may be large."""
    if not image.mode.startswith("I;16") and image.mode not in ("I", "F"):
        return image
    values = np.asarray(image)
    peak = float(np.fmax.reduce(values, axis=None, initial=0.0))
    top = 65535.0 if peak > 255 or image.mode.startswith("I;16") else (255.0 if peak > 1 else 1.0)
    result = np.empty(values.shape, np.uint8)
    for start in range(0, len(values), _ROWS):
        rows = np.nan_to_num(values[start : start + _ROWS].astype(np.float64))
        result[start : start + _ROWS] = np.clip(rows * (255.0 / top), 0, 255)
    return Image.fromarray(result)


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image  # the profile is damaged or for another pixel mode: keep the values
    return converted if converted is not None else image
