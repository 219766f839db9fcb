"""The child process of a lane: `python -m stages.worker --lane gpu`. Reads requests from stdin and writes answers to
stdout, as JSON lines.

`daemon/wire.py` defines both, and docs/worker.md describes them.
"""

from __future__ import annotations

import gc

gc.disable()  # until the modules are here: they stay, and to search them for garbage took an eighth of a start's processor time
# ruff: noqa: E402
import argparse
import contextlib
import importlib
import json
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from daemon.config import Settings
from daemon.config.engines import lane_of_engine
from daemon.errors import AvatarError, JobError, LackingError, MachineError, ResultError, from_exception, traceback_of
from daemon.jobs.manifest import Manifest
from daemon.jobs.stages import STAGES
from daemon.system.json_files import replace_json
from daemon.system.memory import release_free_memory, return_large_blocks
from daemon.system.mounts import free_bytes
from daemon.system.permissions import restrict_umask
from daemon.system.process import die_with
from daemon.wire import (
    AllowTime,
    Elsewhere,
    ErrorReport,
    Heartbeat,
    InitRequest,
    Message,
    ModelChange,
    Preloaded,
    PreloadRequest,
    Progress,
    Ready,
    Result,
    RunRequest,
    StageResult,
    TimeLeft,
)
from stages.context import Context, Facts
from stages.kept_in_memory import free_kept
from stages.model_memory import ModelMemory, measured
from stages.preload import preload_stage
from stages.requests import Requests, StageCancelled
from stages.shown_paths import shorten_paths, with_short_paths
from stages.worker_log import WorkerLogHandler

gc.enable()
log = logging.getLogger("stages.worker")

#: Minimum time between two progress lines, in s; people do not read faster.
PROGRESS_S = 0.2
#: The requests that this worker answers, beside `init`.
OPS = ("run", "preload", "cancel")
#: The lane of the engines that need a GPU.
GPU = "gpu"
#: A disk with less free space counts as full: no stage's results fit.
FULL_BYTES = 1 << 20


class Wire:
    """The connection to the daemon: the process's original stdout.

    Libraries print to stdout, so descriptor 1 is duplicated for the messages and then redirected to stderr.
    """

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        """Write one message as a JSON line. Thread-safe."""
        line = message.to_line()
        with self._lock:
            self._out.write(line)


def send_heartbeats(wire: Wire, every_s: float) -> None:
    """Send heartbeats from a separate thread: they stop when the interpreter hangs, but not while it computes."""

    def loop() -> None:
        while True:
            wire.send(Heartbeat())
            time.sleep(every_s)

    threading.Thread(target=loop, name="heartbeat", daemon=True).start()


class OtherLaneError(Exception):
    """The stage has chosen an engine that another lane runs."""

    def __init__(self, engine: str) -> None:
        super().__init__(engine)
        self.engine = engine


def use_engine(lane: str, engine: str) -> None:
    """Refuse an engine that needs a GPU in a lane that uses none. The other way round the work is done: it has waited already.

    Raises:
        OtherLaneError: it is refused.
    """
    if lane != GPU and lane_of_engine(engine) == GPU:
        raise OtherLaneError(engine)


