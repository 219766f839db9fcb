"""Drawing frames leaves no memory behind: a worker draws for months."""

from __future__ import annotations

import ctypes
import gc

import cv2
import numpy as np
import pytest

from stages.encode.field_warp import FigureSampler
from stages.encode.figure.coverage import Coverage
from stages.encode.figure_planes import FigurePlanes
from stages.encode.layers import Background
from stages.face.rig.grid import CellBlock

HEIGHT, WIDTH, FRAMES = 262, 338, 20


class _Memory(ctypes.Structure):
    """What glibc's mallinfo2 gives."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena", "free_chunks", "fast_chunks", "maps", "mapped", "_", "fast", "used", "free", "top")
    ]


def in_use() -> int:
    """Bytes that malloc has given out and that were not freed."""
    measure = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if measure is None:
        pytest.skip("this system's C library has no mallinfo2")
    measure.restype = _Memory
    gc.collect()
    memory = measure()
    return int(memory.used + memory.mapped)


@pytest.mark.parametrize(
    ("step", "block"), [(2, (20, 30, 121, 151)), (3, (0, 0, 88, 113)), (3, (2, 4, 86, 113)), (4, (4, 6, 65, 85))]
)
def test_frames_leave_no_memory_behind(step: int, block: tuple[int, int, int, int]) -> None:
    random = np.random.default_rng(step)
    figure = np.full((HEIGHT, WIDTH, 4), 255, np.uint8)
    figure[..., :3] = random.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    cv2.circle(figure, (WIDTH // 4, HEIGHT // 2), 60, (0, 0, 0, 0), cv2.FILLED)
    background = Background(figure[..., :3].copy(), transparent=False)
    cells = CellBlock(*block)
    planes, frame = FigurePlanes(figure), background.frame.copy()
    sampler = FigureSampler(planes, background, cells, Coverage.of(planes, step))
    field = random.normal(size=(*cells.shape, 2)).astype(np.float32)

    def draw(frames: int) -> None:
        for _ in range(frames):
            sampler.draw(field, frame)

    draw(2)  # what is kept from the first ones on is not counted
    before = in_use()
    draw(FRAMES)
    assert (in_use() - before) / FRAMES < 500
