"""What was taken out of the inbox and is to become jobs: the claimed manifests, and the rows of batches."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from daemon.errors import AvatarError, JobError, Postponed
from daemon.jobs.manifest import Manifest
from daemon.jobs.record import Held, Job

log = structlog.get_logger()

WITHDRAWN = JobError(
    "cancelled", "The manifest was cancelled before it was taken in.", "Drop it again if it is wanted after all."
)


@dataclass(frozen=True)
class Rows:
    """Rows of a batch that become jobs.

    Attributes:
        batch: the record of the batch's job.
        numbers: of the rows, from 1.
        manifests: of the rows, as YAML.
    """

    batch: Job
    numbers: tuple[int, ...]
    manifests: tuple[bytes, ...]


@dataclass(frozen=True)
class Claimed:
    """A manifest that was taken out of the inbox.

    Attributes:
        claim: its id, from which those of its jobs follow.
        source: its path in the inbox.
        data: its bytes, as far as they could be read.
        items: its documents, each checked or with what is wrong with it.
        last: it has waited long enough: what cannot be copied now fails.
        cancelled_by: who cancelled it in the inbox; empty if nobody did, or it is not known who.
        owner: who handed it in: who owns the manifest file, or for whom the HTTP door did; empty if it is not known.
        held: who holds its jobs, why and since when, as they were held while it waited; None where nobody does.
        ours: the owner is the service's own user, as of a manifest that it gave back.
        rows: the rows that the items are of; None for a manifest from the inbox.
        table: the file itself, where it is a table that is a batch of its own; then `data` is the manifest made for it.
    """

    claim: str
    source: str
    data: bytes
    items: tuple[Manifest | JobError, ...]
    last: bool = False
    cancelled_by: str = ""
    owner: str = ""
    ours: bool = False
    held: Held | None = None
    rows: Rows | None = None
    table: bytes | None = None

    def fails_by(self, error: Postponed) -> bool:
        """Return whether what cannot be made now fails. Rows wait for the machine as other accepted jobs do: nobody would start
        thousands of them again by hand.
        """
        return self.last and (self.rows is None or error.fault != "machine")

    def text(self, number: int) -> tuple[str, bytes]:
        """Return the manifest file of an item, and what identifies its content."""
        return (self.claim, self.data) if self.rows is None else (f"{self.claim}/{number}", self.rows.manifests[number])


class Unsettled(Postponed):
    """A file that nobody is known to write to has not been watched for long enough, as after a start of the daemon.

    Attributes:
        wait_s: how long it is still watched.
    """

    def __init__(self, name: str, wait_s: float) -> None:
        self.wait_s = wait_s
        super().__init__(
            "file-unsettled",
            f"The daemon has not watched {name} for long enough to know that nobody writes to it; it does so for {wait_s:.1f} s "
            "more.",
            "Nothing is to be done.",
        )


def log_wait(event: str, error: AvatarError, **where: object) -> float:
    """Log that something is tried again later: a warning, unless nothing is wrong; returns the least time to wait, s."""
    wait_s = error.wait_s if isinstance(error, Unsettled) else 0.0
    (log.info if wait_s else log.warning)(event, **where, code=error.code, message=error.message)
    return wait_s


class NextTurn(Postponed):
    """Enough was made in this turn; the rest of the claim is made in a later one."""

    def __init__(self) -> None:
        super().__init__("next-turn", "Enough was made in this turn.", "")
