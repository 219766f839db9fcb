"""What the voices hold on a GPU is given back where another stage needs it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import stages.tts
from daemon.config.stage_settings import Xtts
from stages.tts.engines.xtts import engine
from stages.tts.engines.xtts.checkpoint import XttsFiles
from tests.support.cuda.driver import Driver
from tests.support.cuda.install import install
from tests.support.cuda.memory import CardMemory


@pytest.mark.skipif(torch.backends.cuda.is_built(), reason="this PyTorch has CUDA; the stand-in replaces none")
def test_xtts_gives_its_gpu_memory_back_and_says_what_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Network:
        """As much of the network as concerns memory: its weights on the GPU."""

        def __init__(self, files: XttsFiles, settings: Xtts) -> None:
            self.weights = torch.zeros(500_000, device="cuda")

    monkeypatch.setattr(engine, "XttsNetwork", Network)
    engine._load_network.cache_clear()
    stages.tts.release()  # what other tests of this process have left
    driver = Driver(CardMemory(1 << 30))
    with install(driver):
        # Given a loaded network
        files = XttsFiles(tmp_path / "model.pth", tmp_path / "config.json", tmp_path / "vocab.json", None)
        engine._load_network(files, "", Xtts().model_dump_json())
        assert driver.card.memory.reserved >= 2_000_000
        # When another stage needs room / Then all of it is the driver's again, and there is no more
        assert stages.tts.release() == {"model": "xtts", "vram_mb": 0}
        assert driver.card.memory.reserved == 0
        assert stages.tts.release() == {}
