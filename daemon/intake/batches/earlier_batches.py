"""Finds the batches that were made of one table and its reports, and what they have made, so that no report makes a row twice.

A report may come back at any time: a copy of it from the middle of a night, the same one twice, or that of an earlier batch. So
each of these batches knows all others by `RELATED`, and keeps in `DONE` what was made before it: retention may remove these.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from daemon.errors import JobError
from daemon.intake.batches.outcomes import Outcome, Outcomes
from daemon.jobs.batch.done_rows import DoneRow, DoneRows, digest_of, related_ids, write_done_rows
from daemon.jobs.batch.files import RELATED, RESOLVED
from daemon.jobs.record import FINISHED, Job
from daemon.queue.spool import Spool
from daemon.system import fs
from daemon.system.json_files import dump_json, replace_json


class TakenOver(NamedTuple):
    """What related batches have made. `rows`: number of the row → name of the batch, or its id where that is gone; `left`: how
    many rows nobody has made that can start again; `gone`: how many cannot, since retention has removed their jobs.
    """

    rows: dict[int, str]
    left: int
    gone: int = 0


class EarlierBatches:
    """Finds related batches; to be called in the thread that makes jobs."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        #: Batches whose rows are about to be started again, while their records say that they have ended.
        self._starting: Counter[str] = Counter()

    @contextlib.contextmanager
    def starting_again(self, batch: str) -> Iterator[None]:
        """Let no batch be made of a report of this one, or of a related one, meanwhile."""
        self._starting[batch] += 1
        try:
            yield
        finally:
            self._starting[batch] -= 1

    def kept(self, batch: str) -> str:
        """Return the id of a batch or, where that is not kept any more, of the newest related one that is; its own if none is."""
        if self._place(batch) is not None:
            return batch
        places = (place for folder in self._spool.folders() for place in self._spool.job_folders(folder))
        return max((place.name for place in places if batch in related_ids(place)), default=batch)

    def take_over(self, batch: str) -> TakenOver:
        """Note in the folder of a batch that has ended which of its rows related batches have made since: these are not started
        again.

        Raises:
            JobError: `batch-running`: a related batch still makes rows.
            OSError: it cannot be noted.
        """
        names, made = dict[str, str](), dict[int, Outcome]()
        for job, place in self._kept(self._related(batch)):
            names[job.id] = job.name
            if job.id == batch:
                continue
            if not self._has_ended(job):
                file = os.path.basename(job.name)
                raise JobError(
                    "batch-running",
                    f"{job.name}, a batch of the same table, still runs, so that rows which it has would be made twice.",
                    f"Start the rows again when {file}.json says that it has ended, or cancel it first.",
                )
            made |= {row.number: Outcome.of_report(row.cells) for row in DoneRows(place)}
            made |= {n: one._replace(batch=one.batch or job.id) for n, one in Outcomes(place).done()}
        if (own := self._place(batch)) is None:
            return TakenOver({}, 0)
        outcomes = Outcomes(own)
        done = dict(outcomes.done())
        new = {n: made[n] for n in outcomes if n in made and n not in done and made[n].batch != batch}
        if new:
            outcomes.take_over(new)
        others = {n: names.get(one.batch, one.batch) for n, one in outcomes.done() if one.batch}
        kept = {place.name for place in self._spool.job_folders(self._spool.resting("failed"))}
        left = [one for n in outcomes if n not in done | new and (one := outcomes.get(n)) is not None]
        gone = sum(one.job not in kept for one in left if one.job)
        return TakenOver(others, len(left) - gone, gone)

    def check_ended(self, base: str) -> None:
        """Check that neither a batch nor a related one still makes rows.

        Args:
            base: id of the batch.

        Raises:
            JobError: `batch-running`.
        """
        for job, _ in self._kept(self._related(base)):
            if not self._has_ended(job):
                raise JobError(
                    "batch-running",
                    f"{job.name} still runs, so that rows which are not done in its report would be made twice.",
                    f"Put the report into the inbox when {os.path.basename(job.name)}.json says that the batch has ended, or "
                    "cancel it first.",
                )

    def write(self, base: str, batch: str, folder: Path) -> list[Path]:
        """Write `RELATED` and `DONE` into the folder of a batch that is made of a report; returns both, which are not flushed.

        Args:
            base: id of the batch that the report is of.
            batch: id of the new one.

        Raises:
            OSError: it cannot be written, or the related batches cannot be told of the new one.
        """
        related = self._related(base)
        everyone = {"batches": sorted({*related, batch})}
        for place in related.values():
            with contextlib.suppress(FileNotFoundError):  # retention removes it at this moment
                if place is not None:
                    replace_json(place / RELATED, everyone)
        fs.OPS.write(folder / RELATED, dump_json(everyone), sync=False)
        return [folder / RELATED, write_done_rows(folder, self._done(related))]

    def _has_ended(self, job: Job) -> bool:
        return job.state in FINISHED and not self._starting[job.id]

    def _related(self, base: str) -> dict[str, Path | None]:
        """Return the ids of a batch and of all related ones; None in place of the folder of one that is gone."""
        found: dict[str, Path | None] = {}
        left = {base}
        while left:
            one = left.pop()
            found[one] = place = self._place(one)
            if place is not None:
                left |= related_ids(place) - found.keys()
        return found

    def _place(self, batch: str) -> Path | None:
        """Return the folder of a batch, also of one that is made in this moment."""
        if (place := self._spool.find_job(batch)) is not None:
            return place
        building = self._spool.tmp / batch
        return building if (building / "job.json").exists() else None

    def _kept(self, related: Mapping[str, Path | None]) -> Iterator[tuple[Job, Path]]:
        """Yield the batches that are kept, the oldest first."""
        for _, place in sorted(related.items()):
            with contextlib.suppress(OSError, ValueError):  # gone, or unreadable: it runs no more
                if place is not None:
                    yield self._job(place), place

    def _job(self, place: Path) -> Job:
        """Return the record of a batch. That of one that is made in this moment is in no folder that says its state."""
        if place.parent == self._spool.tmp:
            return Job.from_bytes((place / "job.json").read_bytes())
        return self._spool.load_job(place)

    def _done(self, related: Mapping[str, Path | None]) -> Iterator[DoneRow]:
        """Yield the rows that are done, each once for the cells that it was made from."""
        seen: set[str] = set()
        for job, place in self._kept(related):
            for row in (*DoneRows(place), *_done_by(job.id, place)):
                if row.digest not in seen:
                    seen.add(row.digest)
                    yield row


def _done_by(batch: str, place: Path) -> Iterator[DoneRow]:
    """Yield the rows that a batch has made itself."""
    outcomes = Outcomes(place)
    with contextlib.suppress(FileNotFoundError), (place / RESOLVED).open("rb") as file:
        for line in file:
            checked = json.loads(line)
            number = checked["row"]
            if (outcome := outcomes.get(number)) is not None and outcome.state == "done" and not outcome.batch:
                yield DoneRow(number, digest_of(number, checked["values"]), outcome.report_cells(number, batch))


def unknown_report(report: str, batch: str) -> JobError:
    """Return the error of a report that comes alone, and whose batch cannot be used. `batch`: its id."""
    return JobError(
        "report-unknown",
        f"{report} is the report of {batch}, which is not kept any more, or which somebody else handed in: its template is not "
        "known.",
        "Hand it in with the template: a manifest of `kind: batch` beside it, which names it as `rows` and has the `template` of "
        "that batch. Or ask whoever handed that batch in.",
    )
