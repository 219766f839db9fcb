"""Resolves the rows of a batch: the manifest that each one asks for, or what is wrong with it."""

from __future__ import annotations

import contextlib
import difflib
import functools
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from daemon.errors import JobError
from daemon.jobs.batch.done_rows import LEFT_OUT, DoneRows, Standing, digest_of
from daemon.jobs.batch.files import INPUT
from daemon.jobs.batch.table import REPORT_COLUMNS, Row, Table, open_table
from daemon.jobs.batch.template import (
    ROW,
    CellError,
    EmptyCellError,
    fill,
    placeholders,
    row_as_values,
    unfinished_placeholders,
)
from daemon.jobs.companions import NamedFile
from daemon.jobs.defaults import merge_values
from daemon.jobs.kinds import BATCH_KEYS, KINDS, keys_without_use
from daemon.jobs.manifest import COMPANIONS, Manifest
from daemon.jobs.manifest_values import KEYS_BELOW, FileName
from daemon.jobs.mistakes.key_names import meant_key
from daemon.jobs.parse import parse_values
from daemon.jobs.record import JOB_ID
from daemon.jobs.yaml_positions import DocumentError

#: Keys that a row may give.
ROW_KEYS: Final = frozenset({*Manifest.model_fields, *KEYS_BELOW} - {*BATCH_KEYS})
#: Keys that do not change what is rendered: rows that differ in nothing else are rendered once.
NOT_RENDERED: Final = frozenset({"output", "priority", "metadata", "stream"})
ERROR_COLUMNS: Final = ("row", "line", "column", "code", "message", "hint", "_batch")

#: Columns of a report: the number of the row, what became of it, and the id of the batch's job.
_ROW_NUMBER, _STATE, _BATCH = REPORT_COLUMNS[0], REPORT_COLUMNS[1], REPORT_COLUMNS[-1]
_MAKE_JOBS: Final = frozenset(kind.name for kind in KINDS.values() if kind.makes_jobs)
#: Columns that a sentence names.
SHOWN: Final = 20
_FILE_NAMES: Final = TypeAdapter(FileName)


@dataclass(frozen=True)
class BatchInput:
    """What is known of a batch's files when it is taken in.

    Attributes:
        folder: of its manifest, below the inbox.
        inherited: keys that only folder defaults give: key → file, below the inbox.
        missing: files that rows name and that were not there: path below the inbox → what to do.
        refused: files that rows name and that are there, but must not be read: path below the inbox → code, message, what to do.
    """

    folder: str
    inherited: Mapping[str, str]
    missing: Mapping[str, str]
    refused: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the content of the file `INPUT`."""
        given = {"folder": self.folder, "inherited": dict(self.inherited), "missing": dict(self.missing)}
        return {**given, "refused": dict(self.refused)}

    @classmethod
    def read(cls, folder: Path) -> BatchInput:
        """Read the file `INPUT` in the folder of a batch's job."""
        value = json.loads((folder / INPUT).read_bytes())
        return cls(value["folder"], value["inherited"], value["missing"], value.get("refused", {}))


def _own_name(name: str, path: Path) -> str:
    """Return the name that a table has where it comes from. `name`: in the inbox, where a door gave it a part of its digest.

    Args:
        path: of the table, or of a copy of it.
    """
    found = re.fullmatch(r"(.+)-([0-9a-f]{8})((?:-[A-Za-z0-9_-]+)?)(\.\w+)", name)
    if not found:
        return name
    with path.open("rb") as file:
        is_digest = hashlib.file_digest(file, "sha256").hexdigest().startswith(found[2])
    return found[1] + found[4] if is_digest else name


@dataclass(frozen=True)
class RowMistake:
    """What is wrong with a row. `column`: the columns that it is about; empty where it is about the whole row."""

    row: Row
    column: str
    code: str
    message: str
    hint: str

    def cells(self, batch: str) -> tuple[str, ...]:
        """Return the line of the table of errors (`ERROR_COLUMNS`). `batch`: id of the batch's job."""
        return str(self.row.number), str(self.row.line), self.column, self.code, self.message, self.hint, batch


