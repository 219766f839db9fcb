"""Writes files into the cache of measured portraits, which only the service and its group may read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemon.system.fs import artifact
from daemon.system.permissions import make_folder, remove_other_permissions


@contextmanager
def cache_file(path: Path) -> Iterator[Path]:
    """Write a file of the cache under a temporary name, as `artifact` does; makes its folder, private, if it is missing."""
    make_folder(path.parent)
    remove_other_permissions(path.parent)
    with artifact(path) as temporary:
        yield temporary
