"""What a job costs besides its stages: `python -m benchmarks.batch.overhead [--waiting 10 1000 10000] [--jobs 40]`.

Videos go one after the other through a real queue whose stages take no time, while so many others wait in the queue of the voice,
whose lane is held. Prints wall and CPU time of a job from its acceptance to its end, by turns, how many flushes were made for it,
and what one costs at that moment: a small file that is overwritten, and flushed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.batch.replay import Costs, Replay
from daemon.jobs.kinds import KINDS
from daemon.queue.ready_queue import Ticket
from daemon.workers.slot import Slot


class Flushes:
    """Counts the flushes of this process, and measures the floor: what one costs."""

    def __init__(self, folder: Path) -> None:
        self.count = 0
        self._flush = os.fsync
        self._fd = os.open(folder / "floor", os.O_RDWR | os.O_CREAT)
        os.fsync, os.fdatasync = self._counted(os.fsync), self._counted(os.fdatasync)  # type: ignore[assignment]

    def _counted(self, flush: Callable[[int], None]) -> Callable[[int], None]:
        def counted(fd: int) -> None:
            self.count += 1
            flush(fd)

        return counted

    def floor_s(self) -> float:
        """Return the time of one flush, s."""
        began = time.perf_counter()
        os.pwrite(self._fd, os.urandom(1024), 0)
        self._flush(self._fd)
        return time.perf_counter() - began


@dataclass
class Measured:
    """Of the jobs in one queue: wall and CPU time and that of one flush beside each, s, and flushes."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    floor: list[float] = field(default_factory=list)
    flushes: list[float] = field(default_factory=list)


async def measure(replays: list[Replay], jobs: int, flushes: Flushes) -> list[Measured]:
    """Return what was measured of the jobs in each of the queues."""
    times = [Measured() for _ in replays]
    for replay in replays:
        replay.start()
    for number in range(jobs):
        for which in range(len(replays)):
            replay, found = replays[(which + number) % len(replays)], times[(which + number) % len(replays)]
            found.floor.append(flushes.floor_s())
            began, worked, before = time.perf_counter(), time.process_time(), flushes.count
            job = replay.add(name="measured")
            place = replay.service.spool.resting("done") / job.id
            while not place.exists():
                await replay.service.state_machine.changed.wait(1.0)
            found.wall.append(time.perf_counter() - began)
            found.cpu.append(time.process_time() - worked)
            found.flushes.append(flushes.count - before)
    for replay in replays:
        await replay.stop()
    return times


def only_measured(replay: Replay) -> None:
    """Let the gpu lane take nothing but the jobs that are measured: they have a higher priority than those that wait."""
    choose = replay.service.lanes.gpus[0]._choose

    def higher(slot: Slot, now: float) -> Ticket | None:
        ticket = choose(slot, now)
        return ticket if ticket is not None and ticket.priority > 0 else None

    replay.service.lanes.gpus[0]._choose = higher


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--waiting", type=int, nargs="+", default=(10, 1000, 10_000))
    parser.add_argument("--jobs", type=int, default=40)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        replays = []
        for waiting in args.waiting:
            replay = Replay(Path(folder) / str(waiting), Costs({}, {}))
            for _ in range(waiting):
                replay.add("tts", "waits")
            replay.priority = 1
            only_measured(replay)
            replays.append(replay)
        os.sync()
        load = os.getloadavg()[0]
        times = asyncio.run(measure(replays, args.jobs, Flushes(Path(folder))))
    stages = len(KINDS["video"].stages)
    print(
        f"\nOne job of {stages} stages that take no time, {args.jobs} by turns (medians), load average before {load:.1f}\n"
    )
    print(
        "| waiting | from acceptance to its end | CPU | flushes | one flush | all but the CPU, against so many flushes |"
    )
    print("|---|---|---|---|---|---|")
    for waiting, found in zip(args.waiting, times, strict=True):
        wall, cpu, floor, count = map(statistics.median, (found.wall, found.cpu, found.floor, found.flushes))
        ratio = (wall - cpu) / (count * floor)
        print(
            f"| {waiting:,} | {wall * 1e3:.1f} ms | {cpu * 1e3:.1f} ms | {count:.0f} | {floor * 1e3:.2f} ms | × {ratio:.2f} |"
        )


if __name__ == "__main__":
    main()
