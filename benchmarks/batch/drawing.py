"""Whether two videos are drawn sooner side by side or one after the other: `python -m benchmarks.batch.drawing [--rounds 3]`.

By turns: one after the other as the cpu lane does (each in several processes), both at once in as many, and both at once in one
process each. Prints wall and CPU time of both videos together.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks import PORTRAIT
from benchmarks.stage_runner import StageRunner
from daemon.config import Settings
from stages.context import Context

TEXT = "Hello number one. Welcome to the course on safety, it starts on Monday."


def draw(job: Context, processes: int) -> int:
    """Encode a job in a process of its own; returns its id. `processes`: that draw; 0: as the settings say."""
    if pid := os.fork():
        return pid
    code = 1
    try:
        paths = job.settings.paths.model_dump(mode="json", include={"inbox", "outbox", "spool", "cache"})
        raw = {"paths": paths, "stages": {"encode": {"processes": processes}}}
        settings = Settings.parse(raw, job.job_dir / "config.yaml")
        importlib.import_module("stages.encode").run(replace(job, settings=settings))
        code = 0
    finally:
        os._exit(code)


def wait(pid: int) -> None:
    """Wait for the end of a process.

    Raises:
        RuntimeError: it failed.
    """
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError("a video was not drawn")


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", default="512x512")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runner = StageRunner(Path(folder))
        first = runner.make("first", PORTRAIT, ("face", "tts", "lipsync"), text=TEXT, size=args.size)
        numbers = itertools.count()

        def fresh() -> Context:  # a job keeps its video, and takes it over when it is drawn again
            folder = first.job_dir.with_name(f"job{next(numbers)}")
            shutil.copytree(first.job_dir, folder)
            return replace(first, job_dir=folder)

        def in_turn(processes: int) -> None:
            for job in (fresh(), fresh()):
                wait(draw(job, processes))

        def at_once(processes: int) -> None:
            for pid in [draw(job, processes) for job in (fresh(), fresh())]:
                wait(pid)

        ways: dict[str, Callable[[], None]] = {
            "one after the other, in several processes each": lambda: in_turn(0),
            "at once, in several processes each": lambda: at_once(0),
            "at once, in one process each": lambda: at_once(1),
        }
        found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        names = list(ways)
        for number in range(args.rounds):
            for way in names[number % 3 :] + names[: number % 3]:
                began, used = time.perf_counter(), _children_s()
                ways[way]()
                found[way].append((time.perf_counter() - began, _children_s() - used))
        print(
            f"\n2 videos of about 3 s, {args.size}, medians of {args.rounds} by turns, load {os.getloadavg()[0]:.1f}\n"
        )
        print("| drawn | wall | CPU |\n|---|---|---|")
        for way, times in found.items():
            wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
            print(f"| {way} | {wall:.1f} s | {cpu:.1f} s |")


def _children_s() -> float:
    times = os.times()
    return times.children_user + times.children_system


if __name__ == "__main__":
    main()
