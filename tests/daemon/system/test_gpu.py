"""What is known of GPUs that do not tell everything: slices of one (MIG), and one without memory of its own."""

from __future__ import annotations

import functools
import math
import threading
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
from rich.console import Console

from daemon.cli.doctor.checks import CHECKS
from daemon.cli.status_view import _machine
from daemon.config import Settings
from daemon.errors import MachineError
from daemon.system.bounded_calls import BoundedCall
from daemon.system.gpu import Card, read_cards
from daemon.telemetry import collectors
from daemon.telemetry.collectors import GpuCollector
from daemon.workers.devices import DeviceWatch, find_devices

GB = 10**9


class Nvml:
    """NVIDIA's library for one GPU.

    Args:
        memory: what it answers when the GPU's memory is asked for: an error's number.
        slices: the GPU's places for slices, with the UUID of the slice that is there.
    """

    def __init__(self, memory: int, slices: tuple[str | None, ...] = ()) -> None:
        self._memory, self._slices = memory, slices

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answers: dict[str, Any] = {
            "nvmlInit": lambda: None,
            "nvmlShutdown": lambda: None,
            "nvmlDeviceGetCount": lambda: 1,
            "nvmlDeviceGetHandleByIndex": lambda index: "GPU-whole",
            "nvmlDeviceGetMigMode": self._mode,
            "nvmlDeviceGetMaxMigDeviceCount": lambda handle: len(self._slices),
            "nvmlDeviceGetMigDeviceHandleByIndex": self._slice,
            "nvmlDeviceGetMemoryInfo": self._memory_of,
            "nvmlDeviceGetUtilizationRates": _not_supported,
            "nvmlDeviceGetTemperature": _not_supported,
            "nvmlDeviceGetUUID": lambda handle: handle,
            "nvmlDeviceGetName": lambda handle: "A GPU",
        }
        for name, answer in answers.items():
            monkeypatch.setattr(pynvml, name, answer)

    def _mode(self, handle: str) -> list[int]:
        if not self._slices:
            _not_supported()
        return [pynvml.NVML_DEVICE_MIG_ENABLE] * 2

    def _slice(self, handle: str, place: int) -> str:
        if (there := self._slices[place]) is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return there

    def _memory_of(self, handle: str) -> SimpleNamespace:
        if handle == "GPU-whole":
            # nvml.h, nvmlDeviceGetMemoryInfo: "In MIG mode, if device handle is provided, the API returns aggregate information,
            # only if the caller has appropriate privileges."
            raise pynvml.NVMLError(self._memory)
        return SimpleNamespace(used=1 * GB, free=19 * GB, total=20 * GB)


def _not_supported(*_: object) -> None:
    raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)


def test_each_slice_of_a_gpu_has_a_slot_and_its_own_memory_also_where_the_whole_tells_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a GPU with two slices, of whose whole only root may know the memory
    Nvml(pynvml.NVML_ERROR_NO_PERMISSION, ("MIG-a", None, "MIG-b")).install(monkeypatch)
    cards = read_cards()
    assert [(card.index, card.uuid, card.free) for card in cards] == [
        ("0.0", "MIG-a", 19 * GB),
        ("0.1", "MIG-b", 19 * GB),
    ]
    # Then each has a slot, whose process sees it alone
    devices = find_devices("all", {}, cards)
    assert [(device.label, device.visible) for device in devices] == [("0.0", "MIG-a"), ("0.1", "MIG-b")]
    assert DeviceWatch(devices[1]).free_bytes() == 19 * GB
    # And the number of the GPU means its first slice, as to CUDA
    assert [device.visible for device in find_devices({"0": ()}, {}, cards)] == ["MIG-a"]
    assert [device.uuid for device in find_devices({"MIG-b": ()}, {}, cards)] == ["MIG-b"]
    # Given that the slices are taken away, then no slot is bound to the whole GPU, and the doctor says why: NVIDIA's guide to
    # MIG, "Without creating GPU instances (and corresponding compute instances), CUDA workloads cannot be run on the GPU"
    Nvml(pynvml.NVML_ERROR_NO_PERMISSION, (None, None)).install(monkeypatch)
    assert read_cards() == []
    assert next(iter(CHECKS["gpu"](Settings()))).found.startswith("it is in the mode for slices (MIG) and has none")
    # And where the setting names the GPU, with what the daemon would end
    named = Settings.model_validate({"lanes": {"gpu": {"devices": [0]}}})
    (found,) = (one for one in CHECKS["gpu"](named) if one.what == "gpu lane")
    assert (found.verdict, found.found) == ("bad", "lanes.gpu.devices names GPU 0, and no GPU answers")


