"""Which GPUs have a slot, and what their processes see."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from daemon.cli.common import exit_code
from daemon.config import Settings
from daemon.config.gpu_devices import GPU_STAGES
from daemon.errors import ConfigError, MachineError
from daemon.events import Events
from daemon.jobs.stages import stages_of_lane
from daemon.system.bounded_calls import BoundedCall
from daemon.system.gpu import Card
from daemon.workers import devices as devices_module
from daemon.workers.devices import Device, DeviceWatch, find_devices
from daemon.workers.lanes import Lanes
from daemon.workers.routes import Routes
from tests.conftest import ROOT

UNIT = ROOT / "systemd" / "avatard.service"
CARDS = [Card(str(n), f"GPU-{n}{n}{n}", "RTX", 2, 8, 0.0, 40.0) for n in (0, 1)]
EVERY = frozenset(GPU_STAGES)


def wanted(value: Any) -> Any:
    return Settings.parse({"lanes": {"gpu": {"devices": value}}}, Path("config.yaml")).lanes.gpu.devices


def found(value: Any, cards: list[Card] = CARDS, **environment: str) -> list[tuple[str, str | None, frozenset[str]]]:
    devices = find_devices(wanted(value), environment, cards)
    return [(one.label, one.visible, one.stages) for one in devices]


def test_the_settings_know_the_stages_of_the_lane() -> None:
    assert stages_of_lane("gpu") == GPU_STAGES


def test_each_gpu_has_a_slot_by_its_uuid() -> None:
    both = [("0", "GPU-000", EVERY), ("1", "GPU-111", EVERY)]
    assert found("all") == both
    assert found([0, 1]) == both
    assert found(["GPU-1"]) == found(1) == both[1:]
    assert found(["MIG-7"]) == [("MIG-7", "MIG-7", EVERY)]


def test_stages_are_shared_out_and_what_no_gpu_is_named_for_runs_on_any() -> None:
    speech, mouth = frozenset({"tts", "generate"}), frozenset({"lipsync", "generate"})
    assert found({0: ["tts"], 1: ["lipsync"]}) == [("0", "GPU-000", speech), ("1", "GPU-111", mouth)]
    # And the setting comes through a worker's messages as it is
    assert wanted({"0": ("tts",)}) == wanted({0: ["tts"]}) == wanted({0: "tts"})


def test_the_daemons_of_tests_have_one_slot_on_a_machine_with_gpus_too() -> None:
    assert found("all", CARDS, **os.environ) == [("", "", EVERY)]


def test_without_a_gpu_there_is_one_slot_and_none_hides_them_all() -> None:
    assert found("all", []) == [("", None, EVERY)]
    assert found("none") == [("", "", EVERY)]


@pytest.mark.parametrize(
    ("value", "visible"),
    [("all", None), ("none", None), ([1], "GPU-111"), ({1: ["tts"], 0: ["lipsync"]}, "GPU-111,GPU-000")],
)
def test_what_draws_videos_sees_the_gpus_that_are_named_and_no_other(
    value: Any, visible: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a machine with two GPUs, when the lanes are made for a setting
    monkeypatch.setattr("daemon.workers.lanes.cards_that_answer", lambda: CARDS)
    settings = Settings.parse({"lanes": {"gpu": {"devices": value}}}, Path("config.yaml"))
    machine = MagicMock(settings=settings)
    lanes = Lanes(settings, machine, MagicMock(), Routes(settings), Events())
    # Then the processes of the cpu lane see these GPUs
    assert {slot.worker._cuda_devices for slot in lanes.cpu.slots} == {visible}  # type: ignore[attr-defined]
    # And the voice lane looks at no others, either, and at none where avatard is given none
    (voice,) = lanes.voice.slots
    assert voice.worker._cuda_devices == ("" if value == "none" else visible)  # type: ignore[attr-defined]


def test_all_means_those_that_the_daemon_may_see() -> None:
    assert found("all", CUDA_VISIBLE_DEVICES="GPU-1") == [("1", "GPU-111", EVERY)]
    # CUDA's numbers are those of NVML only where CUDA is told so
    assert found("all", CUDA_VISIBLE_DEVICES="1", CUDA_DEVICE_ORDER="PCI_BUS_ID") == [("1", "GPU-111", EVERY)]
    assert found("all", CUDA_VISIBLE_DEVICES="1") == [("1", "1", EVERY)]
    assert found("all", CUDA_VISIBLE_DEVICES="") == [("", "", EVERY)]
    assert found([0], CUDA_VISIBLE_DEVICES="1") == [("0", "GPU-000", EVERY)]


def test_a_gpu_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match=r"there is no GPU 7; there are 0: RTX, GPU-000; 1: RTX, GPU-111\.") as told:
        found([0, 7])
    assert told.value.code == "gpu-missing"
    assert exit_code(told.value) == 78


def test_gpus_that_are_named_while_none_answers_are_no_fault_of_the_setting() -> None:
    # Given a driver that was updated and waits for a restart, which NVML answers with NVML_ERROR_LIB_RM_VERSION_MISMATCH
    with pytest.raises(MachineError, match="names GPU 0, and no GPU answers") as told:
        found([0], [])
    # Then systemd starts the daemon again until they answer
    (kept_down,) = [line for line in UNIT.read_text().splitlines() if line.startswith("RestartPreventExitStatus=")]
    assert str(exit_code(told.value)) not in kept_down.partition("=")[2].split()


def test_a_gpu_that_is_named_by_number_and_by_uuid_has_no_two_slots() -> None:
    with pytest.raises(ConfigError, match="0 and GPU-000 are the same GPU"):
        found([0, "GPU-000"])
    assert len(found("all", CUDA_VISIBLE_DEVICES="GPU-0,GPU-000")) == 1


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "the list is empty"),
        ([0, 0], "GPU 0 is named twice"),
        ("two", "'two' names no GPUs"),
        ([True], "neither the number nor the UUID"),
        ([1.5], "neither the number nor the UUID"),
        ({0: ["lip-sync"]}, "did you mean lipsync"),
        ({0: ["encode"]}, "cannot run 'encode'"),
        ({0: None}, "needs a list of stages"),
    ],
)
def test_what_cannot_be_meant_is_told_in_one_sentence(value: Any, said: str) -> None:
    with pytest.raises(ConfigError) as told:
        wanted(value)
    assert said in told.value.message
    assert told.value.message.startswith("config.yaml: lanes.gpu.devices: ")


def test_a_driver_that_initialises_eight_gpus_first_is_not_one_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given eight GPUs that nobody has open, without persistence mode: NVIDIA's "Driver Persistence", Overview, says that "a short
    # (order of 1-3 second) startup cost per GPU" comes before each answer
    class Slow(BoundedCall[list[Card]]):
        def ask(self) -> list[Card]:
            if self._patience_s < 8 * 3:
                raise TimeoutError
            return self._call()

    monkeypatch.setattr(devices_module, "BoundedCall", Slow)
    # Then all are known when the daemon starts, and none counts as lost when it is looked at
    assert devices_module.cards_that_answer(lambda: CARDS) == CARDS
    assert DeviceWatch(Device("1", "GPU-111", "GPU-111", "RTX"), lambda: CARDS).free_bytes() == 6


def test_a_gpu_that_does_not_answer_is_lost_and_one_that_answers_tells_its_free_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = Device("1", "GPU-111", "GPU-111", "RTX")
    end = threading.Event()

    def hang() -> list[Card]:
        end.wait(60)
        return CARDS

    assert DeviceWatch(device, lambda: CARDS).free_bytes() == 6
    with pytest.raises(MachineError, match=r"GPU 1 \(RTX, GPU-111\) does not answer") as told:
        DeviceWatch(device, lambda: CARDS[:1]).free_bytes()
    assert told.value.code == "gpu-lost"
    # And so is one whose driver hangs; one that is not known to NVML is not watched
    monkeypatch.setattr(devices_module, "PATIENCE_S", 0.01)
    with pytest.raises(MachineError):
        DeviceWatch(device, hang).free_bytes()
    end.set()
    assert DeviceWatch(Device("7", "7"), list).free_bytes() is None
