"""Removes expired and excess data: finished and failed jobs, the cache, and results in the outbox if configured."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from daemon.config import Settings
from daemon.jobs.record import FINISHED
from daemon.outbox.outbox import ENDINGS, Outbox
from daemon.queue.spool import Spool
from daemon.system import fs

log = structlog.get_logger()

DAY_S = 86_400.0
#: Most items removed in one pass, so that removing years of jobs does not delay the work.
BATCH = 500


@dataclass(frozen=True)
class Clearable:
    """Files that are removed together. `touched`: last use, in seconds since the epoch; `size`: bytes."""

    paths: tuple[Path, ...]
    touched: float
    size: int


def select_surplus(items: Iterable[Clearable], now: float, days: float, megabytes: float) -> list[Clearable]:
    """Select the items to remove: those older than `days`, then the oldest until the rest fits `megabytes`. 0: no limit."""
    ordered = sorted(items, key=lambda item: item.touched)
    gone = [item for item in ordered if days and now - item.touched > days * DAY_S]
    kept = ordered[len(gone) :]
    excess = sum(item.size for item in kept) - megabytes * 1e6 if megabytes else 0
    for item in kept:
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

    def clear(self) -> int:
        """Remove at most `BATCH` items that exceed the limits; returns the number removed."""
        limits, now = self._settings.retention, time.time()
        items = [
            *select_surplus(self._jobs("done"), now, limits.done_days, limits.done_mb),
            *select_surplus(self._jobs("failed"), now, limits.failed_days, limits.failed_mb),
            *select_surplus(_cached_files(self._settings.paths.cache), now, 0, limits.cache_mb),
        ]
        if limits.outbox_days or limits.outbox_mb:
            items += select_surplus(
                finished_results(self._settings.paths.outbox), now, limits.outbox_days, limits.outbox_mb
            )
        removed = sum(map(self._remove, items[:BATCH]))
        if items:
            log.info("retention", removed=removed, left=len(items) - removed)
        return removed

    def _remove(self, item: Clearable) -> bool:
        gone = True
        for path in item.paths:
            try:
                if path.is_dir():  # renamed first, so that nobody sees a job that is partly removed
                    doomed = self._spool.tmp / path.name
                    fs.rename(path, doomed)
                    fs.remove(doomed)
                else:
                    fs.remove(path)
            except OSError as exc:
                log.warning("retention failed", path=str(path), error=str(exc))
                gone = False
        return gone

    def _jobs(self, name: str) -> Iterator[Clearable]:
        for directory in self._spool.job_folders(self._spool.root / name):
            try:
                files = list(os.scandir(directory))
                yield Clearable((directory,), directory.stat().st_mtime, sum(entry.stat().st_size for entry in files))
            except OSError:
                continue  # retried and moved meanwhile, or not readable


def _cached_files(folder: Path) -> Iterator[Clearable]:
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # renamed or taken away meanwhile
            info = path.lstat()
            if stat.S_ISREG(info.st_mode):
                yield Clearable((path,), max(info.st_atime, info.st_mtime), info.st_size)


def finished_results(outbox: Path) -> Iterator[Clearable]:
    """Iterate over finished results with their files. Files without the status file of a finished job are left alone."""
    readable = Outbox(outbox)
    for status in outbox.glob("*.json"):
        stem = status.name.removesuffix(".json")
        try:
            record = readable.read_status(stem)
            if record is None or record.get("state") not in FINISHED:
                continue
            names = [str(output["file"]) for output in record.get("outputs", [])]
            mine = (stem, f"{stem}-{record.get('job')}")
            given_back = (
                [outbox / f"{one}.yaml" for one in mine if "/" not in one] if record["state"] == "failed" else []
            )
            present = [
                status,
                *(path for path in given_back if path.is_file() and path.stat().st_uid == os.geteuid()),
                *(outbox / name for name in names if _is_result_of(name, mine) and (outbox / name).is_file()),
            ]
            yield Clearable(tuple(present), status.stat().st_mtime, sum(path.stat().st_size for path in present))
        except (OSError, ValueError, KeyError, TypeError):
            continue


def _is_result_of(name: str, stems: tuple[str, ...]) -> bool:
    return "/" not in name and any(name == f"{stem}{ending}" for stem in stems for ending in ENDINGS)


async def run_retention(settings: Settings, spool: Spool) -> None:
    """Apply the retention limits every `retention.every_s` seconds, until cancelled."""
    retention = Retention(settings, spool)
    while True:
        # In a thread: a directory of a year's jobs takes a while to read.
        try:
            cleared = await asyncio.to_thread(retention.clear)
        except Exception:  # a file vanished, or the disk failed: try again later
            log.exception("retention failed")
            cleared = 0
        await asyncio.sleep(1.0 if cleared == BATCH else settings.retention.every_s)
