"""The status of a job and its result, as typed records of what the status file says (docs/status.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self, cast

from daemon.jobs.record import FINISHED, State
from daemon.jobs.stages import DELIVER


@dataclass(frozen=True)
class JobFailure:
    """Why a job failed or was cancelled.

    Attributes:
        code: stable, see docs/errors.md.
        message: what is wrong, for people.
        hint: what to do; may be empty.
        fault: whose fault it is: `job`, `machine` or `unknown`.
        stage: where; None if it is not known.
    """

    code: str
    message: str
    hint: str = ""
    fault: str = "unknown"
    stage: str | None = None


@dataclass(frozen=True)
class Output:
    """A file that a job delivered. `path`: where; `bytes`: its size; `sha256`: in hexadecimal."""

    path: Path
    bytes: int
    sha256: str


@dataclass(frozen=True)
class JobStatus:
    """What the status file says of a job. Times are in UTC, durations in seconds.

    Attributes:
        job: its id.
        name: path of its results below the outbox, without ending.
        state: waiting, queued, running, held, done, failed or cancelled.
        stage: where it waits, runs or ended.
        progress: finished part, 0 to 1.
        eta_s: expected seconds from `updated` until it is done.
        queue_position: its place in the queue; 1 is next.
        by: who handed it in.
        next: what happens next, or what to do, for people.
        standstill: why nothing happens with it now, and what makes it go on: the daemon does not run, or there is a pause or a
            hold; empty where it goes on. It is no part of the status file.
        stages: what each finished stage found.
        record: the whole file, for keys that have no attribute here.
    """

    job: str
    name: str
    state: State
    stage: str | None = None
    progress: float = 0.0
    eta_s: float | None = None
    queue_position: int | None = None
    by: str | None = None
    accepted: datetime | None = None
    updated: datetime | None = None
    finished: datetime | None = None
    next: str = ""
    standstill: str = ""
    error: JobFailure | None = None
    warnings: tuple[str, ...] = ()
    waiting_for: tuple[str, ...] = ()
    outputs: tuple[Output, ...] = ()
    stages: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def is_finished(self) -> bool:
        """Whether it is done, failed or cancelled."""
        return self.state in FINISHED

    @classmethod
    def of(cls, record: Mapping[str, Any], outbox: Path) -> Self:
        """Return the status that a checked record says (`daemon.outbox.checked_status`).

        Args:
            outbox: the folder that the results lie in.
        """
        error = record.get("error")
        position = record.get("queue_position")
        return cls(
            job=str(record["job"]),
            name=str(record["name"]),
            state=cast(State, record["state"]),
            stage=record.get("stage"),
            progress=float(record.get("progress") or 0.0),
            eta_s=record.get("eta_s"),
            queue_position=position if type(position) is int else None,
            by=record.get("by"),
            accepted=_time(record.get("accepted")),
            updated=_time(record.get("updated")),
            finished=_time(record.get("finished")),
            next=str(record.get("next") or ""),
            error=_error(error) if error else None,
            warnings=tuple(map(str, record.get("warnings") or ())),
            waiting_for=tuple(map(str, record.get("waiting_for") or ())),
            outputs=tuple(_outputs(record.get("outputs") or (), outbox)),
            stages=_mapping(record.get("stages")),
            metadata=_mapping(record.get("metadata")),
            record=record,
        )


@dataclass(frozen=True)
class Result:
    """How a job ended.

    Attributes:
        success: whether it is done.
        state: done, failed or cancelled.
        output: the main result; None without success.
        outputs: all results, the main one last.
        stages_completed: names of the finished stages, in their order.
        error: why there is no result.
    """

    success: bool
    state: State
    output: Path | None
    outputs: tuple[Path, ...]
    stages_completed: tuple[str, ...]
    error: JobFailure | None
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, status: JobStatus) -> Self:
        """Return the result of a finished job."""
        done = status.state == "done"
        paths = tuple(output.path for output in status.outputs) if done else ()
        return cls(
            success=done,
            state=status.state,
            output=paths[-1] if paths else None,
            outputs=paths,
            stages_completed=(*status.stages, *((DELIVER,) if done else ())),
            error=status.error,
            warnings=status.warnings,
        )


def _time(value: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _error(value: Mapping[str, Any]) -> JobFailure:
    stage = value.get("stage")
    texts = {name: str(value.get(name) or "") for name in ("code", "message", "hint")}
    return JobFailure(**texts, fault=str(value.get("fault") or "unknown"), stage=None if stage is None else str(stage))


def _outputs(values: Any, outbox: Path) -> list[Output]:
    """Return the outputs that lie in the outbox; a record that leads out of it was not written by the daemon."""
    found = []
    for value in values:
        file, size = (value.get("file"), value.get("bytes")) if isinstance(value, dict) else (None, None)
        if isinstance(file, str) and ".." not in file.split("/") and not file.startswith("/"):
            found.append(Output(outbox / file, size if type(size) is int else 0, str(value.get("sha256") or "")))
    return found
