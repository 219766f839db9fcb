"""Checks that the files a job names are whole, and copies those again that went on being written after they were copied.

A file can be copied too early: where a close is not reported, or because a client whose connection broke opened it again. Then
the copy is the beginning of the final file, or has zeros where data came later. A file that was replaced or overwritten is a
different file: the job keeps its copy.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from daemon.config import Settings
from daemon.errors import AvatarError, JobError
from daemon.jobs.record import SOURCES, Job
from daemon.queue.free_space import check_room
from daemon.system import fs
from daemon.system.disk_thread import DiskThread
from daemon.system.file_key import FileKey, file_key
from daemon.system.safe_open import explain_open_error, open_inside, path_by_descriptor

#: Unit of comparison, in bytes: the kernel writes files page by page.
PAGE = 4096
_CHUNK = 256 * PAGE
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
        still_s: name of the copy → how long that file had been seen unchanged, in s.
        late: the time for waiting is over.
        unchecked: a file could not be looked at, because the inbox is at fault.
        took_s: how long the check took, in s.
    """

    wait_s: float = 0.0
    unfinished: list[str] = field(default_factory=list)
    renewed: dict[str, FileKey] = field(default_factory=dict)
    still_s: dict[str, float] = field(default_factory=dict)
    late: bool = False
    unchecked: bool = False
    took_s: float = 0.0


class _Seen(NamedTuple):
    """A file as the checks have seen it.

    Attributes:
        since: when it was first seen so, on the monotonic clock.
        grown: it continues the job's copy.
    """

    key: FileKey
    since: float
    grown: bool


