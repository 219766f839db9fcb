"""The one seam through which spool, inbox and outbox are changed.

Everything durable rests on a few calls, so they stand here, once, and a test can replace `OPS` to make the third rename
fail or to stop the world between two of them. Order of use for a new file: write it under a temporary name, `sync_file`,
`rename`, `sync_dir` (docs/spool.md).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

#: What link(2) says where hard links do not exist (FAT, some SMB and FUSE mounts).
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
#: From this many on, one flush of the whole filesystem is cheaper than a flush of each file.
MANY = 12

#: Files of news are padded to a multiple of this, so that longer news fit into their place.
NEWS_BYTES = 4096

#: What users outside of owner and group may do.
OTHERS = 0o007

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW

#: Paths below it go through a descriptor of this process (`daemon/system/safe_open.py`, `daemon/intake/claim_folder.py`).
_DESCRIPTORS = Path("/proc/self/fd")

_libc = ctypes.CDLL(None, use_errno=True)
_HERE = -100  # AT_FDCWD: relative names are of the working folder
_RENAME_NOREPLACE, _RENAME_EXCHANGE = 1, 2
#: What renameat2(2) says where it cannot keep from replacing (NFS, some FUSE filesystems, old kernels).
_NO_NOREPLACE = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM})
#: What renameat2(2) says where it cannot exchange (NFS, old kernels), or where there is nothing to exchange with.
_NO_EXCHANGE = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM, errno.ENOENT})


class Ops:
    """The operating-system calls. Tests subclass this; nothing else changes a file."""

    def mkdir(self, path: Path) -> None:
        path.mkdir(mode=0o770)

    def write(self, path: Path, data: bytes, sync: bool = True) -> None:
        """Make a new file `path` of `data`, flushed to the disk. What stood there is removed, never opened: it may be a
        link to another file, or a pipe.
        """
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
        """Write over the beginning of a file, in the room it has."""
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.pwrite(fd, data[: os.fstat(fd).st_size], 0)
        finally:
            os.close(fd)

    def rewrite(self, path: Path, data: bytes, sync: bool = True) -> None:
        """Write a file anew in its place and flush it; it must be there, and nobody may need what was in it."""
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
        """Let two files change names in one step."""
        _renameat2(one, other, _RENAME_EXCHANGE)

    def rename_new(self, source: Path, target: Path) -> None:
        """Rename, but never over something."""
        _renameat2(source, target, _RENAME_NOREPLACE)

    def copy(self, source_fd: int, target: Path, limit: int, sync: bool = True) -> int:
        """Copy an open file from its beginning to a new one and flush it. Returns bytes copied; stops past `limit`.

        Holes stay holes: a file of nothing but a size costs no time and no room.
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
        """Give an open file one more name."""
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
        """Flush files and directories; many of them by one call for each filesystem they lie on."""
        if len(paths) < MANY:
            for path in paths:
                _sync(path, os.O_RDONLY)
            return
        for path in {_device(path): path for path in paths}.values():
            _sync_filesystem(path if path.is_dir() else path.parent)


