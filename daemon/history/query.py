"""Questions about jobs: `History` answers them from the index."""

from __future__ import annotations

import heapq
import itertools
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from daemon.history.database import COLUMNS, reading
from daemon.history.folding import fold, words_of
from daemon.history.freshness import wait_for_noted_changes
from daemon.history.places import LAST, start_of
from daemon.jobs.iso_time import iso

if TYPE_CHECKING:
    from daemon.history.entry import Entry

#: Those of `daemon.jobs.record`, which takes long to import; the first four are not finished.
STATES: Final = ("waiting", "queued", "running", "held", "done", "failed", "cancelled")
#: State words of other systems, and the states that they mean.
STATE_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "pending": ("waiting", "queued", "held"),
    "processing": ("running",),
    "completed": ("done",),
}
#: Letters that the search needs at least to look a word up; shorter ones are completed first.
_GRAM = 3
#: Most ways in which a short word goes on that are looked up; with more of them it is so common that reading finds it soon.
_MOST_TERMS = 300
#: Most runs of a word that are looked up; what has them all is read.
_MOST_RUNS = 12
#: What no text has, as it is folded.
_NO_RUN = "\x01\x01\x01"
#: As many jobs of a filter, or of the newest, are looked at one by one, before the search is asked for the words first.
_FEW = 2000


