"""Performs all changes of spool, inbox and outbox.

Durability depends on a few system calls. They are all here, in `Ops`, so that a test can replace `OPS` to make the third
rename fail, or to stop between two calls. Order for a new file: write it under a temporary name, `sync_file`, `rename`,
`sync_dir` (docs/spool.md).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

#: Errors of link(2) on filesystems without hard links (FAT, some SMB and FUSE mounts).
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
#: From this number of files on, flushing the whole filesystem is cheaper than flushing each file.
MANY = 12

#: Files of `replace_json_best_effort` are padded to a multiple of this, so that longer content fits in place.
NEWS_BYTES = 4096

#: Permission bits of users other than owner and group.
OTHERS = 0o007

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW

#: Paths below it use a descriptor of this process (`daemon/system/safe_open.py`, `daemon/intake/claim_folder.py`).
_DESCRIPTORS = Path("/proc/self/fd")

_libc = ctypes.CDLL(None, use_errno=True)
_HERE = -100  # AT_FDCWD: names are relative to the working folder
_RENAME_NOREPLACE, _RENAME_EXCHANGE = 1, 2
#: Errors of renameat2(2) where RENAME_NOREPLACE is not supported (NFS, some FUSE filesystems, old kernels).
_NO_NOREPLACE = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM})
#: Errors of renameat2(2) where RENAME_EXCHANGE is not supported (NFS, old kernels), or a file is missing.
_NO_EXCHANGE = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM, errno.ENOENT})


class Ops:
    """The system calls that change files. Tests replace it; no other code changes files of spool, inbox or outbox."""

    def mkdir(self, path: Path) -> None:
        path.mkdir(mode=0o770)

    def write(self, path: Path, data: bytes, sync: bool = True) -> None:
        """Write `data` into a new file and flush it. An existing file is removed, not opened, as it may be a link or a pipe."""
        try:
            fd = os.open(path, _NEW, 0o660)
        except FileExistsError:
            remove(path)
            fd = os.open(path, _NEW, 0o660)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)

    def overwrite(self, path: Path, data: bytes) -> None:
        """Overwrite the beginning of a file; what exceeds its size is cut off."""
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.pwrite(fd, data[: os.fstat(fd).st_size], 0)
        finally:
            os.close(fd)

    def rewrite(self, path: Path, data: bytes, sync: bool = True) -> None:
        """Overwrite an existing file in place and flush it. A crash may leave a mixture, so its old content must be unneeded."""
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            view, at = memoryview(data), 0
            while at < len(data):
                at += os.pwrite(fd, view[at:], at)
            os.ftruncate(fd, len(data))
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)

    def exchange(self, one: Path, other: Path) -> None:
        """Exchange the names of two files atomically."""
        _renameat2(one, other, _RENAME_EXCHANGE)

    def rename_new(self, source: Path, target: Path) -> None:
        """Rename a file; fails if the target exists."""
        _renameat2(source, target, _RENAME_NOREPLACE)

    def copy(self, source_fd: int, target: Path, limit: int, sync: bool = True) -> int:
        """Copy an open file into a new one and flush it. Returns the bytes copied; stops after `limit` is exceeded.

        Holes stay holes, so that a sparse file costs neither time nor space.
        """
        fd = os.open(target, _NEW, 0o660)
        try:
            total = _next_data(source_fd, 0)
            while total <= limit and (chunk := os.pread(source_fd, 1 << 20, total)):
                view, at = memoryview(chunk), total
                while view:
                    written = os.pwrite(fd, view, at)
                    view, at = view[written:], at + written
                total = _next_data(source_fd, at)
            os.ftruncate(fd, total)
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)
        return total

    def rename(self, source: Path, target: Path) -> None:
        os.rename(source, target)

    def link(self, source: Path, target: Path) -> None:
        os.link(source, target, follow_symlinks=False)

    def link_open(self, fd: int, target: Path) -> None:
        """Create another hard link to an open file."""
        # With a directory given (which an absolute path does not use) Python calls linkat(2); link(2) would not follow.
        os.link(f"/proc/self/fd/{fd}", target, src_dir_fd=fd, follow_symlinks=True)

    def unlink(self, path: Path) -> None:
        path.unlink()

    def rmtree(self, path: Path) -> None:
        shutil.rmtree(path)

    def sync_file(self, path: Path) -> None:
        _sync(path, os.O_RDONLY)

    def sync_dir(self, path: Path) -> None:
        _sync(path, os.O_RDONLY | os.O_DIRECTORY)

    def sync_all(self, paths: Sequence[Path]) -> None:
        """Flush files and directories; from `MANY` on by one call for each of their filesystems."""
        if len(paths) < MANY:
            for path in paths:
                _sync(path, os.O_RDONLY)
            return
        for path in {_device(path): path for path in paths}.values():
            _sync_filesystem(path if path.is_dir() else path.parent)


def _next_data(fd: int, at: int) -> int:
    """Return the next offset at or after `at` at which a file has data; its end if there is none."""
    try:
        return os.lseek(fd, at, os.SEEK_DATA)
    except OSError as exc:
        if exc.errno == errno.ENXIO:
            return max(at, os.lseek(fd, 0, os.SEEK_END))
        return at  # the filesystem does not report holes


def _renameat2(source: Path, target: Path, flags: int) -> None:
    if _libc.renameat2(_HERE, os.fsencode(source), _HERE, os.fsencode(target), flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(source), None, str(target))


def _sync_filesystem(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _libc.syncfs(fd) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(fd)


def _device(path: Path) -> int:
    return (os.stat(path) if path.parent == _DESCRIPTORS else os.lstat(path)).st_dev


def _sync(path: Path, flags: int) -> None:
    if path.parent == _DESCRIPTORS:  # a folder used through its descriptor
        os.fsync(int(path.name))
        return
    # A folder of the settings may be a link to another disk; files must not be links.
    link = 0 if flags & os.O_DIRECTORY else os.O_NOFOLLOW
    fd = os.open(path, flags | link | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


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
    """Return whether `path` is the file of which `info` was read."""
    try:
        now = os.lstat(path)
    except OSError:
        return False
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


def replace_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Replace a file's content with JSON, as `replace_bytes` does."""
    replace_bytes(path, dump_json(value), durable=durable)


