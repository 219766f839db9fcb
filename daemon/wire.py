"""The messages between the daemon and its workers (docs/worker.md), as records that are checked where they are read.

Keys that this version does not know are ignored, and so are messages of unknown events, so that a worker may say more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from daemon.config import Settings
from daemon.errors import (
    AvatarError,
    Fault,
    JobError,
    MachineError,
    ResultError,
    UnknownError,
    escape_unprintable,
    first_invalid,
    shorten,
)
from daemon.jobs.facts import StageFacts
from daemon.system.json_files import StoredAs

LogLevel = Literal["debug", "info", "warning", "error"]
LEVELS: Final[tuple[LogLevel, ...]] = get_args(LogLevel)
_Kind = TypeVar("_Kind", bound="_Record")
_FAULTS: Final[tuple[Fault, ...]] = get_args(Fault)

# Log messages and errors are for people: they are read whatever form they have, since a refused one would be lost.
_Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else str(value))]
_Level = Annotated[LogLevel, BeforeValidator(lambda value: value if value in LEVELS else "info")]
_Fault = Annotated[Fault, BeforeValidator(lambda value: value if value in _FAULTS else "unknown")]
_Flag = Annotated[bool, BeforeValidator(bool)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    def to_line(self) -> bytes:
        """Return the message as a JSON line; fields that are None are left out."""
        fields = {name: value for name, value in self if value is not None}
        return json.dumps(fields, default=_as_json).encode() + b"\n"


def _as_json(value: object) -> object:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)


# -- from the daemon ---------------------------------------------------------------------------------------------------


class InitRequest(_Record):
    """The first request: the daemon's settings."""

    op: Literal["init"] = "init"
    settings: Settings


class RunRequest(_Record):
    """Run one stage of a job.

    Attributes:
        job: id of the job.
        name: name of its results, without ending.
        dir: the job's folder.
        manifest: the manifest as JSON; checked by the stage's run, so that a fault in it is an error of the job.
        still_s: seconds that each source file had been unchanged, by the copy's name.
        by: user who handed it in; empty if it is not known.
    """

    op: Literal["run"] = "run"
    job: str
    name: str
    stage: str
    dir: Path
    manifest: Mapping[str, Any]
    still_s: Mapping[str, float] = {}
    by: str = ""


class PreloadRequest(_Record):
    """Load what a stage needs, before its first job; only for a worker whose `ops` name it."""

    op: Literal["preload"] = "preload"
    stage: str


class CancelRequest(_Record):
    """End the running stage of a job and stay ready for the next one; only for a worker whose `ops` name it."""

    op: Literal["cancel"] = "cancel"
    job: str


Request = InitRequest | RunRequest | PreloadRequest | CancelRequest
_REQUESTS: Final[Mapping[str, type[Request]]] = {kind.model_fields["op"].default: kind for kind in get_args(Request)}


def read_request(line: bytes) -> Request:
    """Read a line from the daemon.

    Raises:
        ValueError: it is no request; names the field.
    """
    found = _read(line, "op", _REQUESTS)
    if found is None:
        raise ValueError("the request is of no known kind")
    return found


# -- from the worker ---------------------------------------------------------------------------------------------------


class Ready(_Record):
    """The worker has read its settings and accepts jobs.

    Attributes:
        ops: the requests that it answers, beside `init`.
    """

    event: Literal["ready"] = "ready"
    pid: int | None = None
    ops: tuple[str, ...] = ("run",)


class Heartbeat(_Record):
    """The worker's interpreter runs."""

    event: Literal["heartbeat"] = "heartbeat"


class Progress(_Record):
    """The finished part of the stage, 0 to 1."""

    event: Literal["progress"] = "progress"
    job: str | None = None
    value: float


class TimeLeft(_Record):
    """The stage's measured remaining time, s."""

    event: Literal["left"] = "left"
    job: str
    value: float


class AllowTime(_Record):
    """The most seconds that the stage's next step can need."""

    event: Literal["allow"] = "allow"
    job: str | None = None
    value: float


class ModelChange(_Record):
    """A model was loaded or unloaded, which took so many seconds.

    Attributes:
        ram_before, ram_after: main memory that the worker held, bytes; None: it does not say.
        gpu_before, gpu_after: memory that it held on the GPU, bytes; None: it uses none.
        lane, slot, pid: whose worker it is, and its process; the daemon fills them in.
    """

    event: Literal["model"] = "model"
    stage: str
    model: str
    seconds: float
    change: Literal["loaded", "unloaded"] = "loaded"
    ram_before: int | None = None
    ram_after: int | None = None
    gpu_before: int | None = None
    gpu_after: int | None = None
    lane: str | None = None
    slot: str | None = None
    pid: int | None = None


