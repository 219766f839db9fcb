"""Begins the records of new jobs: their ids, names and owners, and what their manifests say."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from daemon.errors import JobError
from daemon.intake.jobs.claimed import Claimed, Rows
from daemon.jobs.batch.alone import stem_of_table
from daemon.jobs.facts import RowOf
from daemon.jobs.manifest import Manifest
from daemon.jobs.record import Job, document_id, row_id
from daemon.jobs.stages import CHECK
from daemon.jobs.untrusted import printable
from daemon.outbox.names import clean_stem
from daemon.outbox.outbox import Outbox
from daemon.outbox.way_back import returned_manifest
from daemon.queue.base_jobs import Completed
from daemon.queue.spool import Spool


@dataclass
class Build:
    """A job on its way into the spool. `number`: of its item. `wanted`: the name it asks for. `completed`: where it is based on
    an earlier job.
    """

    job: Job
    number: int
    item: Manifest | JobError
    claimed: Claimed
    wanted: str
    place: Path | None = None
    completed: Completed | None = None


class NewRecords:
    """Begins the records of the jobs that claimed manifests become."""

    def __init__(self, spool: Spool, outbox: Outbox) -> None:
        self._spool = spool
        self._outbox = outbox

    def begin(self, claimed: Claimed, number: int) -> Build:
        """Return an item of a claim with the record that its job begins with."""
        if claimed.rows is not None:
            return self._begin_row(claimed, claimed.rows, number)
        now, item = time.time(), claimed.items[number]
        stem = os.path.splitext(os.path.basename(claimed.source))[0]
        if claimed.table is not None:
            stem = stem_of_table(claimed.source)
        wanted = f"{stem}-{number + 1}" if len(claimed.items) > 1 else stem
        if isinstance(item, Manifest):
            wanted = item.output or wanted
        job = Job(
            id=document_id(claimed.claim, number),
            name=self._outbox.name_for(claimed.source, wanted),
            source=printable(claimed.source),
            document=number,
            accepted=now,
            since=now,
        )
        job.by = (self._author(job) if claimed.ours else "") or claimed.owner
        job.note("handed in", by=job.by)
        if isinstance(item, Manifest):
            describe(job, item)
        return Build(job, number, item, claimed, wanted=job.name)

    def _begin_row(self, claimed: Claimed, rows: Rows, number: int) -> Build:
        now, item, batch, row = time.time(), claimed.items[number], rows.batch, rows.numbers[number]
        job = Job(
            id=row_id(batch.id, row),
            name=row_name(batch, row, item.output if isinstance(item, Manifest) else None),
            source=batch.source,
            document=batch.document,
            by=batch.by,
            accepted=now,
            since=now,
        )
        job.note("handed in", by=job.by, batch=batch.name, row=row)
        if isinstance(item, Manifest):
            describe(job, item)
            job.stages = tuple(stage for stage in job.stages if stage != CHECK)  # the batch's own has checked it
            job.stage = job.stages[0]
            ordered = batch.facts.batch is not None and batch.facts.batch.reordered
            job.priority = (0 if ordered else item.priority) or batch.priority
        job.facts.row = RowOf(batch.id, batch.name, row)
        return Build(job, number, item, claimed, wanted=job.name)

    def _author(self, job: Job) -> str:
        """Return who handed in the job whose manifest was given back and now comes as that of `job`; empty if there is none.

        A manifest that is moved out of the outbox still belongs to the service, which may give no file away.
        """
        before = self._outbox.owner_of(job.name)
        if before is None or not self._spool.is_resting(before) or (place := self._spool.find_job(before)) is None:
            return ""
        try:
            known = self._spool.load_job(place)
        except (OSError, ValueError):
            return ""
        return known.by if returned_manifest(self._outbox.root, known) is None else ""


def rows_folder(batch: Job) -> str:
    """Return the folder of the outbox in which the results of a batch's rows lie."""
    return batch.facts.rows_folder or batch.name


def row_name(batch: Job, number: int, output: str | None) -> str:
    """Return the name of the result of a row, below the outbox. `output`: as its manifest says."""
    return f"{rows_folder(batch)}/{clean_stem(str(output or f'{os.path.basename(batch.name)}-{number}'))}"


def describe(job: Job, manifest: Manifest) -> None:
    """Put into a job's record what its manifest says."""
    job.manifest = manifest.model_dump(mode="json")
    job.manifest_warnings = list(manifest.warnings)
    job.stages = manifest.stages
    job.stage = job.stages[0]
    job.priority = manifest.priority
    job.facts.defaults = [printable(path) for path in manifest.defaults]
    job.facts.inherited = {key: printable(path) for key, path in manifest.inherited.items()}
    job.facts.given = sorted(manifest.model_fields_set)
