"""`avatar spool check`: is every file of the spool in a legal state, and what to do about those that are not.

Run while no daemon works on the spool (it takes the lock); with a dry run it only tells.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from daemon.config import Settings
from daemon.history import database
from daemon.history.folders import JobFolders
from daemon.history.renewal import disagreements, renew
from daemon.intake.claims.claim_folder import CLAIMED
from daemon.jobs.record import JOB_ID, Job, State, unreadable_record
from daemon.jobs.stages import DELIVER, STAGES
from daemon.outbox.outbox import Outbox
from daemon.outbox.status_file import status_of
from daemon.queue.spool import RESTING, SPARE, Spool
from daemon.system import fs
from daemon.system.permissions import make_folder

#: Files a job's directory may hold at rest beside its artifacts; names that begin with a dot are leftovers of a crash.
KNOWN_AT_ROOT = {
    "lock",
    "tmp",
    "waiting",
    "control",
    "cache",
    "models",
    "profiles",
    "avatars",
    "history",
    "hooks",
    "batches",
    *STAGES,
    *RESTING,
}
KNOWN_FILES = {
    "metrics.json",
    "lanes.jsonl",
    "state.json",
    "paused.json",
    "demo.log",
    "inbox.json",
    "outbox.json",
    "strays.json",
    "tables.json",
}


@dataclass(frozen=True)
class Problem:
    """Something that should not be. `repair` sets it right; None where a person must decide."""

    path: Path
    what: str
    remedy: str
    repair: Callable[[], None] | None


class SpoolCheck:
    """With `live`, what a daemon at work may have there for a moment is not called a leftover."""

    def __init__(self, settings: Settings, *, live: bool = False) -> None:
        self._live = live
        self._spool = Spool(settings.paths.spool)
        self._outbox = Outbox(settings.paths.outbox, settings.paths.spool / "outbox.json")
        self._paths = settings.paths
        self._seen: dict[str, Path] = {}

    def problems(self) -> Iterator[Problem]:
        """Yield everything that is not as docs/spool.md says, in the order it should be repaired."""
        yield from self.problems_of_folders()
        yield from self.problems_of_index()

    def problems_of_folders(self) -> Iterator[Problem]:
        """Yield what is wrong in the folders, which are the truth."""
        yield from self._missing_folders()
        yield from self._strangers()
        # The furthest first: of two copies of a job that one is right.
        for folder in (
            *(self._spool.root / name for name in reversed(RESTING)),
            self._spool.batches,
            *self._stage_folders(),
        ):
            yield from self._jobs(folder)
        yield from self._claims()
        yield from self._leftovers()

    def problems_of_index(self) -> Iterator[Problem]:
        """Yield what is wrong with the index of jobs, compared with the folders as they are now: look after they are repaired.

        A daemon at work mends it by itself, and without one it is made with the next.
        """
        folder = self._paths.history
        path = folder / database.FILE
        if self._live or not os.path.exists(path):
            return
        folders = JobFolders(self._spool, self._outbox)
        if (why := database.check_file(folder)) is not None:
            yield Problem(
                path, f"the index of jobs cannot be used: {why}", "make it again", partial(self._renew, folders)
            )
        elif (wrong := disagreements(folder, folders)) > 0:
            what = f"the index of jobs disagrees with the folders about {wrong} job{'s' * (wrong > 1)}"
            yield Problem(path, what, "make it again", partial(self._renew, folders))

    def _renew(self, folders: JobFolders) -> None:
        database.discard(self._paths.history)
        renew(self._paths.history, folders)
        database.close_cleanly(self._paths.history)

    def _stage_folders(self) -> Iterator[Path]:
        for stage in reversed(STAGES):
            yield self._spool.active(stage)
            yield self._spool.ready(stage)

    def _missing_folders(self) -> Iterator[Problem]:
        for folder in self._spool.folders():
            if not folder.is_dir():
                yield Problem(folder, "a folder is missing", "make it", partial(make_folder, folder))

    def _strangers(self) -> Iterator[Problem]:
        if not self._spool.root.is_dir():
            return
        for path in sorted(self._spool.root.iterdir()):
            ours = (
                self._paths.cache,
                self._paths.models,
                self._paths.profiles,
                self._paths.avatars,
                self._paths.history,
            )
            if path.name in KNOWN_AT_ROOT | KNOWN_FILES or path in ours:
                continue
            if path.name.startswith(".") and path.suffix == ".tmp":
                yield from () if self._live else [_leftover(path)]
            else:
                yield Problem(path, "nothing of ours", "look at it, and move it elsewhere", None)

    def _jobs(self, folder: Path) -> Iterator[Problem]:
        if not folder.is_dir():
            return
        for path in sorted(folder.iterdir()):
            if not path.is_dir() or path.is_symlink() or not JOB_ID.fullmatch(path.name):
                yield Problem(path, "not a job", "look at it, and move it elsewhere", None)
                continue
            yield from self._job(path)

    def _job(self, path: Path) -> Iterator[Problem]:
        try:
            job = self._spool.load_job(path)
        except OSError as exc:
            yield Problem(path, f"its record cannot be read now: {exc.strerror}", "look at the disk", None)
            return
        except ValueError as exc:
            if path.parent.name not in ("failed", "done"):
                why = str(exc)
                yield Problem(
                    path,
                    f"unreadable record: {why}",
                    "set it aside among the failed",
                    lambda: self._set_aside(path, why),
                )
            return
        if (first := self._seen.setdefault(job.id, path)) != path:
            yield Problem(path, f"the job is also in {first.parent}", "remove this copy", partial(fs.remove, path))
            return
        if not self._live:
            yield from (_leftover(file) for file in path.glob(".*") if file.name != SPARE)
            yield from self._holding(job, path)
        if (
            job.name
            and not (self._outbox.root / f"{job.name}.json").exists()
            and path.parent.name not in ("failed", "done")
        ):
            yield Problem(
                path,
                "its status file is missing in the outbox",
                "write it again",
                lambda: self._outbox.write_status(job.name, status_of(job), durable=True),
            )

    def _holding(self, job: Job, path: Path) -> Iterator[Problem]:
        """A crash between the order to hold or release a job and its move leaves the record one step ahead."""
        side = path.parent.name
        if side == "held" and not job.held and job.stage is not None:
            state: State = "queued"
            what, remedy = "it was released, but lies among the held", "put it back into its queue"
        elif side == "ready" and job.held:
            state = "held"
            what, remedy = "it is held, but stands in a queue", "put it among the held"
        else:
            return
        yield Problem(path, what, remedy, partial(self._move, job, path, state))

    def _move(self, job: Job, path: Path, state: State) -> None:
        job.state = state
        self._spool.move_job(job, path)
        self._outbox.write_status(job.name, status_of(job), durable=True)

    def _claims(self) -> Iterator[Problem]:
        """Claims that the next start would not go on from. (One with its manifest in it is as it should be after a crash.)"""
        folder = self._paths.inbox / CLAIMED
        if self._live or not os.path.lexists(folder):
            return
        if folder.is_symlink() or not folder.is_dir():
            yield Problem(folder, "not a folder", "remove it; the daemon makes its own", partial(fs.remove, folder))
            return
        for path in sorted(folder.iterdir()):
            if not JOB_ID.fullmatch(path.name) or path.is_symlink() or not path.is_dir():
                yield Problem(path, "not a claim", "look at it, and move it elsewhere", None)
            elif not os.path.lexists(path / "manifest.yaml"):
                yield Problem(path, "a claim without a manifest", "remove it", partial(fs.remove, path))

    def _set_aside(self, path: Path, why: str) -> None:
        job = Job(id=path.name, name=path.name, source="", state="failed")
        job.set_error(unreadable_record(why), None)
        self._outbox.write_status(job.name, status_of(job), durable=True)
        self._spool.move_job(job, path)

    def _leftovers(self) -> Iterator[Problem]:
        if self._live:
            return
        if self._spool.tmp.is_dir():
            yield from map(_leftover, sorted(self._spool.tmp.iterdir()))
        live = frozenset(name for name, path in self._seen.items() if path.parent.parent.name == DELIVER)
        if self._outbox.root.is_dir():
            for path in sorted(self._outbox.temporary_files(live)):
                yield _leftover(path, fs.discard)
        for folder in (self._spool.control, self._spool.waiting):
            yield from map(_leftover, sorted(folder.glob(".*.tmp")))
        for path in sorted(self._spool.waiting.glob("*.json")):
            try:
                Job.from_bytes(path.read_bytes())
            except (OSError, ValueError) as exc:
                remedy = "remove it; the manifest is still in the inbox"
                yield Problem(path, f"unreadable: {exc}", remedy, partial(fs.remove, path))


def _leftover(path: Path, remove: Callable[[Path], None] = fs.remove) -> Problem:
    return Problem(path, "left by a crash", "remove it", partial(remove, path))
