"""The motion track: named parameters for each frame, and their file `motion.npz`.

Mouth, brow and lid parameters go from 0 (as in the portrait) to 1 (the natural maximum); the head's are degrees and fractions of
the face's width. All zero is the rest pose.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from daemon.errors import TRIED_AGAIN, ResultError, UnknownError
from daemon.system.fs import artifact

#: Mouth shape: jaw drop; jaw drop with a round opening; lips that meet although the jaw is down (as far as `jaw`: shut); lower
#: lip down; upper lip up; corners apart; corners inward; lips pressed; lower lip tucked under the teeth; closing of a mouth that
#: is open in the picture; corners up; tongue raised.
MOUTH = (
    "jaw", "round", "seal", "lower_lip", "upper_lip", "wide", "pucker", "press", "tuck", "close", "smile", "tongue",
)  # fmt: skip
#: Brows up, lids down; left and right are the picture's.
EYES = ("brow_left", "brow_right", "blink_left", "blink_right")
#: Irises moved to the picture's right, and down, in fractions of the eye's width.
GAZE = ("gaze_x", "gaze_y")
#: Cheeks up, as in a smile; brows together and down.
MOOD = ("cheeks", "frown")
#: Three angles in degrees; the head's x and y and the body's lean in fractions of the face's width; the chest's lift, 0 to 1.
HEAD = ("head_yaw", "head_pitch", "head_roll", "head_x", "head_y", "lean", "breath")
PARAMETERS = MOUTH + EYES + GAZE + MOOD + HEAD


@dataclass(frozen=True)
class MotionTrack:
    """The motion of a video.

    Attributes:
        values: float32 [frames, len(PARAMETERS)]; frame k is shown from k / fps seconds on.
        fps: frames per second, exact.
        seed: seed of the idle motion.
    """

    values: npt.NDArray[np.float32]
    fps: Fraction
    seed: int

    def column(self, name: str) -> npt.NDArray[np.float32]:
        """Return one parameter over time, [frames], as a view."""
        return self.values[:, PARAMETERS.index(name)]

    def save(self, path: Path) -> None:
        """Write the track atomically.

        Raises:
            ResultError: `picture-invalid`: a parameter is not finite.
        """
        if not np.isfinite(self.values).all():
            raise ResultError("picture-invalid", "The motion track contains values that are not finite.", TRIED_AGAIN)
        with artifact(path) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                values=self.values,
                names=np.array(PARAMETERS),
                fps=np.array([self.fps.numerator, self.fps.denominator]),
                seed=np.array(self.seed),
            )

    @classmethod
    def load(cls, path: Path) -> MotionTrack:
        """Read a track.

        Raises:
            UnknownError: `motion-unreadable`: the file is damaged or of another version; the lipsync stage must run again.
        """
        try:
            with np.load(path, allow_pickle=False) as data:
                if tuple(data["names"]) != PARAMETERS:
                    raise ValueError("its parameters are those of another version")
                values = data["values"].astype(np.float32, copy=False)
                if not np.isfinite(values).all():
                    raise ValueError("it contains values that are not finite")
                numerator, denominator = (int(part) for part in data["fps"])
                return cls(values, Fraction(numerator, denominator), int(data["seed"]))
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as exc:
            raise UnknownError("motion-unreadable", f"{path.name} cannot be read ({exc}).", TRIED_AGAIN) from exc
