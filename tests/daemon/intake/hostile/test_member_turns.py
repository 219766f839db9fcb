"""What one member of the drop group drops, however much and often, keeps nobody else waiting; counted in turns, not seconds."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.intake.admission import LEAST_S
from daemon.intake.completeness import MISSING
from daemon.intake.fair_queue import TURN_S
from daemon.intake.jobs.job_builder import JobBuilder
from tests.support.daemon.intake import COMPANION_WAIT_S, DETECT, SETTLE_S, SPEECH, Room

STRANGER = 65534
#: A quarter of the real one, as are the batches.
TURN_JOBS = 32


@pytest.fixture(autouse=True)
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.intake.admission.TURN_JOBS", TURN_JOBS)
    monkeypatch.setattr("daemon.intake.fair_queue.TURN_JOBS", TURN_JOBS)
    monkeypatch.setattr("daemon.intake.admission.BATCH", 8)
    monkeypatch.setattr("daemon.intake.jobs.job_builder.BATCH", 13)


def names(room: Room, after_s: float = 0.0) -> list[str]:
    return [job.name for job in room.look(after_s)]


def slow(room: Room, call: Callable[..., Any]) -> Callable[..., Any]:
    """A call that takes as long as one turn, by the inbox's clock."""

    def calling(*args: Any) -> Any:
        room.now += TURN_S
        return call(*args)

    return calling


