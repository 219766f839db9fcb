"""Detects an unmounted inbox or outbox.

A share that is not mounted looks like an empty folder. Therefore inbox and outbox contain a small file with an id, and the
spool stores the id and the mount. If the file is missing and the mount has changed, the folder is not mounted: no job is taken,
delivered or dropped until it is back. If only the file is missing, somebody emptied the folder, and it gets a new id.
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

from daemon.errors import MACHINE_ERRNOS, MachineError
from daemon.system import fs
from daemon.system.json_files import replace_json
from daemon.system.mounts import mount_of
from daemon.system.safe_open import open_below, opened_root

log = structlog.get_logger()

MARK = ".avatard"
_MARK_BYTES = 64
#: Represents a mark that is not a readable regular file.
_FOREIGN = "?"
#: Somebody may put a folder in the place of the mark again and again; it is written so often.
_TRIES = 2


class MountGuard:
    """Checks that the inbox or the outbox is mounted.

    Args:
        folder: the inbox or the outbox.
        memory: file in the spool that stores its path, id and mount.
        kind: which of the two it is.
    """

    def __init__(self, folder: Path, memory: Path, kind: Literal["inbox", "outbox"] = "inbox") -> None:
        self._folder = folder
        self._memory = memory
        self._kind = kind
        self._remembered: dict[str, Any] | None = _read_memory(memory)
        self._confirmed = False

    @property
    def is_remembered(self) -> bool:
        """Whether the spool says which folder this is: the daemon has used it, and this process may read that."""
        return self._remembered is not None and self._remembered["path"] == str(self._folder)

    @contextlib.contextmanager
    def held(self, *, adopt: bool = True) -> Iterator[None]:
        """Check that the folder is mounted, and prevent unmounting inside the `with` block.

        Args:
            adopt: check with `check`, which may write; a worker uses False, as only the daemon writes the spool.

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
            look()  # again, now that it can no longer be unmounted
            yield
        finally:
            os.close(fd)

    def check(self) -> None:
        """Check that the folder is mounted. At first use, and after it was emptied, its id is written.

        Raises:
            MachineError: `inbox-missing`, `outbox-missing`.
        """
        mark = self.look()
        known = self._remembered
        if known is None or known["path"] != str(self._folder) or mark != known["id"]:
            if known is not None and known["path"] == str(self._folder):
                log.warning(f"the {self._kind} lost its mark, and gets a new one", folder=str(self._folder))
            self._write_mark(mark)
        elif not self._confirmed and (known["mount"] != self._mount() or known.get("folder") != self._place()):
            self._write_mark(mark)  # mounted elsewhere, with the same id
        self._confirmed = True

    def look(self) -> str | None:
        """Check that the folder is mounted, without writing; returns its id, or None.

        Raises:
            MachineError: `inbox-missing`, `outbox-missing`.
        """
        try:
            mark = self._read_mark()
        except OSError as exc:
            raise self._missing_error(f"{exc.strerror}") from exc
        known = self._remembered
        if known is not None and known["path"] == str(self._folder) and mark != known["id"]:
            # The remembered folder on the remembered mount needs no mark, which everybody who may write there can spoil.
            same = self._is_remembered()
            if mark and not same:
                raise self._missing_error("another folder is in its place")
            if mark is None and known["mount"] != self._mount():
                raise self._missing_error("it is not mounted")
            if mark and same:
                return None  # `check` writes it again
        return mark

    def look_by_door(self) -> None:
        """As `look`, for a process of another unit, where the folder is on a mount of that unit alone: inode and filesystem
        are enough.

        Raises:
            MachineError: as `look`.
        """
        try:
            self.look()
        except MachineError:
            place = self._place()
            if self._remembered is None or place is None or self._remembered.get("folder") != place:
                raise

    def _is_remembered(self) -> bool:
        """Return whether the folder is the remembered one, on the remembered mount."""
        known, place = self._remembered, self._place()
        return (
            known is not None and place is not None and known.get("folder") == place and known["mount"] == self._mount()
        )

    def _place(self) -> list[int] | None:
        """Return inode and filesystem id of the folder, which distinguish it from another one mounted in its place, also after a
        reboot. None where two may have the same: at the root of a filesystem without an id.
        """
        try:
            inode, filesystem = os.stat(self._folder).st_ino, os.statvfs(self._folder).f_fsid
        except OSError:
            return None
        if not filesystem and mount_of(self._folder).point == os.path.realpath(self._folder):
            return None
        return [inode, filesystem]

    def _read_mark(self) -> str | None:
        """Return the id in the folder; empty if a person created an empty file, None if there is no file."""
        try:
            with opened_root(self._folder) as folder:
                fd = open_below(folder, MARK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as exc:
            if exc.errno == errno.EXDEV:
                return _FOREIGN  # a mount, which may never answer
            if exc.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
                return None
            if exc.errno == errno.EACCES and os.access(self._folder, os.R_OK | os.X_OK):
                return _FOREIGN  # a file of another user that we may not read
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

    def _write_mark(self, mark: str | None) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        if not mark or mark == _FOREIGN:
            mark = secrets.token_hex(16)
            if not self._write(mark):
                return
        known = {"path": str(self._folder), "id": mark, "mount": self._mount(), "folder": self._place()}
        replace_json(self._memory, known)
        self._remembered = known

    def _write(self, mark: str) -> bool:
        """Write the mark. Returns False where somebody hinders it in the remembered folder, which is known without a mark.

        Raises:
            MachineError: somebody hinders it in another folder.
            OSError: the machine is at fault.
        """
        path = self._folder / MARK
        for _ in range(_TRIES):
            self._make_way(path)
            try:
                fs.replace_bytes(path, f"{mark}\n".encode())
            except OSError as exc:
                if exc.errno in MACHINE_ERRNOS:
                    raise
                error = exc
            else:
                return True
        if not self._is_remembered():
            raise self._missing_error(f"its mark cannot be written: {error.strerror}") from error
        log.warning(f"the mark of the {self._kind} cannot be written", folder=str(self._folder), why=error.strerror)
        return False

    def _make_way(self, path: Path) -> None:
        """Rename a folder that stands in the place of the mark or of its temporary file: it may hold somebody's files. Remove
        those that are empty.
        """
        for name in (path, path.with_name(f".{MARK}.tmp")):
            if self._is_folder(name):
                with contextlib.suppress(OSError):  # it is exchanged in this moment
                    fs.rename(name, path.with_name(f"{MARK}.{secrets.token_hex(4)}"))
        for moved in self._folder.glob(f"{MARK}.{'[0-9a-f]' * 8}"):
            with contextlib.suppress(OSError):  # it holds something
                os.rmdir(moved)

    def _is_folder(self, path: Path) -> bool:
        try:
            with opened_root(self._folder) as folder:
                os.close(open_below(folder, path.name, os.O_PATH | os.O_DIRECTORY))
        except OSError:
            return False
        return True

    def _missing_error(self, why: str) -> MachineError:
        self._confirmed = False
        return MachineError(
            "inbox-missing" if self._kind == "inbox" else "outbox-missing",
            f"The {self._kind} {self._folder} is not available: {why}.",
            f"Mount it; no job is lost. If this is the right folder, remove {self._folder / MARK} and `touch` it.",
        )


def check_mounted(folder: Path, spool: Path, kind: Literal["inbox", "outbox"] = "inbox") -> None:
    """Check that a folder is mounted, for a process that writes nothing into the spool. Where it may not read the spool, or no
    daemon has used the folder yet, nobody knows.

    Raises:
        MachineError: `inbox-missing`, `outbox-missing`.
    """
    _guard_of(folder, spool, kind).look_by_door()


def check_readable(folder: Path, spool: Path, kind: Literal["inbox", "outbox"]) -> None:
    """Check that a folder can be listed, before something is said not to be in it. One that is not there is empty.

    Raises:
        MachineError: as `check_mounted`.
        OSError: it cannot be listed.
    """
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        next(entries, None)
    check_mounted(folder, spool, kind)


@contextlib.contextmanager
def kept_mounted(inbox: Path, spool: Path) -> Iterator[None]:
    """Check that the inbox is mounted, and prevent unmounting inside the `with` block, for whoever hands in: what is confirmed
    while it is not mounted is hidden when it is back. As `check_mounted`; an inbox that was removed is made again.

    Raises:
        MachineError: `inbox-missing`.
    """
    guard = _guard_of(inbox, spool, "inbox")
    if not guard.is_remembered:
        yield
        return
    if not os.path.isdir(inbox):
        guard.look_by_door()  # one that is not mounted is not made
        inbox.mkdir(parents=True, exist_ok=True)
    with opened_root(inbox):
        guard.look_by_door()  # now that it can no longer be unmounted
        yield


def _guard_of(folder: Path, spool: Path, kind: Literal["inbox", "outbox"]) -> MountGuard:
    return MountGuard(folder, spool / f"{kind}.json", kind)


def _read_memory(memory: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(memory.read_bytes())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and {"path", "id", "mount"} <= set(record) else None
