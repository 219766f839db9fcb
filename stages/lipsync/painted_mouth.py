"""Stores painted mouths for the encode stage: pixels in `mouth.raw`; position, mask and strength in `mouth.npz`.

Pixels are stored uncompressed and read frame by frame, so an hour takes disk space (about 2.5 MB per second) but no memory. Only
the rows of each patch that the mask shows are stored.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from daemon.errors import TRIED_AGAIN, MachineError, UnknownError
from daemon.system import fs
from stages.musetalk.blend import SIDE, paste_patch, resize_to_box
from stages.musetalk.mask import MaskRegion

Picture = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]

PIXELS_FILE, METADATA_FILE = "mouth.raw", "mouth.npz"
#: Rows above the mask that scaling the patch also reads.
_MARGIN = 2


def first_row(where: MaskRegion) -> int:
    """Return the first row of a patch that is visible or needed for scaling."""
    _, y1, _, y2 = where.box
    return max(0, int((where.roi[1] - y1) * SIDE / (y2 - y1)) - _MARGIN)


def save_painted_mouths(folder: Path, where: MaskRegion, strength: FloatArray, patches: Iterable[Picture]) -> None:
    """Write the patches of all frames atomically and in constant memory.

    Args:
        folder: the job's folder.
        where: box, region and mask in the portrait.
        strength: opacity of each frame's patch, 0 (the portrait's own mouth) to 1, [frames].
        patches: groups of patches in order, BGR uint8 [n, rows, 256, 3] each, of all 256 rows or the last ones, from
            `first_row` on or before; one patch per value of `strength`.

    Raises:
        MachineError: `disk-full`, before the first patch is requested.
    """
    row, frames = first_row(where), len(strength)
    if (need := frames * (SIDE - row) * SIDE * 3) > (free := shutil.disk_usage(folder).free):
        raise MachineError(
            "disk-full", f"The painted mouths need {need >> 20} MB; only {free >> 20} MB are free.", "Free some space."
        )
    with fs.artifact(folder / PIXELS_FILE) as temporary, temporary.open("wb") as file:
        for group in patches:
            file.write(np.ascontiguousarray(group[:, row - SIDE :]).data)
    with fs.artifact(folder / METADATA_FILE) as temporary, temporary.open("wb") as file:
        np.savez(file, box=where.box, roi=where.roi, mask=where.mask, row=row, strength=strength)


@dataclass(frozen=True)
class PaintedMouths:
    """The painted mouths of a job.

    Attributes:
        where: box, region and mask in the portrait.
        strength: opacity of each frame's patch, see `save_painted_mouths`.
        row: the first stored row of a patch.
        pixels: the open file with the pixels of all frames in order.
    """

    where: MaskRegion
    strength: FloatArray
    row: int
    pixels: BinaryIO

    @classmethod
    def load(cls, folder: Path) -> PaintedMouths | None:
        """Open the painted mouths that the lipsync stage wrote; None if its engine paints none.

        Raises:
            UnknownError: `motion-unreadable`: the files are damaged; the stage must run again.
        """
        if not (folder / METADATA_FILE).exists():
            return None
        try:
            with np.load(folder / METADATA_FILE, allow_pickle=False) as rest:
                where = MaskRegion(_four(rest["box"]), _four(rest["roi"]), rest["mask"])
                found = cls(where, rest["strength"], int(rest["row"]), (folder / PIXELS_FILE).open("rb"))
            if (folder / PIXELS_FILE).stat().st_size != len(found.strength) * found.frame_bytes:
                raise ValueError("its length does not match the number of frames")
            return found
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as exc:
            raise UnknownError("motion-unreadable", f"{PIXELS_FILE} cannot be read ({exc}).", TRIED_AGAIN) from exc

    @property
    def frame_bytes(self) -> int:
        """Bytes stored per frame."""
        return (SIDE - self.row) * SIDE * 3

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of the painted region in the portrait."""
        x1, y1, x2, y2 = self.where.roi
        return slice(y1, y2), slice(x1, x2)

    def stored(self, frame: int) -> Picture:
        """Read the stored rows of a frame's patch, BGR uint8 [256 - row, 256, 3]."""
        # Not seek and read: processes that draw the same video share the position in the file.
        stored = os.pread(self.pixels.fileno(), self.frame_bytes, frame * self.frame_bytes)
        return np.frombuffer(stored, np.uint8).reshape(-1, SIDE, 3)

    def paint(self, frame: int, picture: Picture) -> None:
        """Paste a frame's patch into a BGR picture, in place."""
        strength = float(self.strength[frame])
        if strength <= 0:
            return
        patch = np.zeros((SIDE, SIDE, 3), np.uint8)
        patch[self.row :] = self.stored(frame)
        mask = self.where.mask if strength >= 1 else np.round(self.where.mask * strength).astype(np.uint8)
        paste_patch(picture, resize_to_box(patch, self.where.box), self.where, mask)


def _four(values: npt.NDArray[np.int64]) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = (int(value) for value in values)
    return x1, y1, x2, y2
