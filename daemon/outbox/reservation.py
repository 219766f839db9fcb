"""Reserves names of results by writing the first status files of jobs."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from collections.abc import Sequence
from pathlib import Path

import structlog

from daemon.outbox.folders import flush_folders
from daemon.outbox.name_choice import NameChoice, NameRequest
from daemon.outbox.names import STATUS_ENDING
from daemon.outbox.stored_status import read_head
from daemon.outbox.temporary_files import temporary_path
from daemon.system import fs, subfolders
from daemon.system.json_files import dump_json
from daemon.system.subfolders import UnusableFolderError

log = structlog.get_logger()

#: How often a name is tried to be reserved while people put files in the way, or take ours away.
TRIES = 20


class Reservation:
    """Reserves names in the outbox.

    Attributes:
        lock: held while a name is checked and given: a job may be retried, in another thread, at the moment its name is.
    """

    def __init__(self, root: Path, names: NameChoice) -> None:
        self._root = root
        self._names = names
        self.lock = threading.Lock()

    def reserve(self, requests: Sequence[NameRequest]) -> list[str]:
        """Reserve names for jobs. A name that is taken gets a version (`hello-v2`); one of a job that failed or was cancelled
        without results is free again, and the new status replaces the old one in one step; what a batch said there of its rows is
        removed before. Where its folder refuses a job's status, the job has a name in the outbox itself.

        The same job gets the same name again, for example after a crash. All files are flushed together, which makes bursts
        fast.

        Returns:
            The names, in the order of the requests.

        Raises:
            MachineError: `outbox-missing`.
            OSError: a file could not be written; no temporary file is left.
        """
        names: list[str] = []
        written: list[Path] = []
        try:
            for request in requests:
                names.append(request.chosen or self._names.choose(request))
                written.append(temporary_path(self._root, request.job))
                fs.OPS.write(written[-1], _first_status(request, names[-1]), sync=False)
            _flush(written)
            for number, (request, temporary) in enumerate(zip(requests, written, strict=True)):
                names[number] = self._publish(request, names[number], temporary)
        except OSError:
            for temporary in written:
                fs.discard(temporary)
            raise
        flush_folders(self._root, {subfolders.split(name)[0] for name in names})
        return names

    def _publish(self, request: NameRequest, name: str, temporary: Path) -> str:
        """Give a written status file its name, or another one if this one was taken meanwhile, or its folder refuses it. Returns
        the name.

        Raises:
            MachineError, OSError: as `reserve`.
        """
        with self.lock:
            for attempt in range(TRIES):
                try:
                    if self._put(request, name, temporary):
                        return name
                    name = self._names.choose(request) if attempt < TRIES // 2 else _unforeseen(name, request.job)
                except UnusableFolderError as exc:
                    log.warning("folder refuses a status", job_id=request.job, name=name, why=exc.strerror)
                    name = subfolders.fallback_name(name, request.job)
                except FileNotFoundError:
                    if os.path.lexists(temporary):
                        raise
                fs.discard(temporary)
                fs.OPS.write_unseen(temporary, _first_status(request, name))
        raise FileExistsError(f"{name}: somebody puts files in its place, or takes ours away")

    def _put(self, request: NameRequest, name: str, temporary: Path) -> bool:
        """Rename a status file to the name of its job. False: it is taken."""
        file = f"{name}{STATUS_ENDING}"
        present = read_head(self._root, name)
        if self._names.may_replace(present, request):
            self._names.withdraw_errors(name, present, request)
            try:
                subfolders.rename_into(self._root, temporary, file, durable=False)
            except IsADirectoryError:
                return False
        elif self._names.has_alike(name) or not subfolders.publish_into(self._root, temporary, file, durable=False):
            return False
        self._names.note(name)
        return True


def _unforeseen(name: str, job_id: str) -> str:
    return f"{subfolders.fallback_name(name, job_id)}-{secrets.token_hex(2)}"


def _first_status(request: NameRequest, name: str) -> bytes:
    return dump_json({**request.status, "name": name})


def _flush(written: Sequence[Path]) -> None:
    try:
        fs.OPS.sync_all(written)
    except FileNotFoundError:  # somebody removed one: it is written again when it is to get its name
        for path in written:
            with contextlib.suppress(FileNotFoundError):
                fs.OPS.sync_file(path)
