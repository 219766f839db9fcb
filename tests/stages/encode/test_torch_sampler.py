"""Sampling on a device gives the frames that sampling on the processor gives; here the device is torch's processor."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from stages.encode import figure_planes
from stages.encode.field_warp import FigureSampler
from stages.encode.figure_planes import FigurePlanes
from stages.encode.layers import Background
from stages.face.rig.grid import CellBlock

pytest.importorskip("torch")

HEIGHT, WIDTH = 262, 342


def smooth(random: np.random.Generator, channels: int, spread: float) -> npt.NDArray[np.float32]:
    """Random values, -1 to 1, that change over some tens of px, [HEIGHT, WIDTH, channels]."""
    values = random.normal(size=(HEIGHT // 24, WIDTH // 24, channels)).astype(np.float32)
    wide = np.asarray(cv2.resize(values, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.float32)
    return np.clip(wide * np.float32(spread), -1, 1)


@pytest.mark.parametrize("transparent", [False, True], ids=["over a background", "transparent"])
@pytest.mark.parametrize(
    ("step", "block"), [(2, (20, 30, 120, 150)), (3, (0, 0, 88, 114)), (4, (4, 6, 66, 86))], ids=["2", "3", "4"]
)
@pytest.mark.parametrize("largest", [HEIGHT * WIDTH, 0], ids=["enlarged", "very large"])
def test_a_device_draws_the_processors_frame(
    step: int, block: tuple[int, int, int, int], transparent: bool, largest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stages.encode.torch_sampler import TorchSampler

    monkeypatch.setattr(figure_planes, "_MOST_ENLARGED", largest)
    random = np.random.default_rng(step)
    alpha = np.clip(smooth(random, 1, 3.0) * 128 + 128, 0, 255)  # much of it is 0 or 255
    colours = (smooth(random, 3, 0.7) + 1) * 127
    figure = np.round(np.dstack([colours * alpha[..., None] / 255, alpha])).astype(np.uint8)
    behind = np.round((smooth(random, 3, 0.7) + 1) * 127).astype(np.uint8)
    planes, background = FigurePlanes(figure), Background(behind, transparent)
    cells = CellBlock(*block)
    own, other = FigureSampler(planes, background, cells, step), TorchSampler(planes, background, cells, step, "cpu")

    for box in (None, (slice(90, 131), slice(100, 161))):
        if box:  # as blinks do
            planes.repaint(cv2.bitwise_not(figure[box]), box)
        rows, columns = cells.shape
        field = np.ascontiguousarray(smooth(random, 2, 0.5)[:rows, :columns] * np.float32(12))
        expected, drawn = background.frame.copy(), background.frame.copy()
        own.draw(field, expected)
        other.draw(field, drawn)
        apart = np.abs(expected.data.astype(np.int16) - drawn.data)
        # A coordinate on the edge between two roundings may fall to either side.
        assert (apart > 1).mean() <= 2e-5
        assert (apart > 0).mean() < 1e-3
        assert not np.array_equal(expected.data, background.frame.data)
        planes.restore()
