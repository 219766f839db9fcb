"""What the queue costs: `python -m benchmarks.queue.costs` [--only hop claim start] [--jobs 100000] [--folder DIR].

Prints, as tables, each beside what it is to be compared with, measured by turns in the same run:
  - hop: a durable change of state beside its floor (write, fsync, rename, fsync of the directory), its flushes and its CPU time;
  - claim: taking the next job with 10 and with many waiting;
  - start: from the start of the process to `ready` with many jobs waiting, and the daemon's memory then.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from benchmarks import ROOT
from benchmarks.programs import start_program
from daemon.config import Settings
from daemon.events import Events
from daemon.jobs.facts import JobFacts, StageFacts
from daemon.jobs.record import Job
from daemon.jobs.stages import STAGES
from daemon.queue.ready_queue import ReadyQueue
from daemon.queue.spool import Spool
from daemon.queue.state_machine import StateMachine
from daemon.system import fs
from daemon.system.file_calls import Ops
from daemon.system.json_files import dump_json, replace_json

GOALS = {"ratio": 1.3, "fsyncs": 2, "cpu_us": 100.0, "flat": 1.2, "start_s": 10.0, "rss_mb": 300.0}
FEW = 10
TEXT = "The quick brown fox jumps over the lazy dog, while a patient narrator explains what happens. " * 3


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table below a title."""
    print(f"\n{title}\n\n| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")


def new_job(number: int) -> Job:
    """Return a job as it looks in the middle of its life."""
    manifest = {"kind": "video", "text": TEXT, "image": "portrait.png", "motion": {"head": 1.0, "blink": 1.0}}
    job = Job(f"job-20260101T000000Z-{number:08x}", f"name{number}", f"name{number}.yaml", manifest=manifest)
    job.stages, job.stage, job.accepted, job.since = STAGES, "tts", time.time(), time.time()
    face: StageFacts = {"engine": "mediapipe", "width": 720, "height": 720}
    job.facts = JobFacts(stages={"face": face})
    job.timings = {"face": {"wait": 0.1, "run": 0.5}}
    return job


def make_room(folder: Path) -> tuple[Settings, Spool]:
    """Settings and spool in a new folder."""
    folder.mkdir(parents=True)
    raw = {"paths": {name: name for name in ("inbox", "outbox", "spool", "cache")}, "metrics": {"port": 0}}
    raw |= {"intake": {"reserve_mb": 0}, "log": {"format": "json"}}
    (folder / "config.yaml").write_text(yaml.safe_dump(raw))
    settings = Settings.parse(raw, folder / "config.yaml")
    spool = Spool(settings.paths.spool)
    spool.create()
    return settings, spool


def fill(spool: Spool, count: int) -> list[Job]:
    """Let so many jobs stand in the queue of tts; not flushed one by one."""
    jobs = [new_job(number) for number in range(count)]
    for job in jobs:
        directory = spool.folder_of(job)
        directory.mkdir()
        (directory / "job.json").write_bytes(dump_json(job.to_json()))
    os.sync()
    return jobs


# -- hop ---------------------------------------------------------------------------------------------------------


class Counting(Ops):
    """Counts the flushes."""

    def __init__(self) -> None:
        self.flushes = 0

    def write(self, path: Path, data: bytes, sync: bool = True, mode: int | None = None) -> None:
        """Write a file, and count its flush."""
        self.flushes += sync
        super().write(path, data, sync, mode)

    def rewrite(self, path: Path, data: bytes, sync: bool = True) -> None:
        """Rewrite a file, and count its flush."""
        self.flushes += sync
        super().rewrite(path, data, sync)

    def sync_dir(self, path: Path) -> None:
        """Flush a directory, and count it."""
        self.flushes += 1
        super().sync_dir(path)


class Unflushed(Ops):
    """Does everything but wait for a disk."""

    def write(self, path: Path, data: bytes, sync: bool = True, mode: int | None = None) -> None:
        """Write a file without a flush."""
        super().write(path, data, sync=False, mode=mode)

    def rewrite(self, path: Path, data: bytes, sync: bool = True) -> None:
        """Rewrite a file without a flush."""
        super().rewrite(path, data, sync=False)

    def sync_dir(self, path: Path) -> None:
        """Nothing to wait for."""


class Hopper:
    """One job that goes to and fro between ready and active."""

    def __init__(self, folder: Path) -> None:
        _, self.spool = make_room(folder)
        self.job = fill(self.spool, 1)[0]
        self.place = self.spool.folder_of(self.job)

    def hop(self) -> None:
        """Move the job from ready to active, or back."""
        self.job.state = "running" if self.job.state == "queued" else "queued"
        self.place = self.spool.move_job(self.job, self.place)


