"""Requests by the hundred, and manifests that come all the time: no answer waits for them, and they cost one look."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.control.inbox_requests import LONGEST_WAIT
from daemon.intake.drop import Drop
from daemon.intake.fair_queue import TURN_JOBS
from daemon.system import file_calls
from tests.support.daemon.inbox_requests import PATIENCE_S, look, state
from tests.support.daemon.intake import DETECT, SETTLE_S, SPEECH, Room


def test_many_requests_cost_one_look_at_the_manifests_and_not_one_each(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given many requests that fit nothing, whose time is over, beside many manifests that are never whole
    requests, manifests = 60, 40
    for number in range(manifests):
        room.put(f"m{number}.yaml", DETECT)
    for number in range(requests):
        room.put(f"nobody{number}.cancel", "")
    look(room)
    look(room, SETTLE_S)
    calls: dict[str, int] = {"read": 0, "at": 0}
    read, at = room.admission._contents._documents, room.admission.inbox.at

    def counted(kind: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any) -> Any:
            calls[kind] += 1
            return call(*args)

        return counting

    monkeypatch.setattr(room.admission._contents, "_documents", counted("read", read))
    monkeypatch.setattr(room.admission.inbox, "at", counted("at", at))
    flushes: list[Path] = []
    monkeypatch.setattr(file_calls, "_sync", lambda path, flags: flushes.append(path))
    monkeypatch.setattr(file_calls, "_sync_filesystem", flushes.append)
    room.now += PATIENCE_S
    room.admission.look()
    asyncio.run(room.service.loops.inbox_requests.answer_all())
    # Then each is answered, what was looked up grows with the files, not with their product, and few flushes are enough
    assert len(list(room.outbox.glob("nobody*.txt"))) == requests
    assert calls == {"read": 0, "at": 0}
    assert len(flushes) <= 3
    assert not list(room.inbox.glob("*.cancel"))


def test_a_request_that_fits_nothing_makes_nobody_wait_for_manifests_that_change_all_the_time(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given such a request, and manifests that somebody changes again and again
    room.put("nobody.cancel", "")
    read: list[Drop] = []
    monkeypatch.setattr(room.admission._contents, "_documents", read.append)
    while room.now < PATIENCE_S * 2:
        for number in range(20):
            room.put(f"m{number}.yaml", SPEECH)
        look(room, PATIENCE_S / 2)
    # Then it waits, since they may become its job, but none is read for it
    assert (room.inbox / "nobody.cancel").exists()
    assert read == []
    # And it is answered at last all the same
    for number in range(20):
        room.put(f"m{number}.yaml", SPEECH)
    look(room, PATIENCE_S * LONGEST_WAIT)
    assert (room.outbox / "nobody.cancel.txt").exists()


def test_manifests_that_come_all_the_time_delay_no_answer(room: Room) -> None:
    # Given a request that fits nothing, and an inbox that always has a manifest which came just now
    room.put("nobody.cancel", "")
    for number in range(6):
        assert (room.inbox / "nobody.cancel").exists()
        room.put(f"m{number}.yaml", SPEECH)
        look(room, PATIENCE_S / 4)
    # Then it is answered when its time is over, and those have been read that came before
    assert (room.outbox / "nobody.cancel.txt").exists()


def test_thousands_that_fit_nothing_keep_no_other_request_waiting(room: Room) -> None:
    # Given more requests that fit nothing, whose time is over, than are answered in one turn
    for number in range(2 * TURN_JOBS):
        room.put(f"nobody{number}.cancel", "")
    look(room)
    room.put("hello.yaml", DETECT)
    look(room)
    look(room, SETTLE_S)
    assert state(room, "hello") == "waiting"
    # When somebody cancels a manifest / Then that is done in the next turn, and the others are answered in several
    room.put("hello.cancel", "")
    look(room, PATIENCE_S - SETTLE_S)
    assert state(room, "hello") == "cancelled"
    assert len(list(room.outbox.glob("nobody*.txt"))) == TURN_JOBS
    assert room.service.loops.inbox_requests.unfinished
    look(room)
    assert not list(room.inbox.glob("*.cancel"))
    assert not room.service.loops.inbox_requests.unfinished
