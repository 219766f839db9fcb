"""What is told of a GPU's memory: how much is free, and how much of it the gpu lane holds."""

from __future__ import annotations

import os
import subprocess
import sys

import pynvml
import pytest
import torch

from stages.gpu.memory import free_by_nvml, held_by_gpu_lane
from tests.support.cuda.driver import Driver
from tests.support.cuda.install import install
from tests.support.cuda.memory import CardMemory

pytestmark = [
    pytest.mark.usefixtures("processes"),
    pytest.mark.skipif(torch.backends.cuda.is_built(), reason="this PyTorch has CUDA; the stand-in replaces none"),
]

GB = 1 << 30
FIRST, SECOND = torch.device("cuda", 0), torch.device("cuda", 1)


def test_nvml_tells_each_gpus_free_memory_by_its_uuid() -> None:
    driver = Driver(CardMemory(10 * GB, others=GB), further=[CardMemory(24 * GB)])
    with install(driver), pytest.MonkeyPatch.context() as patch:
        assert (free_by_nvml(FIRST), free_by_nvml(SECOND)) == (9 * GB, 24 * GB)
        # And of one that it does not know, such as a slice of a GPU, or without NVML, it tells nothing
        for name in ("nvmlDeviceGetHandleByUUID", "nvmlInit"):
            patch.setattr(pynvml, name, _unknown)
            assert free_by_nvml(FIRST) == held_by_gpu_lane(FIRST) == 0


def _unknown(*_: object) -> None:
    raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)


def test_only_workers_of_the_gpu_lane_hold_what_is_the_networks() -> None:
    def runs(lane: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", "input()", "--lane", lane, "--parent", "1"], stdin=subprocess.PIPE
        )

    with runs("gpu") as networks, runs("cpu") as drawing, install(Driver(CardMemory(24 * GB))) as driver:
        driver.held_by = {networks.pid: 5 * GB, drawing.pid: GB, os.getpid(): GB, 2**22: GB}
        assert held_by_gpu_lane(FIRST) == 5 * GB
        for process in (networks, drawing):
            process.communicate(b"\n")
