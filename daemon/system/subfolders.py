"""Folders below the outbox that answer folders of the inbox: opened without following a link, and made like their parent.

Everybody in the drop group can exchange a folder of the outbox for a link or a file. Files are therefore written in the outbox
itself under a temporary name, and get their final name by one rename into a folder that is used through its descriptor.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from daemon.system import fs
from daemon.system.safe_open import open_below

_FOLDER = os.O_RDONLY | os.O_DIRECTORY
#: Permissions that a new folder has if its parent has them.
_LIKE_PARENT = stat.S_ISGID | stat.S_ISVTX | stat.S_IRWXG
#: Begins the temporary name of a new folder, as of everything that the next start removes from the outbox.
_TEMPORARY = ".job-folder."
_EXCHANGED = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG}
)
#: Folders below folders that are listed.
MAX_DEPTH = 4


class ExchangedError(OSError):
    """A folder below the outbox is missing, or something else stands in its place."""


def split(name: str) -> tuple[str, str]:
    """Return the folder of a path below the outbox, and the name in it: ("anna", "hello.mp4"), ("", "hello.mp4")."""
    folder, _, last = name.rpartition("/")
    return folder, last


@contextlib.contextmanager
def opened(root: Path, folder: str, *, make: bool = False) -> Iterator[Path]:
    """Yield the path of a folder below `root`, by its descriptor; `root` itself if `folder` is empty.

    Args:
        make: create what is missing of it, durably.

    Raises:
        ExchangedError: it is missing, or a part of it is a link, a file, a mount, or may not be entered.
    """
    if not folder:
        yield root
        return
    try:
        fd = _open(root, folder, make)
    except OSError as exc:
        if exc.errno not in _EXCHANGED or not os.access(root, os.W_OK | os.X_OK):
            raise
        raise ExchangedError(exc.errno, exc.strerror, folder) from exc
    try:
        yield Path(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


def _open(root: Path, folder: str, make: bool) -> int:
    parts = folder.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise ExchangedError(errno.ENOENT, os.strerror(errno.ENOENT), folder)
    held = os.open(root, _FOLDER | os.O_CLOEXEC)
    try:
        for part in parts:
            try:
                below = open_below(held, part, _FOLDER)
            except FileNotFoundError:
                if not make:
                    raise
                _make(root, held, part)
                below = open_below(held, part, _FOLDER)
            os.close(held)
            held = below
    except BaseException:
        os.close(held)
        raise
    return held


def _make(root: Path, parent_fd: int, name: str) -> None:
    """Create a folder. It gets its name when its permissions are right: who finds it after a crash finds it whole."""
    temporary, parent = root / f"{_TEMPORARY}{secrets.token_hex(6)}.tmp", Path(f"/proc/self/fd/{parent_fd}")
    fs.OPS.mkdir(temporary)
    try:
        _give_permissions(temporary, os.fstat(parent_fd).st_mode)
        fs.publish(temporary, parent / name, sync=False)  # False: another thread, or a person, was faster
        fs.OPS.sync_dir(parent)
    finally:
        fs.remove(temporary)


def _give_permissions(folder: Path, parent_mode: int) -> None:
    """Give a new folder the permissions of `_LIKE_PARENT` that its parent has; through its descriptor, as its name may be a link
    by now.

    Raises:
        OSError: the folder was exchanged.
    """
    fd = os.open(folder, _FOLDER | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        mode = stat.S_IMODE(os.fstat(fd).st_mode)
        if mode & _LIKE_PARENT != parent_mode & _LIKE_PARENT:
            # A unit of systemd may forbid to set setgid, which is inherited where the outbox has it.
            with contextlib.suppress(PermissionError):
                os.fchmod(fd, mode & ~_LIKE_PARENT | parent_mode & _LIKE_PARENT)
    finally:
        os.close(fd)


def is_usable(root: Path, folder: str) -> bool:
    """Whether files can be put into a folder below `root`. One that is missing counts as usable."""
    try:
        with opened(root, folder) as path:
            return os.access(path, os.W_OK | os.X_OK)
    except ExchangedError as exc:
        return exc.errno == errno.ENOENT


def fallback_name(root: Path, name: str, job_id: str) -> str | None:
    """Return the name of a job's files in `root` itself where its folder cannot be used any more; else None."""
    folder, stem = split(name)
    return f"{stem}-{job_id}" if folder and is_usable(root, "") and not is_usable(root, folder) else None


def names_below(root: Path, ending: str) -> Iterator[str]:
    """Paths of the files below `root` whose names end so, those in its folders included; nothing hidden, and nothing behind
    links or mounts.

    Raises:
        OSError: `root` may not be read. Folders in it that may not are passed over.
    """
    todo = [""]
    while todo:
        folder = todo.pop()
        prefix = f"{folder}/" if folder else ""
        passed_over = OSError if folder else FileNotFoundError
        with contextlib.suppress(passed_over), opened(root, folder) as path, os.scandir(path) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if prefix.count("/") < MAX_DEPTH:
                        todo.append(prefix + entry.name)
                elif entry.name.endswith(ending):
                    yield prefix + entry.name


def remove_file(root: Path, name: str) -> None:
    """Remove a file by its path below `root`, if it is there. Nothing behind a link is removed.

    Raises:
        OSError: it cannot be removed.
    """
    folder, last = split(name)
    with contextlib.suppress(FileNotFoundError, ExchangedError), opened(root, folder) as path:
        fs.OPS.unlink(path / last)
