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
from stages.face.rig.matting.colour_mixture import HairColour
from stages.face.sampling import blur, decode_png, encode_png

Picture = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

#: Shorter side of the small picture on which the person is found, px: the segmentation's is 256.
_SMALL = 270
#: Sigma of the blur that rounds the corners of an enlarged mask's pixels, in these pixels.
_CORNERS = 0.5
#: How many times as large as the small picture a part is at least, so that the corners of the small picture's pixels show.
_ENLARGED = 1.01
#: Levels that stand for 1, and for the person where the face is not.
_LEVELS, _PERSON = 255, 128


def small_size(width: int, height: int) -> tuple[int, int]:
    """Return the width and height of the small version of a picture, px; small pictures stay as they are."""
    scale = min(1.0, _SMALL / min(height, width))
    return round(width * scale), round(height * scale)


@dataclass(frozen=True)
class FoundPerson:
    """What was found in a picture, and the part of the picture that is shown; false if the segmentation missed the face.

    All arrays are of the small version of the whole picture.

    Attributes:
        picture: RGB uint8 [height, width, 3].
        probability: that each pixel shows the person, 0 to 1, [height, width].
        person: where the person is likely, in one piece with the face.
        unsure: where the background may be seen inside its outline.
        certain: where the face is.
        hair: the colour of the head outside the face, RGB, and its variance; None if too little of it is seen.
        repaired, touched: as in `Matte`.
        part: left, top, width and height of what is shown, px; None for the whole picture.
    """

    picture: Picture
    probability: FloatArray
    person: Mask
    unsure: Mask
    certain: Mask
    hair: HairColour | None
    repaired: bool = False
    touched: bool = False
    part: tuple[float, float, float, float] | None = None

    @classmethod
    def nobody(cls) -> Self:
        """Make what is found where the segmentation missed the face."""
        none = np.zeros((0, 0), bool)
        return cls(np.zeros((0, 0, 3), np.uint8), np.zeros((0, 0), np.float32), none, none, none, None)

    def __bool__(self) -> bool:
        return bool(self.person.size)

    def in_part(self, whole: tuple[int, int], part: tuple[int, int, int, int]) -> FoundPerson:
        """Return the same for a part of the picture.

        Args:
            whole: width and height of the picture, px.
            part: left, top, width and height of the part, px of the picture.
        """
        rows, columns = self.person.shape
        across, down = columns / whole[0], rows / whole[1]
        left, top, width, height = part
        return replace(self, part=(left * across, top * down, width * across, height * down))

    def shown(self, field: FloatArray, size: tuple[int, int]) -> FloatArray:
        """Take what is shown of a field, [height, width, ...], scaled to a width and height."""
        return self._taken(field, *self._steps(size), size)

    def shown_mask(self, mask: Mask, size: tuple[int, int]) -> Mask:
        """Take what is shown of a mask, scaled to a width and height, with round corners where that enlarges it."""
        steps = self._steps(size)
        there, larger = self._taken(mask.astype(np.float32), *steps, size), 1 / max(steps)
        return np.asarray((blur(there, _CORNERS * larger) if larger > _ENLARGED else there) > 0.5)

    def _steps(self, size: tuple[int, int]) -> tuple[float, float]:
        """How many px of the small picture one px of what is shown takes, across and down."""
        rows, columns = self.person.shape
        _, _, width, height = self.part or (0, 0, columns, rows)
        return width / size[0], height / size[1]

    def _taken(self, field: FloatArray, across: float, down: float, size: tuple[int, int]) -> FloatArray:
        left, top = self.part[:2] if self.part else (0.0, 0.0)
        matrix = np.array([[across, 0, left + 0.5 * across - 0.5], [0, down, top + 0.5 * down - 0.5]])
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(field, matrix, size, flags=how, borderMode=cv2.BORDER_REPLICATE), np.float32)

    def rounded(self) -> FoundPerson:
        """Return it as it is read from its record."""
        return replace(self, probability=self._levels() / np.float32(_LEVELS))

    def _levels(self) -> FloatArray:
        return np.round(self.probability * _LEVELS)

    def content(self) -> bytes:
        """Return bytes that differ wherever its record does, in less time."""
        arrays = self.picture, self._levels(), self.person, self.unsure, self.certain
        hair = None if self.hair is None else (self.hair[0].tolist(), self.hair[1])
        rest = repr((self.picture.shape, hair, self.repaired, self.touched, self.part)).encode()
        return b"".join([*(array.tobytes() for array in arrays), rest])

    def record(self) -> dict[str, Any]:
        """Return it as a part of `face.json`: two pictures as text, and what else is known."""
        if not self:
            return {}
        who = _PERSON * self.person + (_LEVELS - _PERSON) * (self.certain & self.person)
        planes = np.stack([self._levels(), who, self.unsure * _LEVELS], axis=-1).astype(np.uint8)
        return {
            "picture": base64.b64encode(encode_png(self.picture)).decode(),
            "planes": base64.b64encode(encode_png(planes)).decode(),
            "hair": None if self.hair is None else [*self.hair[0].tolist(), self.hair[1]],
            "repaired": self.repaired,
            "touched": self.touched,
            "part": None if self.part is None else list(self.part),
        }

    @classmethod
    def of_record(cls, record: dict[str, Any]) -> FoundPerson | None:
        """Read it from the content of `face.json`; None if an earlier version wrote it."""
        if (known := record.get("person")) is None:
            return None
        if not known:
            return cls.nobody()
        picture, planes = (decode_png(base64.b64decode(known[name])) for name in ("picture", "planes"))
        probability, who, unsure = np.moveaxis(planes, -1, 0)
        hair = known["hair"] and (np.array(known["hair"][:3], np.float32), known["hair"][3])
        return cls(
            picture,
            np.asarray(probability, np.float32) / np.float32(_LEVELS),
            who > 0,
            unsure > 0,
            who == _LEVELS,
            hair,
            known["repaired"],
            known["touched"],
            known["part"] and tuple(known["part"]),
        )
