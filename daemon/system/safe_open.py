"""Opens untrusted files: regular files below one folder only, not through links or mounts, and without blocking.

A path is resolved by one openat2(2) that refuses links and other filesystems in every part (without openat2, part by part with
O_NOFOLLOW), so nothing can be exchanged between check and use. The file is first opened with O_PATH, which does not touch
devices, pipes and leases, and opened for reading only if it is a regular file.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from daemon.errors import JobError, Postponed

_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_POINT = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC

_libc = ctypes.CDLL(None, use_errno=True)
_OPENAT2 = 437  # the same number on every architecture
_NO_XDEV, _NO_SYMLINKS = 0x01, 0x04
#: Errors of this process or the whole machine, not of one file.
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


def is_ours(exc: OSError) -> bool:
    """Return whether an error is one of this process or the whole machine, not of one file."""
    return exc.errno in _OURS


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_below(folder_fd: int, relative: str, flags: int) -> int:
    """Open a path below an open folder without following links or mounts; `.` is the folder itself. Returns a descriptor.

    Raises:
        OSError: ELOOP if a part is a link, EXDEV if one is a mount.
    """
    if not _has_openat2():
        return _open_by_parts(folder_fd, relative, flags)
    how = _OpenHow(flags | os.O_CLOEXEC, 0, _NO_XDEV | _NO_SYMLINKS)
    fd: int = _libc.syscall(_OPENAT2, folder_fd, os.fsencode(relative), ctypes.byref(how), ctypes.sizeof(how))
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), relative)
    return fd


@functools.cache
def _has_openat2() -> bool:
    """Return whether openat2(2) works: Linux has it since 5.6, and a seccomp filter may refuse it."""
    how = _OpenHow(os.O_PATH | os.O_CLOEXEC, 0, 0)
    fd: int = _libc.syscall(_OPENAT2, -100, b"/", ctypes.byref(how), ctypes.sizeof(how))
    if fd >= 0:
        os.close(fd)
    return fd >= 0


def _open_by_parts(folder_fd: int, relative: str, flags: int) -> int:
    mount = _mount_id(folder_fd)
    *above, last = relative.split("/")
    held: list[int] = []
    try:
        for part, how in [*((part, _DIR) for part in above), (last, flags | os.O_NOFOLLOW | os.O_CLOEXEC)]:
            held.append(os.open(part, how, dir_fd=held[-1] if held else folder_fd))
            if (
                _mount_id(held[-1]) != mount
            ):  # not the device: on an overlay that of a file is another than its folder's
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), relative)
        return held.pop()
    finally:
        for fd in held:
            os.close(fd)


def _mount_id(fd: int) -> bytes:
    """Return the mount id of an open file, as a line of its fdinfo; empty if unknown."""
    try:
        lines = Path(f"/proc/self/fdinfo/{fd}").read_bytes().splitlines()
    except OSError:
        return b""
    return next((line for line in lines if line.startswith(b"mnt_id:")), b"")


def parts_of(relative: str) -> list[str]:
    """Split a path below a folder into its parts.

    Raises:
        JobError: `file-outside`.
    """
    parts = [part for part in relative.split("/") if part not in ("", ".")]
    if not parts or ".." in parts or "\0" in relative:
        raise JobError("file-outside", f"{relative} is not inside the inbox.", "Name a file next to the manifest.")
    return parts


@contextlib.contextmanager
def opened_root(root: Path) -> Iterator[int]:
    """Yield a descriptor of a folder, for `open_below`. The folder itself may be a link, as a setting names it.

    Raises:
        OSError: it is not there, or no folder.
    """
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def path_by_descriptor(root: Path, relative: str) -> Iterator[Path]:
    """Open the folder that contains `relative`, and yield a path that uses its descriptor.

    The path stays in that folder even if parent folders are exchanged. It is safe for calls that do not follow a link in the
    last part (rename, link, unlink, lstat).

    Raises:
        JobError: `file-outside`.
        OSError: ENOENT if a folder is missing, ELOOP if one is a link, EXDEV if one is a mount.
    """
    *above, name = parts_of(relative)
    with opened_root(root) as root_fd:
        folder = open_below(root_fd, "/".join(above) or ".", os.O_PATH | os.O_DIRECTORY)
    try:
        yield Path(f"/proc/self/fd/{folder}") / name
    finally:
        os.close(folder)


@contextlib.contextmanager
def open_inside(root: Path, relative: str, shown: str = "") -> Iterator[int]:
    """Open a regular file below `root` for reading; yields its descriptor.

    Args:
        shown: how people know the file; by default its path.

    Raises:
        JobError: `file-outside`, `file-missing`, `file-is-link`, `file-not-regular`, `file-unreadable`.
        Postponed: `file-changing` if a writer holds a lease on it, `file-unreadable` if the disk cannot read it now.
    """
    parts = parts_of(relative)
    try:
        fd = _open(root, parts, shown or relative)
    except OSError as exc:
        raise explain_open_error(exc, shown or relative) from exc
    try:
        yield fd
    finally:
        os.close(fd)


def _open(root: Path, parts: list[str], shown: str) -> int:
    with opened_root(root) as root_fd:
        return open_file_below(root_fd, "/".join(parts), shown)


def open_file_below(folder_fd: int, path: str, shown: str = "") -> int:
    """Open a regular file below an open folder for reading, as `open_inside` does. Returns a descriptor.

    Args:
        shown: how people know the file; by default its path.

    Raises:
        JobError: `file-not-regular`, `file-is-link` (another name of the file exists).
        OSError: ELOOP where it is a link, or a part of its path is; EAGAIN if somebody holds a write lease.
    """
    point = open_below(folder_fd, path, _POINT)
    try:
        info = os.fstat(point)
        if stat.S_ISLNK(info.st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if not stat.S_ISREG(info.st_mode):
            raise JobError("file-not-regular", f"{shown or path} is not a file.", "Name a picture or sound file.")
        if info.st_nlink > 1:
            raise JobError("file-is-link", f"{shown or path} is a hard link.", "Copy the file itself into the inbox.")
        # Non-blocking: a lease on the file would otherwise block for up to 45 s.
        return os.open(f"/proc/self/fd/{point}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    finally:
        os.close(point)


def explain_open_error(exc: OSError, relative: str) -> Exception:
    """Convert an OSError into an error about one dropped file; an error about the machine is returned unchanged."""
    number = exc.errno
    if is_ours(exc):
        return exc
    if number == errno.ENOENT:
        return JobError("file-missing", f"{relative} is not there.", "Put it next to the manifest.")
    if number in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
        return JobError(
            "file-is-link", f"{relative} is a link, or in a folder that is one.", "Copy the file itself into the inbox."
        )
    if number == errno.EXDEV:
        return JobError(
            "file-outside", f"{relative} is not on the same filesystem as the inbox.", "Copy it into the inbox itself."
        )
    if number in (errno.EACCES, errno.EPERM):
        return JobError(
            "file-unreadable", f"The service has no permission to read {relative}.", "Allow its group to read it."
        )
    if number == errno.ENAMETOOLONG:
        return JobError("file-missing", f"{relative[:60]}… is too long for a file name.", "Shorten the name.")
    if number == errno.EAGAIN:
        return Postponed("file-changing", f"Another program is writing {relative}.", "Close that program.")
    return Postponed(
        "file-unreadable",
        f"{relative} cannot be read ({exc.strerror}).",
        "Copy the file again; if that does not help, run `avatar doctor`, which checks the disk.",
        fault="machine",
    )
