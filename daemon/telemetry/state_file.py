"""Writes into `spool/state.json` what commands, people and the next start want to know: the paused lanes, what is not watched,
the slots of the GPUs, the loaded models, and how fast the stages are.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from daemon.errors import AvatarError, ErrorText
from daemon.events import Subscriber
from daemon.jobs.record import Job
from daemon.outbox.estimates.estimate_errors import EstimateErrors
from daemon.outbox.estimates.learned_times import LearnedTimes, from_factors
from daemon.outbox.estimator import Estimator
from daemon.outbox.latest_writes import LatestWrites
from daemon.system.json_files import replace_json_best_effort
from daemon.wire import ModelChange

#: Keys of what the estimator has learned, of what earlier versions wrote in its place, and of how wrong it was.
LEARNED, FACTORS, ERRORS = "learned_times", "stage_factors", "estimate_errors"
#: Least time between two writes of what was learned, s.
WRITE_S = 10.0


class StateFile(Subscriber):
    """Keeps `state.json`: lanes paused by a fault of the machine, why folders of the inbox are not watched, the models that
    workers have loaded, what the estimator has learned, and how wrong it was.

    Pauses that people ordered are in `paused.json`.

    Args:
        slots: returns what the slots with a GPU of their own are doing.
        beside: makes the writes after events, since a slot that takes its next job waits for no flush; None: made at once.
    """

    def __init__(
        self,
        path: Path,
        estimator: Estimator,
        errors: EstimateErrors,
        slots: Callable[[], list[dict[str, Any]]] = list,
        beside: LatestWrites | None = None,
    ) -> None:
        self._path = path
        self._beside = beside
        self._slots = slots
        self._estimator = estimator
        self._errors = errors
        self._written_at = 0.0
        self._paused: dict[str, dict[str, Any]] = {}
        self._unwatched: ErrorText | None = None
        self._models: dict[tuple[int | None, str, str], dict[str, Any]] = {}

    def lane_paused(self, lane: str, error: AvatarError, delay_s: float) -> None:
        now = time.time()
        since = self._paused.get(lane, {}).get("since", now)
        self._paused[lane] = {
            **error.to_dict(),
            "since": since,
            "again": now + delay_s,
        }
        self._write_soon()

    def lane_resumed(self, lane: str) -> None:
        if self._paused.pop(lane, None) is not None:
            self._write_soon()

    def model_changed(self, change: ModelChange) -> None:
        key = (change.pid, change.stage, change.model)
        self._models = {one: model for one, model in self._models.items() if one != key and is_alive(model["pid"])}
        if change.change == "loaded":
            self._models[key] = {
                "lane": change.lane,
                "stage": change.stage,
                "model": change.model,
                "pid": change.pid,
                "since": time.time(),
                "ram_bytes": _grown(change.ram_before, change.ram_after),
                "gpu_bytes": _grown(change.gpu_before, change.gpu_after),
            }
        self._write_soon()

    def slots_changed(self) -> None:
        self._write_soon()

    def inbox_watched(self, error: AvatarError | None, folders: int) -> None:
        self._unwatched = error.to_dict() if error else None
        self._write_soon()

    def job_finished(self, job: Job) -> None:
        if time.monotonic() - self._written_at >= WRITE_S:
            self._write_soon()

    def _write_soon(self) -> None:
        self._written_at = time.monotonic()
        if self._beside is None:
            self._write()()
        else:
            self._beside.put(self._path.name, self._write)

    def write(self) -> None:
        """Write the present state. It is for information only, so it need not survive a power cut."""
        self._written_at = time.monotonic()
        if self._beside is not None:
            self._beside.discard(self._path.name)
        self._write()()

    def _write(self) -> Callable[[], None]:
        """Return what writes the present state."""
        state = {
            "paused_lanes": dict(self._paused),
            "unwatched": self._unwatched,
            "slots": self._slots(),
            "models": list(self._models.values()),
            LEARNED: self._estimator.learned.to_json(),
            ERRORS: self._errors.to_json(),
        }
        return partial(replace_json_best_effort, self._path, state)


def _grown(before: int | None, after: int | None) -> int | None:
    """Return by how much memory grew, in bytes; 0 where it shrank. None: it is not known."""
    return None if before is None or after is None else max(0, after - before)


def loaded_models(state: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the models in `read_state` whose worker still runs; a worker ends without a word about its models."""
    return [model for model in state.get("models", []) if is_alive(model.get("pid"))]


def learned_times(state: dict[str, Any]) -> LearnedTimes:
    """Return what was learned of stages by `read_state`."""
    return LearnedTimes(state[LEARNED] if LEARNED in state else from_factors(state.get(FACTORS)))


def is_alive(pid: int | None) -> bool:
    """Return whether there is a process with this id."""
    return pid is not None and Path(f"/proc/{pid}").exists()


def read_state(path: Path) -> dict[str, Any]:
    """Return what a daemon wrote into `state.json`; empty where there is nothing to read."""
    try:
        state = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}