def run_stage(
    request: RunRequest,
    settings: Settings,
    wire: Wire,
    lane: str = GPU,
    check: Callable[[], None] = lambda: None,
    end_worker: Callable[[], None] = lambda: None,
) -> StageResult:
    """Run one stage and return its result; if it already finished in an earlier attempt, return that result.

    The result is also written to `STAGE.done.json` in the job's folder.

    Args:
        check: is called whenever the stage reports something; raises `StageCancelled` where the job was cancelled.
        end_worker: is called where the stage asks for a new process for the next job.

    Raises:
        OtherLaneError: the stage's engine needs a GPU, which this worker's lane does not use.
        StageCancelled: see `check`.
    """
    job, stage, directory = request.job, request.stage, request.dir
    if stage not in STAGES:
        raise ValueError(f"no stage {stage!r}")
    report = directory / f"{stage}.done.json"
    if report.exists():
        return StageResult.model_validate(json.loads(report.read_bytes()))
    sent: dict[type[Message], float] = {}

    def send_rarely(kind: type[Progress | TimeLeft], value: float) -> None:
        check()
        now = time.monotonic()
        if now - sent.get(kind, 0.0) >= PROGRESS_S:
            sent[kind] = now
            wire.send(kind(job=job, value=round(value, 4)))

    def progress(value: float) -> None:
        send_rarely(Progress, min(max(value, 0.0), 1.0))

    def report_seconds_left(seconds: float) -> None:
        send_rarely(TimeLeft, max(seconds, 0.0))

    def allow_seconds(seconds: float) -> None:
        check()
        wire.send(AllowTime(job=job, value=round(seconds, 1)))

    models: list[dict[str, Any]] = []

    def report_model(memory: ModelMemory) -> None:
        models.append(memory.to_json())
        send_model(wire, stage, memory)

    manifest = Manifest.model_validate(request.manifest)
    choose = partial(use_engine, lane)
    context = Context(
        job, request.name, directory, manifest, settings,
        progress, report_seconds_left, allow_seconds, report_model, choose, end_worker, request.still_s,
        by=request.by,
    )  # fmt: skip
    with measured(stage, report_model):
        module = importlib.import_module(f"stages.{stage}")
    facts = dict(run_with_room(module, context, stage))
    if models:
        facts["models"] = models
    warnings = [shorten_paths(warning, settings) for warning in context.warnings]
    result = StageResult(facts=facts, warnings=warnings)
    replace_json(report, dict(result))
    return result


def send_model(wire: Wire, stage: str, memory: ModelMemory) -> None:
    """Tell the daemon of a model that was loaded or unloaded."""
    wire.send(ModelChange(stage=stage, **memory.to_json()))


def run_with_room(module: Any, context: Context, stage: str) -> Facts:
    """Run a stage; if the GPU's memory does not suffice, once more after the other stages unloaded their models. If it does not
    suffice then, or they had none, do the stage without the GPU where that is accepted: `run_without_gpu` of its module.
    """
    done = _facts_or_lack(module.run, context)
    if not isinstance(done, MachineError):
        return done
    forget_frames(done)
    gc.collect()
    with measured("those of the other stages", context.report_model, "unloaded", least_s=0.0):
        released = release_other_models(stage)
        release_gpu_memory()
    if released:
        done = _facts_or_lack(module.run, context)
    if not isinstance(done, MachineError):
        return done
    forget_frames(done)
    gc.collect()
    release_gpu_memory()
    if not hasattr(module, "run_without_gpu"):
        raise done
    facts: Facts = module.run_without_gpu(context, done)
    return facts


def _facts_or_lack(run: Callable[[Context], Facts], context: Context) -> Facts | MachineError:
    """Return what a stage returns, or the error that the GPU's memory does not suffice, for what is done after its clause. The
    warnings of the stage are then forgotten: the next try gives them again.
    """
    said = len(context.warnings)
    try:
        return run(context)
    except MachineError as exc:
        if exc.code != "gpu-memory":
            raise
        del context.warnings[said:]
        return exc


def forget_frames(failed: BaseException) -> None:
    """Free what the frames of a failed stage hold, such as tensors: an error refers to its frames, and a frame that keeps the
    error to it, so that both would stay until Python looks for such cycles. How full a GPU is does not make it look.
    """
    for error in _chain(failed):
        error.__traceback__ = None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it was raised from or after."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop()
        if current is not None and id(current) not in seen:
            seen.add(id(current))
            yield current
            waiting += [current.__cause__, current.__context__]


def release_gpu_memory() -> None:
    """Give PyTorch's unused blocks of GPU memory back to the driver.

    Raises:
        MachineError: `gpu-lost`.
    """
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        from stages.gpu.device import empty_cache

        empty_cache()


def release_other_models(stage: str) -> bool:
    """Make all other stages unload their models. Returns False if none had a model loaded."""
    others: list[Any] = [sys.modules.get(f"stages.{name}") for name in STAGES if name != stage]
    reports: list[Facts] = [module.release() for module in others if hasattr(module, "release")]
    for report in filter(None, reports):
        log.info("Unloaded to free memory: %s", report)
    return any(reports)


