"""Files for people in the outbox that are neither results nor statuses: sentences, and manifests that come back. None replaces a
file that is there.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path

from daemon.errors import JobError
from daemon.outbox.folders import AnswerFolders
from daemon.outbox.names import returned_names
from daemon.outbox.temporary_files import temporary_path
from daemon.system import fs, subfolders
from daemon.system.safe_open import open_inside
from daemon.system.subfolders import UnusableFolderError

#: Names that are tried for a note, where people have files of these names.
TRIES = 20
NOTE_ENDING = ".txt"
#: Last line of every sentence, by which the daemon knows its own files when they are old.
SIGNATURE = b"\n(An answer of avatard.)\n"


def publish_manifest(root: Path, name: str, job_id: str, data: bytes, ending: str = ".yaml") -> str | None:
    """Put a manifest beside a status, as `NAME.yaml`, or with the job's id where a file has that name. Nothing is flushed.

    Args:
        ending: of the file, where it is a table in place of a manifest.

    Returns its file name; None where both names are taken.

    Raises:
        OSError: nothing is left.
    """
    temporary = temporary_path(root, job_id)
    folder, stem = subfolders.split(name)
    try:
        fs.OPS.write(temporary, data, sync=False)
        for file in returned_names(stem, job_id, ending):
            if subfolders.publish_into(root, temporary, subfolders.join(folder, file), durable=False):
                return file
    finally:
        fs.discard(temporary)
    return None


def publish_notes(root: Path, folders: AnswerFolders, notes: Sequence[tuple[str, str]]) -> set[str]:
    """Write sentences for people: for each name and sentence a file `NAME.txt`, or one with a similar name if that is taken. What
    its folder refuses is put into the outbox itself.

    Returns the folders to be flushed.

    Raises:
        OSError: some may be written; no temporary file is left.
    """
    written = [temporary_path(root, "job-request") for _ in notes]
    used = set()
    try:
        for temporary, (_, sentence) in zip(written, notes, strict=True):
            fs.OPS.write(temporary, sentence.encode() + b"\n" + SIGNATURE, sync=False)
        fs.OPS.sync_all(written)
        for temporary, (name, _) in zip(written, notes, strict=True):
            wanted, stem = subfolders.split(name)
            used.add(_publish_note(root, folders.make(wanted), stem, temporary))
    except OSError:
        for temporary in written:
            fs.discard(temporary)
        raise
    return used


def withdraw_notes(root: Path, names: Iterable[str]) -> None:
    """Remove sentences that are outdated, each by the name it was written for. What is not the daemon's, or cannot be removed, is
    left.
    """
    for name in names:
        file = f"{name}{NOTE_ENDING}"
        with contextlib.suppress(JobError, OSError):
            if is_note(root, file):
                subfolders.remove_file(root, file)


def is_note(root: Path, name: str) -> bool:
    """Return whether a file of the outbox is a sentence that `publish_notes` wrote and nobody has changed at its end.

    Raises:
        JobError, OSError: it is no regular file inside the outbox, or cannot be read.
    """
    with open_inside(root, name) as file:
        size = os.fstat(file).st_size
        return os.pread(file, len(SIGNATURE), max(0, size - len(SIGNATURE))) == SIGNATURE


def _publish_note(root: Path, folder: str, stem: str, temporary: Path) -> str:
    """Give a written note its name; returns its folder."""
    unique = stem
    for _ in range(TRIES):
        try:
            if subfolders.publish_into(
                root, temporary, subfolders.join(folder, f"{unique}{NOTE_ENDING}"), durable=False
            ):
                return folder
            unique = f"{stem}-{secrets.token_hex(2)}"
        except UnusableFolderError:
            folder = ""
    raise FileExistsError(f"{unique}{NOTE_ENDING} is already in the outbox")
