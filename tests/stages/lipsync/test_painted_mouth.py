"""The painted mouths of a job, which the processes that draw one video read from one file."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from stages.lipsync.painted_mouth import PaintedMouths, save_painted_mouths
from stages.musetalk.blend import SIDE
from stages.musetalk.mask import MaskRegion

pytestmark = pytest.mark.usefixtures("processes")

FRAMES = 4


def painted(mouths: PaintedMouths, frame: int) -> npt.NDArray[np.uint8]:
    picture = np.zeros((64, 64, 3), np.uint8)
    mouths.paint(frame, picture)
    return picture


def test_a_process_finds_its_patch_whatever_another_one_reads_meanwhile(tmp_path: Path) -> None:
    # Given a file of patches that a process and its copy have open together, with one position in it
    box = (8, 8, 56, 56)
    where = MaskRegion(box, box, np.full((48, 48), 255, np.uint8))
    patches = np.arange(1, FRAMES + 1, dtype=np.uint8)[:, None, None, None] * np.full((SIDE, SIDE, 3), 50, np.uint8)
    save_painted_mouths(tmp_path, where, np.ones(FRAMES, np.float32), [patches])
    mouths = PaintedMouths.load(tmp_path)
    assert mouths is not None
    os.lseek(mouths.pixels.fileno(), 7, os.SEEK_SET)
    # When both paint
    copy = multiprocessing.get_context("fork").Process(target=painted, args=(mouths, 3))
    copy.start()
    copy.join()
    shown = [painted(mouths, frame) for frame in (2, 0)]
    # Then each frame shows its own patch, and nobody has moved the position that the other one might rely on
    assert [int(picture[32, 32, 0]) for picture in shown] == [150, 50]
    assert copy.exitcode == 0
    assert os.lseek(mouths.pixels.fileno(), 0, os.SEEK_CUR) == 7
    mouths.pixels.close()
