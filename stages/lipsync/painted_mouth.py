"""Painted mouths on their way from the lipsync stage to the encode stage: `mouth.raw`, the pixels, and `mouth.npz`, the rest.

The pixels are stored as they are and read frame by frame: an hour takes space on the disk (about 2.5 MB a second), not in
memory. Only the rows of each patch that the mask shows are kept.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from daemon.errors import MachineError, UnknownError
from daemon.system import fs
from stages.musetalk.blend import SIDE, paste, to_box
from stages.musetalk.mask import Region

Picture = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]

PIXELS, REST = "mouth.raw", "mouth.npz"
#: Rows above the mask that enlarging the patch still reads.
_MARGIN = 2


def first_row(where: Region) -> int:
    """The first row of a patch that shows."""
    _, y1, _, y2 = where.box
    return max(0, int((where.roi[1] - y1) * SIDE / (y2 - y1)) - _MARGIN)


def save(folder: Path, where: Region, strength: FloatArray, patches: Iterable[Picture]) -> None:
    """Write the patches of all frames, [n, 256, 256, 3] BGR at a time, atomically and in constant memory.

    Args:
        folder: the job's.
        where: box, region and mask of the portrait.
        strength: how far each frame's patch shows, 0 (the portrait's own mouth) to 1.
        patches: groups in order, one patch for each of `strength`.

    Raises:
        MachineError: `disk-full`, before anything is painted.
    """
    row, frames = first_row(where), len(strength)
    if (need := frames * (SIDE - row) * SIDE * 3) > (free := shutil.disk_usage(folder).free):
        raise MachineError(
            "disk-full", f"The painted mouths need {need >> 20} MB; {free >> 20} MB are free.", "Free some space."
        )
    with fs.artifact(folder / PIXELS) as temporary, temporary.open("wb") as file:
        for group in patches:
            file.write(np.ascontiguousarray(group[:, row:]).data)
    with fs.artifact(folder / REST) as temporary, temporary.open("wb") as file:
        np.savez(file, box=where.box, roi=where.roi, mask=where.mask, row=row, strength=strength)


@dataclass(frozen=True)
class Patches:
    """The patches of a job, ready to be pasted.

    Attributes:
        where: box, region and mask.
        strength: one value for each frame, see `save`.
        row: the first row of a patch that is stored.
        pixels: the open file, one frame after the other.
    """

    where: Region
    strength: FloatArray
    row: int
    pixels: BinaryIO

    @classmethod
    def load(cls, folder: Path) -> Patches | None:
        """What the lipsync stage left; None where its engine paints no patches.

        Raises:
            UnknownError: the files are damaged; the stage must run again.
        """
        if not (folder / REST).exists():
            return None
        try:
            with np.load(folder / REST, allow_pickle=False) as rest:
                where = Region(_four(rest["box"]), _four(rest["roi"]), rest["mask"])
                found = cls(where, rest["strength"], int(rest["row"]), (folder / PIXELS).open("rb"))
            if (folder / PIXELS).stat().st_size != len(found.strength) * found.frame_bytes:
                raise ValueError("its length is not that of its frames")
            return found
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as exc:
            raise UnknownError("motion-unreadable", f"{PIXELS} cannot be read ({exc}).", "Retry the job.") from exc

    @property
    def frame_bytes(self) -> int:
        return (SIDE - self.row) * SIDE * 3

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of the portrait that are painted."""
        x1, y1, x2, y2 = self.where.roi
        return slice(y1, y2), slice(x1, x2)

    def paint(self, frame: int, picture: Picture) -> None:
        """Paste a frame's patch into a BGR picture, in place."""
        strength = float(self.strength[frame])
        if strength <= 0:
            return
        patch = np.zeros((SIDE, SIDE, 3), np.uint8)
        self.pixels.seek(frame * self.frame_bytes)
        patch[self.row :] = np.frombuffer(self.pixels.read(self.frame_bytes), np.uint8).reshape(-1, SIDE, 3)
        mask = self.where.mask if strength >= 1 else np.round(self.where.mask * strength).astype(np.uint8)
        paste(picture, to_box(patch, self.where.box), self.where, mask)


def _four(values: npt.NDArray[np.int64]) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = (int(value) for value in values)
    return x1, y1, x2, y2
