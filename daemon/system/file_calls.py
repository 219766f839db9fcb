"""Makes the system calls that change files of spool, inbox and outbox, and those that flush them to the disk.

`daemon.system.fs` builds the durable steps from them. They are methods of one object, so that a test can make the third rename
fail, or stop between two calls.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

#: From this number of files on, flushing the whole filesystem is cheaper than flushing each file.
MANY = 12

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW

#: Errors of O_TMPFILE where the filesystem has no files without a name (NFS, SMB, some FUSE).
_NO_UNNAMED = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL})

#: Paths below it use a descriptor of this process (`daemon/system/safe_open.py`, `daemon/intake/claims/claim_folder.py`).
_DESCRIPTORS = Path("/proc/self/fd")

_libc = ctypes.CDLL(None, use_errno=True)
_HERE = -100  # AT_FDCWD: names are relative to the working folder
_RENAME_NOREPLACE, _RENAME_EXCHANGE = 1, 2
_libc.sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
_WRITE = 2  # SYNC_FILE_RANGE_WRITE


class Ops:
    """The system calls that change files. Tests replace it; no other code changes files of spool, inbox or outbox."""

    def mkdir(self, path: Path) -> None:
        """Create a folder, accessible to owner and group only."""
        path.mkdir(mode=0o770)

    def write(self, path: Path, data: bytes, sync: bool = True, mode: int | None = None) -> None:
        """Write `data` into a new file and flush it. An existing file is removed, not opened, as it may be a link or a pipe.

        Args:
            mode: exactly these rights, whatever the umask; by default owner's and group's without what the umask takes away.
        """
        try:
            fd = _new_file(path, mode)
        except FileExistsError:
            self.remove(path)
            fd = _new_file(path, mode)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)

    def write_unseen(self, path: Path, data: bytes) -> None:
        """As `write`, flushed, but the file gets its name when it is whole, so that nobody can remove it before."""
        try:
            fd = os.open(path.parent, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o660)
        except OSError as exc:
            if exc.errno not in _NO_UNNAMED:
                raise
            self.write(path, data)
            return
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
            self.link_open(fd, path)
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
        """Overwrite an existing file in place and flush it. A crash may leave a mixture, so its old content must be unneeded.

        Where its size stays, only its content is flushed, which costs the filesystem no entry in its journal.
        """
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            view, at = memoryview(data), 0
            while at < len(data):
                at += os.pwrite(fd, view[at:], at)
            if os.fstat(fd).st_size != len(data):
                os.ftruncate(fd, len(data))
            if sync:
                os.fdatasync(fd)
        finally:
            os.close(fd)

    def exchange(self, one: Path, other: Path) -> None:
        """Exchange the names of two files atomically."""
        _renameat2(one, other, _RENAME_EXCHANGE)

    def rename_new(self, source: Path, target: Path) -> None:
        """Rename a file; fails if the target exists."""
        _renameat2(source, target, _RENAME_NOREPLACE)

    def copy(self, source_fd: int, target: Path, limit: int, sync: bool = True, mode: int | None = None) -> int:
        """Copy an open file into a new one and flush it. Returns the bytes copied; stops after `limit` is exceeded.

        Holes stay holes, so that a sparse file costs neither time nor space. `mode`: as of `write`.
        """
        fd = _new_file(target, mode)
        try:
            total = _next_data(source_fd, 0)
            while total <= limit and (chunk := os.pread(source_fd, 1 << 20, total)):
                view, at = memoryview(chunk), total
                while view:
                    written = os.pwrite(fd, view, at)
                    view, at = view[written:], at + written
                total = _next_data(source_fd, at)
            if os.fstat(fd).st_size != total:  # a hole at its end; some network filesystems refuse to set a size
                os.ftruncate(fd, total)
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)
        return total

    def rename(self, source: Path, target: Path) -> None:
        """Rename a file; replaces the target."""
        os.rename(source, target)

    def touch(self, path: Path) -> None:
        """Set the times of a file to now; not flushed."""
        os.utime(path, follow_symlinks=False)

    def link(self, source: Path, target: Path) -> None:
        """Create another hard link to a file; of a link, to the link itself."""
        os.link(source, target, follow_symlinks=False)

    def link_open(self, fd: int, target: Path) -> None:
        """Create another hard link to an open file."""
        # With a directory given (which an absolute path does not use) Python calls linkat(2); link(2) would not follow.
        os.link(f"/proc/self/fd/{fd}", target, src_dir_fd=fd, follow_symlinks=True)

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()

    def rmtree(self, path: Path) -> None:
        """Remove a folder with everything in it."""
        shutil.rmtree(path)

    def remove(self, path: Path) -> None:
        """Remove a file or directory tree if it exists."""
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISDIR(os.lstat(path).st_mode):
                self.rmtree(path)
            else:
                self.unlink(path)

    def sync_file(self, path: Path) -> None:
        """Flush the content of a file to the disk."""
        _sync(path, os.O_RDONLY)

    def sync_dir(self, path: Path) -> None:
        """Flush the names in a folder to the disk."""
        _sync(path, os.O_RDONLY | os.O_DIRECTORY)

    def sync_all(self, paths: Sequence[Path]) -> None:
        """Flush files and directories; from `MANY` on by one call for each of their filesystems.

        The content of all is on its way before the first is waited for, so that the disk commits it once and not once for each.
        """
        if len(paths) < MANY:
            with contextlib.ExitStack() as opened:
                fds = [opened.enter_context(_opened(path, os.O_RDONLY)) for path in paths]
                for fd in fds if len(fds) > 1 else []:
                    _start_writing(fd)
                for fd in fds:
                    os.fsync(fd)
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


def _new_file(path: Path, mode: int | None) -> int:
    """Return a new file, open for writing. `mode`: exactly its rights; None: owner's and group's that the umask leaves."""
    fd = os.open(path, _NEW, 0o660 if mode is None else mode)
    if mode is not None and stat.S_IMODE(os.fstat(fd).st_mode) != mode:
        os.fchmod(fd, mode)  # before it is flushed: afterwards it would have to be flushed again
    return fd


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


def _start_writing(fd: int) -> None:
    """Have the content of a file written, without waiting. Where that cannot be asked for, as of a folder, it comes later."""
    _libc.sync_file_range(fd, 0, 0, _WRITE)


def _sync(path: Path, flags: int) -> None:
    with _opened(path, flags) as fd:
        os.fsync(fd)


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    if path.parent == _DESCRIPTORS:  # a folder used through its descriptor
        yield int(path.name)
        return
    # A folder of the settings may be a link to another disk; files must not be links.
    link = 0 if flags & os.O_DIRECTORY else os.O_NOFOLLOW
    fd = os.open(path, flags | link | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
