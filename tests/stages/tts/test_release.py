"""What the voices hold on a GPU is given back where another stage needs it, and asked of others where a voice needs it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import stages.tts
from daemon.config.stage_settings import Xtts
from daemon.errors import MachineError
from stages.tts.engines.xtts import engine
from stages.tts.engines.xtts.checkpoint import XttsFiles, find_files
from stages.tts.engines.xtts.network import REFERENCE_RATE, XttsNetwork
from tests.support.cuda.driver import Driver
from tests.support.cuda.install import install
from tests.support.cuda.memory import CardMemory

needs_stand_in = pytest.mark.skipif(
    torch.backends.cuda.is_built(), reason="this PyTorch has CUDA; the stand-in replaces none"
)


@needs_stand_in
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


@needs_stand_in
def test_a_gpu_without_room_for_the_network_is_told_as_such_so_that_other_stages_give_way(published_xtts: Path) -> None:
    with install(Driver(CardMemory(20 << 20))), pytest.raises(MachineError) as error:
        XttsNetwork(find_files(published_xtts), Xtts())
    assert error.value.code == "gpu-memory"


@needs_stand_in
def test_a_gpu_that_fails_when_it_is_opened_is_told_as_lost(published_xtts: Path) -> None:
    driver = Driver(CardMemory(1 << 30))
    driver.card.broken = 719
    with install(driver), pytest.raises(MachineError) as error:
        XttsNetwork(find_files(published_xtts), Xtts())
    assert error.value.code == "gpu-lost"


def test_memory_that_ends_while_a_speaker_is_encoded_is_the_machines_fault(
    network: XttsNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(*args: object, **kwargs: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(network.model, "get_speaker_embedding", lacking)
    with pytest.raises(MachineError) as error:
        network.condition(np.zeros(REFERENCE_RATE, np.float32))
    assert error.value.code == "out-of-memory"  # the network of the tests is on the processor