def test_who_rewrites_manifests_all_the_time_keeps_nobody_waiting(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given many manifests that take a turn each to be read, that pretend to be old, and of which half are new at each look
    half, patient = 35, DETECT.replace("p.png", "gone.png")
    monkeypatch.setattr(room.admission._contents, "_documents", slow(room, room.admission._contents._documents))

    def rewrite(group: str) -> None:
        for number in range(half):
            os.utime(room.put(f"{group}{number}.yaml", patient), (1, 1))

    rewrite("a")
    rewrite("b")
    room.look()
    room.put("victim.yaml", SPEECH + "#" * (len(patient) - len(SPEECH)))
    # Then a job of another member is made after a few looks
    looks, made = 0, []
    while "victim" not in made:
        rewrite("ab"[looks % 2])
        made += names(room, SETTLE_S)
        looks += 1
        assert looks <= 6
    # And whoever drops thousands that were not read yet has the inbox looked at again at once
    assert room.admission.next_look() == LEAST_S


def test_each_owner_has_a_turn_of_their_own(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files to another user")
    # Given manifests that take a turn each, of another member and there first
    monkeypatch.setattr(room.admission._contents, "_documents", slow(room, room.admission._contents._documents))
    for number in range(100):
        os.chown(room.put(f"theirs{number}.yaml"), STRANGER, STRANGER)
    room.look()
    room.put("mine.yaml")
    room.look()
    # Then the second turn is mine
    assert "mine" in names(room, SETTLE_S) + names(room)


def test_a_turn_makes_so_many_jobs_and_the_next_ones_the_rest(room: Room) -> None:
    # Given manifests of many jobs each
    documents = (TURN_JOBS * 3) // 2
    for name in ("a", "b", "c"):
        room.put(f"{name}.yaml", "---\n".join([SPEECH] * documents))
    made = [*names(room), *names(room, SETTLE_S)]
    assert len(made) == TURN_JOBS
    assert room.admission.next_look() == LEAST_S
    # When somebody else drops one / Then it need not wait until all of them are made
    room.put("victim.yaml")
    room.look()
    assert "victim" in names(room, SETTLE_S) + names(room)
    # And the others are made in the next turns, each once
    for _ in range(20):
        room.look()
    told = sorted(path.stem for path in room.outbox.glob("*.json"))
    assert told == sorted(["victim", *(f"{name}-{number + 1}" for name in "abc" for number in range(documents))])
    assert list((room.inbox / ".claimed").iterdir()) == []


def test_what_is_not_taken_since_the_intake_is_paused_is_not_looked_at_without_end(room: Room) -> None:
    # Given more jobs than one turn makes
    for name in ("a", "b"):
        room.put(f"{name}.yaml", "---\n".join([SPEECH] * TURN_JOBS))
    room.look()
    room.now += SETTLE_S
    # When they are looked at and not taken / Then the next look waits until something changes
    for _ in room.admission.scan():
        pass
    assert room.admission.next_look() > LEAST_S


def test_a_turn_of_making_ends_by_time_too(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given jobs that take half a turn each to be made, as on a slow disk
    write, due = JobBuilder._write, JobBuilder._is_due

    def writing(self: JobBuilder, *args: Any) -> list[Path]:
        room.now += TURN_S / 2
        return write(self, *args)

    def looking(self: JobBuilder, *args: Any) -> bool:
        room.now += TURN_S / 10  # which is lost where it was made already
        return due(self, *args)

    monkeypatch.setattr(JobBuilder, "_write", writing)
    monkeypatch.setattr(JobBuilder, "_is_due", looking)
    room.put("a.yaml", "---\n".join([SPEECH] * 9))
    # Then each turn makes two
    assert names(room) + names(room, SETTLE_S) == ["a-1", "a-2"]
    for made in (4, 6, 8, 9):
        room.look()
        assert len(list(room.outbox.glob("*.json"))) == made


def test_a_manifest_that_lacks_hundreds_of_files_costs_a_few_looks(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given manifests that name many files, of which none is there
    for name in ("many", "more"):
        room.put(f"{name}.yaml", "---\n".join(f"kind: detect\nimage: {number}.png\n" for number in range(500)))
    room.look()
    looked: list[str] = []
    monkeypatch.setattr(room.admission.inbox, "at", looked.append)  # which says that none is there
    room.look(SETTLE_S)
    # Then they wait, and their status names some
    assert len(looked) <= MISSING
    assert "0.png" in str(room.status("many"))


def test_who_drops_thousands_that_wait_keeps_nobody_waiting(room: Room) -> None:
    # Given more manifests that wait for a file than people are told of in one turn, and after them one that is whole
    waiting = 2 * TURN_JOBS + 1
    for number in range(waiting):
        os.utime(room.put(f"wait{number:03}.yaml", DETECT.replace("p.png", "gone.png")), (1, 1))
    room.put("whole.yaml")
    # Then it is taken before people are told of any of them, and each turn tells of some
    assert [job.name for job in room.settle()] == ["whole"]
    noted = [len(list(room.outbox.glob("wait*.json")))]
    while room.admission.next_look() == LEAST_S:
        assert room.look() == []
        noted.append(len(list(room.outbox.glob("wait*.json"))))
    assert noted == [TURN_JOBS, 2 * TURN_JOBS, waiting]


def test_who_takes_thousands_away_that_wait_keeps_nobody_waiting(room: Room) -> None:
    # Given more manifests that wait than are forgotten in one turn
    waiting = [room.put(f"wait{number:03}.yaml", DETECT) for number in range(TURN_JOBS + 1)]
    room.settle()
    room.look()
    # When all are taken away / Then their statuses go in two turns, and the second one comes at once
    for path in waiting:
        path.unlink()
    room.look()
    assert len(list(room.outbox.glob("*.json"))) == 1
    assert room.admission.next_look() == LEAST_S
    room.look()
    assert list(room.outbox.glob("*.json")) == []
    assert room.admission.next_look() > LEAST_S


def test_a_wait_begins_when_a_manifest_is_found_incomplete_and_not_when_people_are_told(room: Room) -> None:
    # Given one more manifest that waits than people are told of in one turn
    for number in range(TURN_JOBS):
        room.put(f"wait{number:03}.yaml", DETECT)
    room.look()
    room.put("lonely.yaml", DETECT)
    room.look()
    room.look(SETTLE_S)
    assert not (room.outbox / "lonely.json").exists()
    # When its time is over / Then it fails with the others
    for after_s in (COMPANION_WAIT_S, 0.0):
        room.look(after_s)
    assert room.status("lonely")["error"]["code"] == "file-missing"


def test_much_to_copy_is_copied_in_turns_and_others_go_first(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a manifest that names more than is copied in one turn
    monkeypatch.setattr("daemon.intake.fair_queue.TURN_BYTES", 1500)
    monkeypatch.setattr("daemon.intake.jobs.job_builder.SIZE_STEP", 1000)
    for number in range(4):
        room.put(f"p{number}.png", b"x" * 900 + bytes([number]))
    room.put("a.yaml", "---\n".join(f"kind: detect\nimage: p{number}.png\n" for number in range(4)))
    assert [job.name for job in room.settle()] == ["a-1", "a-2"]
    # When somebody else drops one / Then it need not wait until the rest is copied, and the rest comes in the next turns
    room.put("q.png", b"small")
    room.put("b.yaml", DETECT.replace("p.png", "q.png"))
    made = room.look()
    made += room.look(SETTLE_S)
    assert "b" in [job.name for job in made]
    room.look()
    names = sorted(path.stem for path in room.outbox.glob("*.json"))
    assert names == ["a-1", "a-2", "a-3", "a-4", "b"]
    assert list((room.inbox / ".claimed").iterdir()) == []
