"""The spool: folders are the queue, a job is one directory, a change of state is one rename (docs/spool.md).

A hop writes the record inside the directory first and then renames the directory. A crash between the two leaves the job
where it was with a record that is one step ahead; `Spool.load_job` therefore believes the folder, never the record. The start of
a stage is a rename alone: the record stays one step behind.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from daemon.errors import MACHINE_ERRNOS
from daemon.jobs.record import JOB_ID, Job, State
from daemon.jobs.stages import STAGES, Stage
from daemon.system import fs
from daemon.system.json_files import dump_lines, padded
from daemon.system.permissions import make_folder, remove_other_permissions

#: Holds the previous record or the next one; never read.
SPARE = ".job.json.tmp"
#: Folders of jobs that wait for no stage.
RESTING: tuple[State, ...] = ("held", "failed", "done")


class Spool:
    """The folders of the spool, and the moves of jobs between them. All state is on disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lock = root / "lock"
        self.tmp = root / "tmp"
        self.waiting = root / "waiting"
        self.control = root / "control"
        #: Batches whose rows are jobs.
        self.batches = root / "batches"
        #: Jobs whose last move is flushed and left the previous record as a spare.
        self._spares: set[str] = set()
        #: Held while a job's directory is renamed, and while one is looked for: jobs are moved in the event loop, and looked for
        #: in the thread of the intake, too.
        self._moving = threading.RLock()

    def create(self) -> None:
        """Create the missing folders, and remove other users' permissions from all of them."""
        for folder in self.folders():
            make_folder(folder)
        for folder in {*self.folders(), *(folder.parent for folder in self.folders())}:  # the root among them
            remove_other_permissions(folder)

    def folders(self) -> list[Path]:
        """Return all folders of the spool; those of jobs from the fourth on."""
        stages = [self.root / stage / side for stage in STAGES for side in ("ready", "active")]
        return [self.tmp, self.waiting, self.control, *stages, *(self.root / name for name in RESTING), self.batches]

    def ready(self, stage: Stage) -> Path:
        """Return the folder of jobs that wait for a stage."""
        return self.root / stage / "ready"

    def active(self, stage: Stage) -> Path:
        """Return the folder of jobs that a stage works on."""
        return self.root / stage / "active"

    def resting(self, state: State) -> Path:
        """Return the folder of held, failed or done jobs; cancelled jobs are with the failed ones."""
        return self.root / ("failed" if state == "cancelled" else state)

    def folder_of(self, job: Job) -> Path:
        """Return the directory of a job in its present state and stage. A batch without a stage is one whose rows run."""
        if job.state == "running" and job.stage:
            return self.active(job.stage) / job.id
        if job.state == "queued" and job.stage:
            return self.ready(job.stage) / job.id
        if job.state == "running":
            return self.batches / job.id
        return self.resting(job.state) / job.id

    def find_job(self, job_id: str) -> Path | None:
        """Return the directory in which a job is on disk; None if it is nowhere. No job moves meanwhile: a job that
        moved to a folder that was searched already would be missed, and made twice.
        """
        with self._moving:
            return next((path for folder in self.folders()[3:] if (path := folder / job_id).is_dir()), None)

    def is_resting(self, job_id: str) -> bool:
        """Return whether a job has failed or was cancelled, or is not here any more. `job_id`: not checked yet."""
        if not JOB_ID.fullmatch(job_id):
            return False
        place = self.find_job(job_id)
        return place is None or place.parent == self.resting("failed")

    def save_job(self, job: Job, directory: Path, *, durable: bool = True) -> None:
        """Write the record into the job's directory. The new name becomes durable only with the next move."""
        temporary = directory / SPARE
        fs.OPS.write(temporary, dump_lines(job.to_json()), sync=durable)
        fs.rename(temporary, directory / "job.json")

    def move_job(self, job: Job, source: Path, *, flush: bool = True) -> Path:
        """Write the record and move the directory from `source` to the record's folder: a hop, with two flushes.

        While a job is queued or running, the record is written into a spare file, and the two files exchange names. No file is
        created or removed, which halves the disk's work and needs no space on a full disk. The spare may be overwritten only
        when the exchange is flushed, with the move; where that is not known, a new file is made.

        Args:
            flush: the move; else the caller flushes the target's folder, and calls `moved` then. The record is always flushed.
        """
        on_its_way = job.state in ("queued", "running")
        temporary, data = source / SPARE, padded(dump_lines(job.to_json()))
        if not self._write_spare(job.id, temporary, data):
            fs.OPS.write(temporary, data)
        if not (on_its_way and fs.exchange(temporary, source / "job.json")):
            fs.rename(temporary, source / "job.json")
        target = self.folder_of(job)
        with self._moving:  # not the flush, which takes long
            fs.rename(source, target)
        if flush:
            fs.OPS.sync_dir(target.parent)
            if on_its_way:
                self.moved(job.id)
        return target

    def moved(self, job_id: str) -> None:
        """Note that the last move of a job in its queues is flushed, and with it the exchange of its record and its spare."""
        self._spares.add(job_id)

    def start_job(self, job: Job, source: Path) -> Path:
        """Move the directory of a queued job to the stage that starts, which counts the attempt: one rename, not flushed.

        The record is not written: its file only gets the time of the start. `load_job` adds the attempt.
        """
        target = self.active(job.stage or job.stages[0]) / job.id
        fs.OPS.touch(source / "job.json")
        with self._moving:
            fs.rename(source, target)
        return target

    def _write_spare(self, job_id: str, spare: Path, data: bytes) -> bool:
        if job_id not in self._spares:
            return False
        self._spares.discard(job_id)
        try:
            fs.OPS.rewrite(spare, data)
        except FileNotFoundError:  # removed, or renamed by `save_job`
            return False
        return True

    def load_job(self, directory: Path) -> Job:
        """Read a job's record. Stage and state are those of its folder, which also says whether the stage was started.

        Raises:
            ValueError: the record is missing or invalid.
            OSError: the disk cannot be read now.
        """
        try:
            job = Job.from_bytes((directory / "job.json").read_bytes())
        except OSError as exc:
            if exc.errno in MACHINE_ERRNOS:  # a fault of the machine, not of the record
                raise
            raise ValueError(f"no readable job.json: {exc.strerror}") from exc
        if job.id != directory.name:
            raise ValueError(f"the record is of {job.id}")
        self._take_state_from_folder(job, directory)
        return job

    def _take_state_from_folder(self, job: Job, directory: Path) -> None:
        side, above = directory.parent.name, directory.parent.parent.name
        if side == "ready" and job.state == "running":  # its start was counted but not made
            job.attempts[above] = max(0, job.attempts.get(above, 1) - 1)
        if side == "active" and job.state == "queued" and job.stage == above:  # the rename counts the start
            job.attempts[above] = job.attempts.get(above, 0) + 1
            job.not_before = 0.0
            with contextlib.suppress(OSError):
                job.since = (directory / "job.json").stat().st_mtime
        if side in ("ready", "active"):
            job.stage = next(stage for stage in STAGES if stage == above)
            job.state = "queued" if side == "ready" else "running"
        elif side == self.batches.name:
            job.stage, job.state = None, "running"
        elif side == "done":
            job.state = "done"
        elif side == "held":
            job.state = "held"
        elif job.state not in ("failed", "cancelled"):
            job.state = "failed"

    def job_folders(self, folder: Path) -> Iterator[Path]:
        """Iterate over the job directories in a folder, unordered; other entries are skipped."""
        with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
            for entry in entries:
                if JOB_ID.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                    yield Path(entry.path)
