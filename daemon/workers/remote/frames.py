"""The messages between the daemon and the driver of a Ray cluster, as JSON lines. Those of workers travel in them unchanged.

An **epoch** is a number that is never used twice while the daemon runs. Each start of a worker has one (`host`), and so has each
start of a stage (`epoch`): what carries any but the latest comes from a worker that was given up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict

_Kind = TypeVar("_Kind", bound="_Frame")
#: Longest line, in bytes: a line of a worker, and what is around it.
LINE_LIMIT: Final = 8 * 2**20


class _Frame(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    def to_line(self) -> bytes:
        """Return the message as a JSON line."""
        return self.model_dump_json().encode() + b"\n"


# -- from the daemon ---------------------------------------------------------------------------------------------------


class Connect(_Frame):
    """The first message: which cluster, and where to put what comes back.

    Attributes:
        reach_s: a machine that has not answered for so long is given up, s.
        folder: for results, on the disk of the spool; it is the driver's alone.
    """

    op: Literal["connect"] = "connect"
    address: str
    allow_open: bool
    reach_s: float
    folder: Path


class StartHost(_Frame):
    """Start a worker. `init`: its first line; `gpu`: whether it needs one."""

    op: Literal["start"] = "start"
    slot: str
    host: int
    lane: str
    gpu: bool
    init: str


class RunStage(_Frame):
    """Have a worker run a stage.

    Attributes:
        dir: the job's folder here, whose files go along.
        line: the request.
        profiles: the folder of voice profiles here, where the stage may speak with one.
        voices: names of those that it may speak with; see `list_voice_files`.
    """

    op: Literal["run"] = "run"
    slot: str
    host: int
    epoch: int
    dir: Path
    line: str
    profiles: Path | None = None
    voices: list[str] = []


class Tell(_Frame):
    """Any other request for a worker."""

    op: Literal["tell"] = "tell"
    slot: str
    host: int
    line: str


class StopHost(_Frame):
    """End a worker at once."""

    op: Literal["stop"] = "stop"
    slot: str
    host: int


FromDaemon = Connect | StartHost | RunStage | Tell | StopHost

# -- from the driver ---------------------------------------------------------------------------------------------------


class Connected(_Frame):
    """The cluster answers; sent again when it has changed."""

    event: Literal["connected"] = "connected"
    nodes: int
    gpus: float
    cpus: float


class Failed(_Frame):
    """The cluster cannot be used; the driver ends."""

    event: Literal["failed"] = "failed"
    code: str
    message: str
    hint: str


class HostLine(_Frame):
    """A line of a worker that is no result."""

    event: Literal["line"] = "line"
    slot: str
    host: int
    line: str


class Results(_Frame):
    """A stage is done.

    Attributes:
        line: the worker's message.
        folder: what it has made; None where the worker had been given up, and nothing was fetched.
        removed: files of the job's folder that it removed.
    """

    event: Literal["results"] = "results"
    slot: str
    host: int
    epoch: int
    line: str
    folder: Path | None = None
    removed: list[str] = []


class HostEnded(_Frame):
    """A worker is gone.

    Attributes:
        lost: it was lost with its machine, or with the way to it; else it ended by itself.
        code, reason: stable code, and a sentence.
        tail: its last log lines.
    """

    event: Literal["ended"] = "ended"
    slot: str
    host: int
    lost: bool
    code: str
    reason: str
    tail: list[str] = []


FromDriver = Connected | Failed | HostLine | Results | HostEnded

_FROM_DAEMON: Final[Mapping[str, type[FromDaemon]]] = {
    kind.model_fields["op"].default: kind for kind in get_args(FromDaemon)
}
_FROM_DRIVER: Final[Mapping[str, type[FromDriver]]] = {
    kind.model_fields["event"].default: kind for kind in get_args(FromDriver)
}


def read_from_daemon(line: bytes) -> FromDaemon:
    """Read a line from the daemon.

    Raises:
        ValueError: it is no message.
    """
    return _read(line, "op", _FROM_DAEMON)


def read_from_driver(line: bytes) -> FromDriver:
    """Read a line from the driver.

    Raises:
        ValueError: it is no message.
    """
    return _read(line, "event", _FROM_DRIVER)


def _read(line: bytes, key: str, kinds: Mapping[str, type[_Kind]]) -> _Kind:
    raw = json.loads(line)
    kind = kinds.get(str(raw.get(key))) if isinstance(raw, dict) else None
    if kind is None:
        raise ValueError(f"the message has no known {key}")
    return kind.model_validate(raw)
