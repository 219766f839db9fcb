"""Brings pictures and sounds into the inbox, each once, however often it is used."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from daemon.errors import JobError
from daemon.jobs.batch.table import TABLE_ENDINGS
from daemon.system import fs
from daemon.system.permissions import current_user, owner_name
from daemon.system.safe_open import open_inside

#: Endings that a file keeps in the inbox. With any other it has none there, as what lies there by the name of a manifest, a table
#: or a request is taken for one: `x.yaml`, `x.csv`, `x.cancel`.
MEDIA_ENDINGS: Final = (
    ".3gp", ".aac", ".aif", ".aiff", ".amr", ".avi", ".avif", ".bmp", ".caf", ".flac", ".flv", ".gif", ".heic",
    ".heif", ".jfif", ".jpe", ".jpeg", ".jpg", ".m2ts", ".m4a", ".m4v", ".mka", ".mkv", ".mov", ".mp3", ".mp4",
    ".mpeg", ".mpg", ".mts", ".oga", ".ogg", ".ogv", ".opus", ".png", ".srt", ".tif", ".tiff", ".ts", ".vtt",
    ".wav", ".weba", ".webm", ".webp", ".wma", ".wmv",
)  # fmt: skip
#: Key of the manifest whose file is a table, and must be called so.
_TABLE: Final = "rows"
#: A file that was brought longer ago than this is used anew; half of the time after which the daemon removes it. s
_USED_S: Final = 43_200.0
#: Mode of what a door brings into the inbox.
_MODE = 0o640


def share(path: Path, key: str, inbox: Path, *, take: bool = False) -> tuple[str, str]:
    """Copy a picture or sound into the inbox, whole or not at all, under a name made from its content, so that it is there
    once, however often it is used. Somebody else may be doing the same just now.

    A file that is there is used where it is this one and belongs to the user, or to the inbox's owner. Anybody else could
    change or remove it before the job is taken in, so that another name is taken then.

    Args:
        key: the key of the manifest that it is for.
        take: the file is flushed, lies below the inbox, and may be moved instead of copied.

    Returns:
        its name in the inbox, and a sentence on why it is not the usual one; empty where it is.
    """
    digest = file_digest(path)
    names, said = _shared_names(path, key, digest), ""
    while not _bring(path, inbox / (name := next(names)), take) and (why := _unusable(inbox / name, digest)):
        said = said or f"{name} in the inbox {why}"
    return name, f"{said}; the copy of {path.name} is called {name}." if said else ""


def usual_name(path: Path, key: str, digest: str = "0" * 64) -> str:
    """Return the first name that `share` tries. `digest`: SHA-256 of the file; without it, the name only has the right form."""
    return next(_shared_names(path, key, digest))


def usual_names(files: Mapping[str, Path]) -> dict[str, str]:
    """Return names of the right form for files, by their key in the manifest."""
    return {key: usual_name(path, key) for key, path in files.items()}


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def temporary_name(folder: Path) -> Path:
    """Return a path in the inbox that the daemon passes over and nobody else uses."""
    return folder / f".{secrets.token_hex(8)}.tmp"


def _shared_names(path: Path, key: str, digest: str) -> Iterator[str]:
    """Yield names for a picture or sound in the inbox, best first, without end: people can put files under any name."""
    stem, ending = f"{_slug(path.stem)[:40]}-{digest[:8]}", path.suffix.lower()
    if ending not in (TABLE_ENDINGS if key == _TABLE else MEDIA_ENDINGS):
        ending = ""
    yield f"{stem}{ending}"
    yield f"{stem}-{_slug(current_user())}{ending}"
    while True:
        yield f"{stem}-{secrets.token_hex(4)}{ending}"


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text)


def _bring(path: Path, target: Path, take: bool) -> bool:
    """Copy or move a file; False: the name is taken."""
    if os.path.lexists(target):
        return False
    if take:
        _let_the_group_read(path)
        return fs.publish(path, target)
    temporary = temporary_name(target.parent)
    try:
        with path.open("rb") as file:
            fs.OPS.copy(file.fileno(), temporary, os.fstat(file.fileno()).st_size, mode=_MODE)
        return fs.publish(temporary, target)
    finally:
        fs.remove(temporary)


def share_as_named(path: Path, target: Path) -> None:
    """Copy a file into the inbox, whole or not at all, under the name of `target`, unless something has that name."""
    _bring(path, target, take=False)


def unusable(target: Path, path: Path) -> str:
    """Return why a file in the inbox cannot stand for another file, in words; empty where it can."""
    return _unusable(target, file_digest(path))


def _unusable(target: Path, digest: str) -> str:
    """Return why a file in the inbox cannot stand for one of this sha256, in words; empty where it can."""
    _say_it_is_used(target)
    try:
        with open_inside(target.parent, target.name) as fd, os.fdopen(os.dup(fd), "rb") as file:
            info = os.fstat(fd)
            if info.st_uid not in (os.geteuid(), target.parent.stat().st_uid):
                return f"belongs to {owner_name(info)}, who alone can replace it"
            return "" if hashlib.file_digest(file, "sha256").hexdigest() == digest else "holds something else"
    except JobError:  # a link, a folder, a file of somebody who lets nobody read it
        return "is not a file that the service could take"


def _say_it_is_used(target: Path) -> None:
    """Set the time of a file that was brought long ago: the daemon removes those that no job has been handed in with for a day.
    The time of others stays, by which jobs that name the same file know that they can share their copy.
    """
    with contextlib.suppress(OSError):
        if time.time() - os.lstat(target).st_mtime > _USED_S:
            os.utime(target, follow_symlinks=False)


def write_readable(temporary: Path, data: bytes, *, sync: bool = True) -> None:
    """Write a new file that the service can read, whatever the user's umask. `sync`: it is flushed."""
    fs.OPS.write(temporary, data, sync, _MODE)


def replace_readable(path: Path, data: bytes) -> None:
    """Replace a file's content atomically and durably by one that the service can read, whatever the user's umask."""
    temporary = temporary_name(path.parent)
    try:
        write_readable(temporary, data)
        fs.rename(temporary, path)
    finally:
        fs.remove(temporary)
    fs.OPS.sync_dir(path.parent)


def _let_the_group_read(path: Path) -> None:
    """Let the service, as a member of the group, read a new file, and nobody but its owner change it.

    The umask is the process's, not the thread's: a program that hands in jobs from several threads would change it for all.
    """
    if stat.S_IMODE(os.stat(path).st_mode) != _MODE:
        os.chmod(path, _MODE)
        fs.OPS.sync_file(path)
