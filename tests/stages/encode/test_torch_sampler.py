"""Sampling on a device gives the frames that sampling on the processor gives; here the device is torch's processor."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from stages.encode import figure_planes
from stages.encode.field_warp import FigureSampler
from stages.encode.figure.coverage import Coverage
from stages.encode.figure_planes import FigurePlanes
from stages.encode.layers import Background
from stages.face.rig.grid import CellBlock

torch = pytest.importorskip("torch")

HEIGHT, WIDTH = 262, 342
#: Where lids and irises are painted in a frame: nowhere, inside the picture, and at its corners.
PAINTED = {
    "nothing": None, "inside": (slice(90, 131), slice(100, 161)),
    "first corner": (slice(3, 41), slice(0, 61)), "last corner": (slice(220, 262), slice(301, 340)),
}  # fmt: skip


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
    from stages.encode.device.planes import DevicePlanes, SentChanges
    from stages.encode.device.sampler import TorchSampler

    monkeypatch.setattr(figure_planes, "_MOST_ENLARGED", largest)
    random = np.random.default_rng(step)
    alpha = np.clip(smooth(random, 1, 3.0) * 128 + 128, 0, 255)  # much of it is 0 or 255
    colours = (smooth(random, 3, 0.7) + 1) * 127
    figure = np.round(np.dstack([colours * alpha[..., None] / 255, alpha])).astype(np.uint8)
    behind = np.round((smooth(random, 3, 0.7) + 1) * 127).astype(np.uint8)
    planes, background, cells = FigurePlanes(figure), Background(behind, transparent), CellBlock(*block)
    composer: Any = SimpleNamespace(
        figure=figure, planes=planes, background=background, cells=cells, step=step, height=HEIGHT, width=WIDTH,
        transparent=transparent, folds=[], painted_mouths=None,
    )  # fmt: skip
    own = FigureSampler(planes, background, cells, Coverage.of(planes, step))
    there = DevicePlanes(composer, torch.device("cpu"))
    other = TorchSampler(composer, there, torch.device("cpu"))

    for box in PAINTED.values():
        # Given a figure in which something is painted, and a field
        painted = figure[box][..., ::-1][..., [1, 2, 3, 0]] if box else figure[:0]
        rows, columns = cells.shape
        field = np.ascontiguousarray(smooth(random, 2, 0.5)[:rows, :columns] * np.float32(12))
        expected, drawn = background.frame.copy(), background.frame.copy()
        # When both draw it
        if box:
            planes.repaint(np.ascontiguousarray(painted), box)
        own.draw(field, expected)
        planes.restore()
        sent = [(box, torch.from_numpy(np.ascontiguousarray(painted)))] if box else []
        there.change(SentChanges(sent, [box] if box else [], 0.0, None, 0.0))
        other.draw(torch.from_numpy(field), torch.from_numpy(drawn.data))
        there.restore()
        # Then the frames are the same
        apart = np.abs(expected.data.astype(np.int16) - drawn.data)
        # A coordinate on the edge between two roundings may fall to either side.
        assert (apart > 1).mean() <= 2e-5
        assert (apart > 0).mean() < 2e-3
        assert not np.array_equal(expected.data, background.frame.data)
