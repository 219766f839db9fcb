"""Removes expired and excess data: finished and failed jobs, the cache, and results in the outbox if configured."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from daemon.config import Settings
from daemon.errors import AvatarError
from daemon.events import Events
from daemon.jobs.record import DRAWN, FINISHED, JOB_ID, REUSED, SPOKEN
from daemon.outbox import looks
from daemon.outbox.names import ENDINGS, STATUS_ENDING
from daemon.outbox.notes import NOTE_ENDING, is_note
from daemon.outbox.outbox import Outbox
from daemon.queue.job_end import SOURCES
from daemon.queue.spool import Spool
from daemon.system import fs, subfolders
from daemon.system.disk_thread import in_thread
from daemon.system.wakeup import Wakeup

log = structlog.get_logger()

DAY_S = 86_400.0
#: Most items removed in one pass, so that removing years of jobs does not delay the work.
BATCH = 500
#: What a done job keeps for jobs that are based on it.
_AGAIN = SOURCES | REUSED
#: Most files that cannot be removed that one line of the log names.
TOLD = 5


@dataclass(frozen=True)
class Clearable:
    """Files that are removed together.

    Attributes:
        paths: folders and files of ours.
        results: files of the outbox, by their path below it, where people can exchange folders.
        touched: last use, in seconds since the epoch.
        size: bytes.
        spare: it only saves work, and goes before what is of more use where the space does not suffice.
    """

    paths: tuple[Path, ...]
    touched: float
    size: int
    results: tuple[str, ...] = ()
    spare: bool = False


def select_surplus(items: Iterable[Clearable], now: float, days: float, megabytes: float) -> list[Clearable]:
    """Select the items to remove: those older than `days`, then, until the rest fits `megabytes`, the spare ones and the others,
    the oldest first. 0: no limit.
    """
    ordered = sorted(items, key=lambda item: item.touched)
    gone = [item for item in ordered if days and now - item.touched > days * DAY_S]
    kept = ordered[len(gone) :]
    excess = sum(item.size for item in kept) - megabytes * 1e6 if megabytes else 0
    for item in sorted(kept, key=lambda item: not item.spare):
        if excess <= 0:
            break
        gone.append(item)
        excess -= item.size
    return gone


class Retention:
    """Applies the limits of `retention` to spool, cache and outbox."""

    def __init__(self, settings: Settings, spool: Spool) -> None:
        self._settings = settings
        self._spool = spool
        #: What the last pass removed.
        self.removed: list[Clearable] = []

    def clear(self) -> int:
        """Remove at most `BATCH` items that exceed the limits; returns the number removed."""
        limits, now = self._settings.retention, time.time()
        items = [
            *select_surplus(self._jobs("done"), now, limits.done_days, limits.done_mb),
            *select_surplus(self._sources(), now, 0, limits.sources_mb),
            *select_surplus(self._jobs("failed"), now, limits.failed_days, limits.failed_mb),
            *select_surplus(_cached_files(self._settings.paths.cache), now, 0, limits.cache_mb),
            # What was spoken is kept no longer than the job that said it last.
            *select_surplus(_cached_files(self._settings.paths.cache / SPOKEN), now, limits.done_days, 0),
        ]
        if limits.outbox_days or limits.outbox_mb:
            outbox = self._settings.paths.outbox
            found = [*finished_results(outbox), *answers(outbox)]
            items += select_surplus(found, now, limits.outbox_days, limits.outbox_mb)
        chosen = {path for item in items for path in (*item.paths, *item.results)}
        looked = (item for item in self._looks() if chosen.isdisjoint((*item.paths, *item.results)))
        items += select_surplus(looked, now, looks.KEPT_DAYS, 0)
        self.removed, refused = [], []
        for item in items:  # one that cannot be removed, such as people's own, keeps no other
            if len(self.removed) == BATCH:
                break
            why = self._remove(item)
            if not why:
                self.removed.append(item)
            refused += why
        removed = len(self.removed)
        if items:
            log.info("retention", removed=removed, left=len(items) - removed)
        if refused:
            log.warning("retention failed", files=len(refused), first=refused[:TOLD])
        return removed

    def _remove(self, item: Clearable) -> list[str]:
        """Remove an item; returns why what is left of it could not be removed."""
        refused = []
        for name in item.results:
            try:
                subfolders.remove_file(self._settings.paths.outbox, name)
            except OSError as exc:
                refused.append(f"{name}: {exc.strerror}")
        for path in item.paths:
            try:
                if path.is_dir():  # renamed first, so that nobody sees a job that is partly removed
                    doomed = self._spool.tmp / f"{path.parent.name}-{path.name}"
                    fs.rename(path, doomed)
                    fs.remove(doomed)
                else:
                    fs.remove(path)
            except OSError as exc:
                refused.append(f"{path}: {exc.strerror}")
        return refused

    def _jobs(self, name: str) -> Iterator[Clearable]:
        for directory in self._spool.job_folders(self._spool.root / name):
            try:
                files = [path for path in directory.iterdir() if name != "done" or path.name not in _AGAIN]
                size = sum(map(_size, files))
                yield Clearable((directory,), _ended(directory), size)
            except OSError:
                continue  # retried and moved meanwhile, or not readable

    def _looks(self) -> Iterator[Clearable]:
        """Yield what the page's short jobs left: their results and their folders in the spool."""
        outbox = self._settings.paths.outbox
        names = [name for name in Outbox(outbox).names() if name.startswith(looks.PREFIX)]
        for found in finished_results(outbox, names):
            status = Outbox(outbox).read_status(found.results[0].removesuffix(STATUS_ENDING)) or {}
            if looks.is_look(found.results[0], status.get("metadata")):
                places = (self._spool.root / state / str(status["job"]) for state in ("done", "failed"))
                yield replace(found, paths=tuple(place for place in places if place.is_dir()))

    def _sources(self) -> Iterator[Clearable]:
        """Yield what done jobs keep for jobs that are based on them: the files that they named, and what they made. Their videos,
        which are the largest, are spare.
        """
        for directory in self._spool.job_folders(self._spool.root / "done"):
            try:
                files = [path for path in directory.iterdir() if path.name in _AGAIN]
                for spare in (True, False):
                    if some := tuple(path for path in files if (path.name == DRAWN) is spare):
                        size = sum(_size(path, shared=True) for path in some)
                        yield Clearable(some, _ended(directory), size, spare=spare)
            except OSError:
                continue  # removed meanwhile, or not readable


