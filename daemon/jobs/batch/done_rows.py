"""Says which rows of a report are done: batches of the same table may have made some after the report was written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum, auto
from pathlib import Path
from typing import Any, Final, NamedTuple

from daemon.jobs.batch.files import DONE, RELATED
from daemon.jobs.record import JOB_ID

#: Keys that do not change the result of a row. A job that several rows share has the highest of their priorities.
_NOT_IN_RESULT: Final = frozenset({"priority", "stream"})


class Standing(Enum):
    """Whether a row is made, and why."""

    #: It is made: nobody says that it is done.
    TO_MAKE = auto()
    #: It is left out: its `_state` says that it is done.
    DONE = auto()
    #: As `DONE`, but its cells are not those that it was made from.
    DONE_OTHERWISE = auto()
    #: It is left out: it was made from the same cells after the report was written.
    DONE_SINCE = auto()
    #: It is made again: it was made after the report was written, but from other cells.
    MENDED = auto()


#: Rows that are left out.
LEFT_OUT: Final = frozenset({Standing.DONE, Standing.DONE_OTHERWISE, Standing.DONE_SINCE})


class DoneRow(NamedTuple):
    """One row that an earlier batch has made. `digest`: of what it asked for; `cells`: its report columns."""

    number: int
    digest: str
    cells: tuple[str, ...]


def digest_of(number: int, values: Mapping[str, Any]) -> str:
    """Return a digest of a row and what it asks for. It is the same for a table and its report, which has numbers of JSON Lines
    as text, no outer blanks, and the line ends of a spreadsheet program.

    Args:
        values: its manifest, as written and filled in.
    """
    asked = {key: _as_text(value) for key, value in values.items() if key not in _NOT_IN_RESULT}
    text = json.dumps([number, asked], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class DoneRows:
    """The rows that earlier batches have made, where a batch is made of a report. Only where each line begins is in memory.

    Args:
        folder: of the batch's job.

    Attributes:
        related: ids of the batches that the rows of the report may be of; empty where the batch is made of no report.
    """

    def __init__(self, folder: Path) -> None:
        self.related = related_ids(folder)
        self._path = folder / DONE
        #: By the digest of a row: where its line begins. A row may have been made from different cells.
        self._begins: dict[bytes, int] = {}
        self._numbers: set[int] = set()
        at = 0
        for line, row in self._lines():
            self._begins[bytes.fromhex(row.digest)] = at
            self._numbers.add(row.number)
            at += len(line)

    def __contains__(self, digest: str) -> bool:
        return bytes.fromhex(digest) in self._begins

    def __iter__(self) -> Iterator[DoneRow]:
        return (row for _, row in self._lines())

    def has_made(self, number: int) -> bool:
        """Return whether a row was made, from whatever cells."""
        return number in self._numbers

    def cells(self, digest: str) -> tuple[str, ...]:
        """Return the report columns of a row that was made.

        Raises:
            KeyError: it was not.
        """
        begin = self._begins[bytes.fromhex(digest)]
        with self._path.open("rb") as file:
            file.seek(begin)
            return _parsed(file.readline()).cells

    def _lines(self) -> Iterator[tuple[bytes, DoneRow]]:
        if self._path.exists():
            with self._path.open("rb") as file:
                yield from ((line, _parsed(line)) for line in file)


def related_ids(folder: Path) -> set[str]:
    """Return the ids in the file `RELATED`. `folder`: of a batch's job."""
    try:
        found = json.loads((folder / RELATED).read_bytes())["batches"]
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    return {one for one in found if isinstance(one, str) and JOB_ID.fullmatch(one)}


def write_done_rows(folder: Path, rows: Iterable[DoneRow]) -> Path:
    """Write the rows that earlier batches have made into the folder of a batch's job; returns the file, which is not flushed."""
    target = folder / DONE
    with target.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return target


def _parsed(line: bytes) -> DoneRow:
    number, digest, cells = json.loads(line)
    return DoneRow(number, digest, tuple(cells))


def _as_text(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _as_text(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_text(item) for item in value]
    return value.replace("\r\n", "\n").strip() if isinstance(value, str) else json.dumps(value)
