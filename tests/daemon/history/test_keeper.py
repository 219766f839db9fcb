"""What the daemon notes in the index is there when it is asked for, and a damaged index is made again beside the work."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.history import database, freshness
from daemon.history.database import FILE, HistoryError
from daemon.history.history import History
from daemon.history.keeper import HistoryKeeper
from tests.support.daemon.history_folders import Folders, agrees, found, make_job, make_newer, until


def damage_header(path: Path) -> None:
    path.write_bytes(b"no database at all " * 100)


def damage_middle(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096 : len(data) - 4096] = os.urandom(len(data) - 8192)
    path.write_bytes(data)


def leave_by_a_power_cut(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = 'another boot' WHERE key = 'boot'")
        connection.execute("UPDATE meta SET value = 0 WHERE key = 'closed'")
    connection.close()


@pytest.mark.parametrize("damage", [damage_header, damage_middle, make_newer, leave_by_a_power_cut, Path.unlink])
def test_what_cannot_be_used_is_made_again_beside_the_work(folders: Folders, damage: Callable[[Path], None]) -> None:
    # Given jobs, one of which has only its status left, and an index
    for number in range(10):
        folders.keep(make_job(number, state="failed" if number % 2 else "done"))
    folders.keep(make_job(77, name="old", manifest={"kind": "speech", "text": "Long ago."}), record=False)

    async def live() -> None:
        keeper = HistoryKeeper(folders.history, folders.spool, folders.outbox, retry_s=0.01)
        task = asyncio.create_task(keeper.loop())
        await until(lambda: agrees(folders.history, folders.truth))
        # When the file is damaged, comes from elsewhere, or goes, and the next job ends / Then it is whole again
        damage(folders.history / FILE)
        keeper.job_finished(folders.keep(make_job(100)))
        await until(lambda: agrees(folders.history, folders.truth))
        task.cancel()
        await keeper.close()

    asyncio.run(live())
    # And no reader waits for a change that was lost with the file
    noted, written = struct.unpack("<QQ", (folders.history / freshness.FILE).read_bytes())
    assert written == noted > 0
    assert found(folders.history, search="ago") == ["old"]
    assert len(found(folders.history)) == 12


def test_the_index_of_a_daemon_that_lives_is_read_by_who_sees_another_name_of_this_run_of_the_kernel(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a unit in a container, in which the kernel tells another id than to a shell beside it
    other = tmp_path / "boot_id"
    other.write_text("another\n")
    folders.keep(make_job(1))

    async def live() -> None:
        keeper = HistoryKeeper(folders.history, folders.spool, folders.outbox)
        task = asyncio.create_task(keeper.loop())
        await until(lambda: freshness.is_held(folders.history))
        await until(lambda: agrees(folders.history, folders.truth))
        with monkeypatch.context() as changed:
            changed.setattr(database, "_BOOT_ID", other)
            # Then it is read while the daemon lives
            assert found(folders.history) == ["job1"]
            # And not where the daemon was killed with the machine, which tells nobody
            keeper._freshness.close()
            with pytest.raises(HistoryError, match="The machine stopped"):
                found(folders.history)
        task.cancel()
        await keeper.close()

    asyncio.run(live())


def test_who_has_read_a_status_finds_the_same_in_the_index(folders: Folders) -> None:
    async def live() -> None:
        keeper = HistoryKeeper(folders.history, folders.spool, folders.outbox)
        task = asyncio.create_task(keeper.loop())
        await until(lambda: agrees(folders.history, folders.truth))
        for number in range(5):
            # Given a job that runs / When its status is about to say that it is done, and somebody asks at that moment
            job = folders.keep(make_job(number))
            keeper.job_changed(make_job(number, state="running"))
            keeper.job_ending(job)
            row = await asyncio.to_thread(History(folders.history).get, job.id)
            # Then the index says it as well
            assert row is not None
            assert row.state == "done"
        task.cancel()
        await keeper.close()

    asyncio.run(live())


def test_a_folder_that_takes_nothing_stops_no_event_and_is_made_good_later(folders: Folders) -> None:
    # Given something else where the index should be
    folders.history.write_text("in the way")

    async def live() -> None:
        keeper = HistoryKeeper(folders.history, folders.spool, folders.outbox, retry_s=0.01)
        task = asyncio.create_task(keeper.loop())
        for number in range(3):
            keeper.job_finished(folders.keep(make_job(number)))
            await asyncio.sleep(0.03)
        # When it is out of the way / Then all jobs are in it
        folders.history.unlink()
        await until(lambda: agrees(folders.history, folders.truth))
        task.cancel()
        await keeper.close()

    asyncio.run(live())
    assert len(found(folders.history)) == 3
