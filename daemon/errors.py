"""Defines the errors that users see. Each has a stable kebab-case code, one sentence, and a hint what to do next.

The class of an error says whose fault it is, which decides what happens to the job (docs/spool.md, promise 4).
"""

from __future__ import annotations

import errno
import traceback
from typing import TYPE_CHECKING, Literal, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import ValidationError

Fault = Literal["job", "machine", "unknown"]

#: The hint of errors whose cause is not known, for people who see the status only.
TRIED_AGAIN = (
    "avatard tries again by itself. If the job fails in the end, whoever runs avatard finds the reason in the log, "
    "under the job's id."
)


def who_can_change(remedy: str) -> str:
    """Return a remedy that needs the installation as a hint for people who only hand jobs in; empty for an empty one."""
    return f"Whoever runs avatard can change that: {remedy}" if remedy else ""


#: Longest text of one log message of a worker, and longest traceback, in characters.
TEXT_CHARS = 8192

#: OS errors caused by the machine's state: the lane pauses, and the attempt is not counted.
MACHINE_ERRNOS = frozenset(
    {
        errno.EAGAIN,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EIO,
        errno.EROFS,
        errno.ENOMEM,
        errno.EMFILE,
        errno.ENFILE,
        errno.ESTALE,
        errno.ENODEV,
        errno.ENOTCONN,
    }
)


class ErrorText(TypedDict):
    """An error as JSON files and answers contain it; see `AvatarError`."""

    code: str
    message: str
    hint: str


class AvatarError(Exception):
    """Base class of all errors with a code. It is not raised itself: each class below says whose fault the error is.

    Args:
        code: stable, kebab-case, listed in docs/errors.md.
        message: one sentence that says what is wrong, and where.
        hint: one sentence that says what to do.

    Attributes:
        traceback: traceback of an unexpected error, for the log and the job's history; else empty. It contains paths of the
            machine, so it is not written into status files.
    """

    fault: Fault = "unknown"
    traceback: str = ""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        self.code, self.message, self.hint = code, escape_unprintable(message), escape_unprintable(hint)
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def to_dict(self) -> ErrorText:
        """Return code, message and hint, as JSON files and answers contain them."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


class JobError(AvatarError):
    """A fault of the job (bad text, no face): the job fails at once."""

    fault: Fault = "job"


class MachineError(AvatarError):
    """A fault of the machine (disk full, model file missing): the lane pauses, and the job is retried without limit."""

    fault = "machine"


class UnknownError(AvatarError):
    """An error of unknown cause: the job is retried with growing delay, then fails."""


class RefusedError(AvatarError):
    """A request does not fit the job, name or key that it is about: a fault of the request, which concerns no job's work."""

    fault: Fault = "job"


class UnavailableError(AvatarError):
    """The installation cannot do now, or not for this user, what was asked: a fault of the machine, which pauses no lane."""

    fault: Fault = "machine"


class Postponed(AvatarError):  # noqa: N818 (it says what happened)
    """A file cannot be accepted now (still being written, or no space on the disk). Only this file is tried again; its job
    fails with this error after `intake.companion_wait_s`.
    """

    def __init__(self, code: str, message: str, hint: str, fault: Fault = "job") -> None:
        super().__init__(code, message, hint)
        self.fault = fault


class ResultError(UnknownError):
    """A stage produced an invalid result, such as noise for speech: a fault of the machine.

    It may affect only this job, so the lane continues: the job is retried with growing delay, then fails.
    """

    fault = "machine"


class LackingError(ResultError):
    """The machine lacks a part that this job needs and most do not, such as an encoder: a fault of the machine.

    Other jobs go on, in the same process.
    """


class ConfigError(AvatarError):
    """config.yaml is invalid; the command exits with EX_CONFIG (78)."""


def stated_error(fault: object, error: Mapping[str, object]) -> AvatarError:
    """Return an error that an answer or a status tells of, as an exception of the class that its fault says.

    Args:
        fault: as it is told; what is no fault counts as unknown.
        error: its `code`, `message` and `hint`.
    """
    kinds: dict[object, type[AvatarError]] = {"job": JobError, "machine": MachineError}
    text = [str(error.get(key) or "") for key in ("code", "message", "hint")]
    return kinds.get(fault if isinstance(fault, str) else "", UnknownError)(*text)


def escape_unprintable(text: str) -> str:
    """Escape all unprintable characters but line breaks, so that untrusted text cannot control a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def shorten(text: str, limit: int = TEXT_CHARS) -> str:
    """Shorten text to about `limit` characters. The middle is left out, as a traceback says most at its end."""
    if len(text) <= limit:
        return text
    head = limit // 4
    return f"{text[:head]}\n… {len(text) - limit} characters are left out …\n{text[head - limit :]}"


def first_invalid(exc: ValidationError, whole: str) -> str:
    """Return where data is invalid first, and why, such as "phones.3.start: Field required". `whole` names the data."""
    first = exc.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or whole}: {first['msg']}"


def traceback_of(exc: BaseException) -> str:
    """Return the shortened traceback of an exception; empty where the message is complete."""
    if isinstance(exc, AvatarError) and exc.traceback:
        return exc.traceback
    if isinstance(exc, JobError | MachineError | LackingError):
        return ""
    return escape_unprintable(shorten("".join(traceback.format_exception(exc)).rstrip()))


def from_exception(exc: BaseException) -> AvatarError:
    """Convert any exception into an AvatarError of the right fault; an AvatarError is returned unchanged."""
    if isinstance(exc, AvatarError):
        return exc
    if isinstance(exc, MemoryError):
        return MachineError("out-of-memory", "The machine ran out of memory.", "Free memory or lower the limits.")
    if isinstance(exc, ImportError):
        return MachineError(
            "install-broken",
            f"Part of the installation is missing: {exc}.",
            "Run `avatar doctor`, which says how to repair it.",
        )
    if isinstance(exc, OSError) and exc.errno in MACHINE_ERRNOS:
        code = "disk-full" if exc.errno in (errno.ENOSPC, errno.EDQUOT) else "io-error"
        where = f" at {exc.filename}" if exc.filename else ""
        return MachineError(
            code, f"{exc.strerror}{where}.", "Free space or repair the disk; work resumes automatically."
        )
    return UnknownError("internal-error", f"{type(exc).__name__}: {exc}", TRIED_AGAIN)


class WorkerDied(Exception):  # noqa: N818 (it says what happened)
    """A worker process ended during a job.

    Args:
        reason: one sentence.
        code: stable kebab-case code.
        tail: its last log lines.
    """

    def __init__(self, reason: str, code: str, tail: list[str]) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.tail = tail


class WorkerLost(WorkerDied):
    """A worker on another machine was lost with that machine, or with the way to it: no fault of the job.

    Args:
        with_machine: it was lost with its own machine, which the job may be the reason of when it happens again and again.
    """

    def __init__(self, reason: str, code: str, *, with_machine: bool) -> None:
        super().__init__(reason, code, [])
        self.with_machine = with_machine
