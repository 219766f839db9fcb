"""A job is found wherever it goes meanwhile, so that a claim that is continued makes no second one; a start leaves no rest."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path

import pytest

from daemon.jobs.record import Job
from daemon.queue.recovery import recover_spool
from daemon.queue.spool import SPARE
from tests.support.daemon.queue import QueueRoom

#: How long the look waits for a move that the spool holds back, in s; one that is not held back takes much less.
HELD_BACK_S = 0.1


def test_a_job_that_goes_back_to_an_earlier_stage_while_it_is_looked_for_is_found(
    room: QueueRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a job that waits for its delivery
    job = room.accept(stage="deliver")
    source = room.spool.folder_of(job)
    moves: list[threading.Thread] = []

    def go_back() -> None:
        again = Job.from_bytes((source / "job.json").read_bytes())
        again.stage = "face"
        room.spool.move_job(again, source)

    look = Path.is_dir

    def look_and_let_it_move(path: Path) -> bool:
        if path == room.spool.ready("encode") / job.id and not moves:
            # When it begins anew in another thread, after its first stage was looked at and before its present one is
            moves.append(threading.Thread(target=go_back))
            moves[0].start()
            moves[0].join(HELD_BACK_S)
        return look(path)

    monkeypatch.setattr(Path, "is_dir", look_and_let_it_move)
    found = room.spool.find_job(job.id)
    moves[0].join()
    # Then it is found, and has moved afterwards
    assert found is not None
    assert room.where(job) == "face/ready"


def test_a_record_is_not_overwritten_before_the_exchange_that_made_it_the_spare_is_flushed(room: QueueRoom) -> None:
    # Given a job whose record and spare were exchanged by a move that is not flushed: a power cut would bring the spare back
    job = room.accept(stage="tts")
    place = room.spool.folder_of(job)
    job.stage = "deliver"
    place = room.spool.move_job(job, place, flush=False)
    before = (place / SPARE).stat().st_ino
    # When it moves on / Then its record is written into a new file, and into the spare only when the move is flushed
    job.stage = "tts"
    with (place / SPARE).open("rb") as spare:
        place = room.spool.move_job(job, place, flush=False)
        assert (place / "job.json").stat().st_ino != before
        assert json.loads(spare.read())["stage"] == "tts"
    room.spool.moved(job.id)
    before = (place / SPARE).stat().st_ino
    job.stage = "deliver"
    place = room.spool.move_job(job, place)
    assert (place / "job.json").stat().st_ino == before


def test_a_start_removes_what_a_killed_daemon_was_writing(room: QueueRoom) -> None:
    # Given the daemon's own files, and others that a kill left half written beside them
    root = room.spool.root
    for name in ("strays.json", "paused.json"):
        (root / name).write_text("{}")
        (root / f".{name}.tmp").write_text("{")
    (room.spool.tmp / "half").mkdir()
    # When it starts again
    asyncio.run(recover_spool(room.state_machine, room.outbox))
    # Then only the whole ones are there
    assert not list(root.glob(".*.tmp"))
    assert not list(room.spool.tmp.iterdir())
    assert (root / "strays.json").exists()
    assert (root / "paused.json").exists()