@dataclass(frozen=True)
class ResolvedRow:
    """A row that is right. `values`: its manifest, as written and filled in; `manifest`: the same, checked."""

    row: Row
    values: Mapping[str, Any]
    manifest: Manifest

    def render_key(self) -> str:
        """Return a digest that two rows share which are rendered to the same result, and of which one job is enough."""
        values = {key: value for key, value in self.values.items() if key not in NOT_RENDERED}
        if self.manifest.notify is not None:  # its receiver is told of each row, which only the end of a job does
            values["row"] = self.row.number
        return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()

    def order(self) -> tuple[str, ...]:
        """Return the key by which rows are sorted, so that those of one voice, and of one portrait, come one after the other."""
        one = self.manifest
        return one.kind, one.voice, one.language, one.avatar or "", one.image or "", one.video or ""


class BatchRows:
    """The rows of one batch.

    Args:
        manifest: of the batch; its template has the defaults of its folder in it already.
        path: of the table, or of a copy of it.
        inherited: keys that only folder defaults give: key → file, below the inbox.
        done: rows that earlier batches have made; None where that is not known.

    Raises:
        JobError: what `open_table` raises.
    """

    def __init__(
        self, manifest: Manifest, path: Path, inherited: Mapping[str, str], done: DoneRows | None = None
    ) -> None:
        self._manifest = manifest
        self._done = done
        self._inherited = inherited
        self.table: Table = open_table(path, _own_name(os.path.basename(manifest.rows or ""), path))
        #: The template; None where the columns are the keys of a manifest themselves.
        self._template = manifest.template if manifest.columns_fill_template else None
        self._placeholders = placeholders(self._template) if self._template is not None else []

    def check_columns(self) -> list[str]:
        """Check that the table has the columns that the template names; returns warnings about columns without use.

        Raises:
            JobError: `rows-column-unknown`, `report-incomplete`.
        """
        if not self.table.is_report and _BATCH in (self.table.columns or next(self.table.rows()).cells):
            raise self._incomplete("its rows have no numbers", _ROW_NUMBER)
        if not self.table.columns:
            return []
        if self._template is None:
            self._check_keys()
            return []
        known, warnings = {*self.table.columns, ROW}, list[str]()
        warnings += [
            f"`{_key(path)}` of the template has {{{{ or }}}} that belongs to no placeholder and stays as it is. Write "
            "`{{column}}`, or `{{column|default}}` with a default without braces."
            for path in unfinished_placeholders(self._template)
        ]
        for one in self._placeholders:
            if one.column in known:
                continue
            meant = difflib.get_close_matches(one.column, known, 1)
            did = f" Did you mean `{{{{{meant[0]}}}}}`?" if meant else ""
            what = f"The template names a column “{one.column}” (in `{_key(one.path)}`), which {self.table.name} does not have"
            if one.default is None:
                there = _listed([column for column in self.table.columns if column])
                raise JobError("rows-column-unknown", f"{what}.", f"Its columns are {there}.{did}")
            warnings.append(f"{what}, so that each row has the default “{one.default}”.{did}")
        used = {one.column for one in self._placeholders}
        unused = [
            column for column in self.table.columns if column and column not in used and column not in REPORT_COLUMNS
        ]
        if unused:
            which = "does not use the column" if len(unused) == 1 else "uses none of the columns"
            warnings.append(f"The template {which} {_listed(unused)} of {self.table.name}.")
        return warnings

    def _check_keys(self) -> None:
        """Check that the columns are keys of a manifest, where they fill no template.

        Raises:
            JobError: `rows-column-unknown`, `report-incomplete`.
        """
        unknown = [one for one in self.table.columns if one and one not in ROW_KEYS and one not in REPORT_COLUMNS]
        if not unknown:
            return
        if self.table.is_report and {*(self._manifest.template or {})} <= {*self._inherited}:
            if any(JOB_ID.fullmatch(str(row.cells.get(_BATCH, ""))) for row in self.table.rows()):
                raise JobError(
                    "report-incomplete",
                    f"{self.table.name} is the report of a batch, and the template of that does not come with it.",
                    "Put the report itself into the inbox: its rows go through the template of its batch again. Or hand the "
                    "template in with it.",
                )
            raise self._incomplete("no row says of which batch it is", _BATCH)
        what = f"The column “{unknown[0]}” of {self.table.name} is no key of a manifest"
        why = "the template has no placeholder" if self._manifest.template else "there is no template"
        meant = meant_key(unknown[0], ROW_KEYS)
        did = f"Did you mean `{meant}`? " if meant else ""
        cell = f"{{{{{unknown[0]}}}}}"
        raise JobError(
            "rows-column-unknown",
            f"{what}, and {why} that uses it.",
            f'{did}Write {cell} where its cells are to stand, such as `text: "Hello {cell}."`, or remove it.',
        )

    def _incomplete(self, what: str, column: str) -> JobError:
        there = "has no id of a batch in" if column in self.table.columns else "lacks"
        return JobError(
            "report-incomplete",
            f"{self.table.name} is the report of a batch, but {what}: it {there} the column `{column}`.",
            "Take that column over from the report in the outbox, and put the report into the inbox again. Its rows may be "
            "sorted, filtered and mended.",
        )

    def rows(self, note: Callable[[Row, Standing], None] = lambda row, standing: None) -> Iterator[Row]:
        """Yield the rows that jobs are made of: the first `limit` ones, and of a report those that are not done.

        Args:
            note: is told of each row, also of those that are left out.

        Raises:
            JobError: `rows-invalid`: the rest of the table cannot be read.
        """
        taken = 0
        for row in self.table.rows():
            # A report is of all rows: `limit` was for the trial that it came from.
            if self._manifest.limit is not None and taken >= self._manifest.limit and not self.table.is_report:
                return
            note(row, standing := self.standing(row))
            if standing in LEFT_OUT:
                continue
            taken += 1
            yield row

    def standing(self, row: Row) -> Standing:
        """Return whether a row is made. An empty `_state` asks for it, whatever earlier batches have made."""
        state = row.cells.get(_STATE, "")
        done = self._done if self.table.is_report and not row.error else None
        if not state or done is None or not done.has_made(row.number):
            return Standing.DONE if state == "done" else Standing.TO_MAKE
        as_made = self._digest(row) in done
        if state == "done":
            return Standing.DONE if as_made else Standing.DONE_OTHERWISE
        return Standing.DONE_SINCE if as_made else Standing.MENDED

    def done_cells(self, row: Row) -> tuple[str, ...]:
        """Return the report columns of a row that is `DONE_SINCE`, as the batch that made it has them."""
        return self._done.cells(self._digest(row)) if self._done is not None else ()

    def _digest(self, row: Row) -> str:
        try:
            return digest_of(row.number, self._values(row))
        except CellError:
            return ""  # it cannot have been made from these cells

    def resolve(self, row: Row) -> ResolvedRow | RowMistake:
        """Return the manifest that a row asks for, or what is wrong with it."""
        if row.error:
            return RowMistake(
                row, "", "row-invalid", f"Row {row.number} cannot be read: {row.error}.", "Mend the table there."
            )
        batch, related = str(row.cells.get(_BATCH, "")), self._done.related if self._done is not None else ()
        if related and batch not in related and JOB_ID.fullmatch(batch):
            what = f"Row {row.number} is of another batch than other rows of {self.table.name}."
            hint = "Put the report of each batch into the inbox on its own."
            return RowMistake(row, _BATCH, "row-invalid", what, hint)
        try:
            values = self._values(row)
        except EmptyCellError as exc:
            what = f"Row {row.number} has nothing in the column “{exc.column}”, which `{_key(exc.path)}` needs."
            hint = f"Fill the cell, or write a default in the template: `{{{{{exc.column}|…}}}}`."
            return RowMistake(row, exc.column, "row-cell-empty", what, hint)
        except CellError as exc:
            what = f"Row {row.number} has a list or an object as “{exc.column}”, which `{_key(exc.path)}` puts between words."
            return RowMistake(row, exc.column, "row-invalid", what, "Write a text or a number there.")
        if str(values.get("kind", "")).strip().lower() in _MAKE_JOBS:
            what = f"Row {row.number} asks for a batch."
            return RowMistake(
                row, self.columns_of("kind"), "row-invalid", what, "A row is one job: write another kind."
            )
        found = parse_values(values, lambda path: self._place(row, path))
        if isinstance(found, JobError):
            column = self.columns_of(found.key) if isinstance(found, DocumentError) else ""
            return RowMistake(row, column, found.code, found.message, found.hint)
        inherited = {key: file for key, file in self._inherited.items() if key not in self._own_keys(row)}
        return ResolvedRow(row, values, found.with_defaults((), inherited))

    def files(self, folder: str) -> list[NamedFile]:
        """Return the files that the rows name, each once, without checking the rest of the rows.

        Args:
            folder: in which the manifest of the batch lies, below the inbox.

        Raises:
            JobError: as `rows`.
        """
        template = {**(self._manifest.template or {})}
        known: dict[tuple[Any, ...], tuple[NamedFile, ...]] = {}
        for row in self.rows():
            try:
                values = self._values(row) if not row.error else {}
            except CellError:
                continue
            asked = tuple(str(values.get(key, "")) for key in ("kind", *COMPANIONS))
            if asked not in known:
                inherited = {key: file for key, file in self._inherited.items() if values.get(key) == template.get(key)}
                known[asked] = tuple(named_paths(values, folder, inherited))
        return list(dict.fromkeys(file for files in known.values() for file in files))

    def columns_of(self, key: str) -> str:
        """Return the columns that a key of the rows' manifests comes from; empty where it is the same in all."""
        return ", ".join(self._columns_of(key))

    def _values(self, row: Row) -> dict[str, Any]:
        if self._template is not None:
            return fill(self._template, row)
        values = row_as_values(
            Row(row.number, row.line, {k: v for k, v in row.cells.items() if k not in REPORT_COLUMNS})
        )
        return merge_values(values, self._manifest.template or {})

    def _own_keys(self, row: Row) -> set[str]:
        """Return the keys that a row gives where the columns are keys."""
        return set() if self._template is not None else {column.partition(".")[0] for column in row.cells}

    def _columns_of(self, key: str) -> list[str]:
        if self._template is None:
            return [column for column in self.table.columns if column.partition(".")[0] == key] or [key]
        return list(dict.fromkeys(one.column for one in self._placeholders if one.path[0] == key))

    def _place(self, row: Row, path: tuple[str | int, ...]) -> str:
        """Return where a value comes from, for a message."""
        columns = self._columns_of(str(path[0])) if path else []
        if not columns:
            return f"in the template, row {row.number}"
        return f"row {row.number}, column {', '.join(columns)}"


