"""Reserves the name of a result while a job is handed in under it, for all processes that hand in.

Between a door's look if a name is free and the daemon's first status of the job, neither inbox nor outbox shows that the name
is taken: the daemon may have taken the manifest out of the inbox already. So each name that somebody chose has a file in
`inbox/.keys`, which is locked while a job is handed in under the name and says which job that was.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
import unicodedata
from pathlib import Path
from typing import Final

from daemon.doors.keys import keys_folder
from daemon.intake.claims.claim_folder import CLAIMED
from daemon.jobs.hand_in_record import MAX_BYTES, HandInRecord, record_name
from daemon.jobs.record import JOB_ID

#: Every member of the inbox's group may reserve a name that another one had before.
_MODE: Final = 0o660
_LONGEST_ID: Final = 64


class ReservedName:
    """A name that nobody else can hand in under until it is closed."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd

    def close(self) -> None:
        """Let others hand in under the name; they then find the job in the inbox, or its status."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def reserve_name(inbox: Path, result: str, job: str) -> ReservedName | None:
    """Reserve the name of a job's results; None where another job has been handed in under it that has no status yet.

    Whether the outbox has the name is to be asked afterwards. Where the file cannot be used, since it is another user's who lets
    nobody write it, nothing is reserved.

    Args:
        result: the name that the results are to have.
        job: id of the job that is handed in.
    """
    fd = _open(keys_folder(inbox) / f"name-{_digest(result)}")
    if fd is None:
        return ReservedName(None)
    try:
        with contextlib.suppress(OSError):  # a share without locks
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                return None
        before = os.pread(fd, _LONGEST_ID, 0).decode("ascii", "replace")
        if before != job and JOB_ID.fullmatch(before) and is_on_its_way(inbox, before):
            os.close(fd)
            return None
        os.pwrite(fd, job.encode(), 0)
        os.ftruncate(fd, len(job))
    except BaseException:
        with contextlib.suppress(OSError):
            os.close(fd)
        raise
    return ReservedName(fd)


def is_on_its_way(inbox: Path, job: str) -> bool:
    """Return whether a job was handed in and has no status yet: its record lies in the inbox until it has one.

    The record of a door that died before it handed in the manifest stays, too, without a manifest.
    """
    try:
        record = HandInRecord.from_bytes(_read_record(inbox / record_name(job)))
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True
    # In this order: the daemon makes the folder of the claim before it takes the manifest.
    return _may_be_there(inbox / record.manifest) or _may_be_there(inbox / CLAIMED / job)


def _read_record(path: Path) -> bytes:
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK)) as file:
        return file.read(MAX_BYTES)


def _may_be_there(path: Path) -> bool:
    """Return whether something is at a path, or this process may not look."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    except PermissionError:
        pass
    return True


def _open(path: Path) -> int | None:
    """Return the open file of a name, which is made where it is missing; None where it cannot be used."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(path, flags, _MODE)
    except OSError as exc:
        if isinstance(exc, PermissionError | IsADirectoryError) or path.is_symlink():
            return None
        raise
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode):
        os.close(fd)
        return None
    if info.st_uid == os.geteuid() and stat.S_IMODE(info.st_mode) != _MODE:
        os.fchmod(fd, _MODE)  # whatever the user's umask
    return fd


def _digest(result: str) -> str:
    """Return what is one for names that are one file on another system."""
    return hashlib.sha256(unicodedata.normalize("NFC", result).casefold().encode()).hexdigest()[:40]
