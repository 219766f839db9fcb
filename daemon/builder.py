"""Claimed manifests → jobs in the spool, each made once and told of in the outbox.

Each job is built in `spool/tmp`, published by one rename, and then acknowledged by its status. After a crash in between the
same is done once more: ids follow from the claim's, so that no job is made twice.

Every step is taken for a whole batch before it is flushed: a burst costs a few flushes for each batch, not for each job.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from daemon import fs
from daemon.board import Board
from daemon.config import Settings
from daemon.errors import JobError
from daemon.events import Events
from daemon.job import FINISHED, PIPELINES, Job, document_id
from daemon.manifest import Manifest
from daemon.outbox import Outbox, Wish
from daemon.reading import printable
from daemon.safeopen import open_inside
from daemon.snapshots import Snapshots
from daemon.spool import Spool
from daemon.status import describe

WITHDRAWN = JobError(
    "cancelled", "The manifest was cancelled before it was taken in.", "Drop it again if it is wanted after all."
)
#: Jobs that are built between two flushes.
BATCH = 100


@dataclass(frozen=True)
class Claimed:
    """A manifest that was taken out of the inbox.

    Attributes:
        claim: its id, from which those of its jobs follow.
        source: its path in the inbox.
        data: its bytes, as far as they could be read.
        items: its documents, each checked or with what is wrong with it.
    """

    claim: str
    source: str
    data: bytes
    items: tuple[Manifest | JobError, ...]


@dataclass
class _Build:
    """A job on its way into the spool. `wanted`: the name it asks for."""

    job: Job
    item: Manifest | JobError
    source: str
    data: bytes
    wanted: str
    place: Path | None = None


class Builder:
    def __init__(self, settings: Settings, spool: Spool, outbox: Outbox, board: Board, events: Events) -> None:
        self._settings = settings
        self._spool = spool
        self._outbox = outbox
        self._board = board
        self._events = events
        self._snapshots = Snapshots()
        #: Jobs of this process that are in the spool, but whose status could not be written yet.
        self._unsaid: set[str] = set()

    def make(self, claimed: Sequence[Claimed], *, new: bool) -> list[Job]:
        """Make the jobs of claimed manifests, each once. `new`: none of them can be in the spool yet."""
        self._snapshots.forget_unused()
        builds = [_build(one, number) for one in claimed for number in range(len(one.items))]
        jobs = []
        for start in range(0, len(builds), BATCH):
            batch = builds[start : start + BATCH]
            jobs += self._settle(batch if new else [build for build in batch if self._due(build)])
        return jobs

    def _due(self, build: _Build) -> bool:
        """Whether something is left to do for a job that an earlier try may have made."""
        build.place = self._spool.find(build.job.id)
        if build.place is None:
            return True
        known = self._unacknowledged(build.place)
        build.job = known or build.job
        return known is not None

    def _settle(self, builds: Sequence[_Build]) -> list[Job]:
        new = [build for build in builds if build.place is None]
        if new:
            self._publish(new)
        if builds:
            self._acknowledge(builds, {build.job.id for build in new})
        return [build.job for build in builds]

    def _publish(self, builds: Sequence[_Build]) -> None:
        """Build the jobs' directories and make them appear in their queues (or among the failed)."""
        written = [path for build in builds for path in self._write(build)]
        fs.OPS.sync_all(written)
        for build in builds:
            self._unsaid.add(build.job.id)
            build.place = self._spool.place(build.job)
            fs.rename(self._spool.tmp / build.job.id, build.place)

    def _write(self, build: _Build) -> list[Path]:
        """Make a job's directory in `spool/tmp`; returns what is to be flushed."""
        job, building = build.job, self._spool.tmp / build.job.id
        fs.remove(building)
        fs.OPS.mkdir(building)
        fs.OPS.write(building / "manifest.yaml", build.data, sync=False)
        copies: list[Path] = []
        try:
            if isinstance(build.item, JobError):
                raise build.item
            copies = self._snapshot(build.item, build.source, building)
        except JobError as exc:
            job.state, job.stage, job.finished = "cancelled" if exc is WITHDRAWN else "failed", None, time.time()
            job.error = {"code": exc.code, "message": exc.message, "hint": exc.hint, "fault": "job", "stage": "intake"}
        job.name = self._outbox.choose(build.wanted, job.id)
        fs.OPS.write(building / "job.json", fs.dump_json(job.to_json()), sync=False)
        return [building / "manifest.yaml", *copies, building / "job.json", building]

    def _acknowledge(self, builds: Sequence[_Build], new: Set[str]) -> None:
        """Reserve the jobs' names in the outbox, which tells people that they are accepted: now that they cannot be lost.

        `new`: ids of those whose name was chosen just now; the others may have a name since an earlier try.
        """
        fs.OPS.sync_all(list({build.place.parent for build in builds if build.place}))
        chosen = {build.job.id: build.job.name for build in builds if build.job.id in new}
        wishes = [Wish(b.wanted, b.job.id, describe(b.job), chosen.get(b.job.id)) for b in builds]
        names = self._outbox.reserve_all(wishes)
        for build, name in zip(builds, names, strict=True):
            self._name(build, name)
            self._unsaid.discard(build.job.id)
            if build.job.state == "queued":
                self._board.add(build.job)
            self._events.job_accepted(build.job)
            if build.job.state in FINISHED:
                self._events.job_finished(build.job)

    def _name(self, build: _Build, name: str) -> None:
        """Correct the record where somebody took the name that was chosen."""
        if name != build.job.name and build.place is not None:
            build.job.name = name
            self._spool.save(build.job, build.place)
            fs.OPS.sync_dir(build.place)

    def _unacknowledged(self, place: Path) -> Job | None:
        """The job, where a crash or a full disk came between its hop into the spool and its status in the outbox."""
        try:
            job = self._spool.load(place)
        except ValueError:
            return None  # recovery sets it aside
        if job.id in self._unsaid:
            return job
        resting = job.state in FINISHED or job.id in self._board
        return job if resting and self._outbox.owner(job.name) != job.id else None

    def _snapshot(self, manifest: Manifest, source: str, building: Path) -> list[Path]:
        """Copy the files the job names, so that exchanging them later cannot change a job that was accepted."""
        copies = []
        sources = (
            (manifest.image, "source.image"),
            (manifest.audio, "source.audio"),
            (manifest.background_file, "source.background"),
        )
        for name, target in sources:
            if name is not None:
                path = os.path.join(os.path.dirname(source), name)
                with open_inside(self._settings.paths.inbox, path) as fd:
                    self._snapshots.take(fd, building / target, self._settings.intake.max_file_bytes, name)
                copies.append(building / target)
        return copies


def _build(claimed: Claimed, number: int) -> _Build:
    now, item = time.time(), claimed.items[number]
    stem = os.path.splitext(os.path.basename(claimed.source))[0]
    job = Job(
        id=document_id(claimed.claim, number),
        name=f"{stem}-{number + 1}" if len(claimed.items) > 1 else stem,
        source=printable(claimed.source),
        document=number,
        accepted=now,
        since=now,
    )
    if isinstance(item, Manifest):
        job.name = item.output or job.name
        job.manifest = item.model_dump(mode="json")
        job.stages = PIPELINES[item.kind]
        job.stage = job.stages[0]
        job.priority = item.priority
    return _Build(job, item, claimed.source, claimed.data, wanted=job.name)
