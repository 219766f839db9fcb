"""Several GPUs in one machine, by a real daemon whose workers really run. NVML is played, and so is what the stages do."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from tests.conftest import PORTRAIT, ROOT, Installation, wait_for

pytestmark = pytest.mark.usefixtures("processes")

#: In a worker: stages that do nothing. tts and lipsync write down on which GPU they begin, wait while a file holds them, and
#: write down that they end.
SITECUSTOMIZE = """
import fcntl, importlib, os, sys, time, types

FOLDER = os.environ["TEST_GPUS"]
REAL = ("check", "face", "encode", "deliver")


def note(*words):
    with open(os.path.join(FOLDER, "diary"), "a") as diary:
        diary.write(" ".join(words) + "\\n")


def run(stage, ctx):
    if stage in ("tts", "lipsync"):
        gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "unbound")
        note(gpu, "begins", stage, ctx.name)
        while os.path.exists(os.path.join(FOLDER, "hold", ctx.name)):
            time.sleep(0.005)
        lost = os.path.join(FOLDER, "lost", gpu)
        note(gpu, "ends", stage, ctx.name)
        if os.path.exists(lost):
            from daemon.errors import MachineError
            raise MachineError("gpu-lost", "The GPU stopped working.")
    return {}


def import_module(name, package=None, real=importlib.import_module):
    stage = name.removeprefix("stages.")
    if stage not in ("check", "face", "tts", "lipsync", "encode", "deliver"):
        return real(name, package)
    module = types.ModuleType(name)
    module.run = lambda ctx: run(stage, ctx)
    return module


if "stages.worker" in sys.orig_argv:
    importlib.import_module = import_module
