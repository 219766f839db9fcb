"""Folders below the outbox that answer folders of the inbox: opened without following a link, and made like their parent.

Everybody in the drop group can exchange such a folder, or make one that takes no files: a link, a mount, a subvolume, a sticky
folder, one of a person whose quota is used up. Files are therefore written in the outbox itself under a temporary name, and get
their final name by one rename into a folder that is used through its descriptor. What a folder refuses, for whatever reason, can
still be put into the outbox itself (`fallback_name`); only what the outbox itself refuses is a fault of the machine.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from daemon.system import fs
from daemon.system.safe_open import is_ours, open_below, opened_root

_FOLDER = os.O_RDONLY | os.O_DIRECTORY
_POINT = os.O_PATH | os.O_NOFOLLOW
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
#: Permissions that a new folder has if its parent has them.
_LIKE_PARENT = stat.S_ISGID | stat.S_ISVTX | stat.S_IRWXG
#: Begins the temporary name of a new folder, as of everything that the next start removes from the outbox.
TEMPORARY_FOLDER = ".job-folder."
#: So many folders below the inbox are looked into.
INBOX_DEPTH = 4
#: So many folders below the outbox are listed: results lie in folders called as those of the inbox, rows of a batch one deeper.
OUTBOX_DEPTH = INBOX_DEPTH + 1


class UnusableFolderError(OSError):
    """A folder below the outbox is missing, something else stands in its place, or it refuses what is put into it."""


def is_looked_into(folder: str) -> bool:
    """Return whether a folder of this path below the inbox is looked into, by its depth."""
    return folder.count("/") < INBOX_DEPTH


def split(name: str) -> tuple[str, str]:
    """Return the folder of a path below the outbox, and the name in it: ("anna", "hello.mp4"), ("", "hello.mp4")."""
    folder, _, last = name.rpartition("/")
    return folder, last


def join(folder: str, name: str) -> str:
    """Return the path of a name in a folder below the outbox; the empty folder is the outbox itself."""
    return f"{folder}/{name}" if folder else name


def fallback_name(name: str, job_id: str) -> str:
    """Return the name of a job's files in the outbox itself, for when its own name or its folder cannot be used."""
    last = split(name)[1]
    return last if last.endswith(f"-{job_id}") else f"{last}-{job_id}"


