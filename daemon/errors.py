"""The errors a person may meet. Each carries a stable kebab-case code, one clear sentence, and what to do next.

Whose fault it is decides what happens to the job (docs/spool.md, promise 4), so the class says it.
"""

from __future__ import annotations

import errno
import traceback
from typing import Literal

Fault = Literal["job", "machine", "unknown"]

#: Longest text of one log message of a worker, and longest traceback, in characters.
TEXT_CHARS = 8192

#: OS errors that are the machine's state, not the job's doing: the lane pauses and the job is not charged.
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


class AvatarError(Exception):
    """Root of all errors that carry a code.

    Args:
        code: stable, kebab-case, listed in docs/errors.md.
        message: one sentence: what is wrong, and where.
        hint: one sentence: what would be right.

    Attributes:
        traceback: where in the program an unexpected error arose, for the log and the job's history; else empty. It names
            paths of the machine, so it is not for the status files in the outbox.
    """

    fault: Fault = "unknown"
    traceback: str = ""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        self.code, self.message, self.hint = code, escape_unprintable(message), escape_unprintable(hint)
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def to_dict(self) -> dict[str, str]:
        """What people and programs are told of it, as it stands in every JSON file and answer."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


class JobError(AvatarError):
    """The job's own fault (bad text, no face): fails at once, is not retried."""

    fault = "job"


class MachineError(AvatarError):
    """The machine's fault (disk full, model file missing): the lane pauses, the job keeps its place uncharged."""

    fault = "machine"


class UnknownError(AvatarError):
    """Nobody's fault that we can name: retried with backoff, then failed."""


class Postponed(AvatarError):  # noqa: N818 (it says what happened)
    """One file cannot be taken in now (a writer holds it, it does not fit on the disk). It alone is tried again, and fails with
    this error when `intake.companion_wait_s` is over.
    """

    def __init__(self, code: str, message: str, hint: str, fault: Fault = "job") -> None:
        super().__init__(code, message, hint)
        self.fault = fault


class ResultError(UnknownError):
    """The machine made of this job what cannot be right, such as noise for speech: its fault, not the job's.

    Only this job may be touched, so the lane goes on: the job is retried with backoff, then failed.
    """

    fault = "machine"


class ConfigError(AvatarError):
    """config.yaml is not usable; the command exits with EX_CONFIG (78)."""


def escape_unprintable(text: str) -> str:
    """Text to be shown to people: what a stranger put into it cannot move a terminal's cursor or hide itself."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def shorten(text: str, limit: int = TEXT_CHARS) -> str:
    """Text of at most about `limit` characters. The middle is left out: a traceback says the most at its end."""
    if len(text) <= limit:
        return text
    head = limit // 4
    return f"{text[:head]}\n… {len(text) - limit} characters are left out …\n{text[head - limit :]}"


def traceback_of(exc: BaseException) -> str:
    """The traceback of an exception, shortened. Empty for a fault of the job or the machine that our own code found, as its
    message says everything.
    """
    if isinstance(exc, AvatarError) and exc.traceback:
        return exc.traceback
    if isinstance(exc, JobError | MachineError):
        return ""
    return escape_unprintable(shorten("".join(traceback.format_exception(exc)).rstrip()))


def from_exception(exc: BaseException) -> AvatarError:
    """Sort any exception into the three faults; an AvatarError is returned as it is."""
    if isinstance(exc, AvatarError):
        return exc
    if isinstance(exc, MemoryError):
        return MachineError("out-of-memory", "The machine ran out of memory.", "Free memory or lower the limits.")
    if isinstance(exc, ImportError):
        return MachineError(
            "install-broken", f"Part of the installation is missing: {exc}.", "`avatar doctor` says how to mend it."
        )
    if isinstance(exc, OSError) and exc.errno in MACHINE_ERRNOS:
        code = "disk-full" if exc.errno in (errno.ENOSPC, errno.EDQUOT) else "io-error"
        where = f" at {exc.filename}" if exc.filename else ""
        return MachineError(code, f"{exc.strerror}{where}.", "Free space or mend the disk; the work goes on by itself.")
    return UnknownError("internal-error", f"{type(exc).__name__}: {exc}", "See the log for the traceback.")


class WorkerDied(Exception):  # noqa: N818 (it says what happened)
    """The child ended in the middle of a job. `reason` is a sentence; `tail` its last log lines."""

    def __init__(self, reason: str, code: str, tail: list[str]) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.tail = tail