class LogMessage(_Record):
    """What a stage or a library logged; `job` and `stage` are absent between two jobs."""

    event: Literal["log"] = "log"
    level: _Level = "info"
    text: _Text = ""
    job: _Text | None = None
    stage: _Text | None = None


class StageResult(_Record):
    """What a finished stage returned: the content of `STAGE.done.json`.

    Attributes:
        facts: JSON object for the status file; each stage's own, see stages/facts.py.
        warnings: sentences for people.
    """

    facts: Annotated[StageFacts, StoredAs(dict[str, Any])]
    warnings: list[str]


class Result(StageResult):
    """The stage is done.

    Attributes:
        last: the worker can still do something, but should get no other job.
    """

    event: Literal["result"] = "result"
    job: str | None = None
    last: _Flag = False


class Elsewhere(_Record):
    """The stage was not run, since the engine that it chose belongs to another lane."""

    event: Literal["elsewhere"] = "elsewhere"
    job: str | None = None
    engine: str


class _ErrorFields(_Record):
    """An error.

    Attributes:
        traceback: shortened; empty where the stage itself found a fault of the job or the machine.
        result: a fault of the machine that concerns this job alone.
    """

    fault: _Fault = "unknown"
    code: _Text = "internal-error"
    message: _Text = ""
    hint: _Text = ""
    traceback: _Text = ""
    result: _Flag = False

    def to_exception(self) -> AvatarError:
        """Return the error as an exception of the daemon."""
        kinds: dict[Fault, type[AvatarError]] = {
            "job": JobError,
            "machine": ResultError if self.result else MachineError,
            "unknown": UnknownError,
        }
        error = kinds[self.fault](self.code, self.message, self.hint)
        error.traceback = escape_unprintable(shorten(self.traceback))
        return error


class ErrorReport(_ErrorFields):
    """The stage failed.

    Attributes:
        last: the worker ends now, and gets no other job.
    """

    event: Literal["error"] = "error"
    job: _Text | None = None
    last: _Flag = False

    @classmethod
    def of(cls, error: AvatarError, job: str, traceback: str, *, last: bool) -> ErrorReport:
        """Return the report of an error."""
        return cls(
            job=job, fault=error.fault, **error.to_dict(), traceback=traceback, last=last,
            result=isinstance(error, ResultError),
        )  # fmt: skip


class Preloaded(_ErrorFields):
    """What a stage needs is loaded, which took so many seconds; with a `code`, it could not be."""

    event: Literal["preloaded"] = "preloaded"
    stage: str
    seconds: float
    code: _Text = ""

    @classmethod
    def failed(cls, error: AvatarError, stage: str, seconds: float, traceback: str) -> Preloaded:
        """Return the report of an error."""
        return cls(stage=stage, seconds=seconds, fault=error.fault, **error.to_dict(), traceback=traceback)


Message = (
    Ready | Heartbeat | Preloaded | Progress | TimeLeft | AllowTime | ModelChange | LogMessage | Elsewhere | Result
    | ErrorReport
)  # fmt: skip
#: Messages that a worker's owner receives while a stage runs.
Notice = TimeLeft | ModelChange
_MESSAGES: Final[Mapping[str, type[Message]]] = {kind.model_fields["event"].default: kind for kind in get_args(Message)}


def read_message(line: bytes) -> Message | None:
    """Read a line from a worker; None if it is an event of a later version.

    Raises:
        ValueError: it is no message; names the field.
    """
    return _read(line, "event", _MESSAGES)


def _read(line: bytes, key: str, kinds: Mapping[str, type[_Kind]]) -> _Kind | None:
    """Read a line as the record that its `key` names; None if there is no such record."""
    raw = json.loads(line)
    if not isinstance(raw, dict) or key not in raw:
        raise ValueError(f"the message has no {key}")
    name = str(raw[key])
    kind = kinds.get(name)
    if kind is None:
        return None
    try:
        return kind.model_validate(raw)
    except ValidationError as exc:
        raise ValueError(f"the message {name} is invalid: {first_invalid(exc, name)}") from exc