def named_paths(values: Mapping[str, Any], folder: str, inherited: Mapping[str, str]) -> Iterator[NamedFile]:
    """Yield the files that a manifest names which is not checked; those without use are left out.

    Args:
        folder: of the manifest, below the inbox.
        inherited: as for `BatchRows`.
    """
    kind = KINDS.get(str(values.get("kind", "video")).strip().casefold())
    unused = keys_without_use(kind) if kind else ()
    for key in COMPANIONS:
        value = values.get(key)
        if key in unused or not isinstance(value, str) or (key == "background" and "." not in value):
            continue
        with contextlib.suppress(ValidationError):
            beside = os.path.dirname(inherited[key]) if key in inherited else folder
            yield NamedFile(os.path.join(beside, _file_name(value)), key)


def _listed(columns: Sequence[str]) -> str:
    """Return the names of columns for a sentence; of many the first ones, and how many more there are."""
    names = ", ".join(f"“{column}”" for column in columns[:SHOWN])
    return f"{names} and {len(columns) - SHOWN} more" if len(columns) > SHOWN else names


@functools.lru_cache(maxsize=10_000)
def _file_name(value: str) -> str:
    return str(_FILE_NAMES.validate_python(value))


def _key(path: tuple[str | int, ...]) -> str:
    return ".".join(map(str, path))
