"""Finds the jobs that a query asks for in another order than that of their acceptance, page by page."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from typing import Final

from daemon.history.find_rows import filters, row_columns, words_within
from daemon.history.query import STATES, Query, Row

_ENDED_LAST: Final = "jobs.finished IS NULL, jobs.finished"
_RANKS: Final = " ".join(f"WHEN '{state}' THEN {rank}" for rank, state in enumerate(STATES))
_RANK: Final = f"CASE jobs.state {_RANKS} END"
#: Orders: name → what SQLite sorts by. Jobs that are equal in it follow each other as in a list without order, the newest first.
ORDERS: Final[Mapping[str, str]] = {
    "name": "jobs.name COLLATE NOCASE",
    "-name": "jobs.name COLLATE NOCASE DESC",
    "state": _RANK,
    "-state": f"{_RANK} DESC",
    "time": _ENDED_LAST,
    "-time": "jobs.finished IS NOT NULL, jobs.finished DESC",
    "turn": "jobs.priority DESC, jobs.place",
}


def sorted_rows(connection: sqlite3.Connection, query: Query, order: str, limit: int, skip: int) -> Iterator[Row]:
    """Yield the jobs in an order of `ORDERS`.

    Of all jobs only what decides is read; the whole row only of those that are yielded.

    Args:
        limit: most rows.
        skip: so many rows of that order come before.
    """
    first, last = query.places
    conditions, values = filters(query)
    within, texts = words_within(query.words)
    join = " JOIN search ON search.rowid = jobs.place" if texts else ""
    order_by = f"ORDER BY {ORDERS[order]}, jobs.place DESC"
    sql = f"""SELECT {row_columns()} FROM jobs WHERE place IN (
        SELECT jobs.place FROM jobs{join} WHERE jobs.place BETWEEN ? AND ?{conditions}{within} {order_by} LIMIT ? OFFSET ?)
        {order_by}"""
    return map(Row.of_columns, connection.execute(sql, [first, last, *values, *texts, limit, skip]))
