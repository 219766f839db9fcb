"""How busy a GPU is kept by short jobs: `python -m benchmarks.batch.night [--jobs 100] [--speed 20]`.

A real queue, with its lanes, records and statuses, runs videos of 3 s whose voice and mouth need the GPU; the stages only wait.
First with a load for each job, then the oldest job first, then by our policy. `--costs` says how long the stages wait:
  - card: loads as measured on a processor (`benchmarks.batch.engine_costs`), runs as others publish them for an RTX 4090;
  - processor: loads and runs as measured there.
docs/batches.md says of each number where it is from. `--load` and `--run` replace them: `avatar timeline` and `lanes.jsonl` of a
spool say what they are on a machine. `--speed 20` waits a twentieth of the time, so that our own overhead counts twenty times.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.batch.replay import Choose, Costs, Replay
from daemon.jobs.stages import stages_of_lane
from daemon.queue.ready_queue import Ticket
from daemon.service import Service
from daemon.telemetry.timeline.idle import NEXT_JOB, idle_times
from daemon.telemetry.timeline.records import read_past
from daemon.workers.slot import Slot


def oldest_first(service: Service) -> Choose:
    """Choose the job that was accepted first, whatever model it needs."""

    def choose(slot: Slot, now: float) -> Ticket | None:
        heads = (service.ready_queue.head(stage, now, "gpu") for stage in stages_of_lane("gpu"))
        return min((head for head in heads if head is not None), key=lambda ticket: ticket.rank, default=None)

    return choose


#: By name: whether models are loaded for every job, and what chooses the jobs of the GPU; None: as the product does.
POLICIES: Final[dict[str, tuple[bool, Callable[[Service], Choose] | None]]] = {
    "load-per-job": (True, None),
    "oldest-first": (False, oldest_first),
    "ours": (False, None),
}


@dataclass(frozen=True)
class EngineCosts:
    """What voice and mouth cost, s: to load the models, and for a video of 3 s."""

    load: tuple[float, float]
    run: tuple[float, float]


#: By name; docs/batches.md says where each number is from.
COSTS: Final = {
    "card": EngineCosts(load=(3.9, 2.6), run=(0.8, 1.0)),
    "processor": EngineCosts(load=(3.9, 2.6), run=(11.0, 164.0)),
}
#: Of the stages beside the GPU, s: drawing 3 s at 512 px as `benchmarks.batch.videos` measures it on two cores, the rest assumed.
OTHERS: Final = {"check": 0.05, "face": 0.5, "encode": 0.6, "deliver": 0.1}


async def measure(replay: Replay, jobs: int) -> tuple[float, float, int]:
    """Return seconds until all jobs are done, how busy the GPU's slot was while work waited for it, and how often it loaded."""
    for _ in range(jobs):
        replay.add()
    began, wall = time.monotonic(), time.time()
    replay.start()
    await replay.until_done(jobs)
    took = time.monotonic() - began
    await replay.stop()
    past = read_past(replay.service.spool, wall, time.time())
    busy_s = sum(span.ended - span.began for span in past.spans["gpu"])
    waited_s = sum(one.ended - one.began for one in idle_times(past, "gpu") if one.why == NEXT_JOB)
    return (
        took,
        busy_s / max(1e-9, busy_s + waited_s),
        getattr(replay.service.lanes.gpus[0].slots[0].worker, "loads", 0),
    )


def main() -> None:
    """Measure the three, and print them as a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--speed", type=float, default=20.0, help="so many times as fast as real time")
    parser.add_argument("--costs", choices=list(COSTS), default="card", help="how long the stages wait (default: card)")
    parser.add_argument("--load", type=float, nargs=2, metavar="S", help="of voice and mouth, s, in place of those")
    parser.add_argument("--run", type=float, nargs=2, metavar="S", help="of voice and mouth, s, in place of those")
    parser.add_argument("--only", nargs="+", choices=list(POLICIES), default=list(POLICIES), metavar="POLICY")
    args = parser.parse_args()
    gpu = ("tts", "lipsync")
    load_s, run_s = args.load or COSTS[args.costs].load, args.run or COSTS[args.costs].run

    def costs(each_job: bool) -> Costs:
        load = {stage: seconds / args.speed for stage, seconds in zip(gpu, load_s, strict=True)}
        run = {stage: seconds / args.speed for stage, seconds in (*zip(gpu, run_s, strict=True), *OTHERS.items())}
        return Costs(load, run, each_job)

    told = "voice and mouth load in {:g} and {:g} s, and run {:g} and {:g} s".format(*load_s, *run_s)
    print(
        f"\n{args.jobs} videos at {args.speed:g} times real time, {told}; load average before {os.getloadavg()[0]:.1f}\n"
    )
    print(
        "| policy | all done after | loads | GPU slot busy while work waits | against the first |\n|---|---|---|---|---|"
    )
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in args.only:
            each_job, choose = POLICIES[name]
            replay = Replay(Path(folder) / name, costs(each_job), choose, speed=args.speed)
            took, busy, loads = asyncio.run(measure(replay, args.jobs))
            rows.append((name, took, busy, loads))
            print(f"| {name} | {took:.1f} s | {loads} | {busy:.1%} | {rows[0][1] / took:.1f} × |", flush=True)


if __name__ == "__main__":
    main()