def replace_all_json(values: Mapping[Path, Any]) -> None:
    """Replace files in one folder, or create them, each with JSON, as `replace_bytes` does; all are flushed together.

    Raises:
        OSError: some may be replaced; no temporary file is left.
    """
    temporary = {path: path.with_name(f".{path.name}.tmp") for path in values}
    try:
        for path, value in values.items():
            OPS.write(temporary[path], dump_json(value), sync=False)
        OPS.sync_all(list(temporary.values()))
        for path in values:
            rename(temporary[path], path)
    except OSError:
        for left in temporary.values():
            with contextlib.suppress(OSError):
                remove(left)
        raise
    for folder in {path.parent for path in values}:
        OPS.sync_dir(folder)


def replace_json_best_effort(path: Path, value: Any) -> None:
    """Replace a file with JSON for information only: errors are ignored, and nothing is durable.

    On a full disk there is no space for a new file, so the old one, which is padded, is overwritten in place.
    """
    data = dump_json(value)
    data += b" " * (-len(data) % NEWS_BYTES)
    try:
        replace_bytes(path, data, durable=False)
    except OSError:
        with contextlib.suppress(OSError):
            OPS.overwrite(path, data)


def dump_json(value: Any) -> bytes:
    """Return indented JSON; non-ASCII text is escaped only if a file name in it is not valid Unicode."""
    try:
        return json.dumps(value, ensure_ascii=False, indent=1).encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(value, indent=1).encode() + b"\n"


def dump_lines(value: dict[str, Any]) -> bytes:
    """Return JSON with one line for each key: ten times faster than `dump_json`, for files that are written often."""
    try:
        lines = [f"{json.dumps(key)}: {json.dumps(item, ensure_ascii=False)}" for key, item in value.items()]
        return ("{" + ",\n ".join(lines) + "}\n").encode()
    except UnicodeEncodeError:
        return dump_json(value)


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
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISDIR(os.lstat(path).st_mode):
            OPS.rmtree(path)
        else:
            OPS.unlink(path)


def restrict_umask() -> None:
    """Restrict the umask of this process and its children, so that other users cannot read new files: texts, portraits and
    voices are private. Restrictions on the group are kept.
    """
    os.umask(os.umask(0o077) | OTHERS)


def make_folder(folder: Path) -> None:
    """Create a folder and its missing parents, accessible to owner and group only."""
    for above in reversed(folder.parents):
        if not above.exists():
            above.mkdir(mode=0o770, exist_ok=True)
    folder.mkdir(mode=0o770, exist_ok=True)


def remove_other_permissions(folder: Path) -> None:
    """Remove other users' permissions from a folder that this user owns, as earlier versions left folders open."""
    with contextlib.suppress(OSError):
        info = os.lstat(folder)
        shared = info.st_mode & stat.S_ISVTX  # as /tmp is
        if stat.S_ISDIR(info.st_mode) and not shared and info.st_uid == os.geteuid() and info.st_mode & OTHERS:
            os.chmod(folder, stat.S_IMODE(info.st_mode) & ~OTHERS)


@contextlib.contextmanager
def artifact(path: Path) -> Iterator[Path]:
    """Write a file under a temporary name: yields that name, then flushes the file and renames it to `path`.

    The temporary name keeps the ending, by which encoders choose a format. After an error, no file is left.
    """
    temporary = path.with_name(f".{os.getpid()}.tmp.{path.name}")
    try:
        yield temporary
        OPS.sync_file(temporary)
        rename(temporary, path)
        OPS.sync_dir(path.parent)
    except BaseException:
        remove(temporary)
        raise
