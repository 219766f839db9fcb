"""Requests such as `hello.cancel` about a manifest that waits for its files: they are done where it lies."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from daemon.intake.claims import claim_contents
from daemon.jobs.record import Job
from tests.support.daemon.inbox_requests import PATIENCE_S, look, state
from tests.support.daemon.intake import DETECT, SETTLE_S, SPEECH, Room


def test_a_manifest_that_waits_for_its_files_is_cancelled_where_it_lies(room: Room) -> None:
    # Given a manifest whose picture never comes, under the name it waits by
    room.put("hello.yaml", DETECT)
    room.settle()
    waiting = json.loads((room.outbox / "hello.json").read_bytes())
    assert waiting["state"] == "waiting"
    # When it is cancelled / Then the status says so under the same id, nothing waits, and the manifest is kept
    room.put("hello.cancel", "")
    look(room)
    status = json.loads((room.outbox / "hello.json").read_bytes())
    assert (status["job"], status["state"]) == (waiting["job"], "cancelled")
    assert list(room.spool.waiting.iterdir()) == []
    assert (room.spool.root / "failed" / waiting["job"] / "manifest.yaml").read_text() == DETECT
    # And the picture that comes later wakes nothing
    room.put("p.png", b"x")
    assert room.settle() == []


@pytest.mark.parametrize("restart", [False, True])
def test_a_manifest_that_waits_for_its_files_is_held_and_released_where_it_lies(
    room: Room, tmp_path: Path, restart: bool
) -> None:
    # Given a manifest that waits, of two jobs
    room.put("hello.yaml", f"{DETECT}---\n{DETECT}")
    room.settle()
    # When it is held / Then it is answered at once, and says so
    room.put("hello.hold", "")
    look(room)
    assert not (room.inbox / "hello.hold").exists()
    assert room.status("hello")["state"] == "waiting"
    assert "until it is released" in room.status("hello")["next"]
    # And when its picture comes, also after a restart, its jobs are held from their first moment
    if restart:
        room = Room(tmp_path, companion_wait_s=PATIENCE_S)
    room.put("p.png", b"x")
    jobs = room.settle()
    assert [(job.state, bool(job.held)) for job in jobs] == [("held", True)] * 2
    assert len(room.service.ready_queue) == 0
    assert {status["state"] for status in map(room.status, (job.name for job in jobs))} == {"held"}
    # And each goes on when it is released
    room.put(f"{jobs[0].name}.release", "")
    look(room)
    assert [room.status(job.name)["state"] for job in jobs] == ["queued", "held"]


def test_a_waiting_manifest_that_is_released_again_starts_by_itself(room: Room) -> None:
    room.put("hello.yaml", DETECT)
    room.settle()
    for request in ("hello.hold", "hello.release"):
        room.put(request, "")
        look(room)
    assert "held" not in room.status("hello")["next"]
    room.put("hello.release", "")
    look(room)
    assert "is not held" in (room.outbox / "hello.release.txt").read_text()
    room.put("p.png", b"x")
    assert [job.state for job in room.settle()] == ["queued"]


def test_a_request_that_a_waiting_manifest_cannot_follow_is_answered_at_once(room: Room) -> None:
    room.put("hello.yaml", DETECT)
    room.settle()
    room.put("hello.retry", "")
    look(room)
    assert "can be cancelled, held and released" in (room.outbox / "hello.retry.txt").read_text()


def test_a_cancelled_manifest_stays_cancelled_when_the_power_goes(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a cancelled manifest that was claimed when the power went
    room.put("hello.yaml")
    room.look()

    def power_cut(*args: object, **options: object) -> list[Job]:
        raise KeyboardInterrupt

    monkeypatch.setattr(room.admission.claims, "_accept", power_cut)
    with pytest.raises(KeyboardInterrupt):
        room.admission.cancel("hello.yaml")
    # When the daemon starts again / Then no job was made of it that runs
    again = Room(tmp_path)
    again.look()
    assert state(again, "hello") == "cancelled"
    assert len(again.service.ready_queue) == 0


def test_a_request_about_a_manifest_reaches_nothing_outside_the_inbox(room: Room, tmp_path: Path) -> None:
    outside = tmp_path / "outside.yaml"
    outside.write_text(SPEECH)
    (room.inbox / "link.yaml").symlink_to(outside)
    (room.inbox / "up").symlink_to(tmp_path)
    for name in ("../outside.yaml", "link.yaml", "up/outside.yaml", str(outside), "", "gone.yaml", ".avatard"):
        with pytest.raises(Exception, match=r"\w") as caught:
            asyncio.run(room.service.loops.spool_requests._operations.run_request({"op": "cancel", "manifest": name}))
        assert caught.type.__name__ == "JobError", name
    assert outside.read_text() == SPEECH
    assert (room.inbox / ".avatard").exists()


def test_a_request_for_one_job_of_a_waiting_manifest_is_answered_at_once(room: Room) -> None:
    room.put("many.yaml", f"{DETECT}---\n{DETECT}")
    room.settle()
    room.put("many-2.hold", "")
    look(room)
    answer = (room.outbox / "many-2.hold.txt").read_text()
    assert "many.yaml waits for its files" in answer
    assert "For all jobs of many.yaml, put many.hold there." in answer
    # And the answer goes when the job is there
    room.put("p.png", b"x")
    room.settle()
    assert not (room.outbox / "many-2.hold.txt").exists()


def test_a_hold_that_cannot_be_read_any_more_still_holds(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a held manifest that waits for its picture
    room.put("hello.yaml", DETECT)
    room.settle()
    room.put("hello.hold", "")
    look(room)
    # When its picture comes, and what is kept of the hold in its claim is damaged
    monkeypatch.setattr(claim_contents, "dump_json", lambda value: b'{"by": "an')
    room.put("p.png", b"x")
    # Then it does not start
    assert [job.state for job in room.settle()] == ["held"]
    assert len(room.service.ready_queue) == 0


def test_the_time_for_which_the_inbox_is_stopped_does_not_count_as_waiting_for_a_file(room: Room) -> None:
    def look_while_stopped(after_s: float) -> None:
        room.now += after_s
        for batch in room.admission.scan():
            room.admission.keep_back(batch, "Nothing is taken out of the inbox.")

    # Given a manifest that has waited for its picture nearly as long as it may
    room.put("hello.yaml", DETECT)
    room.settle()
    assert look(room, PATIENCE_S - 10) == []
    # When the picture comes while the inbox is stopped / Then its people are told that, and no more that it is not there
    picture = room.put("p.png", b"x")
    look_while_stopped(0)
    look_while_stopped(SETTLE_S)
    status = room.status("hello")
    assert ("Nothing is taken out" in status["next"], status.get("waiting_for")) == (True, None)
    # And where it goes again, the waiting begins anew
    picture.unlink()
    look_while_stopped(PATIENCE_S / 2)
    assert look(room, 1.0) == []
    assert room.status("hello")["state"] == "waiting"
