"""The files of a job's folder: which of them travel, under which names, and how what comes back is put in place."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from daemon.system import fs

#: Files of the job's record, which the daemon alone writes.
RECORD = "job.json"
#: How much is read at a time, and the largest part of a file that travels at once, in bytes.
PART_BYTES = 8 * 2**20


@dataclass(frozen=True)
class JobFile:
    """A file below a folder. `name`: with `/`; `key`: changes with its content. Bytes, and nanoseconds."""

    name: str
    size: int
    mtime_ns: int
    key: tuple[int, int, int]


@dataclass(frozen=True)
class Sent:
    """A file that goes along to another machine, by its name below a folder: `data`, or the content's `sha256`."""

    name: str
    mtime_ns: int
    data: bytes | None = None
    sha256: str = ""


def checked_name(name: str) -> str:
    """Return the name of a file below a job's folder.

    Raises:
        ValueError: it leads out of the folder, or is the job's record or a hidden file.
    """
    parts = PurePosixPath(name).parts
    if (
        not parts
        or name.startswith("/")
        or any(part.startswith(".") for part in parts)
        or name == RECORD
        or "\0" in name
    ):
        raise ValueError(f"{name!r} is no name of an artifact")
    return name


def list_files(folder: Path) -> dict[str, JobFile]:
    """Return the files of a job that travel, by name: all but its record and temporary ones. Links are not followed."""
    return {found.name: found for found in _walk(folder, "")}


def _walk(folder: Path, below: str) -> Iterator[JobFile]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        name = below + entry.name
        if entry.name.startswith(".") or name == RECORD:
            continue
        info = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(info.st_mode):
            yield from _walk(Path(entry.path), f"{name}/")
        elif stat.S_ISREG(info.st_mode):
            yield JobFile(name, info.st_size, info.st_mtime_ns, (info.st_ino, info.st_size, info.st_mtime_ns))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def install_results(made: Path, removed: Sequence[str], directory: Path) -> None:
    """Move what a stage has made into the job's folder; its report comes last, as a stage with a report is not run again.

    Args:
        made: a folder on the same disk, whose files are flushed.
        removed: names of files that the stage has removed.

    Raises:
        ValueError: a name leads elsewhere; nothing was changed.
        OSError: some files may be in place, and the report is not.
    """
    names = sorted(list_files(made), key=lambda name: (name.endswith(".done.json"), name))
    for name in (*names, *removed):
        checked_name(name)
    folders = {directory}
    for name in removed:
        fs.remove(directory / name)
    for name in names:
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        fs.rename(made / name, target)
        folders.add(target.parent)
    for folder in folders:
        fs.OPS.sync_dir(folder)
