"""OpenCV's remapping, blur and PNG writer with precise types, and a wide blur in little time."""

from __future__ import annotations

from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

Pixel = TypeVar("Pixel", np.uint8, np.float32)

_remap: Any = cv2.remap  # its stub knows no empty second map
_blur: Any = cv2.GaussianBlur

#: Side of the squares that `blur_widely` averages first, per px of sigma. A field of offsets then differs
#: by 0.2 px from that of `blur`; with squares three times as large, by 2.5 px.
_COARSE = 0.09
#: Half the time of zlib's usual search for repetitions, and smaller files: portraits repeat little but runs of one colour.
_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)


def sample(
    source: npt.NDArray[Pixel],
    places: npt.NDArray[np.float32],
    interpolation: int = cv2.INTER_LINEAR,
    outside: int = cv2.BORDER_REPLICATE,
) -> npt.NDArray[Pixel]:
    """Sample `source` at `places`, [..., 2] as (x, y) px; the result has the source's type."""
    values: npt.NDArray[Pixel] = _remap(source, places, None, interpolation, borderMode=outside)
    return values


def sample_into(source: npt.NDArray[np.uint8], places: npt.NDArray[np.float32], target: npt.NDArray[np.uint8]) -> None:
    """Sample `source` linearly, as `sample` does, into `target`, of as many places and channels."""
    _remap(source, places, None, cv2.INTER_LINEAR, dst=target, borderMode=cv2.BORDER_REPLICATE)


def swap_red_and_blue(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Convert RGB to BGR or back, [height, width, 3]. numpy takes twenty times as long to copy the channels in reverse."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), np.uint8)


def blur(picture: npt.NDArray[Any], sigma: float) -> npt.NDArray[Any]:
    """Apply a Gaussian blur with `sigma` px; the result has the picture's type."""
    blurred: npt.NDArray[Any] = _blur(picture, (0, 0), sigma)
    return blurred


def blur_widely(picture: npt.NDArray[np.float32], sigma: float) -> npt.NDArray[np.float32]:
    """Apply a Gaussian blur with `sigma` px, a large one at a reduced size: its time is then that of reading the picture once."""
    step = round(_COARSE * sigma)
    if step < 2:
        return blur(picture, sigma)
    size = picture.shape[1], picture.shape[0]
    small = cv2.resize(picture, (-(-size[0] // step), -(-size[1] // step)), interpolation=cv2.INTER_AREA)
    # Averaging squares of `step` px and interpolating between them blur, too: their variances are step² / 12 and step² / 6.
    rest = (sigma**2 - step**2 / 4) ** 0.5 / step
    soft = _blur(small, (0, 0), rest, borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.resize(soft, size, interpolation=cv2.INTER_LINEAR), np.float32)


def encode_png(picture: npt.NDArray[np.uint8]) -> bytes:
    """Encode an RGB picture, uint8 [height, width, 3], as PNG."""
    return cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), _PNG)[1].tobytes()


def decode_png(data: bytes) -> npt.NDArray[np.uint8]:
    """Decode what `encode_png` encoded."""
    return np.asarray(
        cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), np.uint8
    )


def to_half(values: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float16]:
    """Round to half precision, [..., n]; numpy's own conversion is several times slower."""
    flat = np.ascontiguousarray(values, np.float32).reshape(len(values), -1)
    return cv2.convertFp16(flat).view(np.float16).reshape(values.shape)


def from_half(values: npt.NDArray[np.float16]) -> npt.NDArray[np.float32]:
    """Convert half precision to single precision, [..., n]."""
    flat = np.ascontiguousarray(values).view(np.int16).reshape(len(values), -1)
    return np.asarray(cv2.convertFp16(flat), np.float32).reshape(values.shape)


def on_colours(plane: npt.NDArray[Pixel]) -> npt.NDArray[Pixel]:
    """Repeat a plane, [height, width], for three colours: numpy broadcasts over so short an axis several times slower."""
    return cv2.merge((plane, plane, plane))  # type: ignore[return-value]
