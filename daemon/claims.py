"""Taking manifests out of the inbox, once, and making their jobs.

The claim is one rename into `.claimed/<job>/` on the inbox's own filesystem. From there each job is built in `spool/tmp`,
published by one rename, and then acknowledged by its status in the outbox; the claim is removed last. A crash in between leaves
the claim, and `accept` goes on from it: job ids follow from the claim's, so that none is made twice.

Every step is taken for a whole batch before it is flushed: a burst costs a few flushes for each batch, not for each job.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import structlog

from daemon import fs
from daemon.board import Board
from daemon.config import Settings
from daemon.errors import JobError
from daemon.events import Events
from daemon.inbox import Drop, Look
from daemon.job import FINISHED, PIPELINES, Job, document_id
from daemon.manifest import Manifest
from daemon.outbox import Outbox, Wish
from daemon.reading import parse_safely, printable, read_manifest
from daemon.safeopen import open_inside
from daemon.snapshots import Snapshots
from daemon.spool import Spool
from daemon.status import describe

log = structlog.get_logger()

CLAIMED = ".claimed"
#: In a claim whose manifest somebody cancelled while it lay in the inbox.
CANCELLED = "cancelled"
WITHDRAWN = JobError(
    "cancelled", "The manifest was cancelled before it was taken in.", "Drop it again if it is wanted after all."
)
MAX_NAME_BYTES = 4096  # PATH_MAX
#: Jobs that are built between two flushes.
BATCH = 100
#: What rename says of a manifest that we may not take, or that somebody has open on a file server.
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EBUSY, errno.ETXTBSY})


@dataclass
class _Build:
    """A job on its way into the spool. `wanted`: the name it asks for."""

    job: Job
    item: Manifest | JobError
    source: str
    data: bytes
    wanted: str
    place: Path | None = None


class Claims:
    def __init__(self, settings: Settings, spool: Spool, outbox: Outbox, board: Board, events: Events) -> None:
        self.settings = settings
        self.spool = spool
        self.outbox = outbox
        self.board = board
        self.events = events
        self.root = settings.paths.inbox / CLAIMED
        self.snapshots = Snapshots()
        #: Manifests that could not be taken, by name, and why.
        self.refused: dict[str, str] = {}
        #: Jobs of this process that are in the spool, but whose status could not be written yet.
        self._unsaid: set[str] = set()
        #: Folders among the claims that are not ours; said once.
        self._foreign: set[str] = set()

    # -- out of the inbox ----------------------------------------------------------------------------------------

    def take(self, wanted: Sequence[tuple[Drop, str]], *, cancelled: bool = False) -> list[Job]:
        """Claim drops, each under the id given with it, and make their jobs. What was exchanged meanwhile is left.

        `cancelled`: each manifest becomes one job that is cancelled already, whatever is in it.
        """
        self.snapshots.forget_unused()
        directories = [self.root / claim for _, claim in wanted]
        for (drop, _), directory in zip(wanted, directories, strict=True):
            fs.OPS.mkdir(directory)
            # The name is noted before the rename, which takes it away.
            fs.OPS.write(directory / "source", drop.name.encode("utf-8", "surrogateescape"), sync=False)
            if cancelled:
                fs.OPS.write(directory / CANCELLED, b"", sync=False)
        fs.OPS.sync_all([*(directory / "source" for directory in directories), *directories, self.root])
        taken = [
            directory for (drop, _), directory in zip(wanted, directories, strict=True) if self._claim(drop, directory)
        ]
        if not taken:
            return []
        # Who dropped it may not have flushed it, and it is ours now.
        manifests = [path for directory in taken if _flushable(path := directory / "manifest.yaml")]
        fs.OPS.sync_all([*manifests, *taken])
        return self.accept(taken, new=True)

    def _claim(self, drop: Drop, directory: Path) -> bool:
        taken = directory / "manifest.yaml"
        try:
            fs.rename(self.settings.paths.inbox / drop.name, taken)
        except FileNotFoundError:
            fs.remove(directory)
            return False
        except OSError as exc:
            if exc.errno not in _REFUSED:
                raise
            fs.remove(directory)
            self.refused[drop.name] = os.strerror(exc.errno)
            return False
        if drop.look.same_content(Look.at(taken)):
            return True
        # It was exchanged in the last moment: back with it, and look again. Its name may be another one's by now.
        names = (drop.name, f"{directory.name}.yaml")
        if any(fs.publish(taken, self.settings.paths.inbox / name) for name in names):
            fs.remove(directory)
            return False
        return True

    def recover(self) -> int:
        """Go on with every claim that a crash or a full disk left behind. Returns how many."""
        self._own_root()
        claims = [directory for directory in self.spool.jobs(self.root) if self._usable(directory)]
        whole = [directory for directory in claims if os.path.lexists(directory / "manifest.yaml")]
        for directory in claims:
            if directory not in whole:
                self._clear(directory)
        whole.sort()
        for start in range(0, len(whole), BATCH):
            self.accept(whole[start : start + BATCH])
        return len(claims)

    def _usable(self, directory: Path) -> bool:
        """Whether we can go on with a claim. One that somebody else put there is passed over: it is no work of ours."""
        if directory.name not in self._foreign and not os.access(
            directory, os.R_OK | os.W_OK | os.X_OK, effective_ids=True
        ):
            self._pass_over(directory)
        return directory.name not in self._foreign

    def _clear(self, directory: Path) -> None:
        try:
            fs.remove(directory)
        except PermissionError:
            self._pass_over(directory)

    def _pass_over(self, directory: Path) -> None:
        self._foreign.add(directory.name)
        log.warning(
            "claim passed over", path=str(directory), why="it is somebody else's, and may not be read or removed"
        )

    def _own_root(self) -> None:
        """Have a folder of our own for claims: people can write in the inbox, and may have put a link in its place."""
        try:
            if stat.S_ISDIR(os.lstat(self.root).st_mode):
                return
            fs.remove(self.root)
        except FileNotFoundError:
            pass
        fs.OPS.mkdir(self.root)
        with contextlib.suppress(OSError):  # a share may know no modes
            os.chmod(self.root, 0o700)  # nobody else has any business here

    # -- into the spool ------------------------------------------------------------------------------------------

    def accept(self, directories: Sequence[Path], *, new: bool = False) -> list[Job]:
        """Make the jobs of claimed manifests, each once, and remove the claims. `new`: none of them can be in the spool yet."""
        builds = [build for directory in directories for build in self._read(directory)]
        jobs = []
        for start in range(0, len(builds), BATCH):
            batch = builds[start : start + BATCH]
            jobs += self._settle(batch if new else [build for build in batch if self._due(build)])
        for directory in directories:
            self._clear(directory)
        if directories:
            fs.OPS.sync_dir(self.root)
        return jobs

    def _due(self, build: _Build) -> bool:
        """Whether something is left to do for a job that an earlier try may have made."""
        build.place = self.spool.find(build.job.id)
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

    def _read(self, directory: Path) -> list[_Build]:
        source = self._source(directory)
        data = b""
        try:
            data = read_manifest(directory, "manifest.yaml", self.settings.intake.max_manifest_bytes)
            items = parse_safely(data, self.settings.intake.max_documents)
            if os.path.lexists(directory / CANCELLED):
                items = [WITHDRAWN]
        except JobError as exc:
            items = [exc]
        return [self._build(directory.name, source, number, items, data) for number in range(len(items))]

    def _source(self, directory: Path) -> str:
        try:
            name = read_manifest(directory, "source", MAX_NAME_BYTES).decode("utf-8", "surrogateescape")
        except JobError:  # somebody was in here: the name is lost, the job is not
            name = ""
        return name if name and "\0" not in name else f"{directory.name}.yaml"

    def _build(self, claim: str, source: str, number: int, items: list[Manifest | JobError], data: bytes) -> _Build:
        now, item = time.time(), items[number]
        stem = os.path.splitext(os.path.basename(source))[0]
        job = Job(
            id=document_id(claim, number),
            name=f"{stem}-{number + 1}" if len(items) > 1 else stem,
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
        return _Build(job, item, source, data, wanted=job.name)

    def _publish(self, builds: Sequence[_Build]) -> None:
        """Build the jobs' directories and make them appear in their queues (or among the failed)."""
        written = [path for build in builds for path in self._write(build)]
        fs.OPS.sync_all(written)
        for build in builds:
            self._unsaid.add(build.job.id)
            build.place = self.spool.place(build.job)
            fs.rename(self.spool.tmp / build.job.id, build.place)

    def _write(self, build: _Build) -> list[Path]:
        """Make a job's directory in `spool/tmp`; returns what is to be flushed."""
        job, building = build.job, self.spool.tmp / build.job.id
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
        job.name = self.outbox.choose(build.wanted, job.id)
        fs.OPS.write(building / "job.json", fs.dump_json(job.to_json()), sync=False)
        return [building / "manifest.yaml", *copies, building / "job.json", building]

    def _acknowledge(self, builds: Sequence[_Build], new: Set[str]) -> None:
        """Reserve the jobs' names in the outbox, which tells people that they are accepted: now that they cannot be lost.

        `new`: ids of those whose name was chosen just now; the others may have a name since an earlier try.
        """
        fs.OPS.sync_all(list({build.place.parent for build in builds if build.place}))
        chosen = {build.job.id: build.job.name for build in builds if build.job.id in new}
        wishes = [Wish(b.wanted, b.job.id, describe(b.job), chosen.get(b.job.id)) for b in builds]
        names = self.outbox.reserve_all(wishes)
        for build, name in zip(builds, names, strict=True):
            self._name(build, name)
            self._unsaid.discard(build.job.id)
            if build.job.state == "queued":
                self.board.add(build.job)
            self.events.job_accepted(build.job)
            if build.job.state in FINISHED:
                self.events.job_finished(build.job)

    def _name(self, build: _Build, name: str) -> None:
        """Correct the record where somebody took the name that was chosen."""
        if name != build.job.name and build.place is not None:
            build.job.name = name
            self.spool.save(build.job, build.place)
            fs.OPS.sync_dir(build.place)

    def _unacknowledged(self, place: Path) -> Job | None:
        """The job, where a crash or a full disk came between its hop into the spool and its status in the outbox."""
        try:
            job = self.spool.load(place)
        except ValueError:
            return None  # recovery sets it aside
        if job.id in self._unsaid:
            return job
        resting = job.state in FINISHED or job.id in self.board
        return job if resting and self.outbox.owner(job.name) != job.id else None

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
                with open_inside(self.settings.paths.inbox, path) as fd:
                    self.snapshots.take(fd, building / target, self.settings.intake.max_file_bytes, name)
                copies.append(building / target)
        return copies


def _flushable(path: Path) -> bool:
    """Whether we can open it to flush it: what is no file, or not ours to read, fails later with a reason."""
    look = Look.at(path)
    return look is not None and look.size >= 0 and os.access(path, os.R_OK)
