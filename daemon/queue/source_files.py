"""Checks that the files a job names are whole, and copies those again that went on being written after they were copied.

A file can be copied too early: where a close is not reported, or because a client whose connection broke opened it again. Then
the copy is the beginning of the final file, or has zeros where data came later. A file that was replaced or overwritten is a
different file: the job keeps its copy.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from daemon.config import Settings
from daemon.errors import AvatarError, JobError, MachineError
from daemon.jobs.facts import SourceFile
from daemon.jobs.record import Job
from daemon.queue.copy_comparison import Content, compare_with_copy
from daemon.queue.free_space import check_room
from daemon.system import fs
from daemon.system.disk_thread import DiskThread
from daemon.system.file_key import FileKey, file_key
from daemon.system.safe_open import explain_open_error, open_inside, path_by_descriptor

#: Time between two looks at a file that is not whole yet, in s. It is longer where many jobs wait or a look takes long, so that
#: looks never take more than this share of the time: a job that waits must not keep others waiting.
LOOK_S, SHARE = 2.0, 0.05
#: What a look costs at least, in s.
LEAST_COST_S = 0.001
#: Longest wait for an answer of the inbox, in s.
ANSWER_S = 30.0


@dataclass
class SourceCheck:
    """What a check of a job's files found.

    Attributes:
        wait_s: seconds until the next check; 0 if nothing is waited for.
        unfinished: the files that are waited for or, if `wait_s` is 0, whose end may be missing; paths below the inbox.
        renewed: name of the copy → key of the new content, for files that were copied again. `install_new_copy` replaces the old
            copies.
        lost: files whose rest was waited for and does not come: removed, replaced or overwritten; paths below the inbox.
        still_s: name of the copy → how long that file had been seen unchanged, in s.
        late: the time for waiting is over.
        unchecked: a file could not be looked at, because the inbox is at fault or not mounted.
        took_s: how long the check took, in s.
    """

    wait_s: float = 0.0
    unfinished: list[str] = field(default_factory=list)
    renewed: dict[str, FileKey] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    still_s: dict[str, float] = field(default_factory=dict)
    late: bool = False
    unchecked: bool = False
    took_s: float = 0.0


class _Seen(NamedTuple):
    """A file as the checks have seen it, and its content beside that of the job's copy.

    Attributes:
        since: when it was first seen so, on the monotonic clock.
    """

    key: FileKey
    since: float
    content: Content

    @property
    def grown(self) -> bool:
        return self.content is Content.GROWN


@dataclass(frozen=True)
class _Order:
    """What is to be checked, and how (see `SourceFiles.check`). `given_up`: set when the caller no longer waits."""

    job: Job
    directory: Path
    accepted: float
    awaited: Collection[str] | None
    must_stand: bool
    may_copy_late: bool
    given_up: threading.Event = field(default_factory=threading.Event)

    @property
    def waits_for_inbox(self) -> bool:
        """Whether to wait for the inbox while it cannot be looked at: it may hold the rest of a file."""
        return self.awaited is not None or self.must_stand


class SourceFiles:
    """The files in the inbox from which jobs were made.

    Args:
        is_open: tells whether somebody has a file open for writing, as far as is known; takes its path below the inbox.
        clock: monotonic.
        mounted: keeps the inbox mounted inside a `with` block; raises MachineError `inbox-missing` where it is not mounted.
    """

    def __init__(
        self,
        settings: Settings,
        is_open: Callable[[str], bool] = lambda path: False,
        clock: Callable[[], float] = time.monotonic,
        mounted: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        self._settings = settings
        self._is_open = is_open
        self.clock = clock
        self._mounted = mounted
        self._disk = DiskThread("sources")
        self._seen: dict[str, dict[str, _Seen]] = {}
        #: Jobs that wait for the rest of a file.
        self._waiting: set[str] = set()

    def forget(self, job_id: str) -> None:
        """Forget what the checks have seen of a job's files."""
        self._seen.pop(job_id, None)
        self._waiting.discard(job_id)

    async def check(
        self,
        job: Job,
        directory: Path,
        accepted: float,
        *,
        awaited: Collection[str] | None = None,
        must_stand: bool,
        may_copy_late: bool,
    ) -> SourceCheck:
        """Check the files of a job, in a thread.

        A file is waited for while somebody has it open for writing. One that grew after it was copied is waited for until it has
        been unchanged for as long as a file of unknown writers must be, and then copied again. While the inbox cannot be looked
        at, a job that waits for the rest of a file waits on. `intake.companion_wait_s` after the job was accepted nothing is
        waited for; a file that grew is copied as it is.

        Args:
            accepted: when the job was accepted, on the monotonic clock.
            awaited: the files whose rest the job waits for, by their paths below the inbox; None: it does not wait.
            must_stand: wait also for files that did not change, until they have been unchanged for that long.
            may_copy_late: whether files may still be copied again when the time for waiting is over.

        Returns:
            What was found; `unchecked` also where the inbox does not answer.
        """
        order = _Order(job, directory, accepted, awaited, must_stand, may_copy_late)
        look = self._disk.run(self._timed_check, order)
        if self._disk.busy_s > ANSWER_S:
            look.close()
            result = self._unchecked(order)
        else:
            try:
                result = await asyncio.wait_for(look, ANSWER_S)
            except TimeoutError:
                result = self._unchecked(order)
            finally:
                order.given_up.set()
        self._waiting.discard(job.id)
        if result.wait_s:
            self._waiting.add(job.id)
            pause_s = len(self._waiting) * max(LEAST_COST_S, result.took_s) / SHARE
            result.wait_s = max(result.wait_s, min(pause_s, self._left_s(order)))
        return result

    def _left_s(self, order: _Order) -> float:
        """Return seconds until nothing is waited for any more."""
        return order.accepted + self._settings.intake.companion_wait_s - self.clock()

    def _unchecked(self, order: _Order) -> SourceCheck:
        """Return the result of a check while the inbox cannot be read."""
        left_s = self._left_s(order)
        wait_s = max(0.0, min(LOOK_S, left_s)) if order.waits_for_inbox else 0.0
        return SourceCheck(wait_s=wait_s, late=left_s <= 0, unchecked=True)

    def _timed_check(self, order: _Order) -> SourceCheck:
        began = self.clock()
        try:
            with self._mounted():  # else an empty mount point looks as if the files had been removed
                result = self._check_files(order)
        except MachineError:
            result = self._unchecked(order)
        result.took_s = self.clock() - began
        return result

    def _check_files(self, order: _Order) -> SourceCheck:
        """Check the files of a job (see `check`); blocks while the inbox does not answer."""
        job, now, left_s = order.job, self.clock(), self._left_s(order)
        result, waits = SourceCheck(late=left_s <= 0), [0.0]
        grown: list[tuple[str, SourceFile, _Seen]] = []
        for target, known in job.facts.sources.items():
            path = known.path
            awaited = order.awaited is not None and path in order.awaited
            try:
                seen = self._look(order, target, known)
            except JobError:  # gone, or not to be read: the job keeps its copy
                result.lost += [path] if awaited else []
                continue
            except (AvatarError, OSError) as exc:
                if not isinstance(exc, AvatarError) or exc.code != "file-changing":  # the machine's fault
                    result.unchecked = True
                    waits.append(LOOK_S if order.waits_for_inbox else 0.0)
                    continue
                seen, left = None, LOOK_S
            else:
                if seen is None:  # another file is in its place
                    result.lost += [path] if awaited else []
                    continue
                result.still_s[target] = now - seen.since
                left = LOOK_S if self._is_open(path) else 0.0
                if seen.grown or order.must_stand:
                    needed = self._settings.intake.unknown_writer_s(seen.key.size)
                    left = max(left, seen.since + needed - now)
            if left > 0:
                waits.append(left)
                result.unfinished.append(path)
            elif awaited and seen is not None and seen.content is Content.OTHER:
                result.lost.append(path)
            if seen is not None and seen.grown:
                grown.append((target, known, seen))
        if max(waits) > 0 and not result.late:
            result.wait_s = min(LOOK_S, max(waits), left_s)
            return result
        for target, known, seen in grown:
            copied: bool | None = False
            if order.may_copy_late or not result.late:
                copied = self._copy(order, known.path, target, seen.key)
            if copied is None:  # other content came into it meanwhile
                self._remember(order, target, seen._replace(content=Content.OTHER))
                result.lost.append(known.path)
            elif copied:
                result.renewed[target] = seen.key
            elif known.path not in result.unfinished:
                result.unfinished.append(known.path)
                result.wait_s = 0.0 if result.late else min(LOOK_S, left_s)
        if not result.late and not result.wait_s:
            result.unfinished = []
        return result

    def _look(self, order: _Order, target: str, known: SourceFile) -> _Seen | None:
        """Look at one file, and compare it with its copy if it changed. Returns None if another file is in its place.

        Raises:
            AvatarError: it cannot be opened.
            OSError: it cannot be read.
        """
        inbox, path, copied = self._settings.paths.inbox, known.path, known.file
        try:
            # Not opened, which a lease may delay and watches are told of.
            with path_by_descriptor(inbox, path) as place:
                key = FileKey.of(os.lstat(place))
        except OSError as exc:
            raise explain_open_error(exc, path) from exc
        if copied is not None and copied[:2] != list(key[:2]):
            return None
        if copied == list(key):
            return _Seen(key, min(self.clock(), order.accepted - known.still_s), Content.SAME)
        before = self._seen.get(order.job.id, {}).get(target)
        if before is not None and before.key == key:
            return before
        # What has grown once is compared again only before it is copied.
        grown = before is not None and before.grown
        content = Content.GROWN if grown else self._compare(order, path, target)
        return self._remember(order, target, _Seen(key, self.clock(), content))

    def _remember(self, order: _Order, target: str, seen: _Seen) -> _Seen:
        if not order.given_up.is_set():
            self._seen.setdefault(order.job.id, {})[target] = seen
        return seen

    def _compare(self, order: _Order, path: str, target: str) -> Content:
        with open_inside(self._settings.paths.inbox, path) as fd, (order.directory / target).open("rb") as copy:
            return compare_with_copy(copy.fileno(), fd, order.given_up)

    def _copy(self, order: _Order, path: str, target: str, key: FileKey) -> bool | None:
        """Copy a file again, under the temporary name.

        Returns:
            False if it does not fit, cannot be read or still changes; None if it does not continue its copy.
        """
        if key.size > self._settings.intake.max_file_bytes:
            return False
        copy = order.directory / target
        temporary = temporary_of(copy)
        try:
            if self._compare(order, path, target) is not Content.GROWN:
                return False if order.given_up.is_set() else None
            check_room(self._settings, copy.name, key.size)
            fs.remove(temporary)
            with open_inside(self._settings.paths.inbox, path) as fd:
                fs.OPS.copy(fd, temporary, key.size)
                if file_key(fd) == key and not order.given_up.is_set():
                    return True
        except (AvatarError, OSError):
            pass
        fs.remove(temporary)
        return False


def install_new_copy(directory: Path, target: str) -> None:
    """Replace the old copy of a file with the new one, durably, if there is a new one."""
    if os.path.lexists(temporary_of(directory / target)):
        fs.rename(temporary_of(directory / target), directory / target)
        fs.OPS.sync_dir(directory)


def temporary_of(copy: Path) -> Path:
    """Return the path under which a new copy is written."""
    return copy.with_name(f".{copy.name}.tmp")
