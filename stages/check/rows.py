"""Checks all rows of a batch before a job is made of the first.

Writes `rows.jsonl`, the manifests of the rows, and `errors.csv`, where rows are wrong. Reads `done.jsonl`, the rows that earlier
batches have made, where the table is a report.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from daemon.config import Settings
from daemon.config.hooks import check_notify
from daemon.errors import AvatarError, JobError
from daemon.jobs.batch.done_rows import DoneRows
from daemon.jobs.batch.files import ERRORS, RESOLVED
from daemon.jobs.batch.rows import ERROR_COLUMNS, BatchInput, BatchRows, ResolvedRow, RowMistake
from daemon.jobs.manifest import Manifest
from daemon.jobs.speech_length import check_text_length
from daemon.system.fs import artifact
from daemon.system.spelling import folded
from stages.check.done_warnings import DoneWarnings
from stages.check.portraits import MOST_PICTURES, PortraitChecks
from stages.context import Context
from stages.facts import CheckFacts
from stages.tts.checks import check_text
from stages.tts.engines.choose import choose_voice
from stages.tts.length_bounds import check_reachable

log = logging.getLogger("stages.check")

#: Rows between two reports of progress, each of which allows as many more seconds.
STEP, STEP_S = 500, 60.0


def check_rows(ctx: Context) -> CheckFacts:
    """Resolve and check all rows of a batch.

    Raises:
        JobError: `rows-wrong`: rows are wrong, and `accept_partial` is not set, or none is right; `rows-done`: none is left;
            `rows-column-unknown`, `rows-not-text`, `rows-empty`, `rows-invalid`: the table as a whole cannot be used.
    """
    given = BatchInput.read(ctx.job_dir)
    rows = BatchRows(ctx.manifest, ctx.source("rows"), given.inherited, DoneRows(ctx.job_dir))
    ctx.warnings.extend(rows.check_columns())
    ctx.path(ERRORS).unlink(missing_ok=True)  # of half a table, whose rest came
    right: list[_Line] = []
    wrong: list[RowMistake] = []
    portraits = PortraitChecks(ctx, given.folder)
    checks = RowChecks(ctx.settings, given, rows, portraits)
    done = DoneWarnings(rows.table.name)
    for row in rows.rows(done.note):
        found = checks.check(rows.resolve(row))
        if isinstance(found, ResolvedRow):
            right.append(_Line.of(found))
        else:
            wrong.append(found)
        if row.number % STEP == 0:
            ctx.allow_seconds(STEP_S)
    name = rows.table.name
    if portraits.left_out:
        ctx.warnings.append(
            f"Of the portraits that {name} names, {MOST_PICTURES} were looked at before a job was made. Whether the others can "
            "be animated is found out when the turn of their rows comes."
        )
    ctx.warnings.extend(done.warnings())
    if not right and not wrong:
        raise JobError(
            "rows-done",
            done.all_done(),
            "To make rows again, empty their cells in the column `_state`.",
        )
    if wrong:
        _write_errors(ctx, wrong)
        if not right or not ctx.manifest.accept_partial:
            raise _rows_wrong(ctx, name, wrong, len(right) + len(wrong))
        several = len(wrong) > 1
        ctx.warnings.append(
            f"{len(wrong)} row{'s' * several} of {name} {'are' if several else 'is'} wrong, and no job was made of "
            f"{'them' if several else 'it'}: see {os.path.basename(ctx.name)}.errors.csv."
        )
    equal = _write_rows(ctx, right)
    ctx.progress(1.0)
    facts: CheckFacts = {"rows": len(right), "wrong_rows": len(wrong), "equal_rows": equal, "done_rows": done.left_out}
    return facts


class _Line(NamedTuple):
    """What is kept of a row until all are checked: a checked manifest takes twenty times as much. `values`: as JSON; `priority`:
    0 where it has that of the batch.
    """

    order: tuple[str, ...]
    row: int
    values: str
    inherited: list[str]
    render_key: str
    priority: int

    @classmethod
    def of(cls, found: ResolvedRow) -> _Line:
        inherited = sorted(found.manifest.inherited)
        values = json.dumps(found.values, ensure_ascii=False)
        return cls(found.order(), found.row.number, values, inherited, found.render_key(), found.manifest.priority)


@dataclass
class RowChecks:
    """Checks of rows beyond their form: files, voices, names, portraits.

    Attributes:
        given: the files of the batch.
        rows: of the batch.
        portraits: looks at the pictures; None where that is left to the jobs of the rows.
    """

    settings: Settings
    given: BatchInput
    rows: BatchRows
    portraits: PortraitChecks | None = None
    _voices: dict[tuple[str, str], JobError | None] = field(default_factory=dict)
    #: Names of results that rows ask for, and the row that did first.
    _names: dict[str, int] = field(default_factory=dict)

    def check(self, found: ResolvedRow | RowMistake) -> ResolvedRow | RowMistake:
        """Return a row, or what is wrong with it. Rows come in their order, each once."""
        if isinstance(found, RowMistake):
            return found
        manifest, row = found.manifest, found.row
        number = row.number
        if (output := manifest.output) is not None and (
            first := self._names.setdefault(folded(output), number)
        ) != number:
            message = f"Row {number} asks for the name “{output}”, as row {first} does."
            hint = "Write a column into `output` whose values differ, or `{{row}}`, the number of the row."
            return RowMistake(row, self.rows.columns_of("output"), "row-name-taken", message, hint)
        for key, path in manifest.companion_paths(self.given.folder).items():
            if path in self.given.missing:
                message = f"Row {number} names {os.path.basename(path)} (`{key}`), which is not there."
                return RowMistake(row, self.rows.columns_of(key), "file-missing", message, self.given.missing[path])
            if path in self.given.refused:
                code, message, hint = self.given.refused[path]
                return RowMistake(row, self.rows.columns_of(key), code, f"Row {number}: {message}", hint)
        try:
            check_notify(manifest.notify, self.settings.hooks)
        except JobError as exc:
            return RowMistake(row, self.rows.columns_of("notify"), exc.code, f"Row {number}: {exc.message}", exc.hint)
        if (error := self._error_of_speech(manifest)) is not None:
            key = "voice" if error.code.startswith(("voice-", "profile-")) else "text"
        elif self.portraits is not None and (error := self.portraits.error_of(manifest)) is not None:
            key = "image"
        if error is None:
            return found
        return RowMistake(row, self.rows.columns_of(key), error.code, f"Row {number}: {error.message}", error.hint)

    def _error_of_speech(self, manifest: Manifest) -> JobError | None:
        """Return why a text cannot be spoken; None where it can, as far as that is known without speaking it."""
        if (
            manifest.text is None
            or manifest.audio is not None
            or "tts" not in manifest.stages
            or manifest.base is not None
        ):
            return None
        settings, asked = self.settings, (manifest.voice.casefold(), manifest.language)
        try:
            if asked not in self._voices:
                self._voices[asked] = self._error_of_voice(manifest)
            if (error := self._voices[asked]) is not None:
                return error
            check_text_length(manifest, settings)
            check_text(manifest.text, manifest.language, settings)
            check_reachable(manifest, settings)
        except JobError as exc:
            return exc
        return None

    def _error_of_voice(self, manifest: Manifest) -> JobError | None:
        try:
            choose_voice(manifest, self.settings)
        except JobError as exc:
            return exc
        except AvatarError as exc:  # a fault of the machine is left to the stage that speaks
            log.info("left to the stage that speaks: %s", exc)
        return None


def _rows_wrong(ctx: Context, name: str, wrong: list[RowMistake], total: int) -> JobError:
    first, several = wrong[0], len(wrong) > 1
    rows = "row" if total == 1 else "rows"
    way = "" if len(wrong) == total else " Or write `accept_partial: true`, and jobs are made of the other rows."
    return JobError(
        "rows-wrong",
        f"{len(wrong)} of {total} {rows} of {name} {'are' if several else 'is'} wrong, so no job was made of any. "
        f"{'The first: ' if several else ''}{first.message}",
        f"{first.hint} {os.path.basename(ctx.name)}.errors.csv, beside this status, names "
        f"{'all of them' if several else 'it'}. Mend the table, and drop it and the manifest again.{way}".strip(),
    )


def _write_errors(ctx: Context, wrong: Iterable[RowMistake]) -> None:
    """Write the table of errors, as spreadsheet programs read it best."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(ERROR_COLUMNS)
    writer.writerows(mistake.cells(ctx.job_id) for mistake in wrong)
    with artifact(ctx.path(ERRORS)) as path:
        path.write_text(text.getvalue(), encoding="utf-8-sig", newline="")


def _write_rows(ctx: Context, right: list[_Line]) -> int:
    """Write the manifests of the rows, those of one voice and portrait together; returns how many are equal to another one."""
    first: dict[str, int] = {}
    equal = 0
    highest = _highest_priorities(ctx, right)
    with artifact(ctx.path(RESOLVED)) as path, path.open("w", encoding="utf-8") as file:
        for one in sorted(right, key=lambda line: (line.order, line.row)):
            line = {"row": one.row, "values": json.loads(one.values)} | (
                {"inherited": one.inherited} if one.inherited else {}
            )
            if ctx.manifest.dedupe:
                if (same := first.setdefault(one.render_key, one.row)) != one.row:
                    line["same_as"] = same
                    equal += 1
                elif (priority := highest[one.render_key]) != (one.priority or ctx.manifest.priority):
                    line["values"]["priority"] = priority
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return equal


def _highest_priorities(ctx: Context, right: Iterable[_Line]) -> dict[str, int]:
    """Return the highest priority of the rows that one job is made for, by what these share."""
    highest: dict[str, int] = {}
    for one in right if ctx.manifest.dedupe else ():
        priority = one.priority or ctx.manifest.priority
        highest[one.render_key] = max(priority, highest.get(one.render_key, priority))
    return highest