def _size(path: Path, *, shared: bool = False) -> int:
    """Return the bytes of a file, or of the files in a folder. `shared`: those that jobs share are parted among them."""
    files = list(path.iterdir()) if path.is_dir() else [path]
    return sum(info.st_size // (info.st_nlink if shared else 1) for info in map(os.lstat, files))


def _ended(directory: Path) -> float:
    """Return when a job ended, in seconds since the epoch. Its folder changes again when the copies in it are removed; its record
    does not.
    """
    return min(path.stat().st_mtime for path in (directory, directory / "job.json") if path.exists())


def _cached_files(folder: Path) -> Iterator[Clearable]:
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # renamed or taken away meanwhile
            info = path.lstat()
            if stat.S_ISREG(info.st_mode):
                yield Clearable((path,), max(info.st_atime, info.st_mtime), info.st_size)


def finished_results(outbox: Path, names: Iterable[str] | None = None) -> Iterator[Clearable]:
    """Iterate over finished results with their files. Files without the status file of a finished job are left alone.

    Args:
        names: of the results; None: all that there are.
    """
    readable = Outbox(outbox)
    for name in readable.names() if names is None else names:
        try:
            record = readable.read_status(name)
            if record is None or record.get("state") not in FINISHED:
                continue
            mine, job = [name], str(record.get("job"))
            if JOB_ID.fullmatch(job):
                # Where its folder had been exchanged, a result lies in the outbox itself, with the job's id.
                mine += [f"{name}-{job}", f"{os.path.basename(name)}-{job}"]
            status = _look(outbox, f"{name}.json")
            present = {f"{name}.json": status.st_size}
            for file in [str(output["file"]) for output in record.get("outputs", [])]:
                if any(file == f"{stem}{ending}" for stem in mine for ending in ENDINGS):
                    with contextlib.suppress(OSError):
                        present[file] = _look(outbox, file).st_size
            for file in [f"{stem}.yaml" for stem in mine] if record["state"] != "done" else []:  # given back
                with contextlib.suppress(OSError):
                    if (info := _look(outbox, file)).st_uid == os.geteuid():
                        present[file] = info.st_size
            yield Clearable((), status.st_mtime, sum(present.values()), tuple(present))
        except (OSError, ValueError, KeyError, TypeError):
            continue


def answers(outbox: Path) -> Iterator[Clearable]:
    """Iterate over the answers to requests and to stray files; what people wrote themselves is left alone."""
    for name in subfolders.names_below(outbox, NOTE_ENDING):
        with contextlib.suppress(OSError, AvatarError):
            info = _look(outbox, name)
            if info.st_uid == os.geteuid() and is_note(outbox, name):
                yield Clearable((), info.st_mtime, info.st_size, (name,))


def _look(outbox: Path, name: str) -> os.stat_result:
    """Look at a regular file of the outbox.

    Raises:
        OSError: it is none, or is behind a link.
    """
    folder, file = subfolders.split(name)
    with subfolders.opened(outbox, folder) as path:
        info = os.lstat(path / file)
    if not stat.S_ISREG(info.st_mode):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    return info


def _tell(events: Events, spool: Spool, removed: Iterable[Clearable]) -> None:
    jobs, names = [], []
    for item in removed:
        jobs += [path.name for path in item.paths if path.is_relative_to(spool.root) and JOB_ID.fullmatch(path.name)]
        names += [file.removesuffix(STATUS_ENDING) for file in item.results[:1] if file.endswith(STATUS_ENDING)]
    if jobs or names:
        events.results_removed(jobs, names)


async def run_retention(settings: Settings, spool: Spool, events: Events, reloaded: Wakeup) -> None:
    """Apply the retention limits every `retention.every_s` seconds and after each reload, until cancelled."""
    retention = Retention(settings, spool)
    while True:
        heard = reloaded.notifications
        # In a thread: a directory of a year's jobs takes a while to read.
        try:
            cleared = await in_thread(retention.clear)
        except Exception:  # a file vanished, or the disk failed: try again later
            log.exception("retention failed")
            cleared = 0
        _tell(events, spool, retention.removed)
        await reloaded.wait(1.0 if cleared == BATCH else settings.retention.every_s, heard)
