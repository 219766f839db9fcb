"""Checks the rows of a batch that a request hands in, by the code with which the daemon makes jobs of them.

Each row makes a job of its own. So each is looked at as a job that is handed in: it may name no file of the server, and no job of
somebody else, and its kind and priority are what the key may make.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final

from daemon.config import Settings
from daemon.config.hooks import check_notify
from daemon.doors.http.callers import Caller
from daemon.doors.http.jobs.wanted import Sent
from daemon.doors.http.limits import Amount, check_manifest, speech_s
from daemon.doors.http.problems import RequestError
from daemon.doors.http.profile_owners import SeenProfiles
from daemon.errors import AvatarError, JobError
from daemon.jobs.batch.rows import BatchRows, ResolvedRow, RowMistake
from daemon.jobs.batch.table import Row
from daemon.jobs.manifest import COMPANIONS, Manifest
from daemon.jobs.speech_length import check_text_length

#: How long the rows of one request may take, s: proxies wait no longer for an answer.
CHECK_S: Final = 60.0


def check_rows(
    batch: Manifest,
    table: Path,
    caller: Caller,
    settings: Settings,
    check_base: Callable[[str], object],
    profiles: SeenProfiles,
    brought: Mapping[str, str],
    of_rows: Collection[str],
) -> Amount:
    """Check every row of a batch; returns what all of them take together.

    Args:
        batch: its manifest, with the defaults of the inbox.
        table: its table.
        check_base: refuses a job that a row names as its `base` and that the caller may not see.
        profiles: those that the caller sees.
        brought: key → name of the file that the request brings for it in all rows.
        of_rows: names of the files that it brings for single rows.

    Raises:
        RequestError: `path-refused`: a row names a file of the server; `rows-wrong`: a row is wrong otherwise; `not-allowed`:
            the key may not make it. Each says the number of the row. `rows-slow`: to check them takes longer than `CHECK_S`.
        JobError: the table as a whole cannot be used; see `BatchRows`.
    """
    rows = BatchRows(batch, table, batch.inherited)
    rows.check_columns()
    for _ in (
        rows.rows()
    ):  # a table that cannot be read to its end, or has too many rows, is refused before all that follows
        pass
    jobs, spoken, end = 0, 0.0, time.monotonic() + CHECK_S
    for row in rows.rows():
        if time.monotonic() > end:
            raise RequestError(
                "rows-slow",
                f"After {CHECK_S:g} s, {jobs} of the table's rows were checked, so no job was made of any.",
                "Hand in fewer rows at once, or put the table and its manifest into the shared folder.",
            )
        try:
            manifest = checked_row(rows, row, caller, settings, check_base, profiles, brought, of_rows)
        except RequestError as exc:
            if exc.code != "rows-wrong":
                raise
            told = f"A row is wrong, so no job was made of any. {exc.message}"
            raise RequestError(exc.code, told, exc.hint, errors=exc.errors) from exc
        jobs, spoken = jobs + 1, spoken + speech_s(manifest)
    return Amount(jobs, spoken)


def checked_row(
    rows: BatchRows,
    row: Row,
    caller: Caller,
    settings: Settings,
    check_base: Callable[[str], object],
    profiles: SeenProfiles,
    brought: Mapping[str, str],
    of_rows: Collection[str],
) -> Manifest:
    """Return the manifest that a row asks for. Arguments, and errors of a row, as for `check_rows`."""
    found = rows.resolve(row)
    if isinstance(found, RowMistake):
        raise _wrong(found.row.number, found.column, found.message, found.hint, found.code)
    _refuse_files(found, brought, of_rows)
    manifest = found.manifest
    try:
        check_text_length(manifest, settings)
        check_notify(manifest.notify, settings.hooks)
        profiles.check(manifest)
        if manifest.base is not None:
            check_base(str(manifest.base))
        check_manifest(caller.limits, caller.name, manifest)
    except JobError as exc:
        raise _wrong(row.number, "", exc.message, exc.hint, exc.code) from exc
    except AvatarError as exc:
        raise RequestError(exc.code, f"Row {row.number}: {exc.message}", exc.hint) from exc
    return manifest


def _refuse_files(found: ResolvedRow, brought: Mapping[str, str], of_rows: Collection[str]) -> None:
    """Refuse a row that names a file which the request does not bring. What its kind has no use for is refused as well: another
    default could change the kind.
    """
    manifest = found.manifest
    named = set(manifest.companions()) | {
        key for key in COMPANIONS if key != "background" and found.values.get(key) is not None
    }
    named -= {key for key, name in brought.items() if found.values.get(key) == name}
    named = {key for key in named if found.values.get(key) not in of_rows}
    if files := sorted(named - set(manifest.inherited)):
        number, key = found.row.number, files[0]
        raise RequestError(
            "path-refused",
            f"Row {number} names {str(found.values.get(key))[:80]} (`{key}`), and this door takes no file of the server.",
            "Upload the file of a row first and write `upload:ID` into its cell, send one for all rows as a part beside the "
            "table, or let the rows name avatar profiles (`avatar`).",
            errors=[{"pointer": f"#/rows/{number}/{one}", "detail": "rows name no file here"} for one in files],
        )


def _wrong(number: int, column: str, message: str, hint: str, code: str) -> RequestError:
    message = Sent().tell(message)
    told = message if message.startswith("Row ") or f"row {number}" in message else f"Row {number}: {message}"
    return RequestError(
        "rows-wrong",
        told,
        hint or "Mend the table, and send it again.",
        errors=[{"pointer": f"#/rows/{number}{'/' * bool(column)}{column}", "detail": code}],
    )
