"""Our own GroupNorm kernels that lose the GPU: the loss is let through, and the next process does without them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from daemon.errors import MachineError
from stages.musetalk.device import choose_placement
from stages.musetalk.networks.group_norm import GroupNorm, group_norm_channels_last
from stages.musetalk.norm_choice import choose_norm
from stages.musetalk.norm_record import NormRecord
from stages.musetalk.painter import Painter
from stages.requests import StageCancelled
from tests.support.cuda.driver import Driver, Properties
from tests.support.cuda.install import install
from tests.support.cuda.memory import CardMemory
from tests.support.cuda.tensor import GPU
from tests.support.stages.musetalk_golden import arrays
from tests.support.stages.small_musetalk import small_models

pytestmark = pytest.mark.usefixtures("one_thread")

NOTE = f"musetalk/fused-norm-{Properties().uuid}.json"


class Kernels:
    """Stands for `networks.fused_norm`, which needs Triton.

    Attributes:
        calls: how often it was called.
        breaks: the number of the error that the GPU has from the first call on; 0 for none.
        says: whether the call itself raises that error; otherwise one of its own.
    """

    def __init__(self, driver: Driver) -> None:
        self._card = driver.card
        self.calls, self.breaks, self.says = 0, 0, True

    def __call__(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        self.calls += 1
        self._card.broken = self.breaks
        if self.breaks and not self.says:
            raise ValueError("the launcher has words of its own")
        return group_norm_channels_last(x, *args, **kwargs)


@pytest.fixture
def kernels(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> Kernels:
    made, module = Kernels(driver), ModuleType("stages.musetalk.networks.fused_norm")
    module.fused_group_norm = made  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return made


def load(cache: Path) -> Painter:
    return Painter.load("musetalk", small_models(), choose_placement("float32"), 5600, 1, cache=cache)


def chosen(cache: Path) -> str:
    """What a process chooses for a network of one norm, as for one of many: the engine's own takes seconds to load."""
    return choose_norm([GroupNorm(4, 8)], choose_placement("float32"), record=NormRecord(cache, GPU))


def paint(painter: Painter) -> int:
    """Paint a video of one frame as the stage does; returns the number of its frames."""
    tokens = torch.from_numpy(arrays("audio")["tokens"])[:1]
    with painter.norm_in_use():
        return sum(len(group) for group in painter.patches(painter.latents(arrays("v15")["crop256"]), [tokens]))


@pytest.mark.parametrize("says", [True, False])
def test_a_trial_that_loses_the_gpu_is_let_through_and_not_repeated_by_the_next_process(
    driver: Driver, kernels: Kernels, tmp_path: Path, says: bool
) -> None:
    # Given kernels that lose the GPU, whatever the call itself says
    kernels.breaks, kernels.says = 700, says
    # When a process tries them, then the GPU is lost, which ends this process
    with pytest.raises(MachineError) as error:
        load(tmp_path)
    assert error.value.code == "gpu-lost"
    # And when the next one begins, with the GPU in order again, then it leaves them alone, says why, and paints
    driver.card.broken, tried = 0, kernels.calls
    painter = load(tmp_path)
    assert kernels.calls == tried
    assert painter.norm.startswith("plain: the trial lost the GPU (")
    assert f"`{NOTE}` in `paths.cache`" in painter.norm
    assert paint(painter) == 1
    # And with another driver they get another chance
    note = next(tmp_path.rglob("*.json"))
    note.write_text(note.read_text().replace("580.95.05", "590.10.01"))
    kernels.breaks = 0
    assert chosen(tmp_path) == "fused"


def test_a_trial_that_ends_its_process_is_not_repeated_without_end(
    driver: Driver, kernels: Kernels, tmp_path: Path
) -> None:
    # Given two processes that ended in their trial
    trials = [NormRecord(tmp_path, GPU).trial() for _ in range(2)]
    for trial in trials:
        assert not NormRecord(tmp_path, GPU).refusal()
        trial.__enter__()
    # Then the next one does without
    assert chosen(tmp_path).startswith("plain: the trial did not end")


def test_a_job_that_is_cancelled_while_the_kernels_are_compiled_ends_there_and_counts_as_no_loss(
    driver: Driver, kernels: Kernels, tmp_path: Path
) -> None:
    # Given a cancel that comes in the trial, which takes longer than the daemon waits before it kills the process
    def cancelled() -> None:
        if kernels.calls:
            assert list(tmp_path.rglob("*.json"))
            raise StageCancelled

    norms = [GroupNorm(4, 8), GroupNorm(4, 16)]
    with pytest.raises(StageCancelled):
        choose_norm(norms, choose_placement("float32"), record=NormRecord(tmp_path, GPU), preparing=cancelled)
    # Then nothing speaks against the kernels
    assert not list(tmp_path.rglob("*.json"))


def test_trials_on_several_gpus_at_the_same_time_are_not_taken_for_each_others(tmp_path: Path) -> None:
    # Given three GPUs of one kind, whose slots load the networks at the same time, as at the start of the service
    with install(Driver(CardMemory(1), further=[CardMemory(1)] * 2)):
        records = [NormRecord(tmp_path, torch.device("cuda", number)) for number in range(3)]
        trials = [record.trial() for record in records]
        for record, trial in zip(records, trials, strict=True):
            assert not record.refusal()
            trial.__enter__()
        for trial in trials:
            trial.__exit__(None, None, None)
    # Then each tries the kernels, and nothing is left of trials that ended well
    assert not list(tmp_path.rglob("*.json"))


def test_a_gpu_that_is_lost_while_painting_twice_in_a_row_ends_their_use(
    driver: Driver, kernels: Kernels, tmp_path: Path
) -> None:
    def lose() -> None:
        painter = load(tmp_path)
        assert painter.norm == "fused"
        driver.card.broken = 719
        with pytest.raises(MachineError, match="stopped working"):
            paint(painter)
        driver.card.broken = 0

    # Given a loss, as of a GPU that failed for a reason of its own, and a video after it
    lose()
    assert paint(load(tmp_path)) == 1
    # Then the loss is forgotten, and no file is left
    assert not list(tmp_path.rglob("*.json"))
    # But two in a row are remembered
    lose()
    lose()
    assert chosen(tmp_path).startswith("plain: the GPU was lost while they were in use")
    assert json.loads(next(tmp_path.rglob("*.json")).read_bytes())["losses"] == 2


def test_a_record_that_is_damaged_or_cannot_be_written_stops_nothing(
    driver: Driver, kernels: Kernels, tmp_path: Path
) -> None:
    file = tmp_path / NOTE
    file.parent.mkdir()
    for content in ("", "[]", '{"machine": 1}'):
        file.write_text(content)
        assert chosen(tmp_path) == "fused"
    (tmp_path / "none").write_text("a file where a folder should be")
    assert chosen(tmp_path / "none") == "fused"
