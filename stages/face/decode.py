"""From the bytes a person dropped to an upright 8-bit sRGB picture, or to an error that says what the file is instead."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, UnidentifiedImageError

from daemon.errors import JobError, MachineError, from_exception
from stages.face.cpu_limit import cpu_limit
from stages.face.jpeg_scans import scans

#: Decoders that are ever tried; Pillow knows forty, and each is attack surface.
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
_READABLE = "Use a PNG, JPEG, WebP, TIFF, BMP or GIF picture."
#: Transparent pixels are shown over this light grey.
NEUTRAL = (222, 222, 222)
#: Pictures longer than this are halved, thirded … on reading: no video is larger, and 100 Mpx would take gigabytes.
WORK_SIDE_PX = 4096
_ROWS = 256  # converted at a time
#: No face can be seen in a picture with a shorter side, nor in one that is narrower than this. px; longer side over shorter side
LEAST_SIDE_PX, MOST_NARROW = 16, 20
#: A progressive JPEG has 10 scans, one that was optimised with patience a few dozen; libtiff reads 100 as well.
MOST_SCANS = 100
#: Processor time that reading a picture may take: some twenty times what the slowest honest ones take. s, and s for each Mpx
CPU_S, CPU_PER_MPX_S = 15.0, 0.6
#: Bytes given to a decoder at once. Between two of them it can be interrupted.
_BLOCK_BYTES = 4096

#: What makes a picture upright, by its EXIF orientation; None for the one that is.
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

_SIGNATURES = (
    (b"%PDF", "a PDF document"), (b"PK\x03\x04", "a ZIP archive or office document"), (b"\x1f\x8b", "a gzip archive"),
    (b"<svg", "an SVG drawing"), (b"<!DOCTYPE html", "a web page"), (b"<html", "a web page"), (b"ID3", "an MP3 sound"),
    (b"OggS", "an Ogg sound"), (b"fLaC", "a FLAC sound"), (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (b"8BPS", "a Photoshop document"), (b"%!PS", "a PostScript document"), (b"\x7fELF", "a program"),
)  # fmt: skip


def read(
    path: Path, max_pixels: int, opened: Callable[[float], None] = lambda megapixels: None
) -> tuple[npt.NDArray[np.uint8], float]:
    """Read a picture of any supported kind.

    Args:
        opened: told the picture's size in millions of pixels before it is decoded.

    Returns:
        The picture, RGB [height, width, 3], and how many of the file's pixels one of its pixels stands for (>= 1).

    Raises:
        JobError: image-empty, image-unreadable, image-truncated, image-too-large, image-too-small, image-too-narrow,
            image-too-complex.
    """
    if path.stat().st_size == 0:
        raise JobError("image-empty", "The picture file is empty (0 bytes).", "Copy the picture again.")
    with cpu_limit(CPU_S, _too_complex(f"its header alone takes more than {CPU_S:.0f} s to read")):
        image = _open(path)
        _check_size(image.size, max_pixels)
        # libjpeg does not look at the length of a file: `max_pixels` alone does not bound what it does.
        if image.format in ("JPEG", "MPO") and scans(path, MOST_SCANS) > MOST_SCANS:
            raise _too_complex(f"it is a JPEG of more than {MOST_SCANS} scans")
    megapixels = image.width * image.height / 1e6
    opened(megapixels)
    seconds = CPU_S + CPU_PER_MPX_S * megapixels
    with cpu_limit(seconds, _too_complex(f"decoding it takes more than {seconds:.0f} s")):
        return _decode(image)


def _decode(image: Image.Image) -> tuple[npt.NDArray[np.uint8], float]:
    full_side = max(image.size)
    try:
        image.draft("RGB", (WORK_SIDE_PX, WORK_SIDE_PX))  # a JPEG can be decoded at a half or a quarter
        image.load()
        orientation = _orientation(image)
        image = _averageable(image)
        image = image.reduce(-(-max(image.size) // WORK_SIDE_PX)) if max(image.size) > WORK_SIDE_PX else image
        scale = full_side / max(image.size)
        return np.asarray(_upright_srgb(image, orientation)), scale
    except Exception as exc:  # decoders raise OSError, SyntaxError, ValueError, struct.error, zlib.error, EOFError
        if isinstance(from_exception(exc), MachineError):
            raise
        raise JobError(
            "image-truncated",
            f"The picture breaks off or is damaged inside ({exc}).",
            "Copy or export the picture again.",
        ) from exc


def _open(path: Path) -> Image.Image:
    Image.MAX_IMAGE_PIXELS = None  # our own limit is checked from the header, before anything is decoded
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(path, formats=FORMATS)
    except UnidentifiedImageError as exc:
        raise JobError("image-unreadable", f"The picture file is {looks_like(path)}.", _READABLE) from exc
    except Exception as exc:  # a damaged header makes a decoder raise nearly anything
        if isinstance(from_exception(exc), MachineError):
            raise
        raise JobError("image-unreadable", f"The picture's header is damaged ({exc}).", _READABLE) from exc
    image.decodermaxblock = _BLOCK_BYTES
    return image


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise JobError(
            "image-too-large",
            f"The picture has {width} × {height} = {width * height:,} pixels; at most {max_pixels:,} are read.",
            "Scale the picture down first; 1080 px on the long side are enough.",
        )
    if min(size) < LEAST_SIDE_PX:
        raise JobError(
            "image-too-small",
            f"The picture is {width:,} × {height:,} pixels large; both sides must have at least {LEAST_SIDE_PX}.",
            "Use a larger picture; 1080 px on the long side are best.",
        )
    if max(size) > MOST_NARROW * min(size):
        raise JobError(
            "image-too-narrow",
            f"The picture is {width:,} × {height:,} pixels large; one side may be at most {MOST_NARROW} times the other.",
            "Crop the picture.",
        )


def _too_complex(why: str) -> JobError:
    return JobError(
        "image-too-complex", f"The picture takes too much work to read: {why}.", "Open the picture and save it anew."
    )


def looks_like(path: Path) -> str:
    """What a file that is no picture seems to be, as a noun phrase."""
    with path.open("rb") as file:
        head = file.read(4096)
    start = head.lstrip()
    for signature, name in _SIGNATURES:
        if start[: len(signature)].lower() == signature.lower():
            return f"{name}, not a picture"
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        return "an HEIC or AVIF picture, a format that is not read" if brand[:3] in (b"hei", b"mif", b"avi") else (
            "an MP4 video or sound, not a picture")  # fmt: skip
    if head[:4] == b"RIFF":
        return "a WAV or AVI file, not a picture"
    if _is_text(head):
        return "a text file, not a picture"
    return "not a picture of a known format"


def _is_text(head: bytes) -> bool:
    try:
        text = head[:4000].decode("utf-8", "strict") if len(head) < 4000 else head[:4000].decode("utf-8", "ignore")
    except UnicodeDecodeError:
        return False
    return all(char.isprintable() or char.isspace() for char in text)


def _orientation(image: Image.Image) -> int:
    """How the camera was held, by the EXIF tag; 1 (upright) where the tags are nonsense, which spoils no picture."""
    with contextlib.suppress(Exception):
        value = image.getexif().get(0x0112, 1)
        return value if value in _TURNS else 1
    return 1


def _averageable(image: Image.Image) -> Image.Image:
    """Pixels whose values can be averaged: not numbers in a palette, not bits."""
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
    """16-bit and float greys to 8 bit; Pillow itself would clip them to white. A few rows at a time: the picture may be large."""
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
        return image  # a broken profile, or one for another kind of pixel: the numbers as they are
    return converted if converted is not None else image
