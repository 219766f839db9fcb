"""Writes the index: many changes in one transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import Any

from daemon.history.database import COLUMNS
from daemon.history.entry import Entry
from daemon.history.folding import fold

#: Behind every text, so that the last letters also begin a run of three (`daemon.history.find_rows`).
_END = "\n\n"
_TAGS = COLUMNS.split(", ").index("tags")
_MARKS = ", ".join("?" * len(COLUMNS.split(",")))
#: How many places behind its own a job may get where others have them.
_TRIES = 1000


def has(connection: sqlite3.Connection, entry: Entry) -> bool:
    """Return whether the index has a job just so."""
    known = _known(connection, entry.job)
    if known is None or not _near(known[0], entry.place) or known != _row(entry, known[0]):
        return False
    return bool(
        connection.execute("SELECT name, words FROM search WHERE rowid = ?", (known[0],)).fetchone() == _words(entry)
    )


def put(connection: sqlite3.Connection, entry: Entry) -> bool:
    """Write a job; returns False where the index has it as it is."""
    known = _known(connection, entry.job)
    if known is not None and not _near(known[0], entry.place):
        remove(connection, entry.job)
        known = None
    if known is None:
        place = _free_place(connection, entry)
        connection.execute("INSERT INTO search (rowid, name, words) VALUES (?, ?, ?)", (place, *_words(entry)))
        _put_tags(connection, entry, place)
        connection.execute(f"INSERT INTO jobs ({COLUMNS}) VALUES ({_MARKS})", _row(entry, place))
        return True
    if has(connection, entry):
        return False
    place, words = known[0], _words(entry)
    if connection.execute("SELECT name, words FROM search WHERE rowid = ?", (place,)).fetchone() != words:
        connection.execute("UPDATE search SET name = ?, words = ? WHERE rowid = ?", (*words, place))
    _remove_tags(connection, place, known[_TAGS])
    _put_tags(connection, entry, place)
    connection.execute(f"INSERT OR REPLACE INTO jobs ({COLUMNS}) VALUES ({_MARKS})", _row(entry, place))
    return True


def remove(connection: sqlite3.Connection, job: str) -> bool:
    """Remove a job; returns whether it was there."""
    known = connection.execute("SELECT place, tags FROM jobs WHERE job = ?", (job,)).fetchone()
    if known is None:
        return False
    place, tags = known
    connection.execute("DELETE FROM search WHERE rowid = ?", (place,))
    _remove_tags(connection, place, tags)
    connection.execute("DELETE FROM jobs WHERE place = ?", (place,))
    return True


def apply(connection: sqlite3.Connection, changes: Iterable[tuple[str, Entry | None]]) -> int:
    """Write many changes, None for a job that is gone, in one transaction; returns how many were some."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        changed = sum(put(connection, entry) if entry else remove(connection, job) for job, entry in changes)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return changed


def _near(place: int, wanted: int) -> bool:
    return 0 <= place - wanted < _TRIES


def _free_place(connection: sqlite3.Connection, entry: Entry) -> int:
    for place in range(entry.place, entry.place + _TRIES):
        taken = connection.execute("SELECT job FROM jobs WHERE place = ?", (place,)).fetchone()
        if taken is None or taken[0] == entry.job:
            return place
    raise sqlite3.IntegrityError(f"{entry.job}: no place is left beside jobs of the same moment")


def _known(connection: sqlite3.Connection, job: str) -> tuple[Any, ...] | None:
    row: tuple[Any, ...] | None = connection.execute(f"SELECT {COLUMNS} FROM jobs WHERE job = ?", (job,)).fetchone()
    return row


def _words(entry: Entry) -> tuple[str, str]:
    return f"{fold(entry.name)}{_END}", f"{entry.words}{_END}"


def _remove_tags(connection: sqlite3.Connection, place: int, tags: str | None) -> None:
    marks = [(tag, place) for tag in json.loads(tags or "[]")]
    connection.executemany("DELETE FROM tags WHERE tag = ? AND place = ?", marks)


def _put_tags(connection: sqlite3.Connection, entry: Entry, place: int) -> None:
    connection.executemany("INSERT OR IGNORE INTO tags VALUES (?, ?)", [(tag, place) for tag in entry.tags])


def _row(entry: Entry, place: int) -> tuple[object, ...]:
    return (
        place,
        entry.job,
        entry.name,
        entry.state,
        entry.stage,
        entry.kind,
        entry.by,
        entry.source,
        entry.document,
        entry.accepted,
        entry.finished,
        entry.priority,
        _json(entry.error),
        _json(entry.waiting_for),
        _json(entry.tags),
        entry.text,
        entry.audio_s,
        entry.work_s,
    )


def _json(value: object) -> str | None:
    return json.dumps(value, ensure_ascii=False) if value else None
