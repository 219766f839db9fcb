"""Fills a template: `{{column}}` in any text of it stands for the row's cell, `{{column|default}}` for the default where that is
empty. What is put in is never read again, neither as YAML nor as another placeholder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from daemon.jobs.batch.table import Cell, Row, column_name
from daemon.jobs.yaml_positions import PlainScalar

#: Placeholders that every row has: its number, from 1.
ROW: Final = "row"
_PLACEHOLDER = re.compile(r"\{\{([^{}|]*)(?:\|([^{}]*))?\}\}")
_NOTHING = object()


class Placeholder(NamedTuple):
    """One placeholder of a template. `path`: to the value it stands in; `default`: None where it has none."""

    path: tuple[str | int, ...]
    column: str
    default: str | None


class CellError(ValueError):
    """A cell of a row cannot be put where the template asks for it.

    Attributes:
        column: its name.
        path: to the value of the template.
    """

    def __init__(self, column: str, path: tuple[str | int, ...]) -> None:
        super().__init__(column)
        self.column = column
        self.path = path


class EmptyCellError(CellError):
    """A row has nothing in a column that its template needs."""


class CollectionCellError(CellError):
    """A row has a list or an object in a column of which the template puts the words between others."""


def placeholders(template: Mapping[str, Any]) -> list[Placeholder]:
    """Return the placeholders of a template, in order."""
    return [
        Placeholder(path, column_name(found[1]), found[2])
        for path, text in _texts(template, ())
        for found in _PLACEHOLDER.finditer(text)
    ]


def unfinished_placeholders(template: Mapping[str, Any]) -> list[tuple[str | int, ...]]:
    """Return the paths of the values in which {{ or }} stands outside of a placeholder."""
    left = ((path, _PLACEHOLDER.sub("", text)) for path, text in _texts(template, ()))
    return [path for path, text in left if "{{" in text or "}}" in text]


def has_placeholder(value: Any) -> bool:
    """Return whether a value of a template, or anything in it, has a placeholder."""
    return any(_PLACEHOLDER.search(text) for _, text in _texts(value, ()))


def fill(template: Mapping[str, Any], row: Row) -> dict[str, Any]:
    """Return the values that a template has with a row's cells. A value of which nothing is left is left out.

    Raises:
        EmptyCellError: a cell without default is empty.
        CollectionCellError: a cell that is put between words is a list or an object.
    """
    cells = {**row.cells, ROW: str(row.number)}
    filled = _fill(template, cells, ())
    return filled if isinstance(filled, dict) else {}


def row_as_values(row: Row) -> dict[str, Any]:
    """Return the manifest that a row is itself: its columns are keys, `motion.head` one of a group."""
    values: dict[str, Any] = {}
    for column, one in row.cells.items():
        cell = _as_written(one, (column,))
        group, _, key = column.partition(".")
        if not key:
            values[column] = cell
        elif isinstance(below := values.setdefault(group, {}), dict):
            below[key] = cell
    return values


def _fill(value: Any, cells: Mapping[str, Cell], path: tuple[str | int, ...]) -> Any:
    if isinstance(value, Mapping):
        filled = ((key, _fill(item, cells, (*path, key))) for key, item in value.items())
        return {key: item for key, item in filled if item is not _NOTHING}
    if isinstance(value, list | tuple):
        return [item for index, one in enumerate(value) if (item := _fill(one, cells, (*path, index))) is not _NOTHING]
    if not isinstance(value, str):
        return value
    if (whole := _PLACEHOLDER.fullmatch(value)) is None:
        return _as_written(
            _PLACEHOLDER.sub(lambda found: _as_text(_cell(found, cells, path), found, path), value), path
        )
    cell = _cell(whole, cells, path)
    return _NOTHING if cell == "" else _as_written(cell, path)


def _as_written(value: Cell, path: tuple[str | int, ...]) -> Cell:
    """Return a value as the YAML reader returns one without quotes, whose key decides whether it is a number."""
    return PlainScalar(value) if isinstance(value, str) and path[:1] != ("metadata",) else value


def _cell(found: re.Match[str], cells: Mapping[str, Cell], path: tuple[str | int, ...]) -> Cell:
    column = column_name(found[1])
    if column in cells:
        return cells[column]
    if found[2] is None:
        raise EmptyCellError(column, path)
    return found[2].strip()


def _as_text(cell: Cell, found: re.Match[str], path: tuple[str | int, ...]) -> str:
    if isinstance(cell, list | dict):
        raise CollectionCellError(column_name(found[1]), path)
    return cell if isinstance(cell, str) else str(cell).lower() if isinstance(cell, bool) else str(cell)


def _texts(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, (*path, key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _texts(item, (*path, index))
    elif isinstance(value, str):
        yield path, value
