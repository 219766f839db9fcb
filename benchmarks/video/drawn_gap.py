"""The gap of the lips as it was drawn, beside what the measuring mesh reads: in pauses and at P, B, M.

A mouth that hardly opens and one that the mesh does not see open measure alike: in paintings, it takes the row of teeth for the
upper lip. Of other faces it reads a gap where the lips are shut. The composer knows where it put both lips, so the mesh's
reading is compared with that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.video import measures
from stages.encode.compose import Composer
from stages.encode.mouth import MouthOpening
from stages.face import mesh

#: Where the gap is taken, in parts of the way between the mouth's corners: about where the mesh has its points.
_ACROSS = np.linspace(0.14, 0.86, 8)
#: A drawn gap below this says nothing about the mesh; of the outer eye corners' distance.
_LEAST = 0.02
#: A mesh that sees less than this part of the drawn gaps does not measure this mouth; usual are 1.0 to 1.5.
SEES = 0.6


@dataclass(frozen=True)
class SilentLips:
    """THEval's figure of the lips in pauses, and which part of the drawn gaps the mesh sees there; nan without any."""

    figure: float
    seen: float


class NotingComposer(Composer):
    """A composer that notes the gap of the lips in each frame that it draws, px."""

    noted: float = 0.0

    def _opening(self, upper: npt.NDArray[np.float32], lower: npt.NDArray[np.float32]) -> MouthOpening:
        found = super()._opening(upper, lower)
        heights = (found.lower - found.upper)[found.softness < 1]
        if len(heights):
            self.noted = float(np.interp(_ACROSS * (len(heights) - 1), np.arange(len(heights)), heights).mean())
        return found


def silent_lips(composer: NotingComposer, faces: measures.Faces, words: list[dict[str, Any]]) -> SilentLips:
    """Measure the lips in the pauses between words by the mesh, or where it does not see them, by what was drawn."""
    silent = measures.silence(words, len(faces.full), faces.fps)
    if silent.sum() < 2:
        return SilentLips(float("nan"), float("nan"))
    drawn = _drawn(composer, np.flatnonzero(silent)) / measures.outer_eyes(faces.full[silent])
    read = measures.opening(faces.small)[silent]
    open_ = drawn > _LEAST
    seen = float((read * drawn)[open_].sum() / (drawn**2)[open_].sum()) if open_.any() else float("nan")
    return SilentLips(measures.unrest(drawn if seen < SEES else read), seen)


def worst_closure(composer: NotingComposer, faces: measures.Faces, phones: list[dict[str, Any]]) -> float:
    """Return the greatest drawn gap in the frames shown at the middle of each P, B and M, in parts of the mouth's width."""
    middles = [int((p["start"] + p["end"]) / 2 * faces.fps) for p in phones if p["phone"] in measures.CLOSED]
    shown = np.array([at for at in middles if at < len(faces.full)], int)  # the control's sound may be longer
    widths = np.array([mesh.mouth_width(faces.full[at]) for at in shown])
    return float((_drawn(composer, shown) / widths).max(initial=0.0))


def _drawn(composer: NotingComposer, frames: Iterable[int]) -> measures.Series:
    """Return the gap of the lips in these frames, px."""
    canvas, found = composer.still.copy(), []
    for index in frames:
        composer.noted = 0.0
        composer.draw(int(index), canvas)
        found.append(composer.noted)
    return np.array(found)
