"""Reads the checked rows of a batch, from any of them on; only where each line begins is in memory."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from daemon.errors import JobError
from daemon.jobs.batch.files import RESOLVED
from daemon.jobs.batch.rows import BatchInput
from daemon.jobs.manifest import Manifest
from daemon.jobs.parse import parse_values
from daemon.jobs.yaml_positions import to_yaml


class CheckedRow(NamedTuple):
    """One row. `same_as`: number of the row whose result it gets; None where it has a job of its own."""

    number: int
    values: dict[str, Any]
    inherited: tuple[str, ...] = ()
    same_as: int | None = None


class ResolvedRows:
    """The rows in the order in which jobs are made of them.

    Args:
        folder: of the batch's job.

    Attributes:
        numbers: of the rows, from 1, in that order.
        twins: rows that get the result of another row: number of that one → number and place in the order of each.
        twin_numbers: of these rows.

    Raises:
        OSError, ValueError: the file cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / RESOLVED
        self._given = BatchInput.read(folder)
        self._begins = array("Q")
        self.numbers = array("L")
        self.twins: dict[int, list[tuple[int, int]]] = {}
        self.twin_numbers: set[int] = set()
        at = 0
        with self._path.open("rb") as file:
            for line in file:
                row = _parsed(line)
                self._begins.append(at)
                self.numbers.append(row.number)
                if row.same_as is not None:
                    self.twins.setdefault(row.same_as, []).append((row.number, len(self.numbers) - 1))
                    self.twin_numbers.add(row.number)
                at += len(line)

    def __len__(self) -> int:
        return len(self.numbers)

    def from_index(self, index: int) -> Iterator[CheckedRow]:
        """Yield the rows from the `index`-th on, from 0."""
        if index >= len(self):
            return
        with self._path.open("rb") as file:
            file.seek(self._begins[index])
            yield from map(_parsed, file)

    def manifest(self, row: CheckedRow) -> Manifest | JobError:
        """Return the manifest of a row."""
        found = parse_values(row.values, lambda path: f"row {row.number}")
        if isinstance(found, JobError):
            return found
        inherited = {key: self._given.inherited[key] for key in row.inherited if key in self._given.inherited}
        return found.with_defaults(dict.fromkeys(inherited.values()), inherited)


def as_yaml(row: CheckedRow) -> bytes:
    """Return the manifest of a row as a file."""
    return to_yaml(row.values, width=1 << 20)


def _parsed(line: bytes) -> CheckedRow:
    value = json.loads(line)
    return CheckedRow(value["row"], value["values"], tuple(value.get("inherited", ())), value.get("same_as"))
