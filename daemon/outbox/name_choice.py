"""Chooses the names of results: each is given once, to one job, and never over something that people put there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from daemon.outbox.alike_names import AlikeInFolders
from daemon.outbox.folders import AnswerFolders
from daemon.outbox.names import ENDINGS, ERRORS_ENDING, LAST_VERSION, STATUS_ENDING, clean_stem, result_of, version_of
from daemon.outbox.reports import is_table_of
from daemon.outbox.stored_status import owner_of, read_head
from daemon.system import subfolders

_RESULTS = tuple(ending for ending in ENDINGS if ending not in (STATUS_ENDING, ERRORS_ENDING))


class NameRequest(NamedTuple):
    """Asks for the result name of a job.

    Attributes:
        wanted: preferred name, of clean parts (`Outbox.name_for`).
        job: id of the job.
        status: its first status.
        chosen: what `choose_name` returned, if it was called.
    """

    wanted: str
    job: str
    status: dict[str, Any]
    chosen: str | None = None


class NameChoice:
    """Chooses names by what lies in the outbox.

    Args:
        is_resting: whether the job of an id is at no stage and in no queue.
    """

    def __init__(self, root: Path, folders: AnswerFolders, is_resting: Callable[[str], bool]) -> None:
        self._root = root
        self._folders = folders
        self._is_resting = is_resting
        #: Names of results that are one on another system.
        self._alike = AlikeInFolders(root, lambda entry: result_of(entry.name))

    def choose(self, request: NameRequest) -> str:
        """Return the name that a job owns, the one it wants, or the next version of it that is free (`hello-v2`). Its folder is
        created. Where there is no free version, the name has the job's id.

        Finding the version takes the logarithm of their number, since people may drop the same name for years.

        Raises:
            MachineError: `outbox-missing`.
            OSError: the outbox itself cannot be used.
        """
        folder, stem = subfolders.split(request.wanted)
        name = subfolders.join(self._folders.make(folder), clean_stem(stem))
        if self.is_free(name, request):
            return name
        base, taken = version_of(name)
        free = taken + 1
        while free <= LAST_VERSION and not self.is_free(f"{base}-v{free}", request):
            taken, free = free, free * 2
        if free > LAST_VERSION:
            return f"{name}-{request.job}"
        while free - taken > 1:
            middle = (taken + free) // 2
            if self.is_free(f"{base}-v{middle}", request):
                free = middle
            else:
                taken = middle
        return f"{base}-v{free}"

    def is_free(self, name: str, request: NameRequest) -> bool:
        """Return whether a job may have a name: it has it already, or nothing of another job's results is there."""
        present = read_head(self._root, name)
        if owner_of(present) == request.job:
            return True
        folder, stem = subfolders.split(name)
        if subfolders.any_there(self._root, folder, (stem + ending for ending in _RESULTS)):
            return False
        if subfolders.any_there(self._root, folder, (stem + ERRORS_ENDING,)) and not self._is_errors_of(
            name, owner_of(present)
        ):
            return False
        if subfolders.any_there(self._root, folder, (stem + STATUS_ENDING,)):
            return self.may_replace(present, request)
        return not self.has_alike(name)

    def _is_errors_of(self, name: str, job: str | None) -> bool:
        return job is not None and is_table_of(self._root, name + ERRORS_ENDING, job)

    def withdraw_errors(self, name: str, present: dict[str, Any] | None, request: NameRequest) -> None:
        """Remove what an earlier batch says of its rows, whose status a job may replace. What is not that batch's, or cannot be
        removed, is left.
        """
        if (job := owner_of(present)) != request.job and self._is_errors_of(name, job):
            with contextlib.suppress(OSError):
                subfolders.remove_file(self._root, name + ERRORS_ENDING)

    def may_replace(self, present: dict[str, Any] | None, request: NameRequest) -> bool:
        """Return whether the status of a job may replace this one: it is its own, or of a job that ended without results.

        Jobs from another folder of the inbox, which may be another person's, and other documents of the same manifest keep
        theirs. What the status says of its job is only believed if the job rests.
        """
        job = owner_of(present)
        if present is None or job is None:
            return False
        if job == request.job:
            return True
        wanted = request.status
        here, there = (str(status.get("source") or "") for status in (wanted, present))
        return (
            present.get("state") in ("failed", "cancelled")
            and os.path.dirname(here) == os.path.dirname(there)
            and (here != there or wanted.get("document", 0) == present.get("document", 0))
            and self._is_resting(job)
        )

    def alike(self, name: str) -> list[str]:
        """Return the other names, there or not, that may be the same on another system."""
        folder, stem = subfolders.split(name)
        return [subfolders.join(folder, other) for other in sorted(self._alike.at(folder).of(stem))]

    def has_alike(self, name: str) -> bool:
        """Return whether results are there whose name is the same on Windows or a Mac."""
        folder, stem = subfolders.split(name)
        files = (other + ending for other in self._alike.at(folder).of(stem) for ending in ENDINGS)
        return subfolders.any_there(self._root, folder, files)

    def note(self, name: str) -> None:
        """Note that a name was given."""
        folder, stem = subfolders.split(name)
        self._alike.at(folder).add(stem)
