"""Keeps the folder `.claimed` in the inbox the daemon's own, although people can write in the inbox.

It is opened anew each time, without following a link, and used through its descriptor: whatever is put in its place meanwhile,
what we write goes into our own folder. One that is somebody else's is moved aside.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

import structlog

from daemon.errors import MachineError

log = structlog.get_logger()

CLAIMED = ".claimed"
#: Somebody may exchange the folder again and again; after so many tries the intake pauses.
TRIES = 5

#: Made in the folder to learn whose it is. Of one name, so that the next daemon removes what a killed one left.
_PROBE = ".probe"
_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class ClaimFolder:
    """Opens the folder `.claimed`, in which manifests lie while they become jobs.

    Attributes:
        path: where it is; only for messages, as people can exchange what is there.
    """

    def __init__(self, inbox: Path) -> None:
        self._inbox = inbox
        self.path = inbox / CLAIMED
        #: The folder that has proved to be ours: device, inode, owner.
        self._proved: tuple[int, int, int] | None = None

    @contextlib.contextmanager
    def opened(self) -> Iterator[Path]:
        """Yield a path of our folder that goes through its descriptor; it is made where it is missing.

        Raises:
            MachineError: `claims-foreign`.
            OSError: the inbox cannot be read or written.
        """
        inbox = os.open(self._inbox, _DIR)
        try:
            folder = self._open(inbox)
        finally:
            os.close(inbox)
        try:
            yield Path(f"/proc/self/fd/{folder}")
        finally:
            os.close(folder)

    def _open(self, inbox: int) -> int:
        for _ in range(TRIES):
            self._bring_back(inbox)
            with contextlib.suppress(FileExistsError):
                os.mkdir(CLAIMED, 0o700, dir_fd=inbox)
            try:
                folder = os.open(CLAIMED, _DIR | os.O_NOFOLLOW, dir_fd=inbox)
            except OSError as exc:
                if exc.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES):
                    raise
                self._set_aside(inbox)
                continue
            try:
                if self._is_ours(folder):
                    return folder
            except BaseException:
                os.close(folder)
                raise
            os.close(folder)
            self._set_aside(inbox)
        raise self._foreign()

    def _is_ours(self, folder: int) -> bool:
        info = os.fstat(folder)
        known = (info.st_dev, info.st_ino, info.st_uid)
        if known != self._proved:
            if not _makes_ours(folder, info.st_uid):
                return False
            self._proved = known
        if stat.S_IMODE(info.st_mode) & 0o077:
            with contextlib.suppress(OSError):  # a share may know no modes
                os.fchmod(folder, 0o700)  # nobody else needs access
        return True

    def _bring_back(self, inbox: int) -> None:
        """Where somebody moved our folder to another name in the inbox, give it its own again: there may be claims in it."""
        if self._proved is None or os.path.lexists(f"/proc/self/fd/{inbox}/{CLAIMED}"):
            return
        with os.scandir(inbox) as entries:
            names = [
                entry.name
                for entry in entries
                if entry.inode() == self._proved[1] and entry.is_dir(follow_symlinks=False)
            ]
        for name in names:
            with contextlib.suppress(OSError):
                os.rename(name, CLAIMED, src_dir_fd=inbox, dst_dir_fd=inbox)

    def _set_aside(self, inbox: int) -> None:
        """Move aside what is in the folder's place; it is kept, since it may be somebody's."""
        name = f"{CLAIMED}-not-ours-{secrets.token_hex(4)}"
        try:
            os.rename(CLAIMED, name, src_dir_fd=inbox, dst_dir_fd=inbox)
        except FileNotFoundError:
            return
        except OSError as exc:
            raise self._foreign() from exc
        log.warning("claim folder set aside", folder=str(self.path), now=name, why="it is not the daemon's own")

    def _foreign(self) -> MachineError:
        return MachineError(
            "claims-foreign",
            f"{self.path} belongs to somebody else, so nothing can be taken in.",
            "Remove it as root; `chmod +t` on the inbox keeps people from doing this again.",
        )


def _makes_ours(folder: int, owner: int) -> bool:
    """Return whether what we make in a folder gets the folder's owner. On a share that may be another user than ours, so that
    asking for our own user id would not do.
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(_PROBE, dir_fd=folder)  # of a daemon that was killed in this moment
        os.mkdir(_PROBE, 0o700, dir_fd=folder)
    except OSError as exc:
        # It is not writable, was removed in this moment, or somebody else has put something into it.
        if exc.errno in (errno.EACCES, errno.EPERM, errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            return False
        raise
    try:
        return os.stat(_PROBE, dir_fd=folder, follow_symlinks=False).st_uid == owner
    finally:
        os.rmdir(_PROBE, dir_fd=folder)