@dataclass(frozen=True, slots=True)
class Query:
    """What jobs are asked for; what is not given does not count. Empty filters let all through.

    Attributes:
        search: words of the name, the text, the manifest's path and the tags, all of which must be there, each anywhere in a
            word; case does not count; words in double quotes are one.
        name, text: the same, in the name or in the rest alone.
        state: states, or words of `STATE_WORDS`; `kind`, `by`: kinds and owners; `tag`: tags, all of which it must have.
        since, until: of the acceptance, in seconds since the epoch; `until` itself is not included.
    """

    search: str = ""
    name: str = ""
    text: str = ""
    state: Sequence[str] = ()
    kind: Sequence[str] = ()
    by: Sequence[str] = ()
    tag: Sequence[str] = ()
    since: float | None = None
    until: float | None = None

    @property
    def states(self) -> tuple[str, ...]:
        """The states that are meant, each once."""
        return tuple(dict.fromkeys(itertools.chain.from_iterable(STATE_WORDS.get(s, (s,)) for s in self.state)))

    @property
    def words(self) -> list[tuple[str | None, str]]:
        """Folded words, each with where it must be: in `name`, in `words`, or, with None, in one of them."""
        parts = ((None, self.search), ("name", self.name), ("words", self.text))
        return [(column, word) for column, given in parts for word in words_of(given)]

    @property
    def places(self) -> tuple[int, int]:
        """The first place of the time asked for, and the last."""
        first = 0 if self.since is None else start_of(round(self.since * 1000))
        return first, LAST if self.until is None else start_of(round(self.until * 1000)) - 1

    def fits(self, entry: Entry) -> bool:
        """Return whether a job is asked for: the same answer as that of the index, for whoever reads the folders."""
        name, (first, last) = fold(entry.name), self.places
        return (
            first <= entry.place <= last
            and (not self.state or entry.state in self.states)
            and (not self.kind or entry.kind in self.kind)
            and (not self.by or entry.by in self.by)
            and all(tag in entry.tags for tag in self.tag)
            and all(
                (column != "words" and word in name) or (column != "name" and word in entry.words)
                for column, word in self.words
            )
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One job of an answer. Times are seconds since the epoch; the others are as in `Entry`.

    Attributes:
        cursor: goes on after this row: `find(…, after=row.cursor)`.
    """

    cursor: int
    job: str
    name: str
    state: str
    stage: str | None
    kind: str | None
    by: str
    source: str
    document: int
    accepted: float
    finished: float | None
    priority: int
    error: dict[str, Any] | None
    waiting_for: tuple[str, ...]
    tags: tuple[str, ...]
    text: str
    audio_s: float
    work_s: float

    @classmethod
    def of_entry(cls, entry: Entry) -> Row:
        """Return the row of a job that was read from the folders."""
        return cls(
            cursor=entry.place,
            accepted=entry.accepted / 1000,
            finished=None if entry.finished is None else entry.finished / 1000,
            **{key: getattr(entry, key) for key in _SAME},
        )

    @classmethod
    def of_columns(cls, values: Sequence[Any]) -> Row:
        """Return the row of `COLUMNS` of the index."""
        row = list(values)
        row[9] = row[9] / 1000
        row[10] = None if row[10] is None else row[10] / 1000
        row[12] = json.loads(row[12]) if row[12] else None
        row[13] = tuple(json.loads(row[13])) if row[13] else ()
        row[14] = tuple(json.loads(row[14])) if row[14] else ()
        return cls(*row)

    def to_json(self) -> dict[str, Any]:
        """Return it with the keys of a status file (docs/status.md) and its times; of the text there is the beginning."""
        found = {key: getattr(self, key) for key in _SAME}
        found |= {
            "by": self.by or None,
            "job": self.job or None,
            "accepted": iso(self.accepted),
            "finished": iso(self.finished),
        }
        optional = {
            key: list(value) if isinstance(value, tuple) else value for key in _OPTIONAL if (value := found.pop(key))
        }
        return found | optional


_SAME = [field.name for field in fields(Row) if field.name not in ("cursor", "accepted", "finished")]
_OPTIONAL = ("error", "waiting_for", "tags", "text", "audio_s", "work_s")


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
        with self._reading() as connection:
            return list(itertools.islice(_found(connection, query or Query(), max(0, limit), after), max(0, limit)))

    def get(self, job: str) -> Row | None:
        """Return a job by its id, or the latest by the name of its results; None where there is none.

        Raises:
            HistoryError: as `find`.
        """
        with self._reading() as connection:
            row = connection.execute(
                f"SELECT {COLUMNS} FROM jobs WHERE job = ?1 OR name = ?1 ORDER BY place DESC LIMIT 1", (job,)
            ).fetchone()
        return None if row is None else Row.of_columns(row)

    def stats(self, *, since: float | None = None, most: int = 20) -> dict[str, Any]:
        """Count the jobs accepted since a time, all by default.

        Returns:
            `jobs`; `states`, `kinds`, `owners`, `errors`: how many of each, the most frequent first, at most `most`; `audio_s`
            and `work_s`: seconds of speech, and of work of the stages, of the jobs that are done; `oldest`: when the oldest of
            those that are not finished was accepted, in seconds since the epoch, or None.

        Raises:
            HistoryError: as `find`.
        """
        first = Query(since=since).places[0]
        where, given = ("WHERE place >= ?", [first]) if first else ("", [])

        def count(what: str, more: str = "") -> dict[str, int]:
            condition = f"{where} {'AND' if where else 'WHERE'} {more}" if more else where
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
                f"SELECT total(audio_s), total(work_s) FROM jobs {where} {'AND' if where else 'WHERE'} state = 'done'",
                given,
            ).fetchone()
            oldest = min(
                (
                    place
                    for state in STATES[:4]
                    for (place,) in connection.execute(
                        "SELECT min(place) FROM jobs WHERE state = ? AND place >= ?", (state, first)
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


def _found(connection: sqlite3.Connection, query: Query, limit: int, after: int | None) -> Iterator[Row]:
    first, last = query.places
    last = last if after is None else min(last, after - 1)
    if any(state not in STATES for state in query.states):
        query = _with_known_states(query)
        if not query.state:
            return iter(())
    words = query.words
    if query.tag and (tag := _rare_tag(connection, query)):
        return _of_tag(connection, query, first, last, limit, tag)
    if not words:
        return _filtered(connection, query, first, last, limit)
    if (query.state or query.kind or query.by) and _are_few(connection, query, first, last):
        return _filtered(connection, query, first, last, limit, words)
    return _searched(connection, query, first, last, limit, words)


def _with_known_states(query: Query) -> Query:
    given = {field.name: getattr(query, field.name) for field in fields(Query)}
    return Query(**{**given, "state": tuple(state for state in query.states if state in STATES)})


def _combinations(query: Query) -> Iterator[tuple[str, list[Any]]]:
    """Yield conditions that one index answers each, and their values; together they are the filter of states, kinds, owners."""
    anyone: tuple[None] = (None,)
    for combination in itertools.product(query.states or STATES, query.kind or anyone, query.by or anyone):
        pairs = [
            (key, value) for key, value in zip(("state", "kind", "by"), combination, strict=True) if value is not None
        ]
        yield " AND ".join(f"jobs.{key} = ?" for key, _ in pairs), [value for _, value in pairs]


def _tagged(query: Query) -> tuple[str, list[Any]]:
    condition = " AND EXISTS (SELECT 1 FROM tags WHERE tags.tag = ? AND tags.place = jobs.place)"
    return condition * len(query.tag), list(query.tag)


def _are_few(connection: sqlite3.Connection, query: Query, first: int, last: int) -> bool:
    """Return whether the filter alone leaves few jobs."""
    left = _FEW
    for condition, values in _combinations(query):
        (found,) = connection.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM jobs WHERE {condition} AND place BETWEEN ? AND ? LIMIT ?)",
            [*values, first, last, left],
        ).fetchone()
        left -= found
        if left <= 0:
            return False
    return True


def _filtered(
    connection: sqlite3.Connection,
    query: Query,
    first: int,
    last: int,
    limit: int,
    words: Sequence[tuple[str | None, str]] = (),
) -> Iterator[Row]:
    """Yield the rows of every combination in one order. With `words`, each row is read to see whether they are in it."""
    tagged, tags = _tagged(query)
    join = " JOIN search ON search.rowid = jobs.place" if words else ""
    contained, texts = _contained(words)
    sql = f"SELECT {_columns()} FROM jobs{join} WHERE {{}} AND jobs.place BETWEEN ? AND ?{tagged}{contained} "
    sql += "ORDER BY jobs.place DESC LIMIT ?"
    answers = [
        connection.execute(sql.format(condition), [*values, first, last, *tags, *texts, limit])
        for condition, values in _combinations(query)
    ]
    return map(Row.of_columns, heapq.merge(*answers, key=_place, reverse=True))


def _rare_tag(connection: sqlite3.Connection, query: Query) -> str | None:
    """Return a tag that few jobs have, or one that is the only thing asked for; None where there is none."""
    if len(query.tag) == 1 and not (query.state or query.kind or query.by or query.words):
        return query.tag[0]
    for tag in query.tag:
        (found,) = connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM tags WHERE tag = ? LIMIT ?)", (tag, _FEW)
        ).fetchone()
        if found < _FEW:
            return tag
    return None


def _of_tag(connection: sqlite3.Connection, query: Query, first: int, last: int, limit: int, tag: str) -> Iterator[Row]:
    """Yield the rows that have a tag; all else is looked at in each."""
    conditions, values = _conditions(query)
    contained, texts = _contained(query.words)
    join = " JOIN search ON search.rowid = marked.place" if texts else ""
    sql = f"""SELECT {_columns()} FROM tags AS marked CROSS JOIN jobs ON jobs.place = marked.place{join}
        WHERE marked.tag = ? AND marked.place BETWEEN ? AND ?{conditions}{contained} ORDER BY marked.place DESC LIMIT ?"""
    return map(Row.of_columns, connection.execute(sql, [tag, first, last, *values, *texts, limit]))


def _conditions(query: Query) -> tuple[str, list[str]]:
    """Return the conditions of states, kinds, owners and tags on a row that another table found."""
    conditions = ""
    values: list[str] = []
    for key, allowed in (("state", query.states), ("kind", query.kind), ("by", query.by)):
        if allowed:
            conditions += f" AND +jobs.{key} IN ({', '.join('?' * len(allowed))})"
            values += allowed
    tagged, tags = _tagged(query)
    return conditions + tagged, [*values, *tags]


def _searched(
    connection: sqlite3.Connection,
    query: Query,
    first: int,
    last: int,
    limit: int,
    words: Sequence[tuple[str | None, str]],
) -> Iterator[Row]:
    """Yield the rows with these words, in the order of places; the filters are looked at in each.

    The newest jobs are read, which is enough where the words are frequent. Otherwise the search says which jobs to read.
    """
    conditions, values = _conditions(query)
    contained, texts = _contained(words)
    sql = f"""SELECT {_columns()} FROM search CROSS JOIN jobs ON jobs.place = search.rowid
        WHERE {{}}search.rowid BETWEEN ? AND ?{conditions}{contained} ORDER BY search.rowid DESC LIMIT ?"""
    near = connection.execute(
        "SELECT place FROM jobs WHERE place <= ? ORDER BY place DESC LIMIT 1 OFFSET ?", (last, _FEW)
    ).fetchone()
    newest = max(first, near[0]) if near else first
    rows = connection.execute(sql.format(""), [newest, last, *values, *texts, limit]).fetchall()
    if newest > first and len(rows) < limit:
        match = " AND ".join(filter(None, (_runs(connection, word) for _, word in words)))
        given = [*([match] if match else []), first, last, *values, *texts, limit]
        return map(Row.of_columns, connection.execute(sql.format("search MATCH ? AND " if match else ""), given))
    return map(Row.of_columns, rows)


def _runs(connection: sqlite3.Connection, word: str) -> str:
    """Return what the search must find for a word: each of its runs of three letters, or, for a shorter word, one of the runs
    that begin with it (each text ends with two spaces, so that there is one also where it is the last). Empty: too many.
    """
    if len(word) >= _GRAM:
        runs = dict.fromkeys(word[at : at + _GRAM] for at in range(len(word) - _GRAM + 1))
        return " AND ".join(map(_quoted, list(runs)[:_MOST_RUNS]))
    found = connection.execute(
        "SELECT term FROM terms WHERE term >= ? AND term < ? LIMIT ?", (word, f"{word}\U0010ffff", _MOST_TERMS + 1)
    ).fetchall()
    if len(found) > _MOST_TERMS:
        return ""
    return f"({' OR '.join(_quoted(term) for (term,) in found)})" if found else _quoted(_NO_RUN)


def _quoted(term: str) -> str:
    return '"' + term.replace('"', '""') + '"'


def _contained(words: Sequence[tuple[str | None, str]]) -> tuple[str, list[str]]:
    """Return the condition that words are in a row of the search, which is read, and its values."""
    condition, values = "", []
    for column, word in words:
        places = [column] if column else ["name", "words"]
        condition += f" AND ({' OR '.join(f'instr(search.{place}, ?)' for place in places)})"
        values += [word] * len(places)
    return condition, values


def _columns() -> str:
    return ", ".join(f"jobs.{column.strip()}" for column in COLUMNS.split(","))


_place: Callable[[Any], int] = lambda row: row[0]  # noqa: E731
