"""A process that hangs while it starts or loads a stage keeps no job waiting. The processes are real."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from daemon.queue.ready_queue import Ticket
from daemon.workers import lane as lane_module
from daemon.workers import preloading
from daemon.workers import slot as slot_module
from daemon.workers.lane import Lane
from daemon.workers.routes import Routes
from daemon.workers.slot import Slot
from tests.support.daemon.queue import QueueRoom

pytestmark = pytest.mark.usefixtures("processes")

#: Only ends a test that hangs, in s.
PATIENCE_S = 60.0

#: In a worker: a stage that does nothing, and a process that hangs where a file says so, which it takes away.
SITECUSTOMIZE = """
import importlib, os, sys, time, types

FOLDER = os.environ["TEST_HANGS"]


def hang(where):
    try:
        os.unlink(os.path.join(FOLDER, where))
    except FileNotFoundError:
        return
    open(os.path.join(FOLDER, "hangs"), "w").close()
    time.sleep(10**6)


def import_module(name, package=None, real=importlib.import_module):
    if name != "stages.deliver":
        return real(name, package)
    if sys._getframe(1).f_code.co_name == "preload_stage":
        hang("preload")
    module = types.ModuleType(name)
    module.run = lambda ctx: {}
    return module


if "stages.worker" in sys.orig_argv:
    hang("start")
    importlib.import_module = import_module
"""


@pytest.fixture
def hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Have the first worker hang at `start` or `preload`; gives the file that it makes then."""
    (tmp_path / "seam").mkdir()
    (tmp_path / "seam" / "sitecustomize.py").write_text(SITECUSTOMIZE)
    path = os.pathsep.join(filter(None, [str(tmp_path / "seam"), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("TEST_HANGS", str(tmp_path))

    def begin(where: str) -> Path:
        (tmp_path / where).touch()
        return tmp_path / "hangs"

    return begin


def make_lane(room: QueueRoom, slots: int) -> Lane:
    def choose(slot: Slot, now: float) -> Ticket | None:
        return room.ready_queue.head("deliver", now)

    return Lane("cpu", slots, room.state_machine, choose, Routes(room.settings), preloads=lambda: ["deliver"])


async def finish(room: QueueRoom, lane: Lane, hangs: Path) -> None:
    """Drop a job when the first process hangs, and wait until it is done."""
    lane.start()
    try:
        while not hangs.exists():
            await asyncio.sleep(0.01)
        room.accept(stage="deliver")
        room.state_machine.changed.notify()
        await asyncio.wait_for(room.diary.until("hello is done"), PATIENCE_S)
    finally:
        await lane.drain(0)


@pytest.mark.parametrize("where", ["start", "preload"])
def test_another_slot_takes_a_job_that_the_loading_one_does_not_take_soon(
    room: QueueRoom, hang: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    for module in (lane_module, slot_module):
        monkeypatch.setattr(module, "SOON_S", 0.1)
    monkeypatch.setattr(preloading, "PATIENCE_S", 0.0)
    lane = make_lane(room, slots=2)
    with capture_logs() as logs:
        asyncio.run(finish(room, lane, hang(where)))
    # Then the process that loads was not ended, since nobody needed its slot
    assert not any(entry["event"] == "preload ended" for entry in logs)


@pytest.mark.parametrize("where", ["start", "preload"])
def test_a_load_that_takes_long_is_ended_when_a_job_waits_for_its_slot(
    room: QueueRoom, hang: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(preloading, "PATIENCE_S", 0.1)
    lane = make_lane(room, slots=1)
    with capture_logs() as logs:
        asyncio.run(finish(room, lane, hang(where)))
    # Then that is said once, and the job was tried in a new process
    told = [entry for entry in logs if entry["event"].startswith("preload")]
    assert [(entry["event"], entry["stage"]) for entry in told] == [("preload ended", "deliver")]
    assert room.diary.lines.count("hello deliver started") == 1