class Floor:
    """The least that a durable change can do: a new file of the same size, flushed, renamed, its directory flushed."""

    def __init__(self, folder: Path, data: bytes) -> None:
        self.folder, self.data, self.number = folder, data, 0
        for side in ("tmp", "to"):
            (folder / side).mkdir(parents=True)

    def hop(self) -> None:
        """Write, flush and rename one new file, and flush its directory."""
        self.number += 1
        source, target = f"{self.folder}/tmp/{self.number}", f"{self.folder}/to/{self.number}"
        fd = os.open(source, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o660)
        os.write(fd, self.data)
        os.fsync(fd)
        os.close(fd)
        os.rename(source, target)
        fd = os.open(f"{self.folder}/to", os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(fd)
        os.close(fd)


def timed(step: Callable[[], None]) -> float:
    """Return the wall time of a call, s."""
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def hop(folder: Path, rounds: int) -> None:
    """Measure a durable change of state by turns with its floor, and print both with the flushes and the CPU time."""
    ours = Hopper(folder / "hop")
    floor = Floor(folder / "floor", dump_json(ours.job.to_json()))
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        order = (0, 1) if number % 2 else (1, 0)
        for which in order:
            times[which].append(timed((ours, floor)[which].hop))
    fs.OPS = counting = Counting()
    ours.hop()
    cpu_us = cpu(rounds * 5)
    medians = [statistics.median(side) * 1e6 for side in times]
    ratio = medians[0] / medians[1]
    table(
        f"A durable hop beside its floor, {rounds} rounds by turns (medians)",
        ("", "measured", "goal"),
        [
            ("hop", f"{medians[0]:.0f} us", ""),
            ("floor", f"{medians[1]:.0f} us", ""),
            ("hop / floor", f"{ratio:.2f}", f"<= {GOALS['ratio']}"),
            ("flushes a hop", counting.flushes, f"<= {GOALS['fsyncs']}"),
            ("our CPU a hop (no flush, in memory)", f"{cpu_us:.0f} us", f"<= {GOALS['cpu_us']:.0f} us"),
        ],
    )


def cpu(rounds: int) -> float:
    """CPU time of one hop in microseconds, kernel's part included, on a filesystem in memory and without flushes."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        fs.OPS = Unflushed()
        try:
            hopper = Hopper(Path(memory) / "cpu")
            started = time.process_time()
            for _ in range(rounds):
                hopper.hop()
            return (time.process_time() - started) / rounds * 1e6
        finally:
            fs.OPS = Ops()


# -- claim -------------------------------------------------------------------------------------------------------


class Queue:
    """So many waiting jobs, and the real way to take one."""

    def __init__(self, folder: Path, count: int) -> None:
        settings, self.spool = make_room(folder)
        self.ready_queue = ReadyQueue()
        self.state_machine = StateMachine(settings, self.spool, self.ready_queue, Events())
        for job in fill(self.spool, count):
            self.ready_queue.add(job)

    async def claim(self) -> float:
        """Take the next job; returns the seconds it took. The job is put back afterwards."""
        started = time.perf_counter()
        ticket = self.ready_queue.head("tts", time.monotonic())
        assert ticket is not None
        taken = await self.state_machine.start_attempt(ticket)
        seconds = time.perf_counter() - started
        assert taken is not None
        taken[1].rename(self.spool.ready("tts") / ticket.id)
        self.ready_queue.restore(ticket)
        return seconds


def claim(folder: Path, many: int, rounds: int) -> None:
    """Measure how long taking the next job lasts, with `FEW` and with `many` jobs waiting, and print both."""
    queues = [Queue(folder / f"claim{count}", count) for count in (FEW, many)]

    async def measure() -> list[list[float]]:
        times: list[list[float]] = [[], []]
        for number in range(rounds):
            for which in (0, 1) if number % 2 else (1, 0):
                times[which].append(await queues[which].claim())
        return times

    few, lots = (statistics.median(side) * 1e6 for side in asyncio.run(measure()))
    table(
        f"Taking the next job, {rounds} rounds by turns (medians)",
        ("waiting", "measured", "goal"),
        [
            (FEW, f"{few:.0f} us", ""),
            (f"{many:,}", f"{lots:.0f} us", ""),
            ("ratio", f"{lots / few:.2f}", f"<= {GOALS['flat']}"),
        ],
    )


# -- start -------------------------------------------------------------------------------------------------------


def start(folder: Path, many: int) -> None:
    """Measure and print how long a daemon with `many` waiting jobs takes to be ready, and its memory then."""
    _, spool = make_room(folder / "start")
    fill(spool, many)
    # Paused by a person, so that it is the queue that is measured, not the work.
    replace_json(spool.root / "paused.json", {"lanes": {"by": "benchmark", "reason": "", "since": time.time()}})
    seconds, megabytes = ready(folder / "start")
    table(
        f"Starting with {many:,} waiting jobs",
        ("", "measured", "goal"),
        [
            ("start of the process to ready", f"{seconds:.1f} s", f"<= {GOALS['start_s']:.0f} s"),
            ("the daemon's resident memory, 10 s later", f"{megabytes:.0f} MB", f"<= {GOALS['rss_mb']:.0f} MB"),
        ],
    )


def ready(folder: Path) -> tuple[float, float]:
    """Return seconds until a daemon is ready, and its memory in MB some looks later."""
    command = [sys.executable, "-m", "daemon", "--config", str(folder / "config.yaml")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = time.perf_counter()
    with start_program(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if line.startswith("{") and json.loads(line).get("event") == "ready":
                    break
            else:
                raise SystemExit("the daemon did not start")
            seconds = time.perf_counter() - started
            time.sleep(10)
            status = Path(f"/proc/{process.pid}/status").read_text()
        finally:
            process.kill()
    kilobytes = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))
    return seconds, kilobytes * 1024 / 1e6


def main() -> None:
    """Run the wanted measurements in a new folder, and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=("hop", "claim", "start"), default=("hop", "claim", "start"))
    parser.add_argument("--jobs", type=int, default=100_000, help="how many are many")
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument(
        "--folder", type=Path, help="on the disk to be measured; default: the folder for temporary files"
    )
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=args.folder))
    try:
        if "hop" in args.only:
            hop(folder, args.rounds)
        if "claim" in args.only:
            claim(folder, args.jobs, args.rounds // 2)
        if "start" in args.only:
            start(folder, args.jobs)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
