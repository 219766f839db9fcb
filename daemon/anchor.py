"""Telling an empty inbox from one that is not there.

A share that is not mounted looks like an empty folder. So the inbox carries a small file with an id, made when it is first used,
and the spool remembers the id and the mount on which it was seen. When the file is missing and the mount is another one, the
inbox is away: nothing is taken, made or forgotten until it is back. When only the file is missing, somebody emptied the folder.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import structlog

from daemon import fs
from daemon.errors import MachineError
from daemon.mounts import mount_of

log = structlog.get_logger()

MARK = ".avatard"
_MARK_BYTES = 64


class Anchor:
    """Args:
    inbox: the folder.
    memory: where the spool keeps what it remembers of it.
    """

    def __init__(self, inbox: Path, memory: Path) -> None:
        self._inbox = inbox
        self._memory = memory
        self._known: dict[str, Any] | None = _load(memory)
        self._sure = False

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Make sure that the inbox is there, and keep it from being unmounted inside the `with`.

        Raises:
            MachineError: `inbox-missing`.
        """
        self.check()
        try:
            fd = os.open(self._inbox, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as exc:
            raise self._missing(f"{exc.strerror}") from exc
        try:
            self.check()  # again, now that it cannot go away any more
            yield
        finally:
            os.close(fd)

    def check(self) -> None:
        """Make sure that the inbox is there; the first time, and when it was only emptied, mark it.

        Raises:
            MachineError: `inbox-missing`.
        """
        try:
            mark = self._mark()
        except OSError as exc:
            raise self._missing(f"{exc.strerror}") from exc
        known = self._known
        if known is None or known["path"] != str(self._inbox):
            self._adopt(mark)
        elif mark == known["id"]:
            if not self._sure and known["mount"] != self._mount():  # it moved, with its mark
                self._adopt(mark)
        elif mark:
            raise self._missing("another folder stands in its place")
        elif mark is None and known["mount"] != self._mount():
            raise self._missing("it is not mounted")
        else:
            log.warning("the inbox lost its mark, and gets a new one", inbox=str(self._inbox))
            self._adopt(mark)
        self._sure = True

    def _mark(self) -> str | None:
        """The id in the inbox; empty when a person put an empty file there, None where there is none."""
        try:
            fd = os.open(self._inbox / MARK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as exc:
            if exc.errno in (errno.ENOENT, errno.ELOOP):
                return None
            raise
        try:
            return os.read(fd, _MARK_BYTES).decode("ascii", "replace").strip()
        finally:
            os.close(fd)

    def _mount(self) -> dict[str, str]:
        mount = mount_of(self._inbox)
        return {"point": mount.point, "root": mount.root, "kind": mount.kind}

    def _adopt(self, mark: str | None) -> None:
        self._inbox.mkdir(parents=True, exist_ok=True)
        if not mark:
            mark = secrets.token_hex(16)
            fs.replace_bytes(self._inbox / MARK, f"{mark}\n".encode())
        known = {"path": str(self._inbox), "id": mark, "mount": self._mount()}
        fs.replace_json(self._memory, known)
        self._known = known

    def _missing(self, why: str) -> MachineError:
        self._sure = False
        return MachineError(
            "inbox-missing",
            f"The inbox {self._inbox} is not there: {why}.",
            f"Mount it; nothing was forgotten. If this is the right folder, `touch {self._inbox / MARK}`.",
        )


def _load(memory: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(memory.read_bytes())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and {"path", "id", "mount"} <= set(record) else None
