"""The split of a portrait into the person (a soft matte) and the background, filled in behind the person.

The person can then move in front of a still background, or of another one. Compositing the two parts gives exactly the same
picture: picture = figure + (1 - matte) * background.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Matte:
    """The matte of a portrait; false if the picture could not be split.

    Attributes:
        alpha: 255 for the person, 0 for the background; uint8 [height, width]. It is raised where the picture is darker than
            the background's share in it, so that compositing gives exactly the picture.
        cut: the same for another background, without what is raised.
        plate: the background, filled in behind the person; uint8 [height, width, 3], in the portrait's channel order.
        repaired: whether the segmentation made a plain mistake, which was mended.
        touched: whether another person's head touches the person's, so that the outline between them is a guess.
        guessed: whether the person hardly stands out, so that much of the outline is a guess.
    """

    alpha: Picture
    cut: Picture
    plate: Picture
    repaired: bool = False
    touched: bool = False
    guessed: bool = False

    @classmethod
    def empty(cls) -> Matte:
        """Make the matte of a picture that cannot be split."""
        return cls(np.zeros((0, 0), np.uint8), np.zeros((0, 0), np.uint8), np.zeros((0, 0, 3), np.uint8))

    def __bool__(self) -> bool:
        return bool(self.alpha.size)


def background_share(background: Picture, alpha: cv2.typing.MatLike) -> Picture:
    """Compute (1 - alpha) * background, uint8, rounded as `stages.encode.layers` rounds it."""
    through = cv2.cvtColor(cv2.bitwise_not(alpha), cv2.COLOR_GRAY2BGR)
    return np.asarray(cv2.multiply(background, through, scale=1 / 255), np.uint8)
