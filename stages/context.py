"""The `Context` that a stage's `run(ctx)` receives: job folder, manifest, settings, and callbacks that report progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daemon.config import Settings
from daemon.jobs.companions import copy_name
from daemon.jobs.manifest import Manifest
from stages.model_memory import Report

#: JSON object that a stage returns for the status file: engine, the reason for its choice, measured figures (`stages.facts`).
Facts = Mapping[str, Any]


def _ignore(*_: object) -> None:
    return None


@dataclass(frozen=True)
class Context:
    """One stage's view of one job.

    Attributes:
        job_id: id of the job; seeds and temporary names are made from it.
        name: name of the results in the outbox, without ending.
        job_dir: folder of the job's artifacts; new ones are written through `daemon.system.fs.artifact`.
        manifest: the job's manifest. Copies of the files it names are in `job_dir`: see `source`.
        settings: the daemon's settings.
        progress: reports the finished fraction, 0 to 1; may be called often. It and the next two raise `StageCancelled`, which a
            stage lets through, where the job was cancelled.
        report_seconds_left: reports the stage's own estimate of its remaining seconds. It is shown to people and extends the
            stage's time limit.
        allow_seconds: extends the time limit to this many seconds from now, for a step whose time the length of the speech
            does not determine.
        use_engine: must be called with the name of the engine that the stage has chosen, before that loads anything. It does not
            return where the engine belongs to another lane.
        report_model: is told of each model that was loaded or unloaded (`stages.model_memory.measured`).
        end_worker: asks for a new process for the next job: what this one computes with is lost to it.
        still_s: seconds since each source file had last changed when it was copied, by the copy's name; some are missing.
        by: user who handed the job in; empty if it is not known.
        warnings: sentences for people, shown in the status of a finished job.
    """

    job_id: str
    name: str
    job_dir: Path
    manifest: Manifest
    settings: Settings
    progress: Callable[[float], None] = _ignore
    report_seconds_left: Callable[[float], None] = _ignore
    allow_seconds: Callable[[float], None] = _ignore
    report_model: Report = _ignore
    use_engine: Callable[[str], None] = _ignore
    end_worker: Callable[[], None] = _ignore
    still_s: Mapping[str, float] = field(default_factory=dict)
    by: str = ""
    warnings: list[str] = field(default_factory=list)

    def path(self, name: str) -> Path:
        """Path of the artifact `name` in the job's folder."""
        return self.job_dir / name

    def source(self, key: str) -> Path:
        """Path of the job's copy of the file that the manifest's `key` names, such as "image"."""
        return self.job_dir / copy_name(key)

    def allow_pixels(self, megapixels: float) -> None:
        """Extend the time limit by what reading a picture of this size may take."""
        timeout = self.settings.lanes.timeout
        self.allow_seconds(timeout.base_s + timeout.per_megapixel_s * megapixels)
