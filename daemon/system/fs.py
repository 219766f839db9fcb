"""Performs all changes of spool, inbox and outbox, in steps that are durable.

The system calls are those of `OPS` (`daemon.system.file_calls`), which a test can replace. Order for a new file: write it under
a temporary name, `sync_file`, `rename`, `sync_dir` (docs/spool.md). JSON files: `daemon.system.json_files`.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from daemon.system.file_calls import Ops
from daemon.system.safe_open import open_below, opened_root

#: Errors of link(2) on filesystems without hard links (FAT, some SMB and FUSE mounts).
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
#: Errors of renameat2(2) where RENAME_NOREPLACE is not supported (NFS, some FUSE filesystems, old kernels).
_NO_NOREPLACE = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM})
#: Errors of renameat2(2) where RENAME_EXCHANGE is not supported (NFS, old kernels), or a file is missing.
_NO_EXCHANGE = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM, errno.ENOENT})

#: Makes all system calls that change files.
OPS: Ops = Ops()


def rename(source: Path, target: Path) -> None:
    """Rename a file; succeeds if the disk shows the rename, as NFS may report a failure for a rename that happened."""
    before = os.lstat(source)
    try:
        OPS.rename(source, target)
    except OSError:
        if os.path.lexists(source) or not same_file(target, before):
            raise


def exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two files, checking the disk as `rename` does. Returns False where it is not supported."""
    before = os.lstat(one)
    try:
        OPS.exchange(one, other)
    except OSError as exc:
        if same_file(other, before):
            return True
        if exc.errno not in _NO_EXCHANGE:
            raise
        return False
    return True


def same_file(path: Path, info: os.stat_result) -> bool:
    """Return whether `path` is the file of which `info` was read. A mount is not, and is not touched: it may never answer."""
    try:
        with opened_root(path.parent) as folder:
            point = open_below(folder, path.name, os.O_PATH | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        now = os.fstat(point)
    finally:
        os.close(point)
    return (now.st_dev, now.st_ino) == (info.st_dev, info.st_ino)


def move(source: Path, target: Path) -> None:
    """Move a file or directory durably within its filesystem."""
    rename(source, target)
    OPS.sync_dir(target.parent)


def replace_bytes(path: Path, data: bytes, *, durable: bool = True, temporary: Path | None = None) -> None:
    """Replace a file's content atomically: a reader sees the old or the new content, never a part.

    Args:
        durable: if False, a power cut may bring the old content back.
        temporary: path to write first; default: a hidden name beside the file.
    """
    temporary = temporary or path.with_name(f".{path.name}.tmp")
    try:
        # Always flushed: if the name reached the disk before the content, a power cut would leave zeros.
        OPS.write(temporary, data)
        rename(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            remove(temporary)  # leave no partial file on a full disk
        raise
    if durable:
        OPS.sync_dir(path.parent)


def publish(temporary: Path, target: Path, *, sync: bool = True) -> bool:
    """Rename a flushed temporary file to `target` without replacing anything. Returns False if the name is taken.

    Without `sync`, the caller must flush the directory.
    """
    before = os.lstat(temporary)
    try:
        OPS.rename_new(temporary, target)
    except OSError as exc:
        if not same_file(target, before):  # as in `rename`: NFS may report a failure for a rename that happened
            if isinstance(exc, FileExistsError):
                return False
            if exc.errno not in _NO_NOREPLACE:
                raise
            if not _publish_by_link(temporary, target):
                return False
    if os.path.lexists(temporary):
        OPS.unlink(temporary)
    if sync:
        OPS.sync_dir(target.parent)
    return True


def _publish_by_link(temporary: Path, target: Path) -> bool:
    """Link a file to `target` without replacing anything; the caller removes the old name. Returns False if it is taken."""
    try:
        OPS.link(temporary, target)
    except OSError as exc:
        # NFS may report a failure for a link that happened.
        if not same_file(target, os.lstat(temporary)):
            if isinstance(exc, FileExistsError):
                return False
            if exc.errno not in _NO_LINKS:
                raise
            if os.path.lexists(target):
                return False
            rename(temporary, target)
    return True


def remove(path: Path) -> None:
    """Remove a file or directory tree if it exists."""
    OPS.remove(path)


def discard(path: Path) -> None:
    """Remove a temporary file, or an empty folder, from a place where other people may write. A folder that holds something is
    left: it is none of ours, and may be too deep or too large to be removed.
    """
    with contextlib.suppress(OSError):
        try:
            OPS.unlink(path)
        except (IsADirectoryError, PermissionError):  # POSIX allows both for a folder
            os.rmdir(path)


def temporary_name(path: Path) -> Path:
    """Return the hidden name beside `path` under which this process writes it; `daemon.workers.abandoned_files` knows it."""
    return path.with_name(f".{os.getpid()}.tmp.{path.name}")


@contextlib.contextmanager
def artifact(path: Path) -> Iterator[Path]:
    """Write a file under a temporary name: yields that name, then flushes the file and renames it to `path`.

    The temporary name keeps the ending, by which encoders choose a format. After an error, no file is left.
    """
    temporary = temporary_name(path)
    try:
        yield temporary
        OPS.sync_file(temporary)
        rename(temporary, path)
        OPS.sync_dir(path.parent)
    except BaseException:
        remove(temporary)
        raise


def link_path(source: Path, target: Path) -> None:
    """Give a file, which must be no symbolic link, a second name: see `link_or_copy`."""
    fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        link_or_copy(fd, target)
    finally:
        os.close(fd)


def link_or_copy(fd: int, target: Path) -> None:
    """Give an open file a second name, or copy it where it can have none. Not durable."""
    try:
        OPS.link_open(fd, target)
    except OSError as exc:
        if exc.errno not in (errno.EMLINK, errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EXDEV):
            raise
        OPS.copy(fd, target, os.fstat(fd).st_size, sync=False)
