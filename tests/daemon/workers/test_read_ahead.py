"""The files of the next job are read while the slot is busy, so that it does not wait for the disk."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from daemon.queue.ready_queue import Ticket
from daemon.workers import read_ahead
from daemon.workers.slot import Slot
from tests.support.daemon.lane import DONE, SLOW, PlayedLane, turns
from tests.support.daemon.queue import QueueRoom


class ReadingLane(PlayedLane):
    """A lane that reads ahead, and looks for its next job as other lanes do."""

    def _first(self, slot: Slot, now: float) -> Ticket | None:
        return self.state_machine.ready_queue.head("tts", now)


def test_the_next_job_is_read_while_the_slot_is_busy_and_stays_in_its_queue(
    room: QueueRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def ask_for(path: str, most: int) -> int:
        asked.append(Path(path))
        return 0

    monkeypatch.setattr(read_ahead, "_ask_for", ask_for)
    lane = ReadingLane(room, [SLOW, DONE])
    lane._read_ahead = read_ahead.ReadAhead()
    running, waiting = room.accept("running", priority=1), room.accept("waiting")
    (room.spool.ready("tts") / waiting.id / "portrait.png").write_bytes(b"a picture")

    async def live() -> None:
        async with lane.running():
            await lane.workers[0].works.wait()
            await turns()
            assert lane._read_ahead is not None
            await lane._read_ahead.ended()
            # Then the files of the next job were asked for, and it may still be chosen or not
            assert {path.name for path in asked} >= {"portrait.png", "manifest.yaml", "job.json"}
            assert {path.parent.name for path in asked} == {waiting.id}
            assert (room.where(running), room.where(waiting)) == ("tts/active", "tts/ready")

    asyncio.run(live())


def test_no_more_is_read_ahead_than_leaves_room_for_what_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "MOST_BYTES", 150)
    for name in ("one", "two", "three"):
        (tmp_path / name).write_bytes(b"x" * 100)
    os.mkfifo(tmp_path / "pipe")  # nothing that could block is opened
    (tmp_path / "link").symlink_to(tmp_path / "one")
    assert read_ahead.read_ahead(tmp_path) == 150
