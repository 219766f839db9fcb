"""All that is drawn of one portrait, whatever its motion: the figure, its planes, and what paints eyes and mouth."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from daemon.errors import TRIED_AGAIN, UnknownError
from stages.context import Context
from stages.encode.bare_lips import BareLips
from stages.encode.blinks import BlinkPainter
from stages.encode.creases import CreaseShader
from stages.encode.figure.coverage import Coverage
from stages.encode.figure_planes import FigurePlanes, Repaint
from stages.encode.gaze import GazeLimit, GazePainter
from stages.encode.head_at_mouth import HeadAtMouth
from stages.encode.layers import make_figure
from stages.encode.mouth import InteriorPainter
from stages.face.rig.rig import Rig, load_measured_rig
from stages.face.sampling import swap_red_and_blue

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class FigureSource:
    """All that a figure is made of: two jobs with the same source have the same figure.

    Attributes:
        portrait, face: the content of portrait.png and face.json.
        new_background: whether the figure is put in front of another background.
    """

    portrait: bytes
    face: bytes
    new_background: bool

    @classmethod
    def of_job(cls, ctx: Context) -> Self:
        """Read the source of a job."""
        portrait = ctx.path("portrait.png")
        return cls(
            portrait.read_bytes() if portrait.exists() else b"",
            ctx.path("face.json").read_bytes(),
            ctx.manifest.background != "keep",
        )


class PreparedFigure:
    """The figure of a portrait, prepared for drawing. Each part is made when it is first asked for.

    Nothing here changes while frames are drawn but `planes`, which each frame restores.

    Attributes:
        portrait: BGR uint8 [height, width, 3].
        rig: its rig.
        height, width: px.
    """

    def __init__(self, portrait: Picture, rig: Rig, new_background: bool = False) -> None:
        """Prepare the figure of a portrait, whose sides are even.

        Args:
            portrait: BGR uint8 [height, width, 3].
            rig: its rig.
            new_background: whether it is put in front of another background; without a matte it never is.
        """
        self.portrait, self.rig, self._new_background = portrait, rig, new_background and bool(rig.matte)
        self.height, self.width = portrait.shape[:2]

    @classmethod
    def load(cls, source: FigureSource, cache: Path) -> Self:
        """Prepare a job's figure. Its rig is loaded from the cache folder, or built.

        Raises:
            UnknownError: `portrait-unreadable`: portrait.png is damaged; its stage must run again.
        """
        encoded = np.frombuffer(source.portrait, np.uint8)
        picture = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
        if picture is None:
            raise UnknownError("portrait-unreadable", "portrait.png cannot be read.", TRIED_AGAIN)
        portrait, record = np.asarray(picture, np.uint8), json.loads(source.face)
        rig = load_measured_rig(cache, swap_red_and_blue(portrait), record)
        return cls(portrait, rig, source.new_background)

    @cached_property
    def at_rest(self) -> Picture:
        """The figure at rest: BGRA with premultiplied alpha, uint8 [height, width, 4]."""
        return make_figure(self.portrait, self.rig.matte, self._new_background)

    @cached_property
    def planes(self) -> FigurePlanes:
        """The planes of the figure, at rest but while a frame is drawn."""
        return FigurePlanes(self.at_rest)

    @cached_property
    def plate(self) -> Picture:
        """The portrait's own background: BGR uint8 [height, width, 3]."""
        return swap_red_and_blue(self.rig.matte.plate) if self.rig.matte else self.portrait

    @cached_property
    def coverage(self) -> Coverage:
        """Where the figure is in its planes."""
        return Coverage.of(self.planes, self.rig.step)

    @cached_property
    def creases(self) -> CreaseShader:
        """Shades the folds beside the mouth."""
        return CreaseShader(self.rig.crease)

    @cached_property
    def folds(self) -> Repaint:
        """The deepest folds in the planes."""
        shaded = self.at_rest.copy()
        self.creases.shade(shaded, 1.0)
        return [change for box in self.creases.boxes for change in self.planes.prepare(shaded[box], box)]

    @cached_property
    def lids(self) -> list[BlinkPainter]:
        """Draw the blinks."""
        return [BlinkPainter(lid) for lid in self.rig.lids]

    @cached_property
    def eyeballs(self) -> list[GazePainter]:
        """Draw the gaze."""
        return [GazePainter(eye) for eye in self.rig.eyeballs]

    @cached_property
    def gaze_limit(self) -> GazeLimit:
        """Limits the gaze to what the eyes can show."""
        return GazeLimit(self.rig.eyeballs)

    @cached_property
    def bare_lips(self) -> BareLips:
        """The lips without what is between them."""
        return BareLips(self.rig.oral, (self.width, self.height))

    @cached_property
    def interior(self) -> InteriorPainter:
        """Draws what is between the lips."""
        return InteriorPainter(self.rig.oral, self.rig.tones, self.rig.frame)

    @cached_property
    def head_at_mouth(self) -> HeadAtMouth:
        """Fits the head's motion at the mouth."""
        return HeadAtMouth(self.rig.frame)
