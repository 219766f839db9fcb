"""Finds the jobs that a query asks for in the index, by the way that reads the fewest rows."""

from __future__ import annotations

import heapq
import itertools
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from typing import Any

from daemon.history.database import COLUMNS
from daemon.history.query import STATES, Query, Row

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


def find_rows(connection: sqlite3.Connection, query: Query, limit: int, after: int | None) -> Iterator[Row]:
    """Yield the jobs, the newest first, at least `limit` of them where there are as many.

    Args:
        after: the `cursor` of a row: only those that follow it.
    """
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
    if not (query.state or query.kind or query.by):
        yield "TRUE", []  # in the order of places already
        return
    for combination in itertools.product(query.states or STATES, query.kind or anyone, query.by or anyone):
        pairs = [
            (key, value) for key, value in zip(("state", "kind", "by"), combination, strict=True) if value is not None
        ]
        yield " AND ".join(f"jobs.{key} = ?" for key, _ in pairs), [value for _, value in pairs]


def _tagged(query: Query) -> tuple[str, list[Any]]:
    condition = "EXISTS (SELECT 1 FROM tags WHERE tags.tag = ? AND tags.place = jobs.place)"
    wanted, unwanted = f" AND {condition}" * len(query.tag), f" AND NOT {condition}" * len(query.without_tag)
    return wanted + unwanted, [*query.tag, *query.without_tag]


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
    contained, texts = words_within(words)
    sql = f"SELECT {row_columns()} FROM jobs{join} WHERE {{}} AND jobs.place BETWEEN ? AND ?{tagged}{contained} "
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
    conditions, values = filters(query)
    contained, texts = words_within(query.words)
    join = " JOIN search ON search.rowid = marked.place" if texts else ""
    sql = f"""SELECT {row_columns()} FROM tags AS marked CROSS JOIN jobs ON jobs.place = marked.place{join}
        WHERE marked.tag = ? AND marked.place BETWEEN ? AND ?{conditions}{contained} ORDER BY marked.place DESC LIMIT ?"""
    return map(Row.of_columns, connection.execute(sql, [tag, first, last, *values, *texts, limit]))


def filters(query: Query) -> tuple[str, list[str]]:
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
    conditions, values = filters(query)
    contained, texts = words_within(words)
    sql = f"""SELECT {row_columns()} FROM search CROSS JOIN jobs ON jobs.place = search.rowid
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


def words_within(words: Sequence[tuple[str | None, str]]) -> tuple[str, list[str]]:
    """Return the condition that words are in a row of the search, which is read, and its values."""
    condition, values = "", []
    for column, word in words:
        places = [column] if column else ["name", "words"]
        condition += f" AND ({' OR '.join(f'instr(search.{place}, ?)' for place in places)})"
        values += [word] * len(places)
    return condition, values


def row_columns() -> str:
    """Return the columns of a row, in the order of `Row.of_columns`."""
    return ", ".join(f"jobs.{column.strip()}" for column in COLUMNS.split(","))


_place: Callable[[Any], int] = lambda row: row[0]  # noqa: E731
