"""What a job waits for, or not, when the inbox, the disk or the daemon fails while its file is still being written."""

from __future__ import annotations

import asyncio
import errno
import threading
from pathlib import Path

import pytest

from daemon.jobs.stages import Stage
from daemon.queue.awaited_files import UNCHECKED
from daemon.queue.recovery import recover_spool
from daemon.system.mount_guard import MARK
from tests.support.daemon.growing_source import NAME, PATIENCE_S, STILL_S, Case
from tests.support.daemon.queue import PowerCut, QueueRoom


def test_an_unmounted_inbox_ends_no_wait_for_the_rest_of_a_file(any_stage: Case) -> None:
    # Given a job that waits for the rest of a file
    room = any_stage.room
    room.mount_guard().check()
    inbox, away = room.settings.paths.inbox, room.settings.paths.inbox.with_name("away")
    any_stage.write()
    any_stage.go_on()
    stage = any_stage.where
    # When another folder stands in the inbox's place, as when a share is gone
    inbox.rename(away)
    inbox.mkdir()
    (inbox / MARK).write_text("0123\n")
    for _ in range(3):
        room.now += STILL_S * 1.1
        any_stage.go_on()
        assert any_stage.where == stage
    # Then it waits until the inbox is back, and gets the rest
    (inbox / MARK).unlink()
    inbox.rmdir()
    away.rename(inbox)
    any_stage.go_on()
    assert (any_stage.where, any_stage.copy) == ("tts/ready", b"half and half")
    assert any_stage.record.warnings == []


def test_a_file_that_the_disk_cannot_read_now_ends_no_wait(
    ready_to_deliver: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready_to_deliver.write()
    assert ready_to_deliver.take() is None

    def fail(root: Path, path: str) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr("daemon.queue.source_files.path_by_descriptor", fail)
        ready_to_deliver.room.now += STILL_S * 1.1
        assert ready_to_deliver.take() is None
        assert ready_to_deliver.copy == b"half"
    assert ready_to_deliver.take() is None
    assert ready_to_deliver.copy == b"half and half"


def test_an_inbox_that_stays_away_is_waited_for_no_longer_than_a_file(ready_to_deliver: Case) -> None:
    room = ready_to_deliver.room
    ready_to_deliver.write()
    assert ready_to_deliver.take() is None
    room.settings.paths.inbox.rename(room.settings.paths.inbox.with_name("away"))
    room.now += PATIENCE_S / 2
    assert ready_to_deliver.take() is None
    room.now += PATIENCE_S
    taken = ready_to_deliver.take()
    assert taken is not None
    assert UNCHECKED in taken[0].warnings


def test_a_job_that_waits_for_no_file_is_delivered_while_the_inbox_is_away(ready_to_deliver: Case) -> None:
    room = ready_to_deliver.room
    room.settings.paths.inbox.rename(room.settings.paths.inbox.with_name("away"))
    taken = ready_to_deliver.take()
    assert taken is not None
    assert taken[0].warnings == [UNCHECKED]


def test_a_disk_without_room_for_the_rest_delivers_no_half(ready_to_deliver: Case) -> None:
    # Given a file that grew, and no room for it beside the reserve
    ready_to_deliver.room.set(intake={"reserve_mb": 10**9})
    ready_to_deliver.write()
    ready_to_deliver.take()
    ready_to_deliver.room.now += STILL_S * 1.1
    assert ready_to_deliver.take() is None
    assert ready_to_deliver.where == "deliver/ready"
    # When there is room / Then it is copied
    ready_to_deliver.room.set(intake={"reserve_mb": 0})
    assert ready_to_deliver.take() is None
    assert ready_to_deliver.copy == b"half and half"


def test_a_restart_of_the_daemon_waits_on(any_stage: Case) -> None:
    # Given a job that waits for a file that grew, long after it was accepted
    room = any_stage.room
    stage = any_stage.where
    any_stage.write()
    any_stage.go_on()
    room.now += PATIENCE_S - STILL_S
    # When the daemon starts again
    room.restart()
    asyncio.run(recover_spool(room.state_machine, room.outbox))
    # Then the file must stand still again, as what it did meanwhile is unknown
    any_stage.go_on()
    assert any_stage.where == stage
    room.now += STILL_S * 1.1
    any_stage.go_on()
    assert (any_stage.where, any_stage.copy) == ("tts/ready", b"half and half")


@pytest.mark.parametrize("call", ["rename", "exchange", "sync_dir"])
def test_a_crash_while_a_file_is_copied_again_is_repeated(ready_to_deliver: Case, call: str) -> None:
    # Given a job whose file is whole now
    room, job = ready_to_deliver.room, ready_to_deliver.job
    ready_to_deliver.write()
    ready_to_deliver.take()
    room.now += STILL_S * 1.1
    (room.spool.folder_of(job) / "tts.done.json").write_text("{}")

    def cut(name: str, path: Path) -> None:
        # From the moment that the record says that the job begins anew
        if name == call and room.on_disk(job).facts.restart:
            raise PowerCut

    # When the world ends in the middle
    room.ops.before = cut
    with pytest.raises(PowerCut):
        ready_to_deliver.take()
    room.ops.before = lambda name, path: None
    room.restart()
    asyncio.run(recover_spool(room.state_machine, room.outbox))
    # Then it begins anew all the same, and is delivered with the whole file
    assert ready_to_deliver.where == "tts/ready"
    directory = room.spool.find_job(job.id)
    assert directory is not None
    assert not (directory / "tts.done.json").exists()
    ready_to_deliver.finish_stages()
    for _ in range(3):
        if ready_to_deliver.take() is not None:
            break
        room.now += STILL_S * 1.1
        if ready_to_deliver.where == "tts/ready":
            ready_to_deliver.finish_stages()
    assert ready_to_deliver.where == "deliver/active"
    assert ready_to_deliver.copy == b"half and half"


@pytest.mark.parametrize("stage", ["deliver", "tts"])
@pytest.mark.parametrize("after", ["the record", "the copy"])
def test_a_crash_while_a_late_copy_is_installed_keeps_no_half(room: QueueRoom, stage: Stage, after: str) -> None:
    # Given a job whose file is written to without end, when the time for waiting is over
    case = Case(room, stage)
    room.open_files.add(NAME)
    case.write()
    room.now += PATIENCE_S + 5.0

    def cut(name: str, path: Path) -> None:
        if not room.on_disk(case.job).facts.restart:
            return
        if case.copy == b"half and half" or (name == "rename" and after == "the record"):
            raise PowerCut

    # When the world ends after the record says that there is a new copy
    room.ops.before = cut
    with pytest.raises(PowerCut):
        case.go_on()
    room.ops.before = lambda name, path: None
    assert case.copy == (b"half" if after == "the record" else b"half and half")
    room.restart()
    asyncio.run(recover_spool(room.state_machine, room.outbox))
    # Then it begins anew with that copy, and its warning tells of that one
    assert (case.where, case.copy) == ("tts/ready", b"half and half")
    assert any("may be incomplete" in warning for warning in case.record.warnings)
    assert [path.name for path in room.spool.folder_of(case.record).glob(".source*")] == []


def test_an_inbox_that_does_not_answer_is_named_and_not_waited_for(
    ready_to_deliver: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.queue.source_files.ANSWER_S", 0.01)
    answer = threading.Event()
    ready_to_deliver.room.use_sources(lambda path: not answer.wait(60))
    taken = ready_to_deliver.take()
    answer.set()
    assert taken is not None
    assert UNCHECKED in taken[0].warnings