class SourceFiles:
    """The files in the inbox from which jobs were made.

    Args:
        is_open: tells whether somebody has a file open for writing, as far as is known; takes its path below the inbox.
        clock: monotonic.
    """

    def __init__(
        self,
        settings: Settings,
        is_open: Callable[[str], bool] = lambda path: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._is_open = is_open
        self.clock = clock
        self._disk = DiskThread("sources")
        self._seen: dict[str, dict[str, _Seen]] = {}
        #: Jobs that wait for the rest of a file.
        self._waiting: set[str] = set()

    def forget(self, job_id: str) -> None:
        """Forget what the checks have seen of a job's files."""
        self._seen.pop(job_id, None)
        self._waiting.discard(job_id)

    async def check(
        self, job: Job, directory: Path, accepted: float, *, must_stand: bool, may_copy_late: bool
    ) -> SourceCheck:
        """Check the files of a job, in a thread.

        A file is waited for while somebody has it open for writing. One that grew after it was copied is waited for until it has
        been unchanged for as long as a file of unknown writers must be, and then copied again. `intake.companion_wait_s` after
        the job was accepted nothing is waited for; a file that grew is copied as it is.

        Args:
            accepted: when the job was accepted, on the monotonic clock.
            must_stand: wait also for files that did not change, until they have been unchanged for that long.
            may_copy_late: whether files may still be copied again when the time for waiting is over.

        Returns:
            What was found; `unchecked` also where the inbox does not answer.
        """
        given_up = threading.Event()
        find = partial(self._find, job, directory, accepted, must_stand, may_copy_late, given_up)
        look = self._disk.run(self._timed, find)
        if self._disk.busy_s > ANSWER_S:
            look.close()
            return SourceCheck(unchecked=True)
        try:
            result = await asyncio.wait_for(look, ANSWER_S)
        except TimeoutError:
            result = SourceCheck(unchecked=True)
        finally:
            given_up.set()
        self._waiting.discard(job.id)
        if result.wait_s:
            self._waiting.add(job.id)
            pause_s = len(self._waiting) * max(LEAST_COST_S, result.took_s) / SHARE
            left = accepted + self._settings.intake.companion_wait_s - self.clock()
            result.wait_s = max(result.wait_s, min(pause_s, left))
        return result

    def _timed(self, find: Callable[[], SourceCheck]) -> SourceCheck:
        began = self.clock()
        result = find()
        result.took_s = self.clock() - began
        return result

    def _find(
        self,
        job: Job,
        directory: Path,
        accepted: float,
        must_stand: bool,
        may_copy_late: bool,
        given_up: threading.Event,
    ) -> SourceCheck:
        """Check the files of a job (see `check`); blocks while the inbox does not answer. `given_up`: set when the caller no
        longer waits.
        """
        now, end = self.clock(), accepted + self._settings.intake.companion_wait_s
        result, waits = SourceCheck(late=now >= end), [0.0]
        grown: list[tuple[str, dict[str, Any], _Seen]] = []
        for target, known in job.facts.get(SOURCES, {}).items():
            path = str(known["path"])
            try:
                seen = self._look(job.id, target, known, directory / target, accepted, given_up)
            except JobError:  # gone, or not to be read: the job keeps its copy
                continue
            except (AvatarError, OSError) as exc:
                if not isinstance(exc, AvatarError) or exc.code != "file-changing":  # the machine's fault
                    result.unchecked = True
                    continue
                seen, left = None, LOOK_S
            else:
                if seen is None:  # another file is in its place
                    continue
                result.still_s[target] = now - seen.since
                left = LOOK_S if self._is_open(path) else 0.0
                if seen.grown or must_stand:
                    needed = self._settings.intake.unknown_writer_s(seen.key.size)
                    left = max(left, seen.since + needed - now)
            if left > 0:
                waits.append(left)
                result.unfinished.append(path)
            if seen is not None and seen.grown:
                grown.append((target, known, seen))
        if max(waits) > 0 and not result.late:
            result.wait_s = min(LOOK_S, max(waits), end - now)
            return result
        for target, known, seen in grown:
            copied: bool | None = False
            if may_copy_late or not result.late:
                copied = self._copy(str(known["path"]), directory / target, seen.key, given_up)
            if copied is None:  # other content came into it meanwhile
                self._remember(job.id, target, seen._replace(grown=False), given_up)
            elif copied:
                result.renewed[target] = seen.key
            elif str(known["path"]) not in result.unfinished:
                result.unfinished.append(str(known["path"]))
                result.wait_s = 0.0 if result.late else min(LOOK_S, end - now)
        if not result.late and not result.wait_s:
            result.unfinished = []
        return result

    def _look(
        self,
        job_id: str,
        target: str,
        known: dict[str, Any],
        copy: Path,
        accepted: float,
        given_up: threading.Event,
    ) -> _Seen | None:
        """Look at one file, and compare it with its copy if it changed. Returns None if another file is in its place.

        Raises:
            AvatarError: it cannot be opened.
            OSError: it cannot be read.
        """
        inbox, path, copied = self._settings.paths.inbox, str(known["path"]), known["file"]
        try:
            # Not opened, which a lease may delay and watches are told of.
            with path_by_descriptor(inbox, path) as place:
                key = FileKey.of(os.lstat(place))
        except OSError as exc:
            raise explain_open_error(exc, path) from exc
        if copied is not None and copied[:2] != list(key[:2]):
            return None
        if copied == list(key):
            return _Seen(key, min(self.clock(), accepted - known["still_s"]), grown=False)
        before = self._seen.get(job_id, {}).get(target)
        if before is not None and before.key == key:
            return before
        # What has grown once is compared again only before it is copied.
        grown = (before is not None and before.grown) or self._continues(path, copy, given_up)
        return self._remember(job_id, target, _Seen(key, self.clock(), grown), given_up)

    def _remember(self, job_id: str, target: str, seen: _Seen, given_up: threading.Event) -> _Seen:
        if not given_up.is_set():
            self._seen.setdefault(job_id, {})[target] = seen
        return seen

    def _continues(self, path: str, copy: Path, given_up: threading.Event) -> bool:
        with open_inside(self._settings.paths.inbox, path) as fd, copy.open("rb") as file:
            return is_continuation(file.fileno(), fd, given_up)

    def _copy(self, path: str, copy: Path, key: FileKey, given_up: threading.Event) -> bool | None:
        """Copy a file again, under the temporary name.

        Returns:
            False if it does not fit, cannot be read or still changes; None if it does not continue its copy.
        """
        if key.size > self._settings.intake.max_file_bytes:
            return False
        temporary = temporary_of(copy)
        try:
            if not self._continues(path, copy, given_up):
                return False if given_up.is_set() else None
            check_room(self._settings, copy.name, key.size)
            fs.remove(temporary)
            with open_inside(self._settings.paths.inbox, path) as fd:
                fs.OPS.copy(fd, temporary, key.size)
                if file_key(fd) == key and not given_up.is_set():
                    return True
        except (AvatarError, OSError):
            pass
        fs.remove(temporary)
        return False


def install_new_copy(directory: Path, target: str) -> None:
    """Replace the old copy of a file with the new one, durably."""
    if os.path.lexists(temporary_of(directory / target)):
        fs.rename(temporary_of(directory / target), directory / target)
        fs.OPS.sync_dir(directory)


def temporary_of(copy: Path) -> Path:
    """Return the path under which a new copy is written."""
    return copy.with_name(f".{copy.name}.tmp")


def is_continuation(copy: int, file: int, given_up: threading.Event) -> bool:
    """Return True if an open file continues its open copy: every page of the copy equals the file's, or does so up to trailing
    zeros, and the two differ. False as well when `given_up` is set.
    """
    at, differs = 0, False
    while not given_up.is_set():
        old, new = os.pread(copy, _CHUNK, at), os.pread(file, _CHUNK, at)
        if old != new:
            differs = True
            if len(old) > len(new) or not all(
                new[page : page + PAGE].startswith(old[page : page + PAGE].rstrip(b"\0"))
                for page in range(0, len(old), PAGE)
            ):
                return False
        if len(old) < _CHUNK:
            return differs
        at += len(old)
    return False
