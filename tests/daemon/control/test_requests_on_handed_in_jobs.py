"""Requests about a job that a door handed in, and that no daemon has seen: they hold for the id which its client was told."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path

import pytest

from daemon.doors.hand_in import hand_in
from daemon.doors.requests import check_taken_in
from daemon.errors import JobError, RefusedError
from daemon.jobs.record import Job
from tests.support.daemon.intake import Room


@pytest.mark.parametrize("looked", [False, True])
def test_a_job_that_is_cancelled_before_the_daemon_has_seen_it_ends_under_its_own_id(
    room: Room, tmp_path: Path, looked: bool
) -> None:
    # Given a job that was handed in while no daemon ran, and its cancel, which is carried out before the first look
    if looked:  # or one that the daemon has looked at before it came
        room.look()
    job = hand_in({"kind": "speech", "text": "Hello."}, paths=room.settings.paths, name="hello").job
    again = room if looked else Room(tmp_path)
    request = {"op": "cancel", "manifest": "hello.yaml", "by": "anna"}
    asyncio.run(again.service.loops.spool_requests._operations.run_request(request))
    # Then that very job is cancelled, and nothing is left of it in the inbox
    status = json.loads((room.outbox / "hello.json").read_bytes())
    assert (status["job"], status["state"]) == (job, "cancelled")
    assert [path.name for path in room.inbox.glob(".job-*")] == []
    assert [path.name for path in room.inbox.glob("*.yaml")] == []


def test_a_priority_that_comes_with_a_hold_or_release_is_given_with_it_or_not_at_all(room: Room) -> None:
    room.put("hello.yaml")
    (job,) = room.settle()
    operations = room.service.loops.spool_requests._operations

    async def ask(held: object, priority: int) -> tuple[str, int]:
        try:
            await operations.run_request(
                {"op": "change", "job": job.id, "by": "anna", "held": held, "priority": priority}
            )
        except JobError as exc:
            return exc.code, now().priority
        return now().state, now().priority

    def now() -> Job:
        place = room.spool.find_job(job.id)
        assert place is not None
        return room.spool.load_job(place)

    async def asked() -> list[tuple[str, int]]:
        return [await ask(None, 7), await ask(False, 7), await ask(True, 7), await ask(False, 3)]

    assert asyncio.run(asked()) == [("control-invalid", 0), ("job-not-held", 0), ("held", 7), ("queued", 3)]


def test_what_only_the_daemon_can_change_is_refused_until_it_has_seen_the_job() -> None:
    # Without a daemon at once
    with pytest.raises(RefusedError) as caught:
        check_taken_in("hello", lambda: False, lambda: False)
    assert caught.value.code == "job-waiting"
    # With one as soon as it has seen the job
    seen = threading.Event()
    threading.Timer(0.2, seen.set).start()
    check_taken_in("hello", seen.is_set, lambda: True)
    assert seen.is_set()
