"""Looks at the table of a batch before it is handed in: its first rows, and all that is wrong with any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from daemon.doors.hand_in import check
from daemon.doors.http.answers import Door
from daemon.doors.http.batches.wanted_rows import checked_row
from daemon.doors.http.callers import Caller
from daemon.doors.http.jobs.wanted import names_brought
from daemon.doors.http.problems import RequestError
from daemon.doors.http.profile_owners import SeenProfiles
from daemon.doors.page.new.form import ROWS, make_speech
from daemon.doors.submission import with_files
from daemon.intake.folder_defaults import read_defaults
from daemon.jobs.batch.rows import BatchRows
from daemon.jobs.batch.table import open_table
from daemon.jobs.manifest import Manifest

#: So many of the first rows, and of the mistakes, are shown.
_FIRST, _MISTAKES = 5, 50
#: Columns that make a row a video, or say what it is.
_PORTRAITS: Final = frozenset({"avatar", "image", "kind"})


@dataclass
class TableLook:
    """What is in a table.

    Attributes:
        name: of its file.
        rows: how many it has.
        first: the first rows that are right: number, and the manifest.
        mistakes: what is wrong, with the number of the row; `wrong`: how many rows are.
        warnings: sentences on columns without use.
    """

    name: str
    rows: int = 0
    wrong: int = 0
    first: list[tuple[int, Manifest]] = field(default_factory=list)
    mistakes: list[RequestError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def batch_manifest(manifest: dict[str, Any], files: Mapping[str, Path]) -> dict[str, Any]:
    """Return the manifest of a batch whose rows make sounds where neither the form nor the table names a portrait.

    Args:
        files: those that the form brings for all rows, and the table; by their key.

    Raises:
        JobError: the table cannot be read.
    """
    template, table = dict(manifest["template"]), files[ROWS]
    opened = open_table(table, table.name)
    columns = set(opened.columns) or {name for row in opened.rows() for name in row.cells}
    if not {"avatar", "image"} & {*template, *files} and not columns & _PORTRAITS:
        make_speech(template)
    return {**manifest, "template": template}


def look_at_table(door: Door, caller: Caller, manifest: Mapping[str, Any], files: Mapping[str, Path]) -> TableLook:
    """Return what is in the table of a batch.

    Args:
        files: as for `batch_manifest`.

    Raises:
        AvatarError: the table as a whole cannot be used.
    """
    settings, inbox, table = door.settings, door.jobs.paths.inbox, files[ROWS]
    defaults = read_defaults(inbox, "job.yaml", settings.intake.max_manifest_bytes)
    brought = names_brought(files)
    batch = check(with_files(manifest, brought), defaults)
    rows = BatchRows(batch, table, batch.inherited)
    profiles = SeenProfiles(settings, caller)
    look = TableLook(table.name, warnings=rows.check_columns())
    for row in rows.rows():
        look.rows += 1
        try:
            one = checked_row(
                rows, row, caller, settings, lambda base: door.jobs.status(base, caller), profiles, brought, ()
            )
        except RequestError as exc:
            look.wrong += 1
            if len(look.mistakes) < _MISTAKES:
                look.mistakes.append(exc)
        else:
            if len(look.first) < _FIRST:
                look.first.append((row.number, one))
    return look


def rows_wrong(look: TableLook) -> RequestError:
    """Return the error of a table with wrong rows."""
    which = "A row is" if look.wrong == 1 else f"{look.wrong} of {look.rows} rows are"
    return RequestError(
        "rows-wrong",
        f"{which} wrong, so nothing was made of any.",
        "Mend the table, and choose it again. What is wrong stands below it.",
        errors=[{"pointer": f"#/{ROWS}", "detail": "rows are wrong"}],
    )
