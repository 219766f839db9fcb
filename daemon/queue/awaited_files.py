"""Reads from a job's history whether it waits for the rest of a file, and words what its checks have found."""

from __future__ import annotations

from collections.abc import Iterator

from daemon.config import Settings
from daemon.jobs.record import Job
from daemon.jobs.stages import DELIVER
from daemon.jobs.untrusted import printable
from daemon.jobs.waits import wait_of
from daemon.queue.source_files import SourceCheck

#: Event in a job's history: files were copied again.
COPIED_AGAIN = "copied again"
#: Codes of errors that a file may have because its end is missing: some formats cannot be read at all then.
CUT_OFF = frozenset(f"{kind}-{what}" for kind in ("audio", "image") for what in ("truncated", "unreadable", "empty"))
UNCHECKED = (
    "The inbox did not answer, so it is unknown whether the files of this job were complete when they were copied."
)


def needs_check(job: Job) -> bool:
    """Whether the files of a job are to be checked before its stage starts: it is delivered, or waits for the rest of a file."""
    return bool(job.facts.sources) and (job.stage == DELIVER or bool(wait_of(job)))


def copies_to_install(job: Job) -> list[str]:
    """Return the names of the copies that new ones replace before the job is moved back to its first stage."""
    return job.facts.restart or []


def was_copied_late(job: Job) -> bool:
    """Whether files were copied again when the time for waiting was over, since the job was last retried."""
    for entry in reversed(job.history):
        if entry["event"] == "retry":
            return False
        if entry["event"] == COPIED_AGAIN and entry.get("late"):
            return True
    return False


def warnings_of(check: SourceCheck, settings: Settings) -> Iterator[str]:
    """Yield what people are told of files that may be incomplete, when nothing is waited for any more."""
    for path in check.unfinished:
        yield unfinished_warning(path, settings)
    for path in check.lost:
        yield (
            f"{printable(path)} may be incomplete: it was removed, replaced or overwritten while the job waited for the rest "
            "of it."
        )
    if check.unchecked:
        yield UNCHECKED


def unfinished_warning(path: str, settings: Settings) -> str:
    """Return the warning of a file that was still being written when the time for waiting was over."""
    return (
        f"{printable(path)} may be incomplete: it was still being written {settings.intake.companion_wait_s:.0f} s after the "
        "job was accepted."
    )
