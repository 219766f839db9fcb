"""Where the picture lies in the video: it fills it, or has still borders."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.context import Context

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Placement:
    """Where the picture lies in the video, px; all even.

    Attributes:
        width, height: of the video.
        left, top, right, bottom: of the picture in it.
    """

    width: int
    height: int
    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def of_job(cls, ctx: Context) -> Placement:
        """Read it from the job's `face.json`."""
        record = json.loads(ctx.path("face.json").read_bytes())
        width, height = record["width"], record["height"]
        video = record.get("video") or {"width": width, "height": height, "left": 0, "top": 0}
        left, top = video["left"], video["top"]
        return cls(video["width"], video["height"], left, top, left + width, top + height)

    @property
    def fills(self) -> bool:
        """Whether the picture fills the video."""
        return (self.right - self.left, self.bottom - self.top) == (self.width, self.height)

    def cut(self, whole: Picture) -> Picture:
        """The part of a picture of the video's size that lies behind the portrait."""
        return np.ascontiguousarray(whole[self.top : self.bottom, self.left : self.right])
