"""The person as found in the whole picture: every crop and size of the picture takes its own part of the same answer.

The segmentation answers differently for each part of a picture: with less around it, an ear or the hair at the nape is lost, or
somebody else is taken in.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from typing import Any, Self

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.mesh import FloatArray
from stages.face.sampling import blur, decode_png, encode_png

Mask = npt.NDArray[np.bool_]

#: Shorter side of the small picture on which the person is found, px: the segmentation's is 256.
_SMALL = 270
#: Sigma of the blur that rounds the corners of an enlarged mask's pixels, in these pixels.
_CORNERS = 0.5
#: Levels that stand for 1.
_LEVELS = 255


def small_size(width: int, height: int) -> tuple[int, int]:
    """Return the width and height of the small version of a picture, px; small pictures stay as they are."""
    scale = min(1.0, _SMALL / min(height, width))
    return round(width * scale), round(height * scale)


@dataclass(frozen=True)
class FoundPerson:
    """What was found in a picture, or in a part of one; false if the segmentation missed the face.

    Attributes:
        probability: that each pixel shows the person, 0 to 1, [height, width] of the small picture.
        person: where the person is likely, in one piece with the face.
        unsure: where the background may be seen inside its outline.
        repaired, touched: as in `Matte`.
    """

    probability: FloatArray
    person: Mask
    unsure: Mask
    repaired: bool = False
    touched: bool = False

    @classmethod
    def nobody(cls) -> Self:
        """Make what is found where the segmentation missed the face."""
        none = np.zeros((0, 0), bool)
        return cls(np.zeros((0, 0), np.float32), none, none)

    def __bool__(self) -> bool:
        return bool(self.person.size)

    def in_part(self, whole: tuple[int, int], part: tuple[int, int, int, int], size: tuple[int, int]) -> FoundPerson:
        """Take what was found in a part of the picture.

        Args:
            whole: width and height of the picture, px.
            part: left, top, width and height of the part, px of the picture.
            size: width and height that the part is scaled to.
        """
        if not self:
            return self
        rows, columns = self.person.shape
        left, top, width, height = part
        small = small_size(*size)
        across, down = columns / whole[0], rows / whole[1]  # px of the small picture for one of the picture
        step = width / small[0] * across, height / small[1] * down
        matrix = np.array(
            [
                [step[0], 0, left * across + 0.5 * step[0] - 0.5],
                [0, step[1], top * down + 0.5 * step[1] - 0.5],
            ]
        )

        def taken(field: FloatArray) -> FloatArray:
            how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            return np.asarray(cv2.warpAffine(field, matrix, small, flags=how, borderMode=cv2.BORDER_REPLICATE))

        def mask(field: Mask) -> Mask:
            there = taken(field.astype(np.float32))
            larger = 1 / max(step)
            return np.asarray((blur(there, _CORNERS * larger) if larger > 1.01 else there) > 0.5)

        return FoundPerson(taken(self.probability), mask(self.person), mask(self.unsure), self.repaired, self.touched)

    def rounded(self) -> FoundPerson:
        """Return it as it is read from its record."""
        return replace(self, probability=self._levels() / np.float32(_LEVELS))

    def _levels(self) -> FloatArray:
        return np.round(self.probability * _LEVELS)

    def record(self) -> dict[str, Any]:
        """Return it as a part of `face.json`: a picture as text, with a plane for each array, and what else is known."""
        if not self:
            return {}
        planes = [self._levels(), self.person * _LEVELS, self.unsure * _LEVELS]
        picture = encode_png(np.ascontiguousarray(np.stack(planes, axis=-1), np.uint8))
        return {
            "planes": base64.b64encode(picture).decode(),
            "repaired": self.repaired,
            "touched": self.touched,
        }

    @classmethod
    def of_record(cls, record: dict[str, Any]) -> FoundPerson | None:
        """Read it from the content of `face.json`; None if an earlier version wrote it."""
        if (known := record.get("person")) is None:
            return None
        if not known:
            return cls.nobody()
        probability, person, unsure = np.moveaxis(decode_png(base64.b64decode(known["planes"])), -1, 0)
        likely = np.asarray(probability, np.float32) / np.float32(_LEVELS)
        return cls(likely, person > 0, unsure > 0, known["repaired"], known["touched"])
