"""Taking a manifest out of the inbox, once, and making its jobs.

The claim is one rename into `.claimed/<job>/` on the inbox's own filesystem. From there each job is built in `spool/tmp` and
published by one rename; the claim is removed last. A crash in between leaves the claim, and `accept` goes on from it: job ids
follow from the claim's, so a job that is already in the spool is not made again.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import structlog

from daemon import fs
from daemon.board import Board
from daemon.config import Settings
from daemon.errors import JobError
from daemon.events import Events
from daemon.inbox import Drop, Look
from daemon.job import JOB_ID, PIPELINES, Job, document_id
from daemon.manifest import Manifest
from daemon.outbox import Outbox
from daemon.parse import parse
from daemon.safeopen import open_inside
from daemon.spool import Spool
from daemon.status import describe

log = structlog.get_logger()

CLAIMED = ".claimed"


def read_manifest(root: Path, name: str, limit: int) -> bytes:
    """The bytes of a manifest below `root`.

    Raises:
        JobError: it is a link, not a file, or larger than `limit` bytes.
    """
    data = b""
    with open_inside(root, name) as fd:
        while len(data) <= limit and (chunk := os.read(fd, limit + 1)):
            data += chunk
    if len(data) > limit:
        raise JobError(
            "manifest-too-large", f"The manifest is larger than {limit} bytes.", "Split it, or shorten the text."
        )
    return data


class Claims:
    def __init__(self, settings: Settings, spool: Spool, outbox: Outbox, board: Board, events: Events) -> None:
        self.settings = settings
        self.spool = spool
        self.outbox = outbox
        self.board = board
        self.events = events
        self.root = settings.paths.inbox / CLAIMED

    def take(self, drop: Drop, claim: str) -> list[Job] | None:
        """Claim a drop under the id `claim` and make its jobs; None when it is gone, or is not what was looked at."""
        directory = self.root / claim
        taken = directory / "manifest.yaml"
        fs.OPS.mkdir(directory)
        # The name is noted before the rename, which takes it away.
        fs.OPS.write(directory / "source", drop.name.encode("utf-8", "surrogateescape"))
        fs.OPS.sync_dir(self.root)
        try:
            fs.rename(self.settings.paths.inbox / drop.name, taken)
        except FileNotFoundError:
            fs.remove(directory)
            return None
        if Look.at(taken) != drop.look and fs.publish(taken, self.settings.paths.inbox / drop.name):
            fs.remove(directory)  # it was exchanged at the last moment: look again
            return None
        fs.OPS.sync_dir(directory)
        return self.accept(directory)

    def recover(self) -> int:
        """Go on with every claim a crash left behind. Returns how many."""
        claims = [path for path in sorted(self.root.iterdir()) if JOB_ID.fullmatch(path.name) and path.is_dir()]
        for directory in claims:
            if os.path.lexists(directory / "manifest.yaml"):
                self.accept(directory)
            else:
                fs.remove(directory)
        return len(claims)

    def accept(self, directory: Path) -> list[Job]:
        """Make the jobs of a claimed manifest, each once, and remove the claim."""
        source = self._source(directory)
        try:
            data = read_manifest(directory, "manifest.yaml", self.settings.intake.max_manifest_bytes)
        except JobError as exc:
            data = b""
            items: list[Manifest | JobError] = [exc]
        else:
            items = self._parse(data)
        jobs = []
        for number, item in enumerate(items):
            job_id = document_id(directory.name, number)
            if self.spool.find(job_id) is None:
                job = self._job(job_id, source, number, len(items), item)
                jobs.append(self._publish(job, item, source, data))
        fs.remove(directory)
        fs.OPS.sync_dir(self.root)
        return jobs

    def _parse(self, data: bytes) -> list[Manifest | JobError]:
        try:
            return parse(data, self.settings.intake.max_documents)
        except JobError as exc:
            return [exc]

    def _source(self, directory: Path) -> str:
        try:
            return (directory / "source").read_bytes().decode("utf-8", "surrogateescape")
        except OSError:  # somebody was in here: the name is lost, the job is not
            return f"{directory.name}.yaml"

    def _job(self, job_id: str, source: str, number: int, total: int, item: Manifest | JobError) -> Job:
        now = time.time()
        stem = os.path.splitext(os.path.basename(source))[0]
        job = Job(
            id=job_id,
            name=f"{stem}-{number + 1}" if total > 1 else stem,
            source=printable(source),
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
        return job

    def _publish(self, job: Job, item: Manifest | JobError, source: str, data: bytes) -> Job:
        """Build the job's directory, reserve its name, and make it appear in its queue (or among the failed)."""
        building = self.spool.tmp / job.id
        fs.remove(building)
        fs.OPS.mkdir(building)
        fs.OPS.write(building / "manifest.yaml", data)
        try:
            if isinstance(item, JobError):
                raise item
            self._snapshot(item, source, building)
        except JobError as exc:
            job.state, job.stage, job.finished = "failed", None, time.time()
            job.error = {"code": exc.code, "message": exc.message, "hint": exc.hint, "fault": "job", "stage": "intake"}
        job.name = self.outbox.reserve(job.name, job.id, describe(job))
        fs.OPS.sync_dir(building)
        self.spool.hop(job, building)
        if job.state == "queued":
            self.board.add(job)
        self.events.job_accepted(job)
        if job.state == "failed":
            self.events.job_finished(job)
        return job

    def _snapshot(self, manifest: Manifest, source: str, building: Path) -> None:
        """Copy the files the job names, so that exchanging them later cannot change a job that was accepted."""
        limit = self.settings.intake.max_file_bytes
        for name, target in ((manifest.image, "source.image"), (manifest.audio, "source.audio")):
            if name is None:
                continue
            with open_inside(self.settings.paths.inbox, os.path.join(os.path.dirname(source), name)) as fd:
                if fs.OPS.copy(fd, building / target, limit) > limit:
                    raise JobError(
                        "file-too-large", f"{name} is larger than {limit // 2**20} MiB.", "Use a smaller file."
                    )


def printable(name: str) -> str:
    """A file name for people and JSON: bytes that are not UTF-8 become `\\xNN`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
