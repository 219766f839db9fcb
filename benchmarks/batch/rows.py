"""What large tables cost: `python -m benchmarks.batch.rows [--rows 1000 20000] [--daemon 20000]`.

Checks tables of sentences as the first stage does, and prints CPU time a row and the memory of the process. With `--daemon` also:
drops such a table into the inbox of a daemon, and then one sentence beside it; prints how long the rows, the sentence, and the
cancelling of all rows took, and the daemon's memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import yaml

from benchmarks.programs import start_program
from daemon.config import Settings
from daemon.jobs.batch.files import INPUT
from daemon.jobs.batch.rows import BatchInput
from daemon.jobs.companions import copy_name
from daemon.jobs.manifest import Manifest
from stages.check.rows import check_rows
from stages.context import Context

TEMPLATE = {"kind": "speech", "text": "Hello {{name}}. Welcome to the course.", "output": "v{{id}}"}
#: Longest time that anything here is waited for, s.
PATIENCE_S = 280.0


def table(rows: int) -> str:
    """Return a table of so many rows."""
    return "id,name\n" + "".join(f"{number},Person number {number}\n" for number in range(rows))


def check(folder: Path, rows: int) -> None:
    """Check a table in this process, and print what it cost."""
    settings = Settings.model_validate(
        {"paths": {name: str(folder / name) for name in ("inbox", "outbox", "spool", "cache")}}
    )
    manifest = Manifest.model_validate({"kind": "batch", "rows": "t.csv", "template": TEMPLATE})
    (folder / copy_name("rows")).write_text(table(rows))
    (folder / INPUT).write_text(json.dumps(BatchInput("", {}, {}).to_json()))
    began = time.process_time()
    check_rows(Context("job-20260101T000000Z-00000001", "t", folder, manifest, settings))
    cpu = time.process_time() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(f"| {rows:,} | {1000 * cpu / rows:.2f} ms | {memory:.0f} MB |", flush=True)


def run_daemon(folder: Path, rows: int) -> None:
    """Drop a table into the inbox of a daemon, measure, and print the table."""
    for name in ("inbox", "outbox"):
        (folder / name).mkdir()
    paths = {name: name for name in ("inbox", "outbox", "spool", "cache")}
    config = {"paths": paths, "metrics": {"enabled": False}, "log": {"level": "error"}, "intake": {"settle_s": 0.5}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "daemon", "--config", str(folder / "config.yaml")]
    daemon = start_program(command, cwd=folder, stderr=subprocess.DEVNULL)
    process = psutil.Process(daemon.pid)
    most = [0.0]

    def until(what: str, is_so: Callable[[dict[str, Any]], bool], name: str) -> float:
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE_S:
            most[0] = max(most[0], process.memory_info().rss / 1e6)
            try:
                if is_so(json.loads((folder / "outbox" / f"{name}.json").read_bytes())):
                    return time.monotonic() - began
            except (OSError, ValueError):
                pass
            time.sleep(0.1)
        raise SystemExit(f"{what}: not within {PATIENCE_S:.0f} s")

    try:
        (folder / "inbox" / "t.csv").write_text(table(rows))
        (folder / "inbox" / "t.yaml").write_text(
            yaml.safe_dump({"kind": "batch", "rows": "t.csv", "dedupe": False, "template": TEMPLATE})
        )
        taken = until("the check", lambda status: "batch" in status, "t")
        ended = until("the first rows", lambda status: status["batch"]["done"] > 0, "t")
        (folder / "inbox" / "one.yaml").write_text("kind: speech\ntext: This one does not wait.\n")
        beside = until("the sentence", lambda status: bool(status["state"] == "done"), "one")
        (folder / "inbox" / "t.cancel").write_bytes(b"")
        cancelled = until("the end", lambda status: bool(status["state"] == "cancelled"), "t")
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(60)
    print(f"\nA daemon with a table of {rows:,} sentences, load average {os.getloadavg()[0]:.1f}\n")
    print(
        "| checked after | first row done | a sentence beside it | all cancelled after | most memory |\n|---|---|---|---|---|"
    )
    print(f"| {taken:.1f} s | + {ended:.1f} s | {beside:.1f} s | {cancelled:.1f} s | {most[0]:.0f} MB |")


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=(1000, 20_000))
    parser.add_argument("--daemon", type=int, metavar="ROWS", help="also with a daemon")
    args = parser.parse_args()
    print("\n| rows | CPU a row | memory of the process |\n|---|---|---|")
    for rows in args.rows:
        with tempfile.TemporaryDirectory() as folder:
            check(Path(folder), rows)
    if args.daemon:
        with tempfile.TemporaryDirectory() as folder:
            run_daemon(Path(folder), args.daemon)


if __name__ == "__main__":
    main()
