"""Brings the files that the rows of a table name into the inbox, and refuses a job whose files are nowhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from daemon.doors.shared_files import MEDIA_ENDINGS, share_as_named, unusable, usual_names
from daemon.errors import JobError, RefusedError
from daemon.intake.companion_names import CompanionNames
from daemon.jobs.batch.rows import BatchRows
from daemon.jobs.manifest import Manifest

#: Key of the table of a batch.
ROWS: Final = "rows"


def check_there(named: Mapping[str, str], inbox: Path) -> None:
    """Refuse what would wait for a file that nobody brings. `named`: key of the manifest → name in the inbox.

    Raises:
        JobError: `file-missing`.
    """
    names = CompanionNames(inbox)
    for key, name in named.items():
        found = names.find(name, key)
        if not os.path.lexists(inbox / found.name):
            raise JobError(
                "file-missing",
                f"`{key}` names {name}, which is neither here nor in the inbox.",
                found.hint("") or "Name a file that is there and can be read.",
            )


def files_of_rows(batch: Manifest, files: Mapping[str, Path], inbox: Path) -> dict[str, Path]:
    """Return the files that the rows of a batch name and that lie beside its table: name in the inbox → file.

    They keep their names, which the cells say. Those that are in the inbox already are left out.

    Args:
        files: those that the job brings, by their key; one of them is its table.

    Raises:
        JobError: `file-missing`: one is in neither place; what is wrong with the table or its columns.
        AvatarError: `name-taken`: something else has its name in the inbox.
    """
    table, brought = files[ROWS], {*usual_names(files).values()}
    rows = BatchRows(batch.model_copy(update={"rows": table.name}), table, batch.inherited)
    rows.check_columns()
    beside, there = CompanionNames(table.absolute().parent), CompanionNames(inbox)
    found = dict[str, Path]()
    for path, key in rows.files(""):
        if path in brought:
            continue
        own = beside.find(path, key)
        file, target = table.absolute().parent / own.name, inbox / own.name
        if file.is_file():
            if not _is_there(file, target, path):
                found[own.name] = file
        elif not (batch.accept_partial or os.path.lexists(inbox / there.find(path, key).name)):
            raise JobError(
                "file-missing",
                f"A row of {table.name} names {path} (`{key}`), which is neither beside the table nor in the inbox.",
                own.hint("") or "Put it beside the table, or write its name in the table as it is.",
            )
    return found


def bring_files_of_rows(found: Mapping[str, Path], inbox: Path) -> None:
    """Copy what `files_of_rows` returned into the inbox.

    Raises:
        AvatarError: `name-taken`: somebody was faster.
    """
    for name, file in found.items():
        share_as_named(file, inbox / name)
        _is_there(file, inbox / name, name)


def _is_there(file: Path, target: Path, path: str) -> bool:
    """Return whether a file is in the inbox already.

    Raises:
        JobError: `manifest-invalid`: it cannot be brought there.
        AvatarError: `name-taken`: another one has its name.
    """
    if os.path.lexists(target):
        if file.samefile(target) or not (why := unusable(target, file)):
            return True
        raise RefusedError(
            "name-taken",
            f"A row names {path}, and {target.name} in the inbox {why}.",
            "Rename your file, here and in the table.",
        )
    if os.path.dirname(path):
        raise JobError(
            "manifest-invalid",
            f"A row names {path}, and only files without a folder are brought into the inbox.",
            f"Put {os.path.basename(path)} beside the table and write its name alone, or copy the folder into the inbox.",
        )
    if not path.lower().endswith(MEDIA_ENDINGS):
        raise JobError(
            "manifest-invalid",
            f"A row names {path}, whose ending is that of no picture, sound or video.",
            "Name a file with the usual ending of what it is, such as .png, .wav or .mp4.",
        )
    return False
