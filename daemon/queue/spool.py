"""The spool: folders are the queue, a job is one directory, a change of state is one rename (docs/spool.md).

A hop writes the record inside the directory first and then renames the directory. A crash between the two leaves the job
where it was with a record that is one step ahead; `Spool.load_job` therefore believes the folder, never the record.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from daemon.errors import MACHINE_ERRNOS
from daemon.jobs.record import JOB_ID, Job, State
from daemon.jobs.stages import STAGES, Stage
from daemon.system import fs

#: The record before the present one, or the one to come; never read.
SPARE = ".job.json.tmp"
#: Where jobs rest, beside the stages' own ready and active folders.
RESTING: tuple[State, ...] = ("held", "failed", "done")


class Spool:
    """Paths and moves. Decides nothing, and keeps nothing in memory that matters."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lock = root / "lock"
        self.tmp = root / "tmp"
        self.waiting = root / "waiting"
        self.control = root / "control"
        #: Jobs whose last hop, flushed, has left the record before it as a spare.
        self._spares: set[str] = set()

    def create(self) -> None:
        """Make the folders that are missing; let nobody else into any of them."""
        for folder in self.folders():
            fs.make_folder(folder)
        for folder in {*self.folders(), *(folder.parent for folder in self.folders())}:  # the root among them
            fs.remove_other_permissions(folder)

    def folders(self) -> list[Path]:
        stages = [self.root / stage / side for stage in STAGES for side in ("ready", "active")]
        return [self.tmp, self.waiting, self.control, *stages, *(self.root / name for name in RESTING)]

    def ready(self, stage: Stage) -> Path:
        return self.root / stage / "ready"

    def active(self, stage: Stage) -> Path:
        return self.root / stage / "active"

    def resting(self, state: State) -> Path:
        """The folder of held, failed or done jobs; a cancelled job rests with the failed ones."""
        return self.root / ("failed" if state == "cancelled" else state)

    def folder_of(self, job: Job) -> Path:
        """The directory in which a job in this state and stage lives."""
        if job.state == "running" and job.stage:
            return self.active(job.stage) / job.id
        if job.state == "queued" and job.stage:
            return self.ready(job.stage) / job.id
        return self.resting(job.state) / job.id

    def find_job(self, job_id: str) -> Path | None:
        """Where a job is now, by looking at the disk."""
        for folder in self.folders()[3:]:
            path = folder / job_id
            if path.is_dir():
                return path
        return None

    def save_job(self, job: Job, directory: Path, *, durable: bool = True) -> None:
        """Write the record into the job's directory. A hop that follows makes the new name durable too."""
        temporary = directory / SPARE
        fs.OPS.write(temporary, fs.dump_lines(job.to_json()), sync=durable)
        fs.rename(temporary, directory / "job.json")

    def move_job(self, job: Job, source: Path) -> Path:
        """Write the record and move the directory from `source` to where the record says. Two fsyncs.

        While a job is on its way, the record goes into a spare file and the two change names: no file is made and none
        removed, which halves what the disk has to do and needs no room on a full one. The spare may be written over only
        when that exchange has been flushed, by the end of the same hop; where that is not known, a new file is made.
        """
        on_its_way = job.state in ("queued", "running")
        temporary, data = source / SPARE, fs.dump_lines(job.to_json())
        if not self._write_spare(job.id, temporary, data):
            fs.OPS.write(temporary, data)
        if not (on_its_way and fs.exchange(temporary, source / "job.json")):
            fs.rename(temporary, source / "job.json")
        target = self.folder_of(job)
        fs.move(source, target)
        if on_its_way:
            self._spares.add(job.id)
        return target

    def _write_spare(self, job_id: str, spare: Path, data: bytes) -> bool:
        if job_id not in self._spares:
            return False
        self._spares.discard(job_id)
        try:
            fs.OPS.rewrite(spare, data)
        except FileNotFoundError:  # cleared away, or used up by `save_job`
            return False
        return True

    def load_job(self, directory: Path) -> Job:
        """Read a job's record; stage and state come from the folder it lies in, and a start that was not made is not counted.

        Raises:
            ValueError: the record is missing or is not one of ours.
            OSError: the machine cannot read now.
        """
        try:
            job = Job.from_bytes((directory / "job.json").read_bytes())
        except OSError as exc:
            if exc.errno in MACHINE_ERRNOS:  # says nothing about the record
                raise
            raise ValueError(f"no readable job.json: {exc.strerror}") from exc
        if job.id != directory.name:
            raise ValueError(f"the record is of {job.id}")
        self._take_state_from_folder(job, directory)
        return job

    def _take_state_from_folder(self, job: Job, directory: Path) -> None:
        side, above = directory.parent.name, directory.parent.parent.name
        if side == "ready" and job.state == "running":  # its start was counted, and then not made
            job.attempts[above] = max(0, job.attempts.get(above, 1) - 1)
        if side in ("ready", "active"):
            job.stage = next(stage for stage in STAGES if stage == above)
            job.state = "queued" if side == "ready" else "running"
        elif side == "done":
            job.state = "done"
        elif side == "held":
            job.state = "held"
        elif job.state not in ("failed", "cancelled"):
            job.state = "failed"

    def job_folders(self, folder: Path) -> Iterator[Path]:
        """Job directories in one folder, in no order; anything else there is passed over."""
        with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
            for entry in entries:
                if JOB_ID.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                    yield Path(entry.path)
