"""The outbox folder: reserves names of results, and reads and writes the status files that people watch.

A name is a path below the outbox, without ending: `hello`, or `anna/hello` for a job from the folder `anna` of the inbox.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import threading
import unicodedata
from collections.abc import Callable, Iterator, Sequence, Set
from pathlib import Path
from typing import Any, NamedTuple

from daemon.jobs.kinds import KINDS
from daemon.outbox.alike_names import AlikeNames
from daemon.system import fs, subfolders
from daemon.system.json_files import dump_json
from daemon.system.mount_guard import MountGuard

STATUS_ENDING = ".json"
#: Endings of the files of one result; a name is taken if a file with any of them exists, but for the status of a job that ended
#: without results.
ENDINGS = (STATUS_ENDING, *dict.fromkeys(ending for kind in KINDS.values() for _, ending in kind.results))
ID_LENGTH = len("job-20260102T030405Z-0a1b2c3d")
#: Larger than any status file, metadata of the manifest included.
MAX_STATUS_BYTES = 8 * 2**20
#: The published list of voices (daemon/outbox/voice_list.py). It is hidden and has no ending, so no result can have its name.
VOICES = ".avatard-voices"
MAX_STEM_BYTES = 180  # leaves room for a job id and an ending within the 255 bytes of a file name
#: Versions of a folder that are tried where people made one that cannot be used.
MAX_FOLDERS = 9
_VERSION = re.compile(r"(.+)-v([1-9]\d{0,8})")
_LONGEST_FIRST = sorted(ENDINGS, key=len, reverse=True)


def clean_stem(name: str) -> str:
    """Return a file name that is valid on every filesystem: composed Unicode, no control characters, bounded length."""
    text = unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode())
    text = "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else "_" for c in text).strip(" .") or "job"
    return text.encode()[:MAX_STEM_BYTES].decode("utf-8", "ignore")


def clean_path(source: str, stem: str) -> str:
    """Return the name of results in the folder that answers the folder of `source`, a path below the inbox."""
    return "/".join(map(clean_stem, [*(part for part in os.path.dirname(source).split("/") if part), stem]))


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


def _version_of(stem: str) -> tuple[str, int]:
    """Return a name without its version, and the version: ("hello", 2) for hello-v2, ("hello", 1) for hello."""
    found = _VERSION.fullmatch(stem)
    return (found[1], int(found[2])) if found else (stem, 1)


def without_ending(name: str) -> str:
    """Return the name of the result that a file or a manifest belongs to: hello for hello.mp4 and hello.yaml."""
    endings = (*_LONGEST_FIRST, ".yaml", ".yml")
    return next((name[: -len(one)] for one in endings if name.lower().endswith(one) and len(name) > len(one)), name)


def next_version(stem: str) -> str:
    """Return the name that the next result of a name gets, if no other has it: hello-v2 for hello, hello-v3 for hello-v2."""
    base, version = _version_of(stem)
    return f"{base}-v{version + 1}"


def returned_names(name: str, job_id: str) -> tuple[str, str]:
    """Return the names of a manifest that is given back: the usual one, and the one where that is taken."""
    return f"{name}.yaml", f"{name}-{job_id}.yaml"


def _result_of(entry: os.DirEntry[str]) -> str | None:
    """Return the name of the result that a file belongs to; None for other files."""
    ending = next((one for one in _LONGEST_FIRST if entry.name.lower().endswith(one)), None)
    return None if ending is None else entry.name[: -len(ending)]


def _folder_name(entry: os.DirEntry[str]) -> str | None:
    return entry.name if entry.is_dir(follow_symlinks=False) else None


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
        self._is_resting = is_resting
        self.has_subfolders = has_subfolders
        #: Held while a name is checked and given: a job may be retried, in another thread, at the moment its name is.
        self._naming = threading.Lock()
        #: By folder: names of results, and of folders, that are one on another system.
        self._alike_results: dict[str, AlikeNames] = {}
        self._alike_folders: dict[str, AlikeNames] = {}
        self._mount_guard = MountGuard(root, memory, "outbox") if memory else None

    def check(self) -> None:
        """Check that the outbox is mounted.

        Raises:
            MachineError: `outbox-missing`.
        """
        if self._mount_guard is not None:
            self._mount_guard.check()

    def name_for(self, source: str, stem: str) -> str:
        """Return the name that the results of a job ask for.

        Args:
            source: path of its manifest below the inbox.
            stem: wanted file name.
        """
        return clean_path(source if self.has_subfolders() else "", stem)

    def place_for(self, source: str, stem: str) -> str:
        """Return `name_for`, in the folder that answers `source` as it is called in the outbox. Makes nothing."""
        return self._as_there(self.name_for(source, stem))

    def _as_there(self, name: str) -> str:
        *parts, stem = name.split("/")
        folder = ""
        for part in parts:
            folder = self._join(folder, self._alike_folder(folder, part))
        return self._join(folder, stem)

    @staticmethod
    def _join(folder: str, name: str) -> str:
        return f"{folder}/{name}" if folder else name

    def _alike_folder(self, above: str, part: str) -> str:
        """Return the name of a folder as it is there: another one where that is the same on Windows or a Mac."""
        if os.path.isdir(self.root / above / part):
            return part
        alike = sorted(self._folders_alike(above).of(part))
        return next((other for other in alike if os.path.isdir(self.root / above / other)), part)

    def _folders_alike(self, above: str) -> AlikeNames:
        return self._alike_folders.setdefault(above, AlikeNames(self.root / above, _folder_name))

    def _make_folder(self, wanted: str) -> str:
        """Create the folder for a job's results, and return its path. Where people put something else in its place, or one that
        may not be written, it is a version of it (`anna-v2`), or else the folder above.

        Raises:
            MachineError: `outbox-missing`.
            OSError: it cannot be created.
        """
        above = ""
        for part in filter(None, wanted.split("/")):
            part = self._alike_folder(above, part)
            versions = (part, *(f"{part}-v{number}" for number in range(2, MAX_FOLDERS + 1)))
            names = (self._join(above, version) for version in versions)
            folder = next((name for name in names if subfolders.is_usable(self.root, name)), above)
            if not os.path.lexists(self.root / folder):
                self.check()
                with subfolders.opened(self.root, folder, make=True):
                    self._folders_alike(above).add(os.path.basename(folder))
            if folder == above:
                break
            above = folder
        return above

    def choose_name(self, request: NameRequest) -> str:
        """Return the name that `reserve_names` would give a job now: the one it owns, the one it wants, or the next version of
        it that is free (`hello-v2`). Its folder is created.

        Finding the version takes the logarithm of their number, since people may drop the same name for years.

        Raises:
            MachineError: `outbox-missing`.
            OSError: the folder cannot be created.
        """
        folder, stem = subfolders.split(request.wanted)
        stem = self._join(self._make_folder(folder), clean_stem(stem))
        if self._is_free(stem, request):
            return stem
        base, taken = _version_of(stem)
        free = taken + 1
        while not self._is_free(f"{base}-v{free}", request):
            taken, free = free, free * 2
        while free - taken > 1:
            middle = (taken + free) // 2
            if self._is_free(f"{base}-v{middle}", request):
                free = middle
            else:
                taken = middle
        return f"{base}-v{free}"

    def is_free(self, name: str) -> bool:
        """Return whether a new job from the inbox itself that wants this name for its results would get it now."""
        return self._is_free(name, NameRequest(name, "", {}))

    def reserve_name(self, wanted: str, job_id: str, status: dict[str, Any]) -> str:
        """Reserve the name of one job, as `reserve_names` does."""
        return self.reserve_names([NameRequest(wanted, job_id, status)])[0]

    def reserve_names(self, requests: Sequence[NameRequest]) -> list[str]:
        """Reserve names for jobs by writing their first status files. A name that is taken gets a version (`hello-v2`); one of a
        job that failed or was cancelled without results is free again, and the new status replaces the old one in one step.

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
                names.append(request.chosen or self.choose_name(request))
                written.append(self._temporary_path(request.job))
                self._write_temporary(request, names[-1], written[-1])
            fs.OPS.sync_all(written)
            for number, (request, temporary) in enumerate(zip(requests, written, strict=True)):
                names[number] = self._publish_status(request, names[number], temporary)
        except OSError:
            for temporary in written:
                fs.remove(temporary)
            raise
        self._sync_folders({subfolders.split(name)[0] for name in names})
        return names

    def _sync_folders(self, folders: Set[str]) -> None:
        """Flush what got its name in these folders; temporary names in the outbox itself are gone with that."""
        for folder in folders | {""}:
            with contextlib.suppress(subfolders.ExchangedError), subfolders.opened(self.root, folder) as path:
                fs.OPS.sync_dir(path)

    def _opened(self, folder: str) -> contextlib.AbstractContextManager[Path]:
        return subfolders.opened(self.root, folder, make=True)

    def _write_temporary(self, request: NameRequest, name: str, temporary: Path, *, sync: bool = False) -> None:
        fs.OPS.write(temporary, dump_json({**request.status, "name": name}), sync=sync)

    def _publish_status(self, request: NameRequest, name: str, temporary: Path) -> str:
        """Give a written status file its name, or the next free name if this one was taken meanwhile; returns the name."""
        with self._naming:
            while not self._put(request, name, temporary):
                name = self.choose_name(request)
                self._write_temporary(request, name, temporary, sync=True)
        return name

    def _put(self, request: NameRequest, name: str, temporary: Path) -> bool:
        """Rename a status file to the name of its job. False: it is taken."""
        folder, stem = subfolders.split(name)
        present = self.read_status(name)
        try:
            with self._opened(folder) as path:
                target = path / f"{stem}.json"
                if self._may_replace(present, request):
                    fs.rename(temporary, target)
                elif self._has_alike(name) or not fs.publish(temporary, target, sync=False):
                    return False
        except subfolders.ExchangedError:
            return False
        self._results_alike(folder).add(stem)
        return True

    def _results_alike(self, folder: str) -> AlikeNames:
        return self._alike_results.setdefault(folder, AlikeNames(self.root / folder, _result_of))

    def _has_alike(self, name: str) -> bool:
        """Return whether results are there whose name is the same on Windows or a Mac."""
        folder, stem = subfolders.split(name)
        stems = (os.path.join(self.root, folder, other) for other in self._results_alike(folder).of(stem))
        return any(os.path.lexists(stem + ending) for stem in stems for ending in ENDINGS)

    def _is_free(self, name: str, request: NameRequest) -> bool:
        """Return whether a job may have a name: it has it already, or nothing of another job's results is there."""
        present = self.read_status(name)
        if present is not None and str(present.get("job")) == request.job:
            return True
        stem = os.path.join(self.root, name)
        if any(os.path.lexists(stem + ending) for ending in ENDINGS if ending != STATUS_ENDING):
            return False
        if os.path.lexists(stem + STATUS_ENDING):
            return self._may_replace(present, request)
        return not self._has_alike(name)

    def _may_replace(self, present: dict[str, Any] | None, request: NameRequest) -> bool:
        """Return whether the status of a job may replace this one: it is its own, or of a job that ended without results.

        Jobs from another folder of the inbox, which may be another person's, and other documents of the same manifest keep
        theirs. What the status says of its job is only believed if the job rests.
        """
        if present is None:
            return False
        job, wanted = str(present.get("job")), request.status
        if job == request.job:
            return True
        here, there = (str(status.get("source") or "") for status in (wanted, present))
        return (
            present.get("state") in ("failed", "cancelled")
            and os.path.dirname(here) == os.path.dirname(there)
            and (here != there or wanted.get("document", 0) == present.get("document", 0))
            and self._is_resting(job)
        )

    def _temporary_path(self, job_id: str) -> Path:
        """Return an unpredictable path, so that nobody can place a link there. Leftovers are removed when the daemon starts."""
        return self.root / f".{job_id}.{secrets.token_hex(6)}.json.tmp"

    def name_of(self, job_id: str) -> str | None:
        """Return the result name of a job whose record is lost, or None; reads every status file."""
        return next((name for name in self.names() if self.owner_of(name) == job_id), None)

    def names(self) -> Iterator[str]:
        """Return the names that have a status file, those in folders included."""
        return (path.removesuffix(".json") for path in subfolders.names_below(self.root, ".json"))

    def owner_of(self, name: str) -> str | None:
        """Return the id of the job that owns a result name by its status file, or None. The content is not trusted."""
        record = self.read_status(name)
        return None if record is None else str(record.get("job"))

    def read_status(self, name: str) -> dict[str, Any] | None:
        """Return the content of a status file; None if it does not exist or is not readable JSON."""
        folder, stem = subfolders.split(name)
        try:
            with subfolders.opened(self.root, folder) as path:
                fd = os.open(path / f"{stem}.json", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            record = json.loads(_read_up_to(fd, MAX_STATUS_BYTES))
        except (ValueError, OSError, RecursionError):
            return None
        finally:
            os.close(fd)
        return record if isinstance(record, dict) else None

    def write_status(self, name: str, status: dict[str, Any], *, durable: bool) -> None:
        """Replace a job's status file.

        Raises:
            MachineError: `outbox-missing`.
        """
        self.check()
        temporary = self._temporary_path(str(status["job"]))
        folder, stem = subfolders.split(name)
        with self._opened(folder) as path:
            fs.replace_bytes(path / f"{stem}.json", dump_json(status), durable=durable, temporary=temporary)

    def fallback_name(self, name: str, job_id: str) -> str | None:
        """Return the name of a job that ends now in the outbox itself, where its folder cannot be used any more; else None."""
        return subfolders.fallback_name(self.root, name, job_id)

    def amend_status(self, name: str, status: dict[str, Any]) -> None:
        """Replace the status file of a job that rests, unless another job has its name by now. Nothing is flushed.

        Raises:
            MachineError: `outbox-missing`.
        """
        with self._naming:
            if self.owner_of(name) == status["job"]:
                self.write_status(name, status, durable=False)

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

    def publish_manifest(self, name: str, job_id: str, data: bytes) -> str | None:
        """Put a manifest beside a status, as `NAME.yaml`, or with the job's id where a file has that name. Nothing is flushed.

        Returns its file name; None where both names are taken.

        Raises:
            MachineError: `outbox-missing`.
            OSError: nothing is left.
        """
        self.check()
        temporary = self._temporary_path(job_id)
        folder, stem = subfolders.split(name)
        try:
            fs.OPS.write(temporary, data, sync=False)
            with self._opened(folder) as path:
                for file in returned_names(stem, job_id):
                    if fs.publish(temporary, path / file, sync=False):
                        return file
        finally:
            fs.remove(temporary)
        return None

    def publish_notes(self, notes: Sequence[tuple[str, str]]) -> None:
        """Write sentences for people: for each name (`name_for`) and sentence a file `NAME.txt`, or a file with a similar name if
        that is taken. All are flushed together.

        Raises:
            MachineError: `outbox-missing`.
            OSError: some may be written; no temporary file is left.
        """
        self.check()
        written = [self._temporary_path("job-request") for _ in notes]
        folders = set()
        try:
            for temporary, (_, sentence) in zip(written, notes, strict=True):
                fs.OPS.write(temporary, sentence.encode() + b"\n", sync=False)
            fs.OPS.sync_all(written)
            for temporary, (name, _) in zip(written, notes, strict=True):
                wanted, stem = subfolders.split(name)
                folders.add(folder := self._make_folder(wanted))
                with self._opened(folder) as path:
                    unique = stem
                    while not fs.publish(temporary, path / f"{unique}.txt", sync=False):
                        unique = f"{stem}-{secrets.token_hex(2)}"
        except OSError:
            for temporary in written:
                fs.remove(temporary)
            raise
        self._sync_folders(folders)

    def withdraw_status(self, name: str, job_id: str) -> None:
        """Remove the status file of a job that was not created, if it owns the name."""
        if self.owner_of(name) == job_id:
            subfolders.remove_file(self.root, f"{name}.json")

    def temporary_files(self, live: frozenset[str]) -> list[Path]:
        """Return leftover temporary files, except those of jobs in `live`, which are being delivered. Call it only at start."""
        found = self.root.glob(".job-*")
        return [path for path in found if path.suffix == ".tmp" or path.name[1 : 1 + ID_LENGTH] not in live]
