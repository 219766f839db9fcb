"""The outbox folder: reserves names of results, and reads and writes the status files that people watch."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from daemon.jobs.kinds import KINDS
from daemon.system import fs
from daemon.system.mount_guard import MountGuard

#: Endings of the files of one result; a name is taken if a file with any of them exists.
ENDINGS = (".json", *dict.fromkeys(ending for kind in KINDS.values() for _, ending in kind.results))
ID_LENGTH = len("job-20260102T030405Z-0a1b2c3d")
#: Larger than any status file, metadata of the manifest included.
MAX_STATUS_BYTES = 8 * 2**20
#: The published list of voices (daemon/outbox/voice_list.py). It is hidden and has no ending, so no result can have its name.
VOICES = ".avatard-voices"
MAX_STEM_BYTES = 180  # leaves room for a job id and an ending within the 255 bytes of a file name


def clean_stem(name: str) -> str:
    """Return a file name that is valid on every filesystem: composed Unicode, no control characters, bounded length."""
    text = unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode())
    text = "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else "_" for c in text).strip(" .") or "job"
    return text.encode()[:MAX_STEM_BYTES].decode("utf-8", "ignore")


class NameRequest(NamedTuple):
    """Asks for the result name of a job.

    Attributes:
        wanted: preferred name.
        job: id of the job.
        status: its first status.
        chosen: what `choose_name` returned, if it was called.
    """

    wanted: str
    job: str
    status: dict[str, Any]
    chosen: str | None = None


def _candidates(wanted: str, job_id: str) -> Iterator[str]:
    """Yield names for a job's results, best first, without end, since users can create files with any name."""
    stem = clean_stem(wanted)
    yield stem
    yield f"{stem}-{job_id}"
    while True:
        yield f"{stem}-{job_id}-{secrets.token_hex(2)}"


def _read_up_to(fd: int, limit: int) -> bytes:
    data = b""
    while len(data) < limit and (chunk := os.read(fd, 1 << 20)):
        data += chunk
    return data


