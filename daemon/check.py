"""`avatar spool check`: is every file of the spool in a legal state, and what to do about those that are not.

Run while no daemon works on the spool (it takes the lock); with a dry run it only tells.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from daemon import fs
from daemon.config import Settings
from daemon.job import JOB_ID, STAGES, Job
from daemon.outbox import Outbox
from daemon.spool import RESTING, Spool
from daemon.status import describe

#: Files a job's directory may hold at rest beside its artifacts; names that begin with a dot are litter.
KNOWN_AT_ROOT = {"lock", "tmp", "waiting", "control", "cache", "models", *STAGES, *RESTING}
KNOWN_FILES = {"metrics.json", "state.json", "paused.json", "demo.log", "inbox.json"}


@dataclass(frozen=True)
class Problem:
    """Something that should not be. `repair` sets it right; None where a person must decide."""

    path: Path
    what: str
    remedy: str
    repair: Callable[[], None] | None


class SpoolCheck:
    """With `live`, what a daemon at work may have there for a moment is not called litter."""

    def __init__(self, settings: Settings, *, live: bool = False) -> None:
        self._live = live
        self._spool = Spool(settings.paths.spool)
        self._outbox = Outbox(settings.paths.outbox)
        self._paths = settings.paths
        self._seen: dict[str, Path] = {}

    def problems(self) -> Iterator[Problem]:
        """Everything that is not as docs/spool.md says, in the order it should be repaired."""
        yield from self._missing_folders()
        yield from self._strangers()
        for folder in (*self._stage_folders(), *(self._spool.root / name for name in RESTING)):
            yield from self._jobs(folder)
        yield from self._litter()

    def _stage_folders(self) -> Iterator[Path]:
        # The furthest first: of two copies of a job that one is right.
        for stage in reversed(STAGES):
            yield self._spool.active(stage)
            yield self._spool.ready(stage)

    def _missing_folders(self) -> Iterator[Problem]:
        for folder in self._spool.folders():
            if not folder.is_dir():
                yield Problem(folder, "a folder is missing", "make it", partial(folder.mkdir, parents=True))

    def _strangers(self) -> Iterator[Problem]:
        if not self._spool.root.is_dir():
            return
        for path in sorted(self._spool.root.iterdir()):
            if (
                path.name not in KNOWN_AT_ROOT | KNOWN_FILES
                and path != self._paths.cache
                and path != self._paths.models
            ):
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
            job = self._spool.load(path)
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
        for litter in () if self._live else path.glob(".*"):
            yield Problem(litter, "left by a crash", "remove it", partial(fs.remove, litter))
        if (
            job.name
            and not (self._outbox.root / f"{job.name}.json").exists()
            and path.parent.name not in ("failed", "done")
        ):
            yield Problem(
                path,
                "its status file is missing in the outbox",
                "write it again",
                lambda: self._outbox.write(job.name, describe(job), durable=True),
            )

    def _set_aside(self, path: Path, why: str) -> None:
        job = Job(id=path.name, name=path.name, source="", state="failed")
        job.error = {
            "code": "job-unreadable",
            "fault": "machine",
            "stage": None,
            "hint": "Drop the manifest again.",
            "message": f"The job's record cannot be read: {why}.",
        }
        self._outbox.write(job.name, describe(job), durable=True)
        self._spool.hop(job, path)

    def _litter(self) -> Iterator[Problem]:
        if self._live:
            return
        if self._spool.tmp.is_dir():
            for path in sorted(self._spool.tmp.iterdir()):
                yield Problem(path, "left by a crash", "remove it", partial(fs.remove, path))
        live = frozenset(name for name, path in self._seen.items() if path.parent.parent.name == "deliver")
        if self._outbox.root.is_dir():
            for path in sorted(self._outbox.litter(live)):
                yield Problem(path, "left by a crash", "remove it", partial(fs.remove, path))
        for path in sorted(self._spool.waiting.glob("*.json")):
            try:
                Job.from_bytes(path.read_bytes())
            except (OSError, ValueError, json.JSONDecodeError) as exc:
                yield Problem(
                    path,
                    f"unreadable: {exc}",
                    "remove it; the manifest is still in the inbox",
                    partial(fs.remove, path),
                )
