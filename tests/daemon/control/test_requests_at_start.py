"""Request files that lie in the inbox when the daemon starts, and what keeps it from carrying them out."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from pathlib import Path

import pytest

from daemon import loops
from daemon.control.operations import Request
from daemon.intake import fair_queue
from daemon.system import fs
from daemon.system.file_calls import Ops
from tests.support.daemon.inbox_requests import look, state
from tests.support.daemon.intake import Room


def test_one_that_the_machine_keeps_from_being_carried_out_keeps_no_other_for_later(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given jobs that wait, and cancelled ones, for whose new status the outbox has no room
    for name in ("a", "b", "c", "d"):
        room.put(f"{name}.yaml")
    full = [job.id for job in room.settle() if job.name in ("a", "c")]
    for name in ("a.cancel", "c.cancel"):
        room.put(name, "")
    look(room)
    for name in ("a.retry", "b.hold", "c.retry", "d.hold"):
        room.put(name, "")

    class Full(Ops):
        def write_unseen(self, path: Path, data: bytes) -> None:
            self._check(path)
            super().write_unseen(path, data)

        def write(self, path: Path, data: bytes, sync: bool = True, mode: int | None = None) -> None:
            self._check(path)
            super().write(path, data, sync, mode)

        def _check(self, path: Path) -> None:
            if room.outbox in path.parents and any(job in path.name for job in full):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(fs, "OPS", Full())
    # When another daemon starts / Then the others are held before anything runs, and those that failed are left for later
    asyncio.run(Room(tmp_path).service.loops.answer_request_files())
    assert [state(room, name) for name in ("a", "b", "c", "d")] == ["cancelled", "held", "cancelled", "held"]
    assert sorted(path.name for path in room.inbox.glob("*.*")) == [".avatard", ".claimed", "a.retry", "c.retry"]


def test_an_inbox_that_is_listed_slowly_delays_the_start_for_a_bounded_time(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a request, and an inbox that does not answer when the next daemon starts
    room.put("a.yaml")
    room.settle()
    room.put("a.hold", "")
    monkeypatch.setattr(loops, "REQUESTS_START_S", 0.05)
    other, answers = Room(tmp_path), threading.Event()
    listed = other.admission.look
    monkeypatch.setattr(other.admission, "look", lambda: answers.wait(60) and listed())

    async def start() -> None:
        # Then that goes on, and the request is not lost: the first scan carries it out
        await asyncio.wait_for(other.service.loops.answer_request_files(), 20)
        assert state(other, "a") == "queued"
        answers.set()
        await other.service.loops.scan_once()

    asyncio.run(start())
    assert state(other, "a") == "held"


def test_each_is_carried_out_once_also_where_that_takes_several_turns(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a job that somebody holds and then releases, one that is to start again, and turns with time for one request
    for name in ("a", "b"):
        room.put(f"{name}.yaml")
    room.settle()
    room.put("b.cancel", "")
    look(room)
    for name in ("a.hold", "a.release", "b.retry"):
        room.put(name, "")
    monkeypatch.setattr(fair_queue, "TURN_S", 0.0)
    monkeypatch.setattr(loops, "REQUESTS_START_S", 2.0)
    other, done = Room(tmp_path), list[str]()
    operations = other.service.loops.inbox_requests._operations
    run = operations.run_request

    async def counted(request: Request) -> str:
        done.append(str(request["op"]))
        return await run(request)

    monkeypatch.setattr(operations, "run_request", counted)
    # When the next daemon starts
    asyncio.run(other.service.loops.answer_request_files())
    # Then each is carried out once, in the order in which they came
    assert done == ["hold", "release", "retry"]
    assert [state(other, name) for name in ("a", "b")] == ["queued", "queued"]
    assert not list(room.outbox.glob("*.txt"))


def test_one_that_cannot_be_removed_is_carried_out_once_also_where_others_take_further_turns(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given two requests, one of which the daemon may not remove, and turns with time for one
    for name in ("a", "b"):
        room.put(f"{name}.yaml")
    jobs = {job.name: job.id for job in room.settle()}
    monkeypatch.setattr(fair_queue, "TURN_S", 0.0)

    class Locked(Ops):
        def unlink(self, path: Path) -> None:
            if path.name == "a.hold":
                raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            super().unlink(path)

    monkeypatch.setattr(fs, "OPS", Locked())
    for name in ("a.hold", "b.hold"):
        room.put(name, "")
    look(room)
    requests = room.service.loops.inbox_requests
    while requests.unfinished:
        asyncio.run(requests.answer_all())
    assert [state(room, name) for name in ("a", "b")] == ["held", "held"]
    # When somebody releases the job by another way, and the inbox is looked at again
    asyncio.run(requests._operations.run_request({"op": "release", "job": jobs["a"], "by": "anna"}))
    for _ in range(3):
        look(room)
    # Then it is not held again
    assert state(room, "a") == "queued"
