"""Compares the index with the folders, in small pieces, and makes it agree with them: after a start, and a removal of a lot."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from daemon.history import store
from daemon.history.database import UnfinishedError, identity, is_complete, open_to_write, reading, set_meta
from daemon.history.entry import Entry
from daemon.history.folders import JobFolders
from daemon.history.places import LAST

#: Jobs of one piece: some 10 ms of work.
PIECE = 100


class Renewal:
    """One comparison. Every call of `step` is one piece; between two of them anything may happen to jobs and index. What is known
    of a job that moves during a piece is to be written after it.
    """

    def __init__(self, folder: Path, folders: JobFolders) -> None:
        self._folder = folder
        self._folders = folders
        self._file: object = None
        self.changed = 0
        self._begin()

    def _begin(self) -> None:
        self._entries: Iterator[Entry | None] = self._folders.entries()
        self._all_read = False
        self._last = LAST

    def step(self) -> bool:
        """Compare a few more jobs; returns whether the comparison is over.

        Raises:
            DamagedError, sqlite3.Error, OSError: as `open_to_write`; begin anew later.
        """
        connection = open_to_write(self._folder)
        try:
            if (
                file := identity(connection)
            ) != self._file:  # the first piece, or the file is another one since the last
                self._file = file
                self._begin()
            if self._all_read:
                return self._remove_gone(connection)
            self._put_present(connection)
            return False
        finally:
            connection.close()

    def _put_present(self, connection: sqlite3.Connection) -> None:
        piece = list(itertools.islice(self._entries, PIECE))
        self.changed += store.apply(connection, [(entry.job, entry) for entry in piece if entry is not None])
        self._all_read = len(piece) < PIECE

    def _remove_gone(self, connection: sqlite3.Connection) -> bool:
        rows = connection.execute(
            "SELECT place, job, name FROM jobs WHERE place < ? ORDER BY place DESC LIMIT ?", (self._last, PIECE)
        ).fetchall()
        gone = [(job, None) for _, job, name in rows if not self._folders.is_there(job, name)]
        self.changed += store.apply(connection, gone)
        if len(rows) == PIECE:
            self._last = rows[-1][0]
            return False
        if not is_complete(connection):
            set_meta(connection, "complete", 1)
        return True


def renew(folder: Path, folders: JobFolders) -> int:
    """Make the index agree with the folders at once, while nothing else changes either; returns how many rows that changed.

    Raises:
        DamagedError, sqlite3.Error, OSError: as `Renewal.step`.
    """
    renewal = Renewal(folder, folders)
    while not renewal.step():
        pass
    return renewal.changed


def disagreements(folder: Path, folders: JobFolders) -> int:
    """Count the jobs of which the index and the folders do not say the same; nothing is changed. One that is still being built
    lacks some without being wrong: 0.

    Raises:
        HistoryError: the index cannot be used.
    """
    wrong, present = 0, 0
    try:
        with reading(folder) as connection:
            for entry in folders.entries():
                if entry is not None:
                    present += 1
                    wrong += not store.has(connection, entry)
            rows = int(connection.execute("SELECT count(*) FROM jobs").fetchone()[0])
    except UnfinishedError:
        return 0
    return wrong + max(0, rows - present)
