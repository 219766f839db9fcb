"""Says what is left of a job that has ended: the files that stay in its folder, and the error that people are told."""

from __future__ import annotations

from pathlib import Path

from daemon.errors import AvatarError, JobError
from daemon.jobs.batch.files import DONE, ERRORS, INPUT, OUTCOMES, RELATED, RESOLVED
from daemon.jobs.companions import copy_name
from daemon.jobs.manifest import COMPANIONS
from daemon.jobs.record import REUSED
from daemon.profiles.avatars import JOB_COPIES, JOB_RECORD
from daemon.system import fs

#: Copies of the files that a manifest names.
SOURCES = frozenset(map(copy_name, COMPANIONS))
#: What a finished job is known by.
RECORDS = frozenset({"job.json", "manifest.yaml", "deliver.done.json"})
#: What a batch is carried on from, where its failed rows are tried again or its report comes back.
BATCH = frozenset({INPUT, RESOLVED, OUTCOMES, ERRORS, DONE, RELATED})
#: Files that a finished job keeps: also those that a job which is based on it needs. Its results are in the outbox; the rest can
#: be computed again.
KEPT = RECORDS | SOURCES | REUSED | BATCH
#: Files that a failed job keeps: also those that a retry needs.
KEPT_FAILED = frozenset(
    {"job.json", "job.json.bad", "manifest.yaml", *SOURCES, *REUSED, *JOB_COPIES.values(), JOB_RECORD, *BATCH}
)

#: How a job is started again, also by people who have only the folders.
_AGAIN = (
    "To start it again, put an empty file into the inbox that is called like its result, its folder included, such as "
    "hello.retry for hello.mp4, or use `avatar jobs retry`."
)
#: The error of a cancelled job where nobody is known to have cancelled it.
CANCELLED = JobError("cancelled", "The job was cancelled.", f"{_AGAIN} Or drop the manifest again.")


def cancelled_by(by: str) -> JobError:
    """Return the error of a job that somebody cancelled. `by`: who, as the request said; empty if it is not known."""
    return JobError(CANCELLED.code, f"{by} cancelled the job.", CANCELLED.hint) if by else CANCELLED


def quarantine_error(reason: str) -> AvatarError:
    """Return the error of a quarantined job. `reason`: one sentence."""
    return JobError("quarantined", reason, f"Its history tells more (`avatar jobs show`). {_AGAIN}")


def remove_bulky_files(directory: Path, keep: frozenset[str]) -> None:
    """Remove all files of a finished job but those named in `keep`."""
    for path in sorted(directory.iterdir()):
        if path.name not in keep:
            fs.remove(path)
