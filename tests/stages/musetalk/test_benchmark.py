"""The benchmark of MuseTalk's speed runs from end to end, so that whoever has a GPU for an hour finds it working."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.musetalk import speed
from daemon.errors import MachineError
from stages.musetalk.device import Placement
from stages.musetalk.painter import Painter
from tests.support.cuda.driver import Driver
from tests.support.cuda.install import install
from tests.support.cuda.memory import CardMemory

pytestmark = pytest.mark.usefixtures("models", "one_thread")


def test_every_part_of_the_benchmark_runs_through_the_products_own_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given the tiny network, whose files the benchmark writes itself
    loads: list[str] = []
    load = Painter.load

    def watched(engine: str, *args: Any, **kwargs: Any) -> Painter:
        loads.append(engine)
        return load(engine, *args, **kwargs)

    monkeypatch.setattr(Painter, "load", watched)
    monkeypatch.setattr(speed, "shapes", speed.shapes)  # `main` sets it
    out = tmp_path / "lines"
    options = "--tiny --device cpu --parts network,steps,after,end --batches 1 --precisions float32 --seconds 0"
    monkeypatch.setattr(sys, "argv", ["speed", *options.split(), "--out", str(out)])
    # When all its parts run
    speed.main()
    # Then each gives its line
    beside, ours, steps, after, end = map(json.loads, out.read_text().splitlines())
    if importlib.util.find_spec("diffusers"):
        assert beside["measured"] == "beside plain diffusers"
    else:
        assert "diffusers" in beside["left out"]
    assert (ours["measured"], ours["batch"], ours["norm"]) == ("ours", 1, "plain")
    assert ours["partial_rows_frames_per_s"] > 0
    assert ours["repainted"] == 0
    assert steps["measured"] == "steps"
    assert after["frames"] == end["frames"] > 0
    for drawn in ("drawn_by_the_processor", "drawn_by_the_device"):
        assert end[drawn]["encode_frames_per_s"] > end[drawn]["one_job_frames_per_s"] > 0
    # And each network came in by the door that jobs take
    assert set(loads) == {"musetalk"}
    assert len(loads) >= 3


def test_a_batch_that_does_not_fit_is_told_and_the_others_are_measured_also_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a GPU that holds the networks with a batch of two, and not of three, with a batch of four not even the networks, and
    # with five not even the memory of a library, which has words of its own for that
    load, paint = Painter.load, Painter.patches

    # And a half precision that overflows, so that the networks are float32's from then on
    def overflowing(painter: Painter, latents: torch.Tensor, *args: Any) -> Any:
        if painter.placement.dtype != torch.float32:
            painter._overflowing.append(latents)
            painter.repainted += 1
        return paint(painter, latents, *args)

    monkeypatch.setattr(Painter, "patches", overflowing)

    def lacking(engine: str, root: Path, placement: Placement, budget_mb: int, batch: int) -> Painter:
        if batch > 4:
            raise RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")
        if batch > 3:
            raise MachineError("gpu-memory", "There is not enough memory.", "")
        return load(engine, root, placement, budget_mb, min(batch, 2))

    monkeypatch.setattr(Painter, "load", lacking)
    monkeypatch.setattr(speed, "beside", lambda *_: {})  # the test above measures the baseline
    monkeypatch.setattr(speed, "shapes", speed.shapes)
    out = tmp_path / "lines"
    options = "--tiny --device cpu --parts network --batches 5,4,3 --precisions bfloat16 --seconds 0"
    monkeypatch.setattr(sys, "argv", ["speed", *options.split(), "--out", str(out)])
    # When all are asked for, then two are said to find no memory, and the last one has the batch that was painted
    speed.main()
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    lacks = [line.get("no memory") for line in lines]
    assert "There is not enough memory." in lacks
    assert "cuDNN error: CUDNN_STATUS_ALLOC_FAILED" in lacks
    assert (lines[-1]["measured"], lines[-1]["batch"], lines[-1]["repainted"]) == ("ours", 2, 1)


@pytest.mark.skipif(torch.backends.cuda.is_built(), reason="this PyTorch has CUDA; the stand-in replaces none")
def test_what_the_baseline_leaves_on_a_gpu_does_not_count_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a baseline that takes memory of the GPU, which PyTorch keeps
    driver = Driver(CardMemory(1 << 30))

    def beside(placement: Placement, batch: int, seconds: float) -> dict[str, Any]:
        torch.zeros(1000, device=placement.device)
        return {"left": driver.card.memory.reserved}

    def ours(placement: Placement, batch: int, seconds: float) -> dict[str, Any]:
        return {"left": driver.card.memory.reserved}

    monkeypatch.setattr(speed, "beside", beside)
    monkeypatch.setattr(speed, "ours", ours)
    monkeypatch.setattr(speed, "shapes", speed.shapes)
    out = tmp_path / "lines"
    monkeypatch.setattr(sys, "argv", ["speed", "--tiny", "--parts", "network", "--batches", "1", "--out", str(out)])
    # When both are measured, then ours begins with none of it
    with install(driver):
        speed.main()
    first, second = map(json.loads, out.read_text().splitlines())
    assert first["left"] > 0
    assert second["left"] == 0
