"""Writes down, when a batch is taken in, which of the files that its rows name are not there, or are not to be read."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Protocol

from daemon.errors import JobError, Postponed
from daemon.intake.companion_names import Spelled
from daemon.jobs.batch.files import INPUT
from daemon.jobs.batch.rows import BatchInput, BatchRows
from daemon.jobs.companions import copy_name
from daemon.jobs.manifest import Manifest
from daemon.system import fs
from daemon.system.json_files import dump_json
from daemon.system.safe_open import open_inside


class FileNames(Protocol):
    """Finds files of the inbox by names that may be written otherwise."""

    def spelled(self, name: str, key: str) -> Spelled:
        """The file as it is there; `name`: its path below the inbox, `key`: the key that names it."""
        ...


def write_input(manifest: Manifest, source: str, folder: Path, names: FileNames, inbox: Path) -> Path:
    """Write `INPUT` into the folder of a batch's job, in which the copy of its table is; returns the file, which is not flushed.

    Args:
        source: path of the manifest below the inbox.
    """
    given = input_of(manifest, source, folder / copy_name("rows"), names, inbox)
    target = folder / INPUT
    fs.OPS.write(target, dump_json(given.to_json()), sync=False)
    return target


def input_of(manifest: Manifest, source: str, table: Path, names: FileNames, inbox: Path) -> BatchInput:
    """Return what is known of a batch's files.

    Args:
        source: path of the manifest below the inbox.
        table: its table, or a copy of it.
    """
    above = os.path.dirname(source)
    missing: dict[str, str] = {}
    refused: dict[str, tuple[str, str, str]] = {}
    with contextlib.suppress(JobError):  # a table that cannot be read is refused by the check stage
        for path, key in BatchRows(manifest, table, manifest.inherited).files(above):
            found = names.spelled(path, key)
            try:
                with open_inside(inbox, found.name):
                    pass
            except Postponed:
                continue
            except JobError as exc:
                if exc.code == "file-missing":
                    missing[path] = found.hint(source) or exc.hint
                else:
                    refused[path] = exc.code, exc.message, exc.hint
    return BatchInput(above, manifest.inherited, missing, refused)