def test_a_gpu_that_does_not_tell_its_memory_works_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a GPU that uses the machine's memory
    Nvml(pynvml.NVML_ERROR_NOT_SUPPORTED).install(monkeypatch)
    (card,) = read_cards()
    assert (card.used, card.total, card.free, math.isnan(card.busy)) == (None, None, None, True)
    # Then it has its slot and counts as one that answers
    (device,) = find_devices({"0": ()}, {}, [card])
    assert DeviceWatch(device).free_bytes() is None
    # And everybody says what is known
    assert next(iter(CHECKS["gpu"](Settings()))).found == "A GPU, GPU-whole, it does not tell its memory"
    families = {family.name: family.samples for family in GpuCollector(lambda: [card]).collect()}
    assert [sample.value for sample in families["avatar_gpu_devices"]] == [1]
    assert families["avatar_gpu_memory_bytes"] == []
    console = Console(width=200)
    with console.capture() as said:
        console.print(_machine({"disk": {}, "gpus": [vars(card)]}))
    assert "GPU 0: it tells nothing of itself" in said.get()


def test_a_gpu_that_is_lost_is_not_one_that_tells_little(monkeypatch: pytest.MonkeyPatch) -> None:
    Nvml(pynvml.NVML_ERROR_GPU_IS_LOST).install(monkeypatch)
    assert read_cards() == []


def test_a_driver_that_answers_late_is_told_at_the_next_scrape_and_one_that_hangs_never(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a driver that initialises its GPU first, which takes longer than a scrape waits for it
    go_on, threads = threading.Semaphore(0), []
    card = Card("0", "GPU-whole", "A GPU", 1, 2, 0.0, 40.0)

    def slow() -> list[Card]:
        threads.append(threading.current_thread())
        go_on.acquire()
        return [card]

    monkeypatch.setattr(collectors, "BoundedCall", functools.partial(BoundedCall, patience_s=0.01))
    collector = GpuCollector(slow)

    def devices() -> float:
        families = {family.name: family.samples for family in collector.collect()}
        return families["avatar_gpu_devices"][0].value

    assert devices() == 0
    # When it has answered after each scrape, then the next one tells it
    for _ in range(2):
        go_on.release()
        threads[-1].join()
        assert devices() == 1
    # When it answers no more, then there is no GPU
    assert devices() == devices() == 0
    go_on.release()


def test_a_slot_opens_its_own_gpu_alone_and_finds_it_under_another_number(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given three GPUs, without persistence mode: the driver initialises each that is opened, in 1 to 3 s
    Nvml(pynvml.NVML_ERROR_NOT_SUPPORTED).install(monkeypatch)
    uuids, opened = ["GPU-a", "GPU-b", "GPU-c"], list[int]()

    def open_one(index: int) -> str:
        opened.append(index)
        if index >= len(uuids):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return uuids[index]

    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: len(uuids))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", open_one)
    devices = find_devices("all", {}, read_cards())
    # When a slot looks at its GPU, then the others stay as they are
    opened.clear()
    assert DeviceWatch(devices[2]).free_bytes() == 19 * GB
    assert opened == [2]
    # When one before it is lost, then it is found under its new number, and the one that is lost is told
    del uuids[1]
    assert DeviceWatch(devices[2]).free_bytes() == 19 * GB
    with pytest.raises(MachineError) as told:
        DeviceWatch(devices[1]).free_bytes()
    assert told.value.code == "gpu-lost"
