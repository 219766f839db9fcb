"""A stop ends within a known time, whatever hangs: a file server, a full disk, a worker that is being started."""

from __future__ import annotations

import asyncio
import re
import sys
import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from daemon.config import Settings
from daemon.service import Service
from daemon.stopping import STOP_S, within
from daemon.system.disk_thread import in_thread, threads_ended
from daemon.workers.lane import Lane
from daemon.workers.routes import Routes
from tests.support.daemon.queue import QueueRoom

ROOT = Path(__file__).resolve().parents[2]


def test_systemd_waits_for_longer_than_a_stop_may_take() -> None:
    unit = (ROOT / "systemd" / "avatard.service").read_text()
    found = re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert found is not None
    assert int(found[1]) > Settings().lanes.drain_s + STOP_S


def test_a_stop_is_heard_while_the_spool_is_put_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a start that waits, as for room on a full disk
    raw = {
        "paths": {name: name for name in ("inbox", "outbox", "spool", "cache")},
        "lanes": {"preload": False},
        "metrics": {"enabled": False},
    }
    settings = Settings.parse(raw, tmp_path / "config.yaml")
    for folder in (settings.paths.inbox, settings.paths.outbox):
        folder.mkdir()
    ready: list[str] = []

    async def live() -> None:
        waits = asyncio.Event()

        async def wait(*_: object) -> int:
            waits.set()
            await asyncio.Event().wait()
            return 0

        monkeypatch.setattr("daemon.service.recover_spool", wait)
        service = Service(settings)
        running = asyncio.create_task(service.run(lambda: ready.append("ready")))
        await waits.wait()
        # When the daemon is told to stop / Then it ends, and has taken no work
        service.stop()
        await running

    asyncio.run(live())
    assert ready == []


def test_a_call_that_never_returns_does_not_keep_the_process_from_its_end() -> None:
    gate = threading.Event()

    def look_at_a_share() -> None:
        gate.wait()

    async def live() -> list[str]:
        call = asyncio.create_task(in_thread(look_at_a_share))
        await asyncio.sleep(0)
        call.cancel()
        return await threads_ended(0.01)

    # When the loop ends, and with it all that it waits for / Then the call is left, and named
    left = asyncio.run(live())
    assert not gate.is_set()
    gate.set()
    assert left == ["look_at_a_share"]


def test_a_part_that_does_not_end_is_named_and_keeps_no_other_from_its_end() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    async def fail() -> None:
        raise RuntimeError("broken")

    async def live() -> None:
        await within(0.01, "share", hang())
        await within(60.0, "index", fail())

    with capture_logs() as logs:
        asyncio.run(live())
    assert [line["what"] for line in logs] == ["share", "index"]


@pytest.mark.usefixtures("processes")
def test_a_job_whose_worker_is_still_being_started_at_a_stop_goes_back_uncharged(
    room: QueueRoom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a worker that is never ready
    program = tmp_path / "worker"
    program.write_text("#!/bin/sh\nread settings; read nothing\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    machine = room.state_machine
    job = room.accept()
    lane = Lane("voice", 1, machine, lambda _, now: machine.ready_queue.head("tts", now), Routes(room.settings))

    async def live() -> None:
        lane.start()
        while lane.slots[0].worker.pid is None:
            await asyncio.sleep(0)
        await lane.drain(0)

    asyncio.run(live())
    record = room.on_disk(job)
    assert (room.where(job), record.attempts, record.crashes) == ("tts/ready", {"tts": 0}, 0)
    assert record.interruptions == 0
    assert not [line for line in room.diary.lines if "paused" in line]
