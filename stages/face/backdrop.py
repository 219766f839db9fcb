"""Replaces the portrait's background. The face stage checks and scales the new one; the encode stage draws it."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from daemon.errors import JobError, UnknownError
from daemon.system.fs import artifact
from stages.context import Context
from stages.face import decode
from stages.face.output_frame import choose_output_frame
from stages.face.sampling import blur, encode_png

Picture = npt.NDArray[np.uint8]

_FILE = "background.png"
#: The usual chroma-key green for video, RGB.
_KEY = (0, 177, 64)
#: Sigma of the blur for `background: blur`, as a fraction of the shorter side.
_BLUR = 0.028


def prepare_backdrop(ctx: Context, split: bool, width: int, height: int) -> None:
    """Check the manifest's background. If it names a picture, write it as `background.png`, cropped and scaled to the video.

    Args:
        split: whether the portrait could be split into person and background.
        width, height: size of the video, px.

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
    middle = (source.shape[1] / 2, source.shape[0] / 2)
    fitted = choose_output_frame((source.shape[1], source.shape[0]), middle, (width, height), None, max(width, height))
    with artifact(ctx.path(_FILE)) as path:
        path.write_bytes(encode_png(fitted.render(source)))


def load_backdrop(ctx: Context, plate: Picture) -> Picture | None:
    """Load or make the background to draw.

    Args:
        plate: the portrait's own background without the person, BGR.

    Returns:
        BGR, of the shape of `plate`; None to keep the portrait's own background.

    Raises:
        UnknownError: `background.png` is damaged; the face stage must run again.
    """
    wanted = ctx.manifest.background
    if wanted == "keep":
        return None
    if wanted == "blur":
        return np.asarray(blur(plate, _BLUR * min(plate.shape[:2])), np.uint8)
    if ctx.manifest.background_file is not None:
        found = cv2.imread(str(ctx.path(_FILE)), cv2.IMREAD_COLOR)
        if found is None or found.shape != plate.shape:
            raise UnknownError("portrait-unreadable", f"{_FILE} cannot be read.", "Retry the job.")
        return np.asarray(found, np.uint8)
    colours = {"green": _KEY, "transparent": (0, 0, 0)}
    red, green, blue = colours.get(wanted) or tuple(bytes.fromhex(wanted[1:]))
    return np.full_like(plate, (blue, green, red))
