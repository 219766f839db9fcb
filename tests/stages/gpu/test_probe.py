"""The trial of the GPU that `auto` and `avatar doctor` make: it computes on it, and says what does not fit."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pynvml
import pytest
import torch

from daemon.cli.doctor import gpu_checks
from daemon.cli.doctor.gpu_checks import check_gpu
from daemon.config import Settings
from daemon.errors import MachineError
from stages.gpu import probe
from stages.gpu.device import current_device
from stages.gpu.probe import CudaProbe, probe_cuda
from tests.support.cuda.driver import Driver, Properties
from tests.support.cuda.install import install
from tests.support.cuda.memory import CardMemory
from tests.support.cuda.tensor import cuda_error

pytestmark = pytest.mark.skipif(
    torch.backends.cuda.is_built(), reason="this PyTorch has CUDA; the stand-in replaces none"
)

GB = 1 << 30


def tried(driver: Driver) -> CudaProbe:
    with install(driver):
        return probe_cuda()


def test_a_gpu_that_computes_is_usable_by_name_and_memory() -> None:
    driver = Driver(CardMemory(10 * GB, others=GB))
    found = tried(driver)
    assert found == CudaProbe("usable", "NVIDIA GeForce RTX 3080, 9,663 of 10,737 MB free")
    assert driver.card.kernels  # it did not only ask
    assert driver.card.memory.held == 0


def test_a_gpu_that_computes_wrong_results_is_unusable() -> None:
    driver = Driver(CardMemory(10 * GB))
    with install(driver), pytest.MonkeyPatch.context() as patch:
        compute = driver.card._compute
        patch.setattr(driver.card, "_compute", lambda *call: compute(*call) * (0 if call[1] == "aten::add" else 1))
        found = probe_cuda()
    assert found.state == "unusable"
    assert "wrong results" in found.words


def failing(number: int) -> Driver:
    """A GPU whose first kernel fails with an error of CUDA's."""
    driver = Driver(CardMemory(10 * GB))
    check = driver.card.check

    def check_after_a_kernel() -> None:
        driver.card.broken = number if driver.card.kernels else 0
        check()

    driver.card.check = check_after_a_kernel  # type: ignore[method-assign]
    return driver


def without_gpu() -> Driver:
    driver = Driver(CardMemory(10 * GB))
    driver.count = 0
    return driver


@pytest.mark.parametrize(
    ("make", "state", "words"),
    [
        (lambda: Driver(CardMemory(10 * GB, others=8 * GB)), "busy", "2,147 of 10,737 MB free"),
        (lambda: Driver(CardMemory(2 * GB)), "unusable", "2,147 MB of memory"),
        (lambda: failing(209), "unusable", "no kernel image is available"),
        (lambda: failing(719), "unusable", "unspecified launch failure"),
        (without_gpu, "absent", "no NVIDIA GPU"),
    ],
    ids=["others use it", "too small", "no kernels", "it fails", "none"],
)
def test_what_does_not_fit_is_said(make: Callable[[], Driver], state: str, words: str) -> None:
    found = tried(make())
    assert found.state == state
    assert words in found.words
    assert found.remedy


def test_a_gpu_that_fails_while_cuda_is_opened_is_told_as_one_that_fails_later() -> None:
    # torch.cuda._lazy_init asks each GPU what it is, and raises a DeferredCudaCallError, no RuntimeError, where that fails
    def ask() -> None:
        raise cuda_error(719)

    with install(Driver(CardMemory(10 * GB))):
        torch.cuda._queued_calls.append((ask, []))
        assert "unspecified launch failure" in probe_cuda().words
        with pytest.raises(MachineError) as error:
            current_device()
    assert error.value.code == "gpu-lost"


@pytest.mark.parametrize(
    ("major", "minor", "archs", "usable"),
    [
        (8, 6, "sm_80", True),  # kernels run on later GPUs of the same major capability
        (8, 0, "sm_86", False),
        (9, 0, "sm_80 sm_86", False),
        (9, 0, "sm_80 compute_80", True),  # translated by the driver
        (8, 0, "sm_90 compute_90", False),
        (12, 0, "sm_75 sm_90 sm_100", False),
        (12, 1, "sm_120", True),
        (6, 1, "sm_75 sm_80 sm_90", False),
    ],
)
def test_the_kernels_of_this_build_must_run_on_the_gpu(major: int, minor: int, archs: str, usable: bool) -> None:
    driver = Driver(CardMemory(10 * GB), Properties(major=major, minor=minor))
    driver.archs = archs
    found = tried(driver)
    assert found.state == ("usable" if usable else "unusable")
    assert usable or f"compute capability {major}.{minor}" in found.words
    assert usable or archs.split()[0] in found.words


