"""Calls to the disk that are counted, and one of which crashes, fails or lies."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from daemon.system.file_calls import Ops


class Crash(BaseException):
    """The process is gone. Not an Exception, so that nothing can catch it by accident."""


class Watched(Ops):
    """Counts the calls; at call `at` does what `how` says."""

    def __init__(self, at: int = -1, how: str = "") -> None:
        self.at, self.how = at, how
        self.calls: list[str] = []
        self.published: list[str] = []

    def _do(self, name: str, path: Path, act: Callable[[], Any], half: Callable[[], Any] | None = None) -> Any:
        here = len(self.calls) == self.at
        self.calls.append(f"{name} {path.name}")
        if here and self.how == "crash before":
            raise Crash
        if here and self.how == "crash within" and half:
            half()
            raise Crash
        if here and self.how.startswith("E"):
            raise OSError(getattr(errno, self.how), os.strerror(getattr(errno, self.how)), str(path))
        result = act()
        if here and self.how == "lies":
            raise OSError(errno.EIO, "reported as failed although it happened", str(path))
        if name in ("link", "rename", "rename_new") and path.suffix == ".mp4" and path.name.startswith("hello"):
            self.published.append(path.name)
        if here and self.how in ("crash after", "crash within"):
            raise Crash
        return result

    def mkdir(self, path: Path) -> None:
        self._do("mkdir", path, lambda: Ops.mkdir(self, path))

    def write(self, path: Path, data: bytes, sync: bool = True, mode: int | None = None) -> None:
        self._do(
            "write",
            path,
            lambda: Ops.write(self, path, data, sync, mode),
            lambda: path.write_bytes(data[: len(data) // 2]),
        )

    def rewrite(self, path: Path, data: bytes, sync: bool = True) -> None:
        self._do(
            "rewrite",
            path,
            lambda: Ops.rewrite(self, path, data, sync),
            lambda: path.write_bytes(data[: len(data) // 2]),
        )

    def exchange(self, one: Path, other: Path) -> None:
        self._do("exchange", other, lambda: Ops.exchange(self, one, other))

    def copy(self, source_fd: int, target: Path, limit: int, sync: bool = True, mode: int | None = None) -> int:
        result: int = self._do(
            "copy",
            target,
            lambda: Ops.copy(self, source_fd, target, limit, sync, mode),
            lambda: target.write_bytes(b"ha"),
        )
        return result

    def touch(self, path: Path) -> None:
        self._do("touch", path, lambda: Ops.touch(self, path))

    def rename(self, source: Path, target: Path) -> None:
        self._do("rename", target, lambda: Ops.rename(self, source, target))

    def rename_new(self, source: Path, target: Path) -> None:
        self._do("rename_new", target, lambda: Ops.rename_new(self, source, target))

    def link(self, source: Path, target: Path) -> None:
        self._do("link", target, lambda: Ops.link(self, source, target))

    def link_open(self, fd: int, target: Path) -> None:
        self._do("link_open", target, lambda: Ops.link_open(self, fd, target))

    def unlink(self, path: Path) -> None:
        self._do("unlink", path, lambda: Ops.unlink(self, path))

    def rmtree(self, path: Path) -> None:

        def half() -> None:
            next(p for p in sorted(path.iterdir()) if p.is_file()).unlink()

        self._do("rmtree", path, lambda: Ops.rmtree(self, path), half if any(path.iterdir()) else None)

    def sync_file(self, path: Path) -> None:
        self._do("sync_file", path, lambda: Ops.sync_file(self, path))

    def sync_dir(self, path: Path) -> None:
        self._do("sync_dir", path, lambda: Ops.sync_dir(self, path))

    def sync_all(self, paths: Sequence[Path]) -> None:
        self._do("sync_all", paths[0], lambda: Ops.sync_all(self, paths))
