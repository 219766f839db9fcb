"""The child process of a lane: `python -m stages.worker --lane gpu`. Takes requests on stdin, answers on stdout, JSON lines.

Requests: {"op": "init", "settings": …}, {"op": "run", "job", "name", "stage", "dir", "manifest"}.
Answers: ready, heartbeat, progress, left, allow, model, log, result, error (see docs/worker.md).
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from daemon.config import Settings
from daemon.errors import AvatarError, MachineError, ResultError, from_exception, traceback_of
from daemon.jobs.manifest import Manifest
from daemon.jobs.stages import STAGES
from daemon.system import fs
from daemon.system.process import die_with
from stages.context import Context, Facts
from stages.worker_log import WireLog

log = logging.getLogger("stages.worker")

#: Least time between two progress lines, in s; people do not read faster.
PROGRESS_S = 0.2
#: A disk with less room is full: no stage's results fit into this.
FULL_BYTES = 1 << 20


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
    sent = {"progress": 0.0, "left": 0.0}

    def tell(event: str, value: float) -> None:
        now = time.monotonic()
        if now - sent[event] >= PROGRESS_S:
            sent[event] = now
            wire.send(event, job=request["job"], value=round(value, 4))

    def progress(value: float) -> None:
        tell("progress", min(max(value, 0.0), 1.0))

    def left(seconds: float) -> None:
        tell("left", max(seconds, 0.0))

    def allow(seconds: float) -> None:
        wire.send("allow", job=request["job"], value=round(seconds, 1))

    def loaded(model: str, seconds: float) -> None:
        wire.send("model", stage=stage, model=model, seconds=round(seconds, 3))

    manifest = Manifest.model_validate(request["manifest"])
    context = Context(
        str(request["job"]), str(request["name"]), directory, manifest, settings, progress, left, allow, loaded,
        dict(request.get("still_s", {})),
    )  # fmt: skip
    started = time.monotonic()
    module = importlib.import_module(f"stages.{stage}")
    if (load_s := time.monotonic() - started) > 0.05:
        wire.send("model", stage=stage, model=stage, seconds=round(load_s, 3))
    try:
        facts: Facts = module.run(context)
    except MachineError as exc:
        if exc.code != "gpu-memory" or not make_room(stage):
            raise
        facts = module.run(context)
    result = {"facts": facts, "warnings": context.warnings}
    fs.replace_json(report, result)
    return result


def make_room(stage: str) -> bool:
    """Have all other stages give their models' memory back; False where none had any."""
    others: list[Any] = [sys.modules.get(f"stages.{name}") for name in STAGES if name != stage]
    reports: list[Facts] = [module.release() for module in others if hasattr(module, "release")]
    for report in filter(None, reports):
        log.info("Unloaded to make room: %s", report)
    return any(reports)


def whose_fault(exc: Exception, settings: Settings) -> AvatarError:
    """The error to report. Libraries often do not say why a write failed: where a disk is full, that was it."""
    error = from_exception(exc)
    if error.fault != "unknown":
        return error
    paths = settings.paths
    for folder in (paths.spool, paths.cache, paths.outbox, Path(tempfile.gettempdir())):
        with contextlib.suppress(OSError):
            if shutil.disk_usage(folder).free < FULL_BYTES:
                return MachineError(
                    "disk-full", f"The disk of {folder} is full: {error.message}", "Free some space; the work goes on."
                )
    return error


def answer(request: dict[str, Any], settings: Settings, wire: Wire) -> bool:
    """Run one stage and send what came of it; returns whether this process can take another."""
    try:
        wire.send("result", job=request["job"], **perform(request, settings, wire))
    except Exception as exc:
        error = whose_fault(exc, settings)
        trace = traceback_of(exc)
        if not trace:
            log.debug("The stage reports %s.", error.code, exc_info=True)
        # CUDA never works again in a process that has lost it, and one that computed wrongly may do so again.
        last = error.code == "gpu-lost" or isinstance(error, ResultError)
        wire.send(
            "error", job=request["job"], fault=error.fault, **error.to_dict(),
            traceback=trace, last=last, result=isinstance(error, ResultError),
        )  # fmt: skip
        return not last
    return True


def serve(wire: Wire, wire_log: WireLog) -> None:
    """Answer requests until stdin closes."""
    settings = Settings()
    for line in sys.stdin.buffer:
        request = json.loads(line)
        if request["op"] == "init":
            settings = Settings.model_validate(request["settings"])
            wire_log.set_level(settings.log.level)
            beat(wire, settings.lanes.heartbeat_s)
            wire.send("ready", pid=os.getpid())
            continue
        with wire_log.about(str(request["job"]), str(request["stage"])):
            goes_on = answer(request, settings, wire)
        if not goes_on:
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lane", required=True)
    parser.add_argument("--parent", type=int, default=os.getppid(), help="process id of the daemon")
    parent = parser.parse_args().parent
    # OpenMP's threads, which torch computes with, spin while they wait for each other, and take the other workers' cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the daemon's to handle
    die_with(parent)
    fs.restrict_umask()
    wire = Wire()
    wire_log = WireLog(wire.send)
    wire_log.install()
    serve(wire, wire_log)


if __name__ == "__main__":
    main()
