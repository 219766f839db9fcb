"""Replaces the portrait's background. The face stage checks and scales the new one; the encode stage draws it."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from daemon.errors import TRIED_AGAIN, JobError, UnknownError
from daemon.system.fs import artifact
from stages.context import Context
from stages.face import decode
from stages.face.output_frame import choose_output_frame
from stages.face.placement import Placement
from stages.face.rig.matting.fill import noise
from stages.face.sampling import blur, blur_widely, encode_png, on_colours

Picture = npt.NDArray[np.uint8]

_FILE = "background.png"
#: The usual chroma-key green for video, RGB.
_KEY = (0, 177, 64)
#: Sigma of the blur for `background: blur`, as a fraction of the shorter side.
_BLUR = 0.028
#: The same for borders that show the picture enlarged, and their brightness: the picture itself stands out.
_SURROUND, _DIM = 0.08, 0.55
#: Sigma of the shadow around the picture on such borders, as a fraction of the shorter side, and how much of their light is left
#: beside the picture.
_SHADOW, _SHADED = 0.015, 0.5
#: Standard deviation of the noise that keeps a dark gradient free of steps, 8-bit levels.
_DITHER = 0.7


def prepare_backdrop(ctx: Context, split: bool) -> None:
    """Check the manifest's background. If it names a picture, write it as `background.png`, cropped and scaled to the video.

    Reads `face.json`.

    Args:
        split: whether the portrait could be split into person and background.

    Raises:
        JobError: `background-inseparable`, or what `decode.read_picture` raises, with "background: " before the message.
    """
    if ctx.manifest.background == "keep":
        return
    if not split:
        raise JobError(
            "background-inseparable",
            "The person in the picture could not be separated from the background.",
            "Use `background: keep`, or a picture in which the person stands out from the background.",
        )
    if ctx.manifest.background_file is None:
        return
    try:
        source, _ = decode.read_picture(ctx.source("background"), ctx.settings.stages.face.max_pixels, ctx.allow_pixels)
    except JobError as exc:
        raise JobError(exc.code, f"background: {exc.message}", exc.hint) from exc
    with artifact(ctx.path(_FILE)) as path:
        path.write_bytes(encode_png(_covering(source, Placement.of_job(ctx))))


def _covering(picture: Picture, place: Placement) -> Picture:
    """The middle of a picture, scaled so that it covers the video."""
    height, width = picture.shape[:2]
    size = place.width, place.height
    return choose_output_frame((width, height), (width / 2, height / 2), size, None, max(size)).render(picture)


def load_backdrop(ctx: Context, plate: Picture, place: Placement) -> Picture | None:
    """Load or make the background to draw.

    Args:
        plate: the portrait's own background without the person, BGR.
        place: of the portrait in the video.

    Returns:
        BGR, of the video's size; None to keep the portrait's own background.

    Raises:
        UnknownError: `background.png` is damaged; the face stage must run again.
    """
    wanted = ctx.manifest.background
    if wanted == "keep":
        return None
    if wanted == "blur":
        return np.asarray(blur(_covering(plate, place), _BLUR * min(place.width, place.height)), np.uint8)
    if ctx.manifest.background_file is not None:
        found = cv2.imread(str(ctx.path(_FILE)), cv2.IMREAD_COLOR)
        if found is None or found.shape != (place.height, place.width, 3):
            raise UnknownError("portrait-unreadable", f"{_FILE} cannot be read.", TRIED_AGAIN)
        return np.asarray(found, np.uint8)
    return np.full((place.height, place.width, 3), _colour(wanted), np.uint8)


def make_surround(ctx: Context, portrait: Picture, place: Placement) -> Picture:
    """Make what is around a portrait that does not fill the video: the same picture, enlarged, blurred and darker, as
    broadcasters show vertical pictures; or black for `pad`.

    Args:
        portrait: BGR.
        place: of the portrait in the video.

    Returns:
        BGR, of the video's size.
    """
    if ctx.manifest.fit == "pad":
        return np.zeros((place.height, place.width, 3), np.uint8)
    side = min(place.width, place.height)
    soft = blur_widely(_covering(portrait, place).astype(np.float32), _SURROUND * side)
    light = np.ones((place.height, place.width), np.float32)
    light[place.top : place.bottom, place.left : place.right] = 0.0
    # At the picture's edge, the blur is a half.
    light = _SHADED + (1 - _SHADED) * np.clip(2 * blur_widely(light, _SHADOW * side) - 1, 0, 1)
    dithered = soft * on_colours(np.asarray(_DIM * light, np.float32)) + on_colours(noise(light.shape, _DITHER))
    return np.asarray(np.clip(dithered + 0.5, 0, 255), np.uint8)


def _colour(wanted: str) -> tuple[int, int, int]:
    """A background's colour, BGR."""
    colours = {"green": _KEY, "transparent": (0, 0, 0)}
    red, green, blue = colours.get(wanted) or tuple(bytes.fromhex(wanted[1:]))
    return blue, green, red