@contextlib.contextmanager
def opened(root: Path, folder: str, *, make: bool = False) -> Iterator[Path]:
    """Yield the path of a folder below `root`, by its descriptor; `root` itself if `folder` is empty.

    Args:
        make: create what is missing of it, durably.

    Raises:
        UnusableFolderError: it is missing, may not be entered, or a part of it is a link, a file, a mount or a subvolume.
        OSError: `root` cannot be used, or this process has reached a limit.
    """
    if not folder:
        yield root
        return
    fd = _open(root, folder, make)
    try:
        yield Path(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


@contextlib.contextmanager
def opened_to_put(root: Path, folder: str) -> Iterator[Path]:
    """As `opened`, to give a file of `root` a name in it: what is missing of the folder is created, and every error inside the
    `with` block is the folder's.

    Raises:
        UnusableFolderError: as above, or the folder refuses the file.
        OSError: as above; where `folder` is empty, whatever the `with` block raises.
    """
    with opened(root, folder, make=True) as path, _refusals(folder) if folder else contextlib.nullcontext():
        yield path


@contextlib.contextmanager
def _refusals(folder: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if is_ours(exc):
            raise
        raise UnusableFolderError(exc.errno, exc.strerror, folder) from exc


def _open(root: Path, folder: str, make: bool) -> int:
    parts = folder.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise UnusableFolderError(errno.ENOENT, os.strerror(errno.ENOENT), folder)
    held = os.open(root, _FOLDER | os.O_CLOEXEC)
    try:
        device = os.fstat(held).st_dev
        for part in parts:
            below = _open_part(root, held, part, make)
            os.close(held)
            held = below
            if os.fstat(held).st_dev != device:  # a subvolume: nothing can be renamed into it
                raise UnusableFolderError(errno.EXDEV, os.strerror(errno.EXDEV), folder)
    except BaseException:
        os.close(held)
        raise
    return held


def _open_part(root: Path, parent_fd: int, name: str, make: bool) -> int:
    with _refusals(name):
        try:
            return open_below(parent_fd, name, _FOLDER)
        except FileNotFoundError:
            if not make:
                raise
    _make(root, parent_fd, name)
    with _refusals(name):
        return open_below(parent_fd, name, _FOLDER)


def _make(root: Path, parent_fd: int, name: str) -> None:
    """Create a folder. It gets its name when its permissions are right: who finds it after a crash finds it whole.

    Raises:
        UnusableFolderError: its parent refuses it.
        OSError: `root` cannot be used.
    """
    temporary, parent = root / f"{TEMPORARY_FOLDER}{secrets.token_hex(6)}.tmp", Path(f"/proc/self/fd/{parent_fd}")
    fs.OPS.mkdir(temporary)
    try:
        with _refusals(name):
            _give_permissions(temporary, os.fstat(parent_fd).st_mode)
            fs.publish(temporary, parent / name, sync=False)  # False: another thread, or a person, was faster
            fs.OPS.sync_dir(parent)
    finally:
        fs.discard(temporary)


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


def is_folder(root: Path, folder: str) -> bool:
    """Return whether there is a folder below `root` that can be entered."""
    try:
        with opened(root, folder):
            return True
    except UnusableFolderError:
        return False


def make_folder(root: Path, folder: str) -> bool:
    """Create a folder below `root` if it is missing. Returns whether it is there and may be written.

    Raises:
        OSError: `root` cannot be used.
    """
    for _ in range(2):  # the disk may fail once
        with contextlib.suppress(UnusableFolderError), opened(root, folder, make=True) as path:
            return os.access(path, os.W_OK | os.X_OK)
    return False


def any_there(root: Path, folder: str, files: Iterable[str]) -> bool:
    """Return whether anything has one of these names in a folder below `root`; False where the folder cannot be entered. Nothing
    is touched but the names: a mount of a dead file server has one, too, and would never answer.
    """
    try:
        with opened(root, folder) as path, opened_root(path) as fd:
            return any(_is_there(fd, file) for file in files)
    except OSError as exc:
        if is_ours(exc):
            raise
        return False


def _is_there(folder_fd: int, file: str) -> bool:
    try:
        os.close(open_below(folder_fd, file, _POINT))
    except OSError as exc:
        if is_ours(exc):
            raise
        return exc.errno not in (errno.ENOENT, errno.ENAMETOOLONG)
    return True


def open_file(root: Path, name: str) -> int:
    """Open a regular file by its path below `root` for reading, without following links. Returns a descriptor.

    Raises:
        OSError: it is missing, no regular file, or may not be read.
    """
    folder, last = split(name)
    with opened(root, folder) as path, opened_root(path) as folder_fd:
        fd = open_below(folder_fd, last, _READ)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), name)
    return fd


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
                    if prefix.count("/") < OUTBOX_DEPTH:
                        todo.append(prefix + entry.name)
                elif entry.name.endswith(ending):
                    yield prefix + entry.name


def remove_file(root: Path, name: str) -> None:
    """Remove a file by its path below `root`, if it is there. Nothing behind a link is removed.

    Raises:
        OSError: it cannot be removed, or is none.
    """
    folder, last = split(name)
    with contextlib.suppress(FileNotFoundError, UnusableFolderError), opened(root, folder) as path:
        fs.OPS.unlink(path / last)


def rename_into(root: Path, temporary: Path, name: str, *, durable: bool) -> None:
    """Give a flushed file of `root` its name, a path below it; a file of that name is replaced.

    Raises:
        UnusableFolderError: the folder refuses it, twice.
        OSError: `root` refuses it.
    """

    def rename(target: Path) -> bool:
        fs.rename(temporary, target)
        return True

    _put(root, temporary, name, rename, durable=durable)


def publish_into(root: Path, temporary: Path, name: str, *, durable: bool) -> bool:
    """As `rename_into`, but replaces nothing. Returns False if the name is taken."""
    return _put(root, temporary, name, lambda target: fs.publish(temporary, target, sync=False), durable=durable)


def _put(root: Path, temporary: Path, name: str, give: Callable[[Path], bool], *, durable: bool) -> bool:
    folder, last = split(name)
    before = os.lstat(temporary)  # the disk may fail once, and also after it did what it was told

    def put(*, again: bool) -> bool:
        with opened_to_put(root, folder) as path:
            given = (again and fs.same_file(path / last, before)) or give(path / last)
            if given and durable:
                fs.OPS.sync_dir(path)
            return given

    with contextlib.suppress(UnusableFolderError):
        return put(again=False)
    return put(again=True)
