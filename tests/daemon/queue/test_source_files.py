"""A job is neither delivered, nor failed for a file that ends early, while one of its files is still being written."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

from daemon.errors import JobError
from daemon.jobs.facts import JobFacts, RowOf
from daemon.jobs.waits import AWAITED
from daemon.queue.awaited_files import COPIED_AGAIN
from daemon.queue.copy_comparison import Content, compare_with_copy
from tests.support.daemon.growing_source import NAME, PATIENCE_S, STILL_S, Case
from tests.support.daemon.queue import QueueRoom


def test_a_file_that_is_open_for_writing_is_waited_for_however_still_it_stands(any_stage: Case) -> None:
    # Given a job whose file somebody has open for writing
    room = any_stage.room
    room.open_files.add(NAME)
    # When it is to be delivered, or its stage says that the file ends early / Then it goes back into its queue
    stage = any_stage.where
    for _ in range(20):
        any_stage.go_on()
        assert any_stage.where == stage
        assert room.ready_queue.head(any_stage.job.stage or "", time.monotonic()) is None, (
            "it is looked at without a pause"
        )
        room.now += STILL_S * 1.1
    # And its history says so once, without losing what was there
    assert any_stage.events.count(AWAITED) == 1
    assert any_stage.record.attempts.get(any_stage.record.stage or "", 0) == 0


def test_a_whole_file_is_delivered_at_once(ready_to_deliver: Case) -> None:
    ready_to_deliver.room.open_files.add("other.wav")
    taken = ready_to_deliver.take()
    assert taken is not None
    assert taken[0].warnings == []
    assert ready_to_deliver.where == "deliver/active"


def test_what_was_written_later_is_copied_when_it_has_stood_still_and_then_delivered(any_stage: Case) -> None:
    # Given a file that goes on in bursts after it was copied, more often than any count would allow, and a warning of its half
    room = any_stage.room
    job, directory = any_stage.record, room.spool.find_job(any_stage.job.id)
    assert directory is not None
    job.warnings = ["The sound file is damaged in places."]
    job.facts.row, job.facts.rows_folder = RowOf("job-20260102T030405Z-0a1b2c3d", "welcome", 7), "welcome"
    room.spool.save_job(job, directory)
    stage = any_stage.where
    for _ in range(12):
        any_stage.write(b" and more")
        any_stage.go_on()
        room.now += STILL_S * 0.9
        any_stage.go_on()
        assert any_stage.where == stage
    # When it has stood still for as long as a file of unknown writers must
    room.now += STILL_S * 0.2
    any_stage.go_on()
    # Then the job begins anew with all of it, once
    assert any_stage.where == "tts/ready"
    assert any_stage.copy == any_stage.file.read_bytes()
    assert any_stage.events.count(COPIED_AGAIN) == 1
    assert any_stage.record.facts.sources["source.audio"].still_s >= STILL_S
    # And stays the row of its batch, which would wait for its end for ever
    assert (any_stage.record.facts.row, any_stage.record.facts.rows_folder) == (job.facts.row, "welcome")
    # And is delivered without another wait
    any_stage.finish_stages()
    taken = any_stage.take()
    assert taken is not None
    assert taken[0].warnings == []


def test_no_rows_are_made_of_half_a_table_although_it_is_right(room: QueueRoom) -> None:
    # Given a batch whose table goes on being written after it was copied
    room.set(intake={"settle_unknown_s": STILL_S, "settle_mb_s": 0.0, "companion_wait_s": PATIENCE_S})
    source = room.put_source("t.csv", b"text\nHello.\n", still_s=2.0)
    job = room.accept(
        stage="check", stages=("check",), manifest={"kind": "batch"}, facts=JobFacts(sources={"source.rows": source})
    )
    (room.spool.folder_of(job) / "source.rows").write_bytes(b"text\nHello.\n")
    with (room.settings.paths.inbox / "t.csv").open("ab") as file:
        file.write(b"Good evening.\n")

    async def check() -> None:
        if (taken := await room.try_to_take(job)) is not None:
            await room.state_machine.advance(*taken, {"rows": 1}, [])

    # When its check has found nothing wrong, then it waits until the table has stood still
    asyncio.run(check())
    assert room.where(job) == "check/ready"
    assert "It waits for the rest of t.csv." in room.status()["next"]
    # And is checked again with all of its rows before a job is made of any
    room.now += STILL_S * 1.1
    asyncio.run(check())
    assert room.where(job) == "check/ready"
    asyncio.run(check())
    assert room.where(job) == "batches"
    assert (room.spool.batches / job.id / "source.rows").read_bytes() == b"text\nHello.\nGood evening.\n"


@pytest.mark.parametrize("code", ["audio-truncated", "image-truncated", "audio-unreadable", "image-unreadable"])
def test_a_file_that_ends_early_fails_its_job_when_nothing_more_comes(working: Case, code: str) -> None:
    # Given a file that says that its end is missing, or that cannot be read without it
    working.error = JobError(code, "The file is incomplete.")
    working.go_on()
    assert working.where == "tts/ready"
    working.room.now += STILL_S - 10.0
    working.go_on()
    assert working.where == "tts/ready"
    working.room.now += 20.0
    working.go_on()
    assert working.where == "failed"
    assert working.record.error is not None
    assert working.record.error["code"] == code
    assert working.record.warnings == []


def test_a_whole_file_with_another_fault_fails_its_job_at_once(working: Case) -> None:
    working.error = JobError("no-face", "No face was found.")
    working.go_on()
    assert working.where == "failed"


def test_a_new_copy_that_ends_early_is_waited_for_anew(working: Case) -> None:
    # Given a file that got a part of its rest, and stood still
    working.write()
    working.go_on()
    working.room.now += STILL_S * 1.1
    working.go_on()
    assert working.copy == b"half and half"
    # When that ends early, too, and its writer is back / Then it is waited for as the first time
    working.write(b" and the rest")
    working.go_on()
    assert working.where == "tts/ready"
    working.room.now += STILL_S * 1.1
    working.go_on()
    assert working.copy == b"half and half and the rest"
    assert working.where == "tts/ready"


def test_no_file_is_waited_for_longer_than_a_manifest_waits_for_its_files(any_stage: Case) -> None:
    # Given a file that is written to without end
    room = any_stage.room
    room.open_files.add(NAME)
    any_stage.write()
    any_stage.go_on()
    room.now += PATIENCE_S + 5.0
    # When the time is over / Then what is there is copied, once
    any_stage.go_on()
    assert (any_stage.where, any_stage.copy) == ("tts/ready", b"half and half")
    if any_stage.job.stage == "deliver":
        any_stage.finish_stages()
    any_stage.write(b" and more")
    # And the job ends with that, and says so
    any_stage.go_on()
    assert any_stage.copy == b"half and half" if any_stage.where == "failed" else any_stage.where == "deliver/active"
    assert any("may be incomplete" in warning and NAME in warning for warning in any_stage.record.warnings)


@pytest.mark.parametrize("step_s", [-86_400.0, 86_400.0])
def test_setting_the_clock_ends_no_wait_for_a_file(
    any_stage: Case, monkeypatch: pytest.MonkeyPatch, step_s: float
) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + step_s)
    stage = any_stage.where
    any_stage.room.open_files.add(NAME)
    any_stage.go_on()
    asyncio.run(
        any_stage.room.state_machine.prioritise(
            any_stage.record, any_stage.room.spool.folder_of(any_stage.record), 1, "me"
        )
    )
    any_stage.go_on()
    assert any_stage.where == stage
    any_stage.room.now += PATIENCE_S + 5.0
    any_stage.go_on()
    assert any_stage.where != stage


def test_a_file_that_was_replaced_is_not_waited_for(ready_to_deliver: Case) -> None:
    # Given a sound in whose place another one is being written
    ready_to_deliver.room.open_files.add(NAME)
    other = ready_to_deliver.file.with_name("other")
    other.write_bytes(b"half of another sound")
    other.replace(ready_to_deliver.file)
    # Then the job is delivered with its own
    taken = ready_to_deliver.take()
    assert taken is not None
    assert ready_to_deliver.copy == b"half"


@pytest.mark.parametrize("how", ["removed", "replaced", "overwritten"])
def test_a_file_whose_rest_does_not_come_any_more_is_named(ready_to_deliver: Case, how: str) -> None:
    # Given a job that waits for the rest of a file, also after somebody gave it another priority
    room, job = ready_to_deliver.room, ready_to_deliver.job
    ready_to_deliver.write()
    assert ready_to_deliver.take() is None
    asyncio.run(room.state_machine.prioritise(ready_to_deliver.record, room.spool.folder_of(job), 1, "me"))
    # When that file is gone, another one stands in its place, or other content in it
    if how == "removed":
        ready_to_deliver.file.unlink()
    elif how == "replaced":
        other = ready_to_deliver.file.with_name("other")
        other.write_bytes(b"half of another sound")
        other.replace(ready_to_deliver.file)
    else:
        ready_to_deliver.file.write_bytes(b"something else")
        assert ready_to_deliver.take() is None
        room.now += STILL_S * 1.1
    taken = ready_to_deliver.take()
    # Then the job is delivered with the part that it has, and says so
    assert taken is not None
    assert any(NAME in warning and "while the job waited" in warning for warning in taken[0].warnings)


@pytest.mark.parametrize(
    ("copy", "file", "expected"),
    [
        (b"half", b"half and half", Content.GROWN),
        (b"half" + bytes(9), b"half and half", Content.GROWN),
        (b"half", b"half", Content.SAME),
        (b"halt", b"half and half", Content.OTHER),
        (b"half and half", b"half", Content.OTHER),
        (b"a" * 4096 + bytes(4096) + b"c" * 10, b"a" * 4096 + b"b" * 4096 + b"c" * 10, Content.GROWN),
        (b"a" * 4096 + bytes(4095) + b"x", b"a" * 4096 + b"b" * 4096, Content.OTHER),
        (b"", b"all of it", Content.GROWN),
    ],
)
def test_a_copy_of_a_part_is_told_from_one_of_another_file(
    tmp_path: Path, copy: bytes, file: bytes, expected: Content
) -> None:
    (tmp_path / "copy").write_bytes(copy)
    (tmp_path / "file").write_bytes(file)
    with (tmp_path / "copy").open("rb") as one, (tmp_path / "file").open("rb") as other:
        assert compare_with_copy(one.fileno(), other.fileno(), threading.Event()) is expected
