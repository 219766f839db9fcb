"""What touches people's files runs in a thread that holds nobody."""

from __future__ import annotations

import asyncio
import threading

import pytest

from daemon.system.disk_thread import DiskThread
from tests.conftest import wait_for


def test_calls_run_in_order_beside_the_loop_and_their_errors_come_back() -> None:
    disk, ran, gate = DiskThread("test"), [], threading.Event()

    def call(name: str) -> str:
        if name == "first":
            gate.wait()
        ran.append(name)
        if name == "bad":
            raise OSError("no disk")
        disk.post(ran.append, f"{name} told")
        return name

    async def scene() -> None:
        # Given a call that hangs, one that is given up by who waits for it, and one that fails
        first = asyncio.create_task(disk.run(call, "first"))
        given_up = asyncio.create_task(disk.run(call, "given up"))
        bad = asyncio.create_task(disk.run(call, "bad"))
        while not disk.busy_s:
            await asyncio.sleep(0)  # the loop turns meanwhile
        given_up.cancel()
        await asyncio.sleep(0)
        gate.set()
        assert await first == "first"
        with pytest.raises(OSError, match="no disk"):
            await bad

    asyncio.run(scene())
    # Then all ran, in order, and what they had the loop do came before their answers
    assert [name for name in ran if not name.endswith("told")] == ["first", "given up", "bad"]
    assert ran.index("first told") < len(ran)


def test_a_thread_without_work_ends_and_the_next_call_has_another() -> None:
    disk = DiskThread("idle", idle_s=0.01)
    first = asyncio.run(disk.run(threading.get_ident))
    wait_for("the thread to end", lambda: not any(thread.name == "idle" for thread in threading.enumerate()))
    assert asyncio.run(disk.run(threading.current_thread)).name == "idle"
    assert first
