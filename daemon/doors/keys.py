"""Keeps idempotency keys: which job each was used for, in `inbox/.keys`, where every door may write and the daemon need not run.

The file of a key is locked while a job is handed in with it, so that of two who do it at once one waits for the other. Its first
line is the job, its second says that the manifest is in the inbox; what a crash left half written counts as not there.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from daemon.errors import AvatarError, RefusedError
from daemon.intake.inbox_names import KEYS
from daemon.jobs.record import JOB_ID
from daemon.system import fs

MAX_BYTES = 4096
_PUBLISHED = b"published\n"


class KeyFile:
    """The open, locked file of one key.

    Attributes:
        job, stem, request: id, name of the manifest without ending, and digest of the request that the key was used for; empty
            where it was not used yet.
        published: the manifest is in the inbox, or was.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.job = self.stem = self.request = ""
        first, newline, rest = os.pread(fd, MAX_BYTES, 0).partition(b"\n")
        self.published = rest.startswith(_PUBLISHED)
        with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
            value = json.loads(first) if newline else {}
            job, stem, request = (str(value[name]) for name in ("job", "stem", "request"))
            if JOB_ID.fullmatch(job):
                self.job, self.stem, self.request = job, stem, request

    def begin(self, job: str, stem: str, request: str) -> None:
        """Note durably which job the key is for."""
        self.job, self.stem, self.request = job, stem, request
        self._write(json.dumps({"job": job, "stem": stem, "request": request}).encode() + b"\n")

    def finish(self) -> None:
        """Note durably that the manifest is in the inbox."""
        self.published = True
        end = os.fstat(self._fd).st_size
        os.pwrite(self._fd, _PUBLISHED, end)
        os.fsync(self._fd)

    def forget(self) -> None:
        """Let the key be used anew: nothing was handed in with it."""
        self._write(b"")

    def _write(self, data: bytes) -> None:
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, data, 0)
        os.fsync(self._fd)


def keys_folder(inbox: Path) -> Path:
    """Return the folder of the doors in the inbox, which is made where it is missing.

    Raises:
        PermissionError: something else has its name.
    """
    folder = inbox / KEYS
    with contextlib.suppress(FileExistsError):
        folder.mkdir(parents=True)
        with contextlib.suppress(
            PermissionError
        ):  # a unit may forbid such modes; the installation makes the folder then
            folder.chmod(0o3770)  # who made a file alone may remove it
    if not folder.is_dir():
        raise PermissionError(errno.EPERM, "It is no folder, and is to be removed", str(folder))
    return folder


@contextlib.contextmanager
def opened_key(inbox: Path, by: str, key: str, *, wait: bool = True) -> Iterator[KeyFile]:
    """Yield the file of a key of the present user, locked.

    Args:
        wait: whether to wait while somebody else has it.

    Raises:
        AvatarError: `key-blocked`; `key-busy`: somebody else has it, and is not to be waited for.
    """
    folder = keys_folder(inbox)
    digest = hashlib.sha256("\0".join((str(os.geteuid()), by, key)).encode()).hexdigest()
    path = folder / digest[:40]
    try:
        # Nobody else may open it, so that nobody else can hold its lock.
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except (PermissionError, IsADirectoryError, OSError) as exc:
        if isinstance(exc, PermissionError) or path.is_symlink() or path.is_dir():
            raise _blocked(path) from exc
        raise
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode) or info.st_uid != os.geteuid():
            raise _blocked(path)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise RefusedError(
                "key-busy", f"A job is being handed in with the key {key!r} just now.", "Ask again in a moment."
            ) from exc
        except OSError:
            pass  # a share without locks
        fs.OPS.sync_dir(folder)
        yield KeyFile(fd)
    finally:
        os.close(fd)


def _blocked(path: Path) -> AvatarError:
    return RefusedError(
        "key-blocked",
        f"Somebody else put something in the place of this key: {KEYS}/{path.name} in the inbox.",
        "Use another key, and have that file removed.",
    )


def request_digest(manifest: Mapping[str, Any], digests: Mapping[str, str]) -> str:
    """Return what tells one request from another: the manifest, and the content of its files."""
    value = json.dumps([dict(manifest), dict(digests)], sort_keys=True, default=str)
    return hashlib.sha256(value.encode()).hexdigest()