def _next_data(fd: int, at: int) -> int:
    """Where a file has data from `at` on; its end where there is none."""
    try:
        return os.lseek(fd, at, os.SEEK_DATA)
    except OSError as exc:
        if exc.errno == errno.ENXIO:
            return max(at, os.lseek(fd, 0, os.SEEK_END))
        return at  # a filesystem that does not tell


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
    if path.parent == _DESCRIPTORS:  # a folder that is used through its descriptor
        os.fsync(int(path.name))
        return
    # A folder of the settings may be a link to another disk; files are never looked for behind one.
    link = 0 if flags & os.O_DIRECTORY else os.O_NOFOLLOW
    fd = os.open(path, flags | link | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


OPS: Ops = Ops()


def rename(source: Path, target: Path) -> None:
    """Rename, and believe the disk rather than the answer: NFS may report a failure for a rename that happened."""
    before = os.lstat(source)
    try:
        OPS.rename(source, target)
    except OSError:
        if os.path.lexists(source) or not same_file(target, before):
            raise


def exchange(one: Path, other: Path) -> bool:
    """Let two files change names, and believe the disk as `rename` does. False: it cannot be done here."""
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
    """Whether `path` is the very file `info` was taken of."""
    try:
        now = os.lstat(path)
    except OSError:
        return False
    return (now.st_dev, now.st_ino) == (info.st_dev, info.st_ino)


def move(source: Path, target: Path) -> None:
    """Durably move a file or directory to another directory of the same filesystem."""
    rename(source, target)
    OPS.sync_dir(target.parent)


def replace_bytes(path: Path, data: bytes, *, durable: bool = True, temporary: Path | None = None) -> None:
    """Atomically replace a file's content; afterwards it is the old or the new one, never a part.

    Without `durable` that holds for readers and for killed processes, but a power cut may bring the old content back.
    """
    temporary = temporary or path.with_name(f".{path.name}.tmp")
    try:
        # Flushed in any case: where the name came to the disk before the content, a power cut would leave zeros.
        OPS.write(temporary, data)
        rename(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            remove(temporary)  # a full disk has no room for half a file
        raise
    if durable:
        OPS.sync_dir(path.parent)


def replace_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """`replace_bytes` for JSON."""
    replace_bytes(path, dump_json(value), durable=durable)


def replace_json_best_effort(path: Path, value: Any) -> None:
    """Put news for people on disk: no truth rests on it, and a machine at fault does not stop it.

    On a full disk there is no room for a new file, so the old one, which is padded, is written over in place.
    """
    data = dump_json(value)
    data += b" " * (-len(data) % NEWS_BYTES)
    try:
        replace_bytes(path, data, durable=False)
    except OSError:
        with contextlib.suppress(OSError):
            OPS.overwrite(path, data)


def dump_json(value: Any) -> bytes:
    """JSON for people to read; escaped throughout only where a file name is not valid Unicode."""
    try:
        return json.dumps(value, ensure_ascii=False, indent=1).encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(value, indent=1).encode() + b"\n"


def dump_lines(value: dict[str, Any]) -> bytes:
    """The same with one line for each key: for what is written often, as indenting takes ten times longer."""
    try:
        lines = [f"{json.dumps(key)}: {json.dumps(item, ensure_ascii=False)}" for key, item in value.items()]
        return ("{" + ",\n ".join(lines) + "}\n").encode()
    except UnicodeEncodeError:
        return dump_json(value)


def publish(temporary: Path, target: Path, *, sync: bool = True) -> bool:
    """Give a finished, flushed file its name, never replacing what is there. False: the name is taken.

    Without `sync` the caller flushes the directory.
    """
    before = os.lstat(temporary)
    try:
        OPS.rename_new(temporary, target)
    except OSError as exc:
        if not same_file(target, before):  # as with `rename`: what is reported as failed may have happened
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
    """Give a file a second name, never replacing what is there; the first one is the caller's to remove. False: it is taken."""
    try:
        OPS.link(temporary, target)
    except OSError as exc:
        # NFS may repeat a link that already happened and call it a failure.
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
    """Remove a file or tree if it is there."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISDIR(os.lstat(path).st_mode):
            OPS.rmtree(path)
        else:
            OPS.unlink(path)


def restrict_umask() -> None:
    """Let this process, and what it starts, make nothing that users outside of the owner's group can read, whatever the umask it
    was started with: texts, portraits and voices are people's own. What the umask takes from the group stays taken.
    """
    os.umask(os.umask(0o077) | OTHERS)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, for owner and group alone."""
    for above in reversed(folder.parents):
        if not above.exists():
            above.mkdir(mode=0o770, exist_ok=True)
    folder.mkdir(mode=0o770, exist_ok=True)


def remove_other_permissions(folder: Path) -> None:
    """Take others' rights from a folder that an earlier version, or another umask, left open. Only one of our own is changed."""
    with contextlib.suppress(OSError):
        info = os.lstat(folder)
        shared = info.st_mode & stat.S_ISVTX  # as /tmp is
        if stat.S_ISDIR(info.st_mode) and not shared and info.st_uid == os.geteuid() and info.st_mode & OTHERS:
            os.chmod(folder, stat.S_IMODE(info.st_mode) & ~OTHERS)


@contextlib.contextmanager
def artifact(path: Path) -> Iterator[Path]:
    """Write an artifact by temporary name: yields the name to write, then flushes and renames it to `path`.

    The temporary name keeps the ending (encoders choose a format by it). On an error nothing is left behind.
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
