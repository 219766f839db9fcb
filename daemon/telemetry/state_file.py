"""Writes the paused lanes, what is not watched, and how fast the stages are into `spool/state.json`: for commands, people and the
next start.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from daemon.errors import AvatarError
from daemon.events import Subscriber
from daemon.jobs.record import Job
from daemon.outbox.estimator import Estimator
from daemon.system.json_files import replace_json_best_effort

#: The key of what the estimator has learned (`read_factors`).
FACTORS = "stage_factors"
#: Least time between two writes of what was learned, s.
WRITE_S = 10.0


class StateFile(Subscriber):
    """Keeps `state.json`: lanes paused by a fault of the machine, why folders of the inbox are not watched, and what the
    estimator has learned.

    Pauses that people ordered are in `paused.json`.
    """

    def __init__(self, path: Path, estimator: Estimator) -> None:
        self._path = path
        self._estimator = estimator
        self._written_at = 0.0
        self._paused: dict[str, dict[str, Any]] = {}
        self._unwatched: dict[str, str] | None = None

    def lane_paused(self, lane: str, error: AvatarError, delay_s: float) -> None:
        now = time.time()
        since = self._paused.get(lane, {}).get("since", now)
        self._paused[lane] = {
            **error.to_dict(),
            "since": since,
            "again": now + delay_s,
        }
        self.write()

    def lane_resumed(self, lane: str) -> None:
        if self._paused.pop(lane, None) is not None:
            self.write()

    def inbox_watched(self, error: AvatarError | None, folders: int) -> None:
        self._unwatched = error.to_dict() if error else None
        self.write()

    def job_finished(self, job: Job) -> None:
        if time.monotonic() - self._written_at >= WRITE_S:
            self.write()

    def write(self) -> None:
        """Write the present state. It is for information only, so it need not survive a power cut."""
        self._written_at = time.monotonic()
        factors = {stage: round(factor, 4) for stage, factor in self._estimator.factors.items()}
        state = {"paused_lanes": self._paused, "unwatched": self._unwatched, FACTORS: factors}
        replace_json_best_effort(self._path, state)


def read_state(path: Path) -> dict[str, Any]:
    """Return what a daemon wrote into `state.json`; empty where there is nothing to read."""
    try:
        state = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}