class Outbox:
    """The outbox folder.

    Args:
        root: the folder.
        memory: file in the spool that identifies this outbox; if given, nothing is written while it is not mounted.
    """

    def __init__(self, root: Path, memory: Path | None = None) -> None:
        self.root = root
        self._mount_guard = MountGuard(root, memory, "outbox") if memory else None

    def check(self) -> None:
        """Check that the outbox is mounted.

        Raises:
            MachineError: `outbox-missing`.
        """
        if self._mount_guard is not None:
            self._mount_guard.check()

    def choose_name(self, wanted: str, job_id: str) -> str:
        """Return the name that `reserve_name` would give a job now: the one it owns, or the first free one."""
        first = itertools.islice(_candidates(wanted, job_id), 2)
        owned = (name for name in first if self.owner_of(name) == job_id)
        return next(owned, None) or self._free_name(wanted, job_id)

    def reserve_name(self, wanted: str, job_id: str, status: dict[str, Any]) -> str:
        """Reserve the name of one job, as `reserve_names` does."""
        return self.reserve_names([NameRequest(wanted, job_id, status)])[0]

    def reserve_names(self, requests: Sequence[NameRequest]) -> list[str]:
        """Reserve names for jobs by writing their first status files; where a name is taken, the job id is appended.

        The same job gets the same name again, for example after a crash. All files are flushed together, which makes bursts
        fast.

        Returns:
            The names, in the order of the requests.

        Raises:
            MachineError: `outbox-missing`.
            OSError: a file could not be written; no temporary file is left.
        """
        self.check()
        names: list[str] = []
        written: list[Path] = []
        try:
            for request in requests:
                names.append(request.chosen or self.choose_name(request.wanted, request.job))
                written.append(self._temporary_path(request.job))
                self._write_temporary(request, names[-1], written[-1])
            fs.OPS.sync_all(written)
            for number, (request, temporary) in enumerate(zip(requests, written, strict=True)):
                names[number] = self._publish_status(request, names[number], temporary)
        except OSError:
            for temporary in written:
                fs.remove(temporary)
            raise
        fs.OPS.sync_dir(self.root)
        return names

    def _free_name(self, wanted: str, job_id: str) -> str:
        return next(name for name in _candidates(wanted, job_id) if not self._is_taken(name))

    def _write_temporary(self, request: NameRequest, name: str, temporary: Path, *, sync: bool = False) -> None:
        fs.OPS.write(temporary, fs.dump_json({**request.status, "name": name}), sync=sync)

    def _publish_status(self, request: NameRequest, name: str, temporary: Path) -> str:
        """Give a written status file its name, or the next free name if this one was taken meanwhile; returns the name."""
        if self.owner_of(name) == request.job:
            fs.rename(temporary, self.root / f"{name}.json")
            return name
        while not fs.publish(temporary, self.root / f"{name}.json", sync=False):
            name = self._free_name(request.wanted, request.job)
            self._write_temporary(request, name, temporary, sync=True)
        return name

    def _temporary_path(self, job_id: str) -> Path:
        """Return an unpredictable path, so that nobody can place a link there. Leftovers are removed when the daemon starts."""
        return self.root / f".{job_id}.{secrets.token_hex(6)}.json.tmp"

    def name_of(self, job_id: str) -> str | None:
        """Return the result name of a job whose record is lost, or None; reads every status file."""
        names = (path.name.removesuffix(".json") for path in self.root.glob("*.json"))
        return next((name for name in names if self.owner_of(name) == job_id), None)

    def owner_of(self, name: str) -> str | None:
        """Return the id of the job that owns a result name by its status file, or None. The content is not trusted."""
        record = self.read_status(name)
        return None if record is None else str(record.get("job"))

    def read_status(self, name: str) -> dict[str, Any] | None:
        """Return the content of a status file; None if it does not exist or is not readable JSON."""
        try:
            fd = os.open(self.root / f"{name}.json", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            record = json.loads(_read_up_to(fd, MAX_STATUS_BYTES))
        except (ValueError, OSError, RecursionError):
            return None
        finally:
            os.close(fd)
        return record if isinstance(record, dict) else None

    def _is_taken(self, name: str) -> bool:
        stem = os.path.join(self.root, name)
        return any(os.path.lexists(stem + ending) for ending in ENDINGS)

    def write_status(self, name: str, status: dict[str, Any], *, durable: bool) -> None:
        """Replace a job's status file.

        Raises:
            MachineError: `outbox-missing`.
        """
        self.check()
        temporary = self._temporary_path(str(status["job"]))
        fs.replace_bytes(self.root / f"{name}.json", fs.dump_json(status), durable=durable, temporary=temporary)

    @property
    def voices(self) -> Path:
        """Path of the published list of voices."""
        return self.root / VOICES

    def write_voices(self, data: bytes) -> None:
        """Replace the published list of voices.

        Raises:
            MachineError: `outbox-missing`.
        """
        self.check()
        fs.replace_bytes(self.voices, data, durable=False, temporary=self._temporary_path("job-voices"))

    def publish_notes(self, notes: Sequence[tuple[str, str]]) -> None:
        """Write sentences for people: for each name and sentence a file `NAME.txt`, or, if that is taken, a file with a similar
        name. All are flushed together.

        Raises:
            MachineError: `outbox-missing`.
            OSError: some may be written; no temporary file is left.
        """
        self.check()
        written = [self._temporary_path("job-wish") for _ in notes]
        try:
            for temporary, (_, sentence) in zip(written, notes, strict=True):
                fs.OPS.write(temporary, sentence.encode() + b"\n", sync=False)
            fs.OPS.sync_all(written)
            for temporary, (name, _) in zip(written, notes, strict=True):
                unique = name
                while not fs.publish(temporary, self.root / f"{unique}.txt", sync=False):
                    unique = f"{name}-{secrets.token_hex(2)}"
        except OSError:
            for temporary in written:
                fs.remove(temporary)
            raise
        fs.OPS.sync_dir(self.root)

    def withdraw_status(self, name: str, job_id: str) -> None:
        """Remove the status file of a job that was not created, if it owns the name."""
        if self.owner_of(name) == job_id:
            fs.remove(self.root / f"{name}.json")

    def temporary_files(self, live: frozenset[str]) -> list[Path]:
        """Return leftover temporary files, except those of jobs in `live`, which are being delivered. Call it only at start."""
        found = self.root.glob(".job-*")
        return [path for path in found if path.suffix == ".tmp" or path.name[1 : 1 + ID_LENGTH] not in live]
