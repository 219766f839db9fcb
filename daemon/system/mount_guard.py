"""Telling an empty inbox from one that is not there, and an outbox from the place where it should be.

A share that is not mounted looks like an empty folder. So inbox and outbox carry a small file with an id, made when they are
first used, and the spool remembers the id and the mount on which it was seen. When the file is missing and the mount is another
one, the folder is away: nothing is taken, made, delivered or forgotten until it is back. When only the file is missing, somebody
emptied the folder.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import structlog

from daemon.errors import MachineError
from daemon.system import fs
from daemon.system.mounts import mount_of

log = structlog.get_logger()

MARK = ".avatard"
_MARK_BYTES = 64
#: Stands for a mark that is no file of text that we may read.
_FOREIGN = "?"


class Anchor:
    """Args:
    folder: the inbox or the outbox.
    memory: where the spool keeps what it remembers of it.
    """

    def __init__(self, folder: Path, memory: Path, kind: Literal["inbox", "outbox"] = "inbox") -> None:
        self._folder = folder
        self._memory = memory
        self._kind = kind
        self._known: dict[str, Any] | None = _load(memory)
        self._sure = False

    @contextlib.contextmanager
    def held(self, *, adopt: bool = True) -> Iterator[None]:
        """Make sure that the folder is there, and keep it from being unmounted inside the `with`.

        Args:
            adopt: as `check`; a worker only looks, as the daemon alone writes the spool.

        Raises:
            MachineError: `inbox-missing`, `outbox-missing`.
        """
        look = self.check if adopt else self.look
        look()
        try:
            fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as exc:
            raise self._missing(f"{exc.strerror}") from exc
        try:
            look()  # again, now that it cannot go away any more
            yield
        finally:
            os.close(fd)

    def check(self) -> None:
        """Make sure that the folder is there; the first time, and when it was only emptied, mark it.

        Raises:
            MachineError: `inbox-missing`, `outbox-missing`.
        """
        mark = self.look()
        known = self._known
        if known is None or known["path"] != str(self._folder) or mark != known["id"]:
            if known is not None and known["path"] == str(self._folder):
                log.warning(f"the {self._kind} lost its mark, and gets a new one", folder=str(self._folder))
            self._adopt(mark)
        elif not self._sure and (known["mount"] != self._mount() or known.get("folder") != self._place()):
            self._adopt(mark)  # it moved, with its mark
        self._sure = True

    def look(self) -> str | None:
        """Make sure that the folder is there, changing nothing; returns its mark, where it has one.

        Raises:
            MachineError: `inbox-missing`, `outbox-missing`.
        """
        try:
            mark = self._mark()
        except OSError as exc:
            raise self._missing(f"{exc.strerror}") from exc
        known = self._known
        if known is not None and known["path"] == str(self._folder) and mark != known["id"]:
            # On the remembered mount, in the remembered folder, the mark says nothing more: whoever may write there can spoil it.
            place = self._place()
            same = place is not None and known.get("folder") == place and known["mount"] == self._mount()
            if mark and not same:
                raise self._missing("another folder stands in its place")
            if mark is None and known["mount"] != self._mount():
                raise self._missing("it is not mounted")
            if mark and same:
                return None  # it gets a new one
        return mark

    def _place(self) -> list[int] | None:
        """What tells the folder from others that were mounted in its place, also after a restart of the machine: its inode and
        the id of its filesystem. None where that may be equal for two: at the root of a filesystem that has no id.
        """
        try:
            inode, filesystem = os.stat(self._folder).st_ino, os.statvfs(self._folder).f_fsid
        except OSError:
            return None
        if not filesystem and mount_of(self._folder).point == os.path.realpath(self._folder):
            return None
        return [inode, filesystem]

    def _mark(self) -> str | None:
        """The id in the folder; empty when a person put an empty file there, None where there is none."""
        try:
            fd = os.open(self._folder / MARK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as exc:
            if exc.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
                return None
            if exc.errno == errno.EACCES and os.access(self._folder, os.R_OK | os.X_OK):
                return _FOREIGN  # somebody's file that we may not read
            raise
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return _FOREIGN
            return os.read(fd, _MARK_BYTES).decode("ascii", "replace").strip()
        finally:
            os.close(fd)

    def _mount(self) -> dict[str, str]:
        mount = mount_of(self._folder)
        return {"point": mount.point, "root": mount.root, "kind": mount.kind}

    def _adopt(self, mark: str | None) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        if not mark or mark == _FOREIGN:
            mark = secrets.token_hex(16)
            self._write(mark)
        known = {"path": str(self._folder), "id": mark, "mount": self._mount(), "folder": self._place()}
        fs.replace_json(self._memory, known)
        self._known = known

    def _write(self, mark: str) -> None:
        path = self._folder / MARK
        temporary = path.with_name(f"{MARK}.{secrets.token_hex(4)}.tmp")  # a name that nobody can have taken
        try:
            fs.replace_bytes(path, f"{mark}\n".encode(), temporary=temporary)
        except OSError as exc:
            if exc.errno not in (errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST):
                raise
            # A folder has the name. It is somebody's: it is kept, under another.
            fs.rename(path, path.with_name(f"{MARK}.{secrets.token_hex(4)}"))
            fs.replace_bytes(path, f"{mark}\n".encode(), temporary=temporary)

    def _missing(self, why: str) -> MachineError:
        self._sure = False
        return MachineError(
            "inbox-missing" if self._kind == "inbox" else "outbox-missing",
            f"The {self._kind} {self._folder} is not there: {why}.",
            f"Mount it; nothing was forgotten. If this is the right folder, remove {self._folder / MARK} and `touch` it.",
        )


def _load(memory: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(memory.read_bytes())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and {"path", "id", "mount"} <= set(record) else None