"""
ZERO, ONE = "GPU-00000000", "GPU-00000001"


class Machine:
    """A daemon on a machine with two GPUs."""

    def __init__(self, house: Installation, folder: Path) -> None:
        self.house, self._folder = house, folder
        (folder / "hold").mkdir(parents=True)
        (folder / "lost").mkdir()
        (folder / "sitecustomize.py").write_text(SITECUSTOMIZE)
        self.cards("0", "1")
        path = [str(folder), str(ROOT / "tests" / "support" / "machine" / "cards"), str(ROOT)]
        house.environment.pop("CUDA_VISIBLE_DEVICES")  # with which tests hide the GPUs of the machine
        house.environment |= {
            "PYTHONPATH": os.pathsep.join(path),
            "TEST_GPUS": str(folder),
            "TEST_CARDS": str(folder / "cards"),
        }

    def cards(self, *numbers: str) -> None:
        """Let only these GPUs answer."""
        (self._folder / "cards.new").write_text("\n".join(numbers))
        (self._folder / "cards.new").replace(self._folder / "cards")

    def lose(self, number: str, uuid: str) -> None:
        """Let a GPU fall off the bus: its running stage fails, and NVML does not find it any more."""
        (self._folder / "lost" / uuid).touch()
        self.cards(*({"0", "1"} - {number}))

    def mend(self, uuid: str) -> None:
        (self._folder / "lost" / uuid).unlink()
        self.cards("0", "1")

    def drop(self, name: str, manifest: Mapping[str, str] = MappingProxyType({}), *, held: bool = False) -> None:
        if held:
            (self._folder / "hold" / name).touch()
        self.house.drop(f"{name}.yaml", {"kind": "speech", "text": "Hello.", **manifest})

    def release(self, *names: str) -> None:
        for name in names:
            (self._folder / "hold" / name).unlink()

    def diary(self) -> list[list[str]]:
        path = self._folder / "diary"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def began(self, name: str, stage: str = "tts") -> str:
        """Wait until a stage of a job has begun; returns the GPU on which it did so last."""

        def look() -> str | None:
            return next((gpu for gpu, *rest in reversed(self.diary()) if rest == ["begins", stage, name]), None)

        return wait_for(f"{stage} of {name} to begin", look)

    def slot_metric(self, gpu: str, state: str) -> float:
        return self.house.metric(f'avatar_slots{{gpu="{gpu}",lane="gpu",state="{state}"}}')

    def slots(self) -> dict[str, dict[str, Any]]:
        state = json.loads((self.house.spool / "state.json").read_bytes())
        return {slot["gpu"]: slot for slot in state["slots"]}


@pytest.fixture
def machine(installation: Callable[..., Installation], tmp_path: Path) -> Callable[..., Machine]:
    def make(devices: Any = "all", **lanes: Any) -> Machine:
        house = installation(
            lanes={"gpu": {"devices": devices}, "pause_s": 0.3, "preload": False, **lanes},
            stages={"tts": {"engine": "coqui"}, "lipsync": {"engine": "musetalk"}},
        )
        return Machine(house, tmp_path / "machine")

    return make


def never_two_on_one(diary: list[list[str]]) -> bool:
    at_work: set[str] = set()
    for gpu, what, *_ in diary:
        if what == "begins" and gpu in at_work:
            return False
        (at_work.add if what == "begins" else at_work.discard)(gpu)
    return True


def _top(one: Machine, said: str) -> str | None:
    shown = one.house.avatar("top", "--once").stdout
    return shown if said in shown else None


def test_two_jobs_run_at_once_one_on_each_gpu_and_a_lost_gpu_pauses_alone(machine: Callable[..., Machine]) -> None:
    one = machine()
    one.house.start()
    # Given more jobs than GPUs / Then two run at once, each in a process that sees its own GPU only
    for name in ("a", "b", "c", "d"):
        one.drop(name, held=name in "ab")
    assert {one.began("a"), one.began("b")} == {ZERO, ONE}
    wait_for("the slots to be told", lambda: [slot["state"] for slot in one.slots().values()] == ["runs", "runs"])
    # The statuses, from which the names come, are written a moment later
    shown = wait_for("the jobs to be shown", lambda: _top(one, "runs tts of a"), every_s=0.5)
    assert "GPU 1" in shown
    assert {one.slot_metric(gpu, "runs") for gpu in ("0", "1")} == {1.0}
    one.release("a", "b")
    assert all(one.house.finished(name)["state"] == "done" for name in ("a", "b", "c", "d"))
    # When one is lost in the middle of a job
    one.drop("e", held=True)
    lost = one.began("e")
    other = ({ZERO, ONE} - {lost}).pop()
    number = lost[-1]
    one.lose(number, lost)
    one.release("e")
    # Then its job is done by the other, and loses no attempt; its own slot stands still, and jobs go on
    assert one.house.finished("e")["state"] == "done"
    assert one.began("e") == other
    one.drop("f")
    assert one.house.finished("f")["state"] == "done"
    wait_for("its pause to be told", lambda: one.slots()[number]["state"] == "paused")
    paused = json.loads(one.house.avatar("status", "--json").stdout)["paused_lanes"]
    assert list(paused) == [f"gpu {number}"]
    # And while it does not answer, no process starts that would compute without it
    count = len(one.diary())
    one.drop("g", held=True)
    assert one.began("g") == other
    one.drop("h")
    wait_for("another look at the lost GPU", lambda: len(pauses(one, f"gpu {number}")) >= 3)
    assert [line for line in one.diary()[count:] if line[0] == lost] == []
    assert "does not answer" in pauses(one, f"gpu {number}")[-1]["message"]
    # When it answers again / Then it takes the job that waits
    one.mend(lost)
    assert one.house.finished("h")["state"] == "done"
    assert one.began("h") == lost
    one.release("g")
    assert one.house.finished("g")["state"] == "done"
    assert never_two_on_one(one.diary())


def pauses(one: Machine, lane: str) -> list[dict[str, Any]]:
    return [entry for entry in one.house.events("lane paused") if entry["lane"] == lane]


def test_each_gpu_does_the_stages_it_is_named_for_also_after_a_restart(machine: Callable[..., Machine]) -> None:
    one = machine({0: ["tts"], 1: ["lipsync"]})
    one.house.start()
    video = {"kind": "video", "image": "p.png", "size": "256x256"}
    (one.house.inbox / "p.png").write_bytes(PORTRAIT.read_bytes())
    for name in ("a", "b", "c"):
        one.drop(name, video)
    assert all(one.house.finished(name)["state"] == "done" for name in ("a", "b", "c"))
    # When the daemon is killed in the middle of a job
    one.drop("d", video, held=True)
    assert one.began("d") == ZERO
    one.house.kill()
    one.release("d")
    one.house.start()
    assert one.house.finished("d")["state"] == "done"
    # Then each stage ran on its own GPU, before and after
    assert {(gpu, stage) for gpu, _, stage, _ in one.diary()} == {(ZERO, "tts"), (ONE, "lipsync")}


def test_a_gpu_that_is_not_there_keeps_the_daemon_from_starting_with_the_list_of_those_that_are(
    machine: Callable[..., Machine],
) -> None:
    one = machine([0, 5])
    one.house.launch()
    assert one.house.process is not None
    assert one.house.process.wait(600) == 78
    assert "there is no GPU 5; there are 0: A card of the tests, GPU-00000000; 1:" in one.house.log.read_text()
