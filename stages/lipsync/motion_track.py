"""The motion track: what moves in each frame, as named parameters, and its file `motion.npz`.

Mouth, brow and lid parameters run from 0 (the portrait as it is) to 1 (the most that is natural); the head's are degrees
and parts of the face's width. All zero is the rest pose.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from daemon.errors import ResultError, UnknownError
from daemon.system.fs import artifact

#: Mouth shape: jaw drop; lower lip down; upper lip up; corners apart; lips rounded; lips pressed; lower lip tucked under
#: the teeth; a mouth that is open in the picture closed; corners up; tongue tip raised.
MOUTH = ("jaw", "lower_lip", "upper_lip", "wide", "pucker", "press", "tuck", "close", "smile", "tongue")
#: Brows up, lids down; left and right are the picture's.
EYES = ("brow_left", "brow_right", "blink_left", "blink_right")
#: Degrees, degrees, degrees, parts of the face's width (the head's x and y; the whole body's leaning), and the chest's lift,
#: 0 to 1.
HEAD = ("head_yaw", "head_pitch", "head_roll", "head_x", "head_y", "lean", "breath")
NAMES = MOUTH + EYES + HEAD


@dataclass(frozen=True)
class Track:
    """Parameters per frame, float32 [frames, len(NAMES)]; frame k is shown from k / fps seconds on."""

    values: npt.NDArray[np.float32]
    fps: Fraction
    seed: int

    def column(self, name: str) -> npt.NDArray[np.float32]:
        """One parameter over time; a view."""
        return self.values[:, NAMES.index(name)]

    def save(self, path: Path) -> None:
        """Write the track atomically.

        Raises:
            ResultError: `picture-invalid`: a parameter is not finite.
        """
        if not np.isfinite(self.values).all():
            raise ResultError("picture-invalid", "The movement holds values that are no numbers.", "It is tried again.")
        with artifact(path) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                values=self.values,
                names=np.array(NAMES),
                fps=np.array([self.fps.numerator, self.fps.denominator]),
                seed=np.array(self.seed),
            )

    @classmethod
    def load(cls, path: Path) -> Track:
        """Read a track.

        Raises:
            UnknownError: the file is damaged or of another version; the lipsync stage must run again.
        """
        try:
            with np.load(path, allow_pickle=False) as data:
                if tuple(data["names"]) != NAMES:
                    raise ValueError("other parameters than this version's")
                if not np.isfinite(data["values"]).all():
                    raise ValueError("parameters that are no numbers")
                numerator, denominator = (int(part) for part in data["fps"])
                return cls(data["values"].astype(np.float32), Fraction(numerator, denominator), int(data["seed"]))
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as exc:
            raise UnknownError("motion-unreadable", f"{path.name} cannot be read ({exc}).", "Retry the job.") from exc
