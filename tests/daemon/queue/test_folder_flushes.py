"""Jobs that move at the same moment share one flush of the folder; one that moves on before it needs none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from daemon.queue.moves.folder_flushes import FolderFlushes

PATIENCE_S = 60.0
#: Longer than any test: only what hurries a flush begins it.
LATER_S = 3600.0
READY, ACTIVE = Path("ready"), Path("active")


class Disk:
    """Notes the flushes, which wait for `go`, and whose moves they made durable."""

    def __init__(self) -> None:
        self.begun: list[Path] = []
        self.flushed: list[str] = []
        self.go = asyncio.Event()
        self.flushes = FolderFlushes(self._flush, self.flushed.append)

    async def _flush(self, folder: Path) -> None:
        self.begun.append(folder)
        await self.go.wait()


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def live(test: Callable[[Disk], object]) -> Disk:
    async def run() -> Disk:
        disk = Disk()
        await test(disk)  # type: ignore[misc]
        return disk

    return asyncio.run(asyncio.wait_for(run(), PATIENCE_S))


def test_jobs_that_move_at_the_same_moment_share_one_flush_of_the_folder() -> None:
    async def test(disk: Disk) -> None:
        for number in range(40):
            disk.flushes.ask(READY, f"job-{number}", LATER_S)
        disk.go.set()
        await disk.flushes.all_flushed()

    disk = live(test)
    assert disk.begun == [READY]
    assert sorted(disk.flushed) == sorted(f"job-{number}" for number in range(40))


def test_what_moves_while_a_flush_is_under_way_is_not_taken_to_be_flushed_by_it() -> None:
    async def test(disk: Disk) -> None:
        disk.flushes.ask(READY, "first", 0.0)
        await turns()
        disk.flushes.ask(READY, "second", 0.0)
        disk.flushes.ask(READY, "third", 0.0)
        await turns()
        assert (disk.begun, disk.flushed) == ([READY], [])  # of one folder, one at a time
        disk.go.set()
        await disk.flushes.all_flushed()

    disk = live(test)
    assert disk.begun == [READY, READY]
    assert (disk.flushed[0], sorted(disk.flushed[1:])) == ("first", ["second", "third"])


def test_a_job_that_moved_on_is_flushed_where_it_is_now_and_only_there() -> None:
    async def test(disk: Disk) -> None:
        disk.flushes.ask(READY, "quick", LATER_S)
        disk.flushes.ask(ACTIVE, "quick", LATER_S)
        disk.go.set()
        await disk.flushes.all_flushed()

    disk = live(test)
    assert (disk.begun, disk.flushed) == ([ACTIVE], ["quick"])


def test_a_job_that_moves_on_during_a_flush_is_not_told_to_be_flushed_by_it() -> None:
    async def test(disk: Disk) -> None:
        disk.flushes.ask(READY, "quick", 0.0)
        await turns()
        disk.flushes.drop("quick")
        disk.go.set()
        await disk.flushes.all_flushed()

    disk = live(test)
    assert (disk.begun, disk.flushed) == ([READY], [])


def test_whoever_waits_for_a_flush_does_not_wait_for_the_others_delay() -> None:
    async def test(disk: Disk) -> None:
        disk.flushes.ask(READY, "patient", LATER_S)
        disk.go.set()
        await disk.flushes.ask(READY, "urgent", 0.0)

    disk = live(test)
    assert (disk.begun, sorted(disk.flushed)) == ([READY], ["patient", "urgent"])
