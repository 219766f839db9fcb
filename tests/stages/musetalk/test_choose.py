"""Which lip-sync engine is taken, and why."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from daemon.config import Settings
from daemon.errors import MachineError
from stages.gpu.probe import CudaProbe
from stages.lipsync.choose import EngineAvailability, check_availability, choose_engine
from stages.lipsync.registry import ENGINES
from tests.support.stages.musetalk_golden import MODELS

NO_GPU = CudaProbe("absent", "there is no GPU")
READY = EngineAvailability(packages=True, gpu=CudaProbe("usable", "an RTX 3080"), model_problem="")


@pytest.mark.parametrize(
    ("asked", "availability", "engine", "why"),
    [
        ("auto", READY, "musetalk", "an RTX 3080"),
        ("musetalk", EngineAvailability(True, CudaProbe("busy", "900 MB free"), ""), "musetalk", "config.yaml asks"),
        ("auto", EngineAvailability(True, CudaProbe("unusable", "kernels for sm_90"), ""), "warp", "kernels for sm_90"),
        ("auto", EngineAvailability(True, NO_GPU, ""), "warp", "there is no GPU"),
        ("auto", EngineAvailability(True, None, "musetalkV15/unet.pth: missing"), "warp", "unet.pth: missing"),
        ("auto", EngineAvailability(False, None, ""), "warp", "not installed"),
        ("warp", READY, "warp", "config.yaml asks"),
        ("musetalk", READY, "musetalk", "config.yaml asks"),
        ("musetalk", EngineAvailability(True, NO_GPU, ""), "musetalk", "slow"),
    ],
)
def test_the_engine_is_chosen_and_the_reason_said(
    asked: Any, availability: EngineAvailability, engine: str, why: str
) -> None:
    choice = choose_engine(asked, lambda _: availability)
    assert choice.engine.name == engine
    assert why in choice.why


def test_musetalk_asked_for_without_torch_is_the_machines_fault() -> None:
    with pytest.raises(MachineError) as error:
        choose_engine("musetalk", lambda _: EngineAvailability(False, None, ""))
    assert error.value.code == "engine-not-installed"


def test_the_machine_is_looked_at_by_its_files(tmp_path: Path) -> None:
    def problem() -> str:
        return check_availability(
            ENGINES["musetalk"], Settings.model_validate({"paths": {"models": str(tmp_path / "m")}})
        ).model_problem

    assert "musetalkV15/unet.pth: missing" in problem()
    shutil.copytree(MODELS, tmp_path / "m")
    assert problem() == ""
    (tmp_path / "m" / "whisper" / "pytorch_model.bin").write_bytes(b"half")
    assert "whisper/pytorch_model.bin" in problem()
