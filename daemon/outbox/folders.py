"""Finds and makes the folders of the outbox that answer folders of the inbox."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Set
from pathlib import Path

from daemon.outbox.alike_names import AlikeInFolders
from daemon.system import fs, subfolders
from daemon.system.subfolders import join

#: Versions of a folder that are tried where people made one that cannot be used.
MAX_FOLDERS = 9
#: Places in which the job of a request file is looked for.
MAX_PLACES = 16


def versions_of(part: str) -> Iterator[str]:
    """Yield the names that a folder may have: its own, then those that are used where something else stands in its place."""
    yield part
    yield from (f"{part}-v{number}" for number in range(2, MAX_FOLDERS + 1))


class AnswerFolders:
    """The folders below the outbox.

    Args:
        check: checks that the outbox is mounted, before a folder is made; raises `outbox-missing`.
    """

    def __init__(self, root: Path, check: Callable[[], None]) -> None:
        self._root = root
        self._check = check
        #: Folders that are one on another system.
        self._alike = AlikeInFolders(root, _folder_name)

    def make(self, wanted: str) -> str:
        """Create the folder for a job's results, and return its path. Where people put something else in its place, or one that
        may not be written, it is a version of it (`anna-v2`), or else the folder above.

        Raises:
            MachineError: `outbox-missing`.
            OSError: the outbox itself cannot be used.
        """
        above = ""
        for part in filter(None, wanted.split("/")):
            names = (join(above, version) for version in versions_of(self._as_there(above, part)))
            folder = next((name for name in names if self._make(name)), above)
            if folder == above:
                break
            above = folder
        return above

    def _make(self, folder: str) -> bool:
        new = not subfolders.is_folder(self._root, folder)
        if new:
            self._check()
        if not subfolders.make_folder(self._root, folder):
            return False
        if new:
            above, name = subfolders.split(folder)
            self._alike.at(above).add(name)
        return True

    def places(self, name: str) -> Iterator[str]:
        """Yield the names under which a job may lie that wants this one: in the folder as it is called here, and in the versions
        of it that are there. Makes nothing.
        """
        *parts, stem = name.split("/")
        found = [join(self._first(parts), stem)]
        folders = [""]
        for part in parts:
            folders = [
                join(above, version)
                for above in folders
                for version in versions_of(self._as_there(above, part))
                if subfolders.is_folder(self._root, join(above, version))
            ][:MAX_PLACES]
        found += [join(folder, stem) for folder in folders]
        yield from dict.fromkeys(found)

    def _first(self, parts: list[str]) -> str:
        folder = ""
        for part in parts:
            folder = join(folder, self._as_there(folder, part))
        return folder

    def _as_there(self, above: str, part: str) -> str:
        """Return the name of a folder as it is there: another one where that is the same on Windows or a Mac."""
        if subfolders.is_folder(self._root, join(above, part)):
            return part
        alike = sorted(self._alike.at(above).of(part))
        return next((other for other in alike if subfolders.is_folder(self._root, join(above, other))), part)


def _folder_name(entry: os.DirEntry[str]) -> str | None:
    return entry.name if entry.is_dir(follow_symlinks=False) else None


def flush_folders(root: Path, folders: Set[str]) -> None:
    """Flush what got its name in these folders, in the outbox itself in any case: temporary names in it are gone with that."""
    for folder in folders | {""}:
        with contextlib.suppress(subfolders.UnusableFolderError), subfolders.opened(root, folder) as path:
            fs.OPS.sync_dir(path)
