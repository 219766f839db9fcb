"""The outbox folder: reserves names of results, and reads and writes the status files that people watch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import structlog

from daemon.errors import JobError
from daemon.jobs.facts import Output
from daemon.outbox import notes, reports, stored_status
from daemon.outbox.folders import AnswerFolders, flush_folders
from daemon.outbox.name_choice import NameChoice, NameRequest
from daemon.outbox.names import STATUS_ENDING, clean_path
from daemon.outbox.reservation import Reservation
from daemon.outbox.temporary_files import leftovers, temporary_path
from daemon.system import fs, subfolders
from daemon.system.json_files import dump_json
from daemon.system.mount_guard import MountGuard
from daemon.system.safe_open import open_inside

log = structlog.get_logger()

#: The published list of voices (daemon/outbox/voice_list.py). It is hidden and has no ending, so no result can have its name.
VOICES = ".avatard-voices"
#: The same for people, and the line by which the daemon knows its own.
VOICES_PAGE = "voices.txt"
_PAGE_HEAD = b"The voices of this service. avatard writes this file anew when they change.\n\n"
#: How often a status is written while people take its temporary file away.
WRITES = 3


class Outbox:
    """The outbox folder.

    Args:
        root: the folder.
        memory: file in the spool that identifies this outbox; if given, nothing is written while it is not mounted.
        is_resting: whether the job of an id is at no stage and in no queue; by default what its status says is believed.
        has_subfolders: whether a job from a folder of the inbox is answered in the folder of that name here.
    """

    def __init__(
        self,
        root: Path,
        memory: Path | None = None,
        is_resting: Callable[[str], bool] = lambda job_id: True,
        has_subfolders: Callable[[], bool] = lambda: True,
    ) -> None:
        self.root = root
        self.has_subfolders = has_subfolders
        self._mount_guard = MountGuard(root, memory, "outbox") if memory else None
        self._folders = AnswerFolders(root, self.check)
        self._names = NameChoice(root, self._folders, is_resting)
        self._reservation = Reservation(root, self._names)

    def check(self) -> None:
        """Check that the outbox is mounted.

        Raises:
            MachineError: `outbox-missing`.
        """
        if self._mount_guard is not None:
            self._mount_guard.check()

    # -- names ---------------------------------------------------------------------------------------------------

    def name_for(self, source: str, stem: str) -> str:
        """Return the name that the results of a job ask for.

        Args:
            source: path of its manifest below the inbox.
            stem: wanted file name.
        """
        return clean_path(source if self.has_subfolders() else "", stem)

    def places_for(self, source: str, stem: str) -> Iterator[str]:
        """Yield the names that results which asked for `name_for` may have, as their folders are called here. Makes nothing."""
        return self._folders.places(self.name_for(source, stem))

    def alike(self, name: str) -> list[str]:
        """Return the other names of results, there or not, that differ from one in nothing but capitals and composed letters."""
        return self._names.alike(name)

    def choose_name(self, request: NameRequest) -> str:
        """Return the name that `reserve_names` would give a job now: the one it owns, the one it wants, or the next version of
        it that is free (`hello-v2`). Its folder is created.

        Raises:
            MachineError: `outbox-missing`.
            OSError: the outbox itself cannot be used.
        """
        return self._names.choose(request)

    def is_free(self, name: str) -> bool:
        """Return whether a new job from the inbox itself that wants this name for its results would get it now."""
        return self._names.is_free(name, NameRequest(name, "", {}))

    def reserve_name(self, wanted: str, job_id: str, status: dict[str, Any]) -> str:
        """Reserve the name of one job, as `reserve_names` does."""
        return self.reserve_names([NameRequest(wanted, job_id, status)])[0]

    def reserve_names(self, requests: Sequence[NameRequest]) -> list[str]:
        """Reserve names for jobs, as `daemon.outbox.reservation` does. Returns them in the order of the requests.

        Raises:
            MachineError: `outbox-missing`.
            OSError: a file could not be written; no temporary file is left.
        """
        self.check()
        return self._reservation.reserve(requests)

    # -- statuses ------------------------------------------------------------------------------------------------

    def name_of(self, job_id: str) -> str | None:
        """Return the result name of a job whose record is lost, or None; reads every status file."""
        return next((name for name in self.names() if self.owner_of(name) == job_id), None)

    def names(self) -> Iterator[str]:
        """Return the names that have a status file, those in folders included."""
        files = subfolders.names_below(self.root, STATUS_ENDING)
        return (path.removesuffix(STATUS_ENDING) for path in files)

    def owner_of(self, name: str) -> str | None:
        """Return the id of the job that owns a result name by its status file, or None. The content is not trusted."""
        return stored_status.owner_of(self.read_head(name))

    def has_status(self, name: str) -> bool:
        """Return whether something lies where the status file of a name is."""
        return os.path.lexists(f"{self.root}/{name}{STATUS_ENDING}")

    def read_head(self, name: str) -> dict[str, Any] | None:
        """Return the first keys of a status file, whose it is among them; None as for `read_status`."""
        return stored_status.read_head(self.root, name)

    def read_status(self, name: str) -> dict[str, Any] | None:
        """Return the content of a status file; None if it does not exist or is not readable JSON."""
        return stored_status.read_status(self.root, name)

    def write_status(self, name: str, status: dict[str, Any], *, durable: bool) -> None:
        """Replace a job's status file.

        Raises:
            MachineError: `outbox-missing`.
            UnusableFolderError: its folder refuses it.
            OSError: the outbox itself refuses it, or something else has its name.
        """
        self.check()
        data = dump_json(status)
        for attempt in range(1, WRITES + 1):
            temporary = temporary_path(self.root, str(status["job"]))
            try:
                # Always flushed: if the name reached the disk before the content, a power cut would leave zeros.
                (fs.OPS.write if attempt == 1 else fs.OPS.write_unseen)(temporary, data)
                subfolders.rename_into(self.root, temporary, f"{name}{STATUS_ENDING}", durable=durable)
            except OSError:
                if os.path.lexists(temporary) or attempt == WRITES:
                    fs.discard(temporary)  # leave no partial file on a full disk
                    raise
            else:
                return

    def amend_status(self, name: str, status: dict[str, Any]) -> None:
        """Replace the status file of a job that rests, unless the job goes on, or another job has its name by now. Nothing is
        flushed.

        Raises:
            MachineError: `outbox-missing`.
            OSError: as `write_status`.
        """
        with self._reservation.lock:
            present = self.read_head(name)
            if stored_status.owner_of(present) == status["job"] and (present or {}).get("state") == status["state"]:
                self.write_status(name, status, durable=False)

    def withdraw_status(self, name: str, job_id: str) -> None:
        """Remove the status file of a job that was not created, if it owns the name. One that cannot be removed is left."""
        if self.owner_of(name) == job_id:
            try:
                subfolders.remove_file(self.root, f"{name}{STATUS_ENDING}")
            except OSError as exc:
                log.warning("status not withdrawn", job_id=job_id, name=name, why=exc.strerror)

    # -- other files ---------------------------------------------------------------------------------------------

    @property
    def voices(self) -> Path:
        """Path of the published list of voices."""
        return self.root / VOICES

    @property
    def voices_page(self) -> Path:
        """Path of the list of voices for people."""
        return self.root / VOICES_PAGE

    def write_voices(self, data: bytes, page: bytes | None) -> None:
        """Replace the published list of voices.

        Args:
            page: the same for people; None removes it. A file of that name that somebody else wrote is left alone.

        Raises:
            MachineError: `outbox-missing`.
        """
        self.check()
        fs.replace_bytes(self.voices, data, durable=False, temporary=temporary_path(self.root, "job-voices"))
        if not self._may_replace_page():
            return
        if page is None:
            fs.remove(self.voices_page)
        else:
            temporary = temporary_path(self.root, "job-voices")
            fs.replace_bytes(self.voices_page, _PAGE_HEAD + page, durable=False, temporary=temporary)

    def _may_replace_page(self) -> bool:
        try:
            with open_inside(self.root, VOICES_PAGE) as file:
                return os.read(file, len(_PAGE_HEAD)) == _PAGE_HEAD
        except JobError as exc:
            return exc.code == "file-missing"

    def publish_manifest(self, name: str, job_id: str, data: bytes, ending: str = ".yaml") -> str | None:
        """Put a manifest beside a status, as `daemon.outbox.notes.publish_manifest` does.

        Raises:
            MachineError: `outbox-missing`.
            OSError: nothing is left.
        """
        self.check()
        return notes.publish_manifest(self.root, name, job_id, data, ending)

    def publish_notes(self, sentences: Sequence[tuple[str, str]]) -> None:
        """Write sentences for people, as `daemon.outbox.notes.publish_notes` does, each for a name (`name_for`). All are flushed
        together.

        Raises:
            MachineError: `outbox-missing`.
            OSError: some may be written; no temporary file is left.
        """
        self.check()
        flush_folders(self.root, notes.publish_notes(self.root, self._folders, sentences))

    def publish_table(self, name: str, job_id: str, ending: str, lines: Iterable[str]) -> Output:
        """Write a table beside the status of a batch, as `daemon.outbox.reports.publish_table` does.

        Args:
            name: of the batch's results.
            ending: of the file, such as ".report.csv".

        Raises:
            MachineError: `outbox-missing`.
            OSError: nothing is left.
        """
        self.check()
        return reports.publish_table(self.root, _names_for(name, ending, job_id), job_id, lines)

    def copy_result(self, file: str, name: str, ending: str, job_id: str) -> str:
        """Copy a result to `name` and `ending`, or a name with the job's id, as `daemon.outbox.reports.copy_result` does.

        Raises:
            MachineError: `outbox-missing`.
            OSError: the result is not there, or cannot be copied.
        """
        self.check()
        return reports.copy_result(self.root, file, _names_for(name, ending, job_id), job_id)

    def withdraw_answers(self, names: Iterable[str], endings: Sequence[str]) -> None:
        """Remove the answers to requests about results of these names, as the results are new, or go on.

        Args:
            endings: of request files, such as ".retry".
        """
        notes.withdraw_notes(self.root, (f"{name}{ending}" for name in names for ending in endings))

    def temporary_files(self, live: frozenset[str]) -> list[Path]:
        """Return leftover temporary files, except those of jobs in `live`, which are being delivered. Call it only at start."""
        return leftovers(self.root, live)


def _names_for(name: str, ending: str, job_id: str) -> Iterator[str]:
    """Yield the names that a file of a batch may have, the best one first; the last one lies in the outbox itself."""
    for one in (name, f"{name}-{job_id}", subfolders.fallback_name(name, job_id)):
        yield f"{one}{ending}"
