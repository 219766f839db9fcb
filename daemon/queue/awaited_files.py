"""Checks the source files of jobs: reads from a job's history which files it waits for, and writes the warnings of a check."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import structlog

from daemon.config import Settings
from daemon.jobs.record import EventData, Job
from daemon.jobs.stages import DELIVER
from daemon.jobs.untrusted import printable
from daemon.jobs.waits import AWAITED, wait_of
from daemon.queue.source_files import SourceCheck, SourceFiles

log = structlog.get_logger()

#: Event in a job's history: files were copied again.
COPIED_AGAIN = "copied again"
#: Codes of errors that a file may have because its end is missing: some formats cannot be read at all then.
CUT_OFF = frozenset(f"{kind}-{what}" for kind in ("audio", "image") for what in ("truncated", "unreadable", "empty"))
UNCHECKED = (
    "The inbox did not answer, so it is unknown whether the files of this job were complete when they were copied."
)


def needs_check(job: Job) -> bool:
    """Return whether to check the files of a job before its stage starts: it is delivered, or waits for the rest of a file."""
    return bool(job.facts.sources) and (job.stage == DELIVER or bool(wait_of(job)))


def copies_to_install(job: Job) -> list[str]:
    """Return the names of the copies that new ones replace before the job is moved back to its first stage."""
    return job.facts.restart or []


def was_copied_late(job: Job) -> bool:
    """Return whether files were copied again when the time for waiting was over, since the job was last retried."""
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


class JobSources:
    """Checks the source files of jobs, and remembers when the jobs were accepted.

    Args:
        files: looks at the files themselves.
    """

    def __init__(self, settings: Settings, files: SourceFiles) -> None:
        self._settings = settings
        self._files = files
        self._began = files.clock()
        #: When the jobs that were started were accepted, on the monotonic clock; at the earliest when this process began.
        self._accepted: dict[str, float] = {}

    def remember_accepted(self, job_id: str, accepted: float) -> None:
        """Remember when a job was accepted, on the monotonic clock in s, for as long as it has not ended."""
        self._accepted.setdefault(job_id, max(self._began, accepted))

    def forget(self, job_id: str, *, ended: bool = False) -> None:
        """Forget what was seen of a job's files; with `ended`, also when it was accepted."""
        self._files.forget(job_id)
        if ended:
            self._accepted.pop(job_id, None)

    async def check(self, job: Job, directory: Path, *, must_stand: bool) -> SourceCheck:
        """Check the files of a job (see `SourceFiles.check`); if nothing is waited for, warnings say what is uncertain."""
        if not job.facts.sources:
            return SourceCheck()
        check = await self._files.check(
            job,
            directory,
            self._accepted.setdefault(job.id, self._began),
            awaited=wait_of(job).get("files"),
            must_stand=must_stand,
            may_copy_late=not was_copied_late(job),
        )
        if not check.renewed and not check.wait_s:
            told = [warning for warning in warnings_of(check, self._settings) if warning not in job.warnings]
            job.warnings = [*job.warnings, *told]
        return check

    def note_wait(self, job: Job, check: SourceCheck, code: str | None = None) -> None:
        """Note in a job's history that it waits for the rest of files. `code`: of the error of a stage, after which it does."""
        files = sorted({*wait_of(job).get("files", ()), *check.unfinished})
        data: EventData = {"files": files} if code is None else {"files": files, "code": code}
        job.note(AWAITED, **data)
        log.info("job waits for the rest of a file", job_id=job.id, files=files, unchecked=check.unchecked)
