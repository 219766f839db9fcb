"""The child process of a lane: `python -m stages.worker --lane gpu`. Takes requests on stdin, answers on stdout, JSON lines.

Requests: {"op": "init", "settings": …}, {"op": "run", "job", "name", "stage", "dir", "manifest"}.
Answers: ready, heartbeat, progress, model, result, error (see docs/worker.md).
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from daemon import fs
from daemon.config import Settings
from daemon.errors import from_exception
from daemon.manifest import Manifest
from stages.context import Context, Facts

STAGES = frozenset({"face", "tts", "lipsync", "encode", "deliver"})
PR_SET_PDEATHSIG = 1  # prctl(2)
#: Least time between two progress lines, in s; people do not read faster.
PROGRESS_S = 0.2


class Wire:
    """The line back to the daemon. Libraries print to stdout, so it is moved aside and stdout becomes stderr."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)
        self._lock = threading.Lock()

    def send(self, event: str, **data: Any) -> None:
        line = json.dumps({"event": event, **data}, default=str).encode() + b"\n"
        with self._lock:
            self._out.write(line)


def die_with_parent() -> None:
    """Have the kernel kill this process when the daemon ends, so that no orphan writes into a job taken up again."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent or parent == 1:
        os._exit(1)


def beat(wire: Wire, every_s: float) -> None:
    """Heartbeats from a thread of their own: they stop when the interpreter hangs, not while it computes."""

    def loop() -> None:
        while True:
            wire.send("heartbeat")
            time.sleep(every_s)

    threading.Thread(target=loop, name="heartbeat", daemon=True).start()


def perform(request: dict[str, Any], settings: Settings, wire: Wire) -> dict[str, Any]:
    """Run one stage, or give back what it reported when it already ran to its end."""
    stage = str(request["stage"])
    if stage not in STAGES:
        raise ValueError(f"no stage {stage!r}")
    directory = Path(request["dir"])
    report = directory / f"{stage}.done.json"
    if report.exists():
        saved: dict[str, Any] = json.loads(report.read_bytes())
        return saved
    sent = 0.0

    def progress(value: float) -> None:
        nonlocal sent
        now = time.monotonic()
        if now - sent >= PROGRESS_S:
            sent = now
            wire.send("progress", value=round(min(max(value, 0.0), 1.0), 4))

    manifest = Manifest.model_validate(request["manifest"])
    context = Context(str(request["job"]), str(request["name"]), directory, manifest, settings, progress)
    started = time.monotonic()
    module = importlib.import_module(f"stages.{stage}")
    if (load_s := time.monotonic() - started) > 0.05:
        wire.send("model", stage=stage, model=stage, seconds=round(load_s, 3))
    facts: Facts = module.run(context)
    result = {"facts": facts, "warnings": context.warnings}
    fs.replace_json(report, result)
    return result


def serve(wire: Wire) -> None:
    """Answer requests until stdin closes."""
    settings = Settings()
    for line in sys.stdin.buffer:
        request = json.loads(line)
        if request["op"] == "init":
            settings = Settings.model_validate(request["settings"])
            beat(wire, settings.lanes.heartbeat_s)
            wire.send("ready", pid=os.getpid())
            continue
        try:
            wire.send("result", job=request["job"], **perform(request, settings, wire))
        except Exception as exc:
            traceback.print_exc()
            error = from_exception(exc)
            wire.send(
                "error", job=request["job"], fault=error.fault, code=error.code, message=error.message, hint=error.hint
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lane", required=True)
    parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the daemon's to handle
    die_with_parent()
    serve(Wire())


if __name__ == "__main__":
    main()
