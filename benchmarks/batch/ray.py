"""What a stage costs on a Ray cluster besides its work: `python -m benchmarks.batch.ray [--runs 60] [--mb 1 10 100]`.

A stage that does nothing but write its files back runs by turns in a local worker and in one of a cluster on this machine (its
head and one machine with a GPU that is none), with
jobs of 50 kB and larger ones, whose content is new or known there.
Prints the medians of the time from the request to the files in the job's folder.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.programs import start_program
from daemon.config import Settings
from daemon.errors import MachineError
from daemon.events import Events
from daemon.wire import RunRequest
from daemon.workers.process import WorkerProcess
from daemon.workers.remote.pool import RayPool
from daemon.workers.remote.worker import RemoteWorker
from daemon.workers.worker import Worker

ROOT = Path(__file__).resolve().parents[2]
#: How long the cluster is waited for, s.
PATIENCE_S = 60.0
#: In a worker: a stage that writes as much as it was given.
SITECUSTOMIZE = """
import importlib, shutil, sys, types

def run(ctx):
    for path in list(ctx.job_dir.glob("in.*")):
        shutil.copyfile(path, path.with_name(path.name.replace("in.", "out.")))
    return {}

def import_module(name, package=None, real=importlib.import_module):
    if name != "stages.tts":
        return real(name, package)
    module = types.ModuleType(name)
    module.run = run
    return module

if "stages.worker" in sys.orig_argv:
    importlib.import_module = import_module
"""


def own_address() -> str:
    """Return this machine's address, as Ray finds it; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.connect(("8.8.8.8", 80))
        return str(asked.getsockname()[0])


async def time_run(worker: Worker, folder: Path, content: bytes) -> float:
    """Return how long a stage took whose job has these files, s."""
    folder.mkdir()
    for number in range(5):
        (folder / f"in.{number}").write_bytes(secrets.token_bytes(10_000))
    if content:
        (folder / "in.large").write_bytes(content)
    request = RunRequest(
        job=folder.name, name="x", stage="tts", dir=folder, manifest={"kind": "speech", "text": "Hello."}
    )
    began = time.perf_counter()
    await worker.run(request, 120.0, lambda _: None)
    if (take_results := worker.take_results(folder)) is not None:
        take_results()
    seconds = time.perf_counter() - began
    expected = 6 if content else 5
    assert len(list(folder.glob("out.*"))) == expected
    return seconds


async def measure(folder: Path, port: int, runs: int, sizes: list[int]) -> None:
    """Measure and print, by turns."""
    raw = {
        "paths": {name: str(folder / name) for name in ("inbox", "outbox", "spool", "cache")},
        "lanes": {"ray": {"address": f"{own_address()}:{port}", "gpus": 1}},
    }
    settings = Settings.parse(raw, folder / "config.yaml")
    (folder / "spool").mkdir()
    pool = RayPool(settings, Events(), lambda error: None)
    pool.start()
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            await pool.look()
            break
        except MachineError as exc:
            if time.monotonic() > until:
                raise SystemExit(str(exc)) from exc
            await asyncio.sleep(0.5)
    local = WorkerProcess("gpu", settings, lambda _: None)
    remote = RemoteWorker("gpu", settings, lambda _: None, pool=pool, slot="ray gpu 1")
    began = time.perf_counter()
    await local.start()
    print(f"start of a local worker: {time.perf_counter() - began:.2f} s")
    began = time.perf_counter()
    await remote.start()
    print(f"start of a worker on the cluster: {time.perf_counter() - began:.2f} s")
    number = 0
    for size in sizes:
        times: dict[str, list[float]] = {"local": [], "new there": [], "known there": []}
        known = secrets.token_bytes(size * 1_000_000)
        for turn in range(runs if size < 10 else max(4, runs // 10)):
            for kind in times:
                number += 1
                content = secrets.token_bytes(len(known)) if kind == "new there" else known
                worker = local if kind == "local" else remote
                seconds = await time_run(worker, folder / f"job{number}", content)
                if turn:  # the first of each kind warms up
                    times[kind].append(seconds)
        words = ", ".join(
            f"{kind} {1000 * statistics.median(found):.1f} ms (95 %: {1000 * sorted(found)[int(0.95 * len(found))]:.1f})"
            for kind, found in times.items()
        )
        print(f"{size} MB: {words}", flush=True)
    await local.stop()
    await remote.stop()
    await pool.close()


def main() -> None:
    """Start a cluster, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--mb", type=int, nargs="+", default=[0, 1, 10, 100])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "sitecustomize.py").write_text(SITECUSTOMIZE)
        (folder / "token").write_text(secrets.token_hex(32))
        os.environ.update(
            PYTHONPATH=os.pathsep.join([name, str(ROOT)]), AVATAR_RAY_DIR=str(folder / "node"), RAY_AUTH_MODE="token",
            RAY_AUTH_TOKEN_PATH=str(folder / "token"),
        )  # fmt: skip
        with socket.socket() as free:
            free.bind(("", 0))
            port = int(free.getsockname()[1])
        cluster = start_program(
            [sys.executable, str(ROOT / "tests" / "support" / "ray_cluster.py"), str(port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert cluster.stdin is not None
        assert cluster.stdout is not None
        try:
            cluster.stdout.readline()
            cluster.stdin.write("1\n")
            cluster.stdin.flush()
            cluster.stdout.readline()
            print(f"load {os.getloadavg()[0]:.1f}")
            asyncio.run(measure(folder, port, args.runs, args.mb))
            print(f"load {os.getloadavg()[0]:.1f}")
        finally:
            cluster.stdin.close()
            cluster.wait()


if __name__ == "__main__":
    main()