def test_a_driver_that_is_too_old_is_named_with_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a GPU whose driver knows CUDA 12.4, with which CUDA 13 finds no device
    driver = without_gpu()
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    with install(driver):
        monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 1)
        monkeypatch.setattr(pynvml, "nvmlSystemGetCudaDriverVersion_v2", lambda: 12040)
        found = probe_cuda()
    assert found.state == "unusable"
    assert "580.95.05 knows CUDA 12.4, and PyTorch needs 13.0" in found.words
    # And there are two ways out, as Debian has no newer driver
    assert found.remedy.startswith("Install a newer driver, or PyTorch's build for CUDA 12:")


@pytest.mark.parametrize(
    ("refusal", "state", "words", "remedy"),
    [
        (
            "Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling NumCudaDevices() that "
            "might have already set an error? Error 802: system not yet initialized\nException raised from",
            "unusable", "Error 802: system not yet initialized", "nvidia-fabricmanager",
        ),
        ("CUDA unknown error - this may be due to an environment", "unusable", ": CUDA unknown error", "/dev/nvidia*"),
        ("Found no NVIDIA driver on your system.", "absent", "there is no NVIDIA GPU", "nvidia-smi"),
    ],
    ids=["no fabric manager", "no nodes", "no driver"],
)  # fmt: skip
@pytest.mark.parametrize("nvml", [True, False], ids=["NVML", "no NVML"])
def test_why_cuda_does_not_open_a_gpu_is_said_with_and_without_nvml(
    refusal: str, state: str, words: str, remedy: str, nvml: bool
) -> None:
    # Given a driver that opens no GPU, which NVML knows, or may not know, as in a container
    driver = without_gpu()
    driver.refusal = refusal
    with install(driver), pytest.MonkeyPatch.context() as patch:
        patch.setattr(pynvml, "nvmlDeviceGetCount", lambda: int(state == "unusable"))
        if not nvml:
            patch.setattr(pynvml, "nvmlInit", _no_library)
        found = probe_cuda()
    # Then the words are CUDA's own, and what to do fits them
    assert found.state == state
    assert words in found.words
    assert remedy in found.remedy


def _no_library() -> None:
    raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)


def test_the_doctor_says_the_words_of_the_trial() -> None:
    # Given a driver that knows a GPU, and a PyTorch that cannot use it: this one, which is built without CUDA
    with install(Driver(CardMemory(10 * GB))):
        found = {one.what: one for one in check_gpu(Settings())}
    assert found["gpu 0"].verdict == "good"
    assert found["cuda on GPU 0"].found == "the installed PyTorch has no CUDA"
    assert found["cuda on GPU 0"].verdict == "note"
    assert "docs/operations.md" in found["cuda on GPU 0"].remedy


def test_a_trial_that_ends_its_process_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    with install(Driver(CardMemory(10 * GB))):
        monkeypatch.setattr(sys, "executable", "/bin/false")
        found = {one.what: one for one in check_gpu(Settings())}
    assert found["cuda on GPU 0"].verdict == "bad"
    assert found["cuda on GPU 0"].remedy


def test_a_driver_that_waits_for_a_restart_is_not_taken_for_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def mismatch() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)

    monkeypatch.setattr(pynvml, "nvmlInit", mismatch)
    (found,) = check_gpu(Settings())
    assert found.verdict == "bad"
    assert "mismatch" in found.found.lower()


@pytest.mark.parametrize(
    ("node", "vendor", "kind", "said", "tried"),
    [
        ("nvidia0", "0x10de", "0x030200", "not NVML", True),
        ("dxg", "0x1414", "0x030200", "not NVML", True),
        ("null", "0x10de", "0x030200", "its driver is not loaded", False),
        ("null", "0x10de", "0x040300", "none", False),  # the sound of a card that is handed to a guest
        ("null", "0x1002", "0x030000", "none", False),
    ],
    ids=["a container", "Windows", "no driver", "its sound", "another maker's"],
)
def test_without_nvml_a_gpu_is_found_by_its_nodes_and_on_the_bus(
    node: str, vendor: str, kind: str, said: str, tried: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = tmp_path / "bus" / "0000:01:00.0"
    card.mkdir(parents=True)
    (card / "vendor").write_text(vendor + "\n")
    (card / "class").write_text(kind + "\n")
    (tmp_path / node).touch()
    monkeypatch.setattr(pynvml, "nvmlInit", _no_library)
    monkeypatch.setattr(gpu_checks, "_DEV", tmp_path)
    monkeypatch.setattr(gpu_checks, "_PCI", tmp_path / "bus")
    found = list(check_gpu(Settings()))
    assert found[0].what == "gpu"
    assert said in found[0].found
    # And CUDA is tried wherever a driver is, for it needs no NVML
    assert [one.what for one in found[1:]] == ["cuda"] * tried


def test_the_trial_prints_one_line_for_the_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    with install(Driver(CardMemory(10 * GB))):
        probe.main()
    assert json.loads(capsys.readouterr().out)["state"] == "usable"
