"""A batch that runs: what is known of it beside its record."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from daemon.errors import AvatarError
from daemon.intake.batches.outcomes import Outcome, Outcomes
from daemon.intake.batches.resolved_rows import ResolvedRows, as_yaml
from daemon.intake.jobs.claimed import Claimed, Rows, Unsettled, log_wait
from daemon.jobs.facts import BatchCounts, Output
from daemon.jobs.manifest import Manifest
from daemon.jobs.record import Job, row_id
from daemon.queue.spool import Spool

#: Rows that become jobs between two notes of how far that is.
SLICE = 200
#: The status and the report are written again after this long at the earliest, s.
REPORT_S = 5.0
#: What failed, such as a full disk, is tried again after this long at first, and at most. s
FIRST_RETRY_S, LONGEST_RETRY_S = 1.0, 30.0


@dataclass
class RunningBatch:
    """One batch that runs. Times are monotonic, s."""

    job: Job
    place: Path
    outcomes: Outcomes
    manifest: Manifest
    rows: ResolvedRows | None = None
    #: Whether the outcomes that a crash took were looked for.
    outcomes_known: bool = False
    #: The rows that become jobs now, and how many lines of `rows.jsonl` they take.
    slice: tuple[Claimed, int] | None = None
    slice_since: float = 0.0
    #: Rows beyond those that are counted as taken whose jobs are made.
    begun: set[int] = field(default_factory=set)
    #: Why rows were given up that could not be made for long, in words: others wait no more for the same.
    given_up: set[str] = field(default_factory=set)
    #: Whether rows become jobs at this moment: an order for all rows is one for these, too.
    makes_rows: bool = False
    #: The jobs of its rows that its first order has not reached; None where that has not begun (`orders`).
    unordered: list[str] | None = None
    #: Jobs that are held; those of others may be among them.
    held: set[str] = field(default_factory=set)
    ordering: asyncio.Lock = field(default_factory=asyncio.Lock)
    #: The table of its wrong rows in the outbox, once it is written.
    errors: Output | None = None
    changed: bool = True
    report_due: float = 0.0
    status_due: float = 0.0
    retry_due: float = 0.0
    retry_s: float = field(default_factory=lambda: FIRST_RETRY_S)

    @property
    def counts(self) -> BatchCounts:
        """How many rows it has, and what became of them."""
        counts = self.job.facts.batch
        assert counts is not None  # only such batches are carried on
        return counts

    def next_slice(self, rows: ResolvedRows) -> tuple[Claimed, int]:
        """Return the rows that become jobs next, and how many lines of `rows.jsonl` they take."""
        lines = list(islice(rows.from_index(self.counts.taken), SLICE))
        own = [row for row in lines if row.same_as is None and row.number not in self.outcomes]
        made = Rows(self.job, tuple(row.number for row in own), tuple(map(as_yaml, own)))
        items = tuple(map(rows.manifest, own))
        return Claimed(self.job.id, self.job.source, b"", items, owner=self.job.by, rows=made), len(lines)

    def took(self, lines: int) -> None:
        """Note that the jobs of the next rows are made. `lines`: of `rows.jsonl` that they take."""
        self.slice, self.changed, self.counts.waits = None, True, ""
        self.counts.taken += lines
        self.begun.clear()
        self.counts.begun = 0
        self.counts.since = self.counts.since or time.time()

    def note_made(self, *numbers: int) -> None:
        """Note that the jobs of rows are made, some before all of their slice are."""
        self.begun.update(numbers)
        self.counts.begun, self.changed = len(self.begun), True

    @property
    def has_failed_too_often(self) -> bool:
        """Whether as many rows have failed as `on_error` allows, and others are left."""
        most = self.manifest.most_failures
        if most is None or self.counts.stopped:
            return False
        found = self.outcomes.counts()
        return found["failed"] >= most and found.total() < self.counts.rows

    def stop(self, why: str) -> None:
        """Note why the rows that have not ended are cancelled. What else was asked for them must not reach rows that are started
        again later.
        """
        if self.retry is not None:
            self.outcomes_known = False  # of rows that were not started again
        self.counts.stopped, self.counts.orders, self.unordered = why, [], None
        self.job.held = None

    def runs_again(self, number: int) -> None:
        """Note that the job of a row was started again, whose result other rows get, too, but for those that have one."""
        twins = self.rows.twins.get(number, ()) if self.rows is not None else ()
        for one in (number, *(twin for twin, _ in twins)):
            if (outcome := self.outcomes.get(one)) is not None and outcome.state != "done":
                self.outcomes.note(one, None)

    @property
    def retry(self) -> dict[str, Any] | None:
        """The order by which rows that failed or were cancelled are still to be started again; None where none are."""
        return next((order for order in self.counts.orders if order["op"] == "retry"), None)

    def may_not_start(self, job_id: str) -> bool:
        """Return whether a row's job must not start: all rows are being cancelled, or held, and this one is not yet."""
        orders = self.counts.orders
        holds = bool(orders) and orders[0]["op"] == "hold" and job_id in (self.unordered or ())
        return holds or bool(self.counts.stopped)

    def unfinished(self, spool: Spool) -> list[str]:
        """Return the ids of the jobs of its rows that have been made and have not ended."""
        if self.rows is None:
            return []
        made = [*self.rows.numbers[: self.counts.taken], *sorted(self.made_beyond(spool))]
        return [row_id(self.job.id, n) for n in made if n not in self.outcomes and n not in self.rows.twin_numbers]

    def count_ended(self) -> Counter[str]:
        """Count the rows that have ended; returns how many did in each state."""
        found = self.outcomes.counts()
        self.counts.done, self.counts.failed, self.counts.cancelled = (
            found[s] for s in ("done", "failed", "cancelled")
        )
        return found

    def count_held(self) -> bool:
        """Count the rows whose jobs are held, and whether none of the others goes on; returns whether that has changed."""
        counts, job, rows, held, waits = self.counts, self.job, self.rows, 0, 0
        before = counts.held, counts.rests
        if rows is not None and (self.held or job.held):
            made = (*rows.numbers[: counts.taken], *self.begun)
            own = [n for n in made if n not in self.outcomes and n not in rows.twin_numbers]
            waits, held = len(own), sum(row_id(job.id, n) in self.held for n in own)
        makes_more = not job.held and (counts.taken < counts.rows or not held)
        counts.held, counts.rests = held, held == waits and not makes_more
        return before != (counts.held, counts.rests)

    def made_beyond(self, spool: Spool) -> set[int]:
        """Return the rows whose jobs are in the spool beyond those that are counted as taken: the turn in which they were made
        has not ended, or a crash came before it did.
        """
        assert self.rows is not None
        next_rows = self.rows.numbers[self.counts.taken : self.counts.taken + SLICE]
        return {n for n in next_rows if spool.find_job(row_id(self.job.id, n)) is not None}

    def cancel_rows_without_jobs(self, spool: Spool) -> None:
        """Note that the rows of which no job is made are cancelled."""
        assert self.rows is not None
        made = self.made_beyond(spool)
        for number in self.rows.numbers[self.counts.taken :]:
            if number not in made and number not in self.outcomes:
                self.outcomes.note(number, Outcome("cancelled", "", code="cancelled", error="No job was made of it."))
        self.changed = True

    def wait_for(self, error: AvatarError, now: float, longest_s: float) -> None:
        """Let the rows wait that cannot become jobs now. Where the machine is not at fault, those that have waited for
        `longest_s` fail, and so do later ones that would wait for the same.
        """
        if error.fault == "machine":
            self.slice_since = now
        elif now - self.slice_since >= longest_s:
            self.given_up.add(error.message)
        if self.slice is not None and error.message in self.given_up:
            self.slice = replace(self.slice[0], last=True), self.slice[1]
        if not isinstance(error, Unsettled):  # which is soon over
            self.note_wait(error)
        self.postpone(now, log_wait("rows wait", error, job_id=self.job.id))

    def note_wait(self, error: AvatarError | None) -> bool:
        """Note why it does not go on now; None: it does. Returns whether that has changed."""
        before, self.counts.waits = self.counts.waits, f"{error.message} {error.hint}" if error else ""
        return self.counts.waits != before

    def status_is_due(self, now: float) -> bool:
        """Return whether its status is to be written though its report is not: that of many rows is written seldom."""
        is_due = self.changed and now >= self.status_due
        if is_due:
            self.status_due = now + REPORT_S
        return is_due

    def postpone(self, now: float, wait_s: float = 0.0) -> None:
        """Let the next try wait, each time for longer, and for `wait_s` at least."""
        self.retry_due = now + max(wait_s, self.retry_s)
        self.retry_s = min(self.retry_s * 2, LONGEST_RETRY_S)

    def was_carried_on(self) -> None:
        """Begin with short waits again after a step that succeeded."""
        self.retry_s = FIRST_RETRY_S
