"""What a job costs besides its stages: `python -m benchmarks.batch.overhead [--waiting 10 1000 10000] [--jobs 40]`.

Videos go one after the other through a real queue whose stages take no time, while so many others wait in the queue of the voice,
whose lane is held. Prints wall and CPU time of a job from its acceptance to its end, by turns.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.batch.replay import Costs, Replay
from daemon.jobs.kinds import KINDS
from daemon.queue.ready_queue import Ticket
from daemon.workers.slot import Slot


async def measure(replays: list[Replay], jobs: int) -> list[tuple[list[float], list[float]]]:
    """Return the wall and CPU times of jobs in each of the queues, s."""
    times: list[tuple[list[float], list[float]]] = [([], []) for _ in replays]
    for replay in replays:
        replay.start()
    for number in range(jobs):
        for which in range(len(replays)):
            replay, (wall, cpu) = replays[(which + number) % len(replays)], times[(which + number) % len(replays)]
            began, worked = time.perf_counter(), time.process_time()
            job = replay.add(name="measured")
            place = replay.service.spool.resting("done") / job.id
            while not place.exists():
                await replay.service.state_machine.changed.wait(1.0)
            wall.append(time.perf_counter() - began)
            cpu.append(time.process_time() - worked)
    for replay in replays:
        await replay.stop()
    return times


def only_measured(replay: Replay) -> None:
    """Let the gpu lane take nothing but the jobs that are measured: they have a higher priority than those that wait."""
    choose = replay.service.gpus[0]._choose

    def higher(slot: Slot, now: float) -> Ticket | None:
        ticket = choose(slot, now)
        return ticket if ticket is not None and ticket.priority > 0 else None

    replay.service.gpus[0]._choose = higher


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
        times = asyncio.run(measure(replays, args.jobs))
    stages = len(KINDS["video"].stages)
    print(
        f"\nOne job of {stages} stages that take no time, {args.jobs} by turns (medians), load average before {load:.1f}\n"
    )
    print("| waiting | from acceptance to its end | CPU |\n|---|---|---|")
    for waiting, (wall, cpu) in zip(args.waiting, times, strict=True):
        print(f"| {waiting:,} | {statistics.median(wall) * 1e3:.1f} ms | {statistics.median(cpu) * 1e3:.1f} ms |")


if __name__ == "__main__":
    main()
