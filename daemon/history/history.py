"""Answers questions about jobs from the index."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from daemon.history.database import COLUMNS, reading
from daemon.history.find_rows import find_rows
from daemon.history.freshness import wait_for_noted_changes
from daemon.history.query import STATES, Query, Row
from daemon.history.sorted_rows import sorted_rows
from daemon.outbox import looks

#: Most states, kinds, owners and errors that are counted one by one.
MOST_COUNTED = 20
#: Most rows of an answer: SQLite knows no larger number.
MOST = 2**63 - 1


class History:
    """Answers questions from the index in a folder (`paths.history`). Every question opens it anew, so that one object serves
    many threads, and an index that was made again meanwhile.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _reading(self) -> AbstractContextManager[sqlite3.Connection]:
        wait_for_noted_changes(self._folder)
        return reading(self._folder)

    def find(self, query: Query | None = None, *, limit: int = 100, after: int | None = None) -> list[Row]:
        """Return jobs, the newest first.

        Args:
            limit: most rows of the answer.
            after: the `cursor` of a row: only those that follow it.

        Raises:
            HistoryError: the index cannot be used: read the folders.
        """
        most = min(max(0, limit), MOST)
        with self._reading() as connection:
            return list(itertools.islice(find_rows(connection, query or Query(), most, after), most))

    def find_sorted(self, query: Query, order: str, *, limit: int, skip: int = 0) -> list[Row]:
        """Return jobs in an order of `daemon.history.sorted_rows.ORDERS`.

        Args:
            limit: most rows of the answer; `skip`: so many come before it.

        Raises:
            HistoryError: as `find`.
        """
        with self._reading() as connection:
            return list(sorted_rows(connection, query, order, limit, skip))

    def get(self, job: str, *, by: str = "") -> Row | None:
        """Return a job by its id, or the latest by the name of its results; None where there is none. An id is never taken for a
        name: somebody may call results as another's job.

        Args:
            by: who must have handed it in; empty: anybody.

        Raises:
            HistoryError: as `find`.
        """
        with self._reading() as connection:
            row = connection.execute(
                f"SELECT {COLUMNS} FROM jobs WHERE (job = ?1 OR name = ?1) AND (?2 = '' OR by = ?2) "
                "ORDER BY job = ?1 DESC, place DESC LIMIT 1",
                (job, by),
            ).fetchone()
        return None if row is None else Row.of_columns(row)

    def states(self, *, by: str = "", without_tag: str = "") -> dict[str, int]:
        """Return how many jobs there are of each state that has some.

        Args:
            by: only those of this owner; empty: of everybody.
            without_tag: jobs that have this tag are not counted; empty: all are.

        Raises:
            HistoryError: as `find`.
        """
        owned, given = ("WHERE jobs.by = ?", [by]) if by else ("", [])
        left_out = f"""SELECT state, count(*) FROM (SELECT place FROM tags WHERE tag = ?) AS marked
            CROSS JOIN jobs ON jobs.place = marked.place {owned} GROUP BY state"""
        with self._reading() as connection:
            found = dict(
                connection.execute(f"SELECT state, count(*) FROM jobs {owned} GROUP BY state", given).fetchall()
            )
            if without_tag:
                for state, number in connection.execute(left_out, [without_tag, *given]):
                    found[state] -= number
        return {state: number for state, number in found.items() if number}

    def stats(self, *, since: float | None = None, by: str = "", most: int = MOST_COUNTED) -> dict[str, Any]:
        """Count the jobs accepted since a time, all by default; the page's own short ones (`daemon.outbox.looks`) do not count.

        Args:
            by: only those of this owner; empty: of everybody.

        Returns:
            `jobs`; `states`, `kinds`, `owners`, `errors`: how many of each, the most frequent first, at most `most`; `audio_s`
            and `work_s`: seconds of speech, and of work of the stages, of the jobs that are done; `oldest`: when the oldest of
            those that are not finished was accepted, in seconds since the epoch, or None.

        Raises:
            HistoryError: as `find`.
        """
        first = Query(since=since).places[0]
        wanted: list[tuple[str, object]] = [("place NOT IN (SELECT place FROM tags WHERE tag = ?)", looks.TAG)]
        wanted += [("place >= ?", first)] + [("by = ?", by)] * bool(by)
        where = f"WHERE {' AND '.join(condition for condition, _ in wanted)}"
        given = [value for _, value in wanted]

        def count(what: str, more: str = "") -> dict[str, int]:
            condition = f"{where} AND {more}" if more else where
            return dict(
                connection.execute(
                    f"SELECT {what}, count(*) FROM jobs {condition} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?",
                    [*given, most],
                ).fetchall()
            )

        with self._reading() as connection:
            counts = [(s, k, b, n) for s, k, b, n in connection.execute(
                f"SELECT state, kind, by, count(*) FROM jobs {where} GROUP BY state, kind, by", given
            )]  # fmt: skip
            errors = count("json_extract(error, '$.code')", "state IN ('failed', 'cancelled') AND error IS NOT NULL")
            audio_s, work_s = connection.execute(
                f"SELECT total(audio_s), total(work_s) FROM jobs {where} AND state = 'done'",
                given,
            ).fetchone()
            oldest = min(
                (
                    place
                    for state in STATES[:4]
                    for (place,) in connection.execute(
                        f"SELECT min(place) FROM jobs {where} AND state = ?",
                        [*given, state],
                    )
                    if place is not None
                ),
                default=None,
            )
            accepted = None if oldest is None else connection.execute(
                "SELECT accepted FROM jobs WHERE place = ?", (oldest,)
            ).fetchone()[0] / 1000  # fmt: skip
        return {
            "jobs": sum(n for *_, n in counts),
            "states": _sums(((state, n) for state, _, _, n in counts), most),
            "kinds": _sums(((kind, n) for _, kind, _, n in counts if kind), most),
            "owners": _sums(((by, n) for _, _, by, n in counts if by), most),
            "errors": errors,
            "audio_s": round(audio_s, 1),
            "work_s": round(work_s, 1),
            "oldest": accepted,
        }


def _sums(counts: Iterator[tuple[str, int]], most: int) -> dict[str, int]:
    sums: dict[str, int] = {}
    for key, number in counts:
        sums[key] = sums.get(key, 0) + number
    return dict(sorted(sums.items(), key=lambda pair: (-pair[1], pair[0]))[:most])
