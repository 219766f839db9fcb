"""Writes the index: many changes in one transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from daemon.history.database import COLUMNS
from daemon.history.entry import Entry
from daemon.history.folding import fold

#: Behind every text, so that the last letters also begin a run of three (`daemon.history.query`).
_END = "\n\n"
_MARKS = ", ".join("?" * len(COLUMNS.split(",")))
#: How many places behind its own a job may get where others have them.
_TRIES = 1000


def put(connection: sqlite3.Connection, entry: Entry) -> bool:
    """Write a job; returns False where the index has it as it is."""
    known = connection.execute(f"SELECT {COLUMNS} FROM jobs WHERE job = ?", (entry.job,)).fetchone()
    place = known[0] if known and _near(known[0], entry.place) else _free_place(connection, entry)
    row = _row(entry, place)
    words = (f"{fold(entry.name)}{_END}", f"{entry.words}{_END}")
    if known is not None and known[0] != place:
        remove(connection, entry.job)
        known = None
    if known is None:
        connection.execute("INSERT INTO search (rowid, name, words) VALUES (?, ?, ?)", (place, *words))
        _put_tags(connection, entry, place)
    else:
        had = connection.execute("SELECT name, words FROM search WHERE rowid = ?", (place,)).fetchone()
        if known == row and had == words:
            return False
        if had != words:
            connection.execute("UPDATE search SET name = ?, words = ? WHERE rowid = ?", (*words, place))
        if known[14] != row[14]:
            connection.execute(
                "DELETE FROM tags WHERE place = ? AND tag IN (SELECT value FROM json_each(?))",
                (place, known[14] or "[]"),
            )
            _put_tags(connection, entry, place)
    connection.execute(f"INSERT OR REPLACE INTO jobs ({COLUMNS}) VALUES ({_MARKS})", row)
    return True


def remove(connection: sqlite3.Connection, job: str) -> bool:
    """Remove a job; returns whether it was there."""
    known = connection.execute("SELECT place, tags FROM jobs WHERE job = ?", (job,)).fetchone()
    if known is None:
        return False
    place, tags = known
    connection.execute("DELETE FROM search WHERE rowid = ?", (place,))
    connection.executemany(
        "DELETE FROM tags WHERE tag = ? AND place = ?", [(tag, place) for tag in json.loads(tags or "[]")]
    )
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
