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


class MountGuard:
    """Args:
    folder: the inbox or the outbox.
    memory: where the spool keeps what it remembers of it.
    """

    def __init__(self, folder: Path, memory: Path, kind: Literal["inbox", "outbox"] = "inbox") -> None:
        self._folder = folder
        self._memory = memory
        self._kind = kind
        self._remembered: dict[str, Any] | None = _read_memory(memory)
        self._confirmed = False

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
            raise self._missing_error(f"{exc.strerror}") from exc
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
        known = self._remembered
        if known is None or known["path"] != str(self._folder) or mark != known["id"]:
            if known is not None and known["path"] == str(self._folder):
                log.warning(f"the {self._kind} lost its mark, and gets a new one", folder=str(self._folder))
            self._write_mark(mark)
        elif not self._confirmed and known["mount"] != self._mount():  # it moved, with its mark
            self._write_mark(mark)
        self._confirmed = True

    def look(self) -> str | None:
        """Make sure that the folder is there, changing nothing; returns its mark, where it has one.

        Raises:
            MachineError: `inbox-missing`, `outbox-missing`.
        """
        try:
            mark = self._read_mark()
        except OSError as exc:
            raise self._missing_error(f"{exc.strerror}") from exc
        known = self._remembered
        if known is not None and known["path"] == str(self._folder) and mark != known["id"]:
            if mark:
                raise self._missing_error("another folder stands in its place")
            if mark is None and known["mount"] != self._mount():
                raise self._missing_error("it is not mounted")
        return mark

    def _read_mark(self) -> str | None:
        """The id in the folder; empty when a person put an empty file there, None where there is none."""
        try:
            fd = os.open(self._folder / MARK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as exc:
            if exc.errno in (errno.ENOENT, errno.ELOOP):
                return None
            raise
        try:
            return os.read(fd, _MARK_BYTES).decode("ascii", "replace").strip()
        finally:
            os.close(fd)

    def _mount(self) -> dict[str, str]:
        mount = mount_of(self._folder)
        return {"point": mount.point, "root": mount.root, "kind": mount.kind}

    def _write_mark(self, mark: str | None) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        if not mark:
            mark = secrets.token_hex(16)
            fs.replace_bytes(self._folder / MARK, f"{mark}\n".encode())
        known = {"path": str(self._folder), "id": mark, "mount": self._mount()}
        fs.replace_json(self._memory, known)
        self._remembered = known

    def _missing_error(self, why: str) -> MachineError:
        self._confirmed = False
        return MachineError(
            "inbox-missing" if self._kind == "inbox" else "outbox-missing",
            f"The {self._kind} {self._folder} is not there: {why}.",
            f"Mount it; nothing was forgotten. If this is the right folder, `touch {self._folder / MARK}`.",
        )


def _read_memory(memory: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(memory.read_bytes())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and {"path", "id", "mount"} <= set(record) else None