def classify_error(exc: Exception, settings: Settings) -> AvatarError:
    """Turn an exception into the error to report.

    Libraries often do not say why a write failed. An unknown error becomes `disk-full` if one of the disks in use is full.
    """
    error = from_exception(exc)
    if error.fault != "unknown":
        return error
    paths = settings.paths
    for folder in (paths.spool, paths.cache, paths.outbox, Path(tempfile.gettempdir())):
        with contextlib.suppress(OSError):
            if free_bytes(folder) < FULL_BYTES:
                return MachineError(
                    "disk-full",
                    f"The disk of {folder} is full: {error.message}",
                    "Free some space; work then resumes by itself.",
                )
    return error


def run_and_report(
    request: RunRequest, settings: Settings, wire: Wire, lane: str, check: Callable[[], None] = lambda: None
) -> bool:
    """Run one stage and send how it ended; `check` as for `run_stage`. Returns whether this process can run another stage."""
    ends: list[bool] = []
    try:
        result = run_stage(request, settings, wire, lane, check, lambda: ends.append(True))
        wire.send(Result(job=request.job, **dict(result), last=bool(ends)))
    except StageCancelled:
        ended = JobError("cancelled", "The stage ended, since its job was cancelled.")
        wire.send(ErrorReport.of(ended, request.job, "", last=False))
    except OtherLaneError as told:
        wire.send(Elsewhere(job=request.job, engine=told.engine))
    except Exception as exc:
        trace = traceback_of(exc)
        error = with_short_paths(classify_error(exc, settings), settings)
        if not trace:
            log.debug("The stage reports %s.", error.code, exc_info=True)
        # After losing the GPU, CUDA cannot recover in this process, and a process that computed a wrong result may do so again:
        # exit so that a new process starts.
        wrong = isinstance(error, ResultError) and not isinstance(error, LackingError)
        last = error.code == "gpu-lost" or wrong
        wire.send(ErrorReport.of(error, request.job, trace, last=last))
        if not last:  # to free the memory of a GPU that is lost would end the process before its time
            forget_frames(exc)
        return not last
    finally:
        release_free_memory()  # a stage frees up to 100 MB, which the next one, or another worker, may need
    return True


def preload_and_report(stage: str, settings: Settings, wire: Wire, lane: str) -> None:
    """Load what a stage needs, and send how that went. No job depends on it."""
    started, error, traceback = time.monotonic(), None, ""
    try:
        with measured("preloaded", partial(send_model, wire, stage)):
            preload_stage(stage, settings, partial(use_engine, lane))
    except OtherLaneError as other:
        log.debug("Nothing to load here: %s belongs to another lane.", other.engine)
    except Exception as exc:
        error, traceback = classify_error(exc, settings), traceback_of(exc)
        forget_frames(exc)
    seconds = round(time.monotonic() - started, 3)
    wire.send(
        Preloaded(stage=stage, seconds=seconds) if error is None else Preloaded.failed(error, stage, seconds, traceback)
    )


def serve_requests(wire: Wire, log_handler: WorkerLogHandler, lane: str) -> None:
    """Answer requests until stdin closes."""
    settings = Settings()
    requests = Requests(sys.stdin.fileno(), free_kept)
    for request in requests:
        if isinstance(request, InitRequest):
            settings = request.settings
            log_handler.set_level(settings.log.level)
            requests.idle_s = settings.lanes.idle_s
            send_heartbeats(wire, settings.lanes.heartbeat_s)
            wire.send(Ready(pid=os.getpid(), ops=OPS))
            continue
        if isinstance(request, PreloadRequest):
            preload_and_report(request.stage, settings, wire, lane)
            continue
        with log_handler.for_job(request.job, request.stage):
            goes_on = run_and_report(request, settings, wire, lane, partial(requests.check, request.job))
        if not goes_on:
            return


def main() -> None:
    """Run the worker of a lane until its input is closed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lane", required=True)
    parser.add_argument("--parent", type=int, default=os.getppid(), help="process id of the daemon")
    args = parser.parse_args()
    gc.freeze()  # modules are no garbage later, either
    return_large_blocks()
    # OpenMP's threads, which torch computes with, spin while they wait for each other, and take the other workers' cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the daemon handles Ctrl-C
    die_with(args.parent)
    restrict_umask()
    wire = Wire()
    log_handler = WorkerLogHandler(wire.send)
    log_handler.install()
    serve_requests(wire, log_handler, args.lane)


if __name__ == "__main__":
    main()
