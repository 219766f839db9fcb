"""Writes and reads what a claim keeps beside its manifest: where it lay, who handed it in, and under which defaults."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from daemon.config import Settings
from daemon.errors import AvatarError, JobError, Postponed
from daemon.intake.drop import Drop
from daemon.intake.folder_defaults import DefaultsFile, from_bytes, parsed_defaults, to_bytes
from daemon.intake.jobs.claimed import WITHDRAWN, Claimed
from daemon.jobs.batch.alone import batch_of, is_table
from daemon.jobs.defaults import FolderDefaults
from daemon.jobs.hand_in_record import MAX_BY
from daemon.jobs.record import Held
from daemon.jobs.untrusted import parse_untrusted, read_manifest
from daemon.system import fs
from daemon.system.json_files import dump_json
from daemon.system.permissions import owner_name
from daemon.system.subfolders import INBOX_DEPTH

#: The path that the manifest had in the inbox.
SOURCE = "source"
#: In a claim whose manifest somebody cancelled while it lay in the inbox.
CANCELLED = "cancelled"
#: In a claim whose manifest has waited in the inbox for as long as it may: what cannot be copied then fails at once.
WAITED = "waited"
#: In a claim that a door handed in for somebody: who that is.
BY = "by"
#: In a claim: the files of folder defaults that held when the manifest was taken.
DEFAULTS = "defaults"
#: In a claim whose jobs are held from their first moment: who holds them, why and since when, as JSON.
HELD = "held"
MAX_NAME_BYTES = 4096  # PATH_MAX


def write_notes(
    directory: Path,
    drop: Drop,
    *,
    cancelled_by: str | None,
    waited: bool,
    defaults: Sequence[DefaultsFile],
    held: Held | None,
) -> list[Path]:
    """Write what a claim keeps of its manifest; see `Claims.take`. Returns what is to be flushed."""
    notes: dict[str, bytes] = {SOURCE: drop.name.encode("utf-8", "surrogateescape")}
    if drop.by:
        notes[BY] = drop.by.encode()
    if defaults:
        notes[DEFAULTS] = to_bytes(defaults)
    if held:
        notes[HELD] = dump_json(held)
    if cancelled_by is not None:
        fs.OPS.write(directory / CANCELLED, cancelled_by.encode(), sync=False)
    if waited:
        fs.OPS.write(directory / WAITED, b"", sync=False)
    for name, data in notes.items():
        fs.OPS.write(directory / name, data, sync=False)
    return [directory / name for name in notes]


class ClaimReader:
    """Reads claims, in which other users cannot write, but may have written the manifest."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def read(self, directory: Path, *, last: bool) -> Claimed:
        """Return the manifest in a claim, with what is known of it. `last`: what cannot be read or copied now fails.

        Raises:
            Postponed: it cannot be read now, and is to be tried again.
        """
        source = self.source(directory)
        shown = os.path.basename(source)
        last = last or os.path.lexists(directory / WAITED)
        cancelled = os.path.lexists(directory / CANCELLED)
        data, by = b"", ""
        table: bytes | None = None
        try:
            if is_table(source):
                table = read_manifest(directory, "manifest.yaml", self._settings.intake.max_file_bytes, shown)
                data = _manifest_of(directory / "manifest.yaml", shown)
            else:
                data = read_manifest(directory, "manifest.yaml", self._settings.intake.max_manifest_bytes, shown)
            items = tuple(parse_untrusted(data, self._settings.intake.max_documents, self._defaults(directory)))
        except Postponed as exc:
            if not (last or cancelled):
                raise
            error = JobError(exc.code, exc.message, exc.hint)
            error.fault = exc.fault
            items = (error,)
        except JobError as exc:
            items = (exc,)
            data = table or data  # it is given back to its author
        if cancelled:
            items, data = (WITHDRAWN,), table or data
            with contextlib.suppress(AvatarError, UnicodeDecodeError):
                by = read_manifest(directory, CANCELLED, MAX_NAME_BYTES * 4).decode()
        owner, ours = _owner(directory / "manifest.yaml")
        if told := self._handed_in_by(directory):
            owner, ours = told, False
        return Claimed(directory.name, source, data, items, last, by, owner, ours, _held(directory), table=table)

    def _handed_in_by(self, directory: Path) -> str:
        """Return for whom a door handed in a claimed manifest; empty where its owner did it himself."""
        if not os.path.lexists(directory / BY):
            return ""
        with contextlib.suppress(AvatarError, UnicodeDecodeError):
            return read_manifest(directory, BY, MAX_BY * 4).decode()
        return ""

    def _defaults(self, directory: Path) -> list[FolderDefaults]:
        """Return the folder defaults that are kept in a claim.

        Raises:
            JobError: `defaults-wrong`.
            Postponed: they cannot be read now.
        """
        if not os.path.lexists(directory / DEFAULTS):
            return []
        limit = self._settings.intake.max_manifest_bytes
        try:
            files = from_bytes(read_manifest(directory, DEFAULTS, (limit * 2 + MAX_NAME_BYTES) * (INBOX_DEPTH + 1) * 2))
        except ValueError as exc:
            raise JobError(
                "defaults-wrong", "The copy of the folder's defaults is damaged.", "Drop the manifest again."
            ) from exc
        return parsed_defaults(files)

    def source(self, directory: Path) -> str:
        """Return the path that the manifest had in the inbox."""
        try:
            name = read_manifest(directory, "source", MAX_NAME_BYTES).decode("utf-8", "surrogateescape")
        except AvatarError:  # somebody changed the claim: its name is lost, the job is not
            name = ""
        return name if name and "\0" not in name else f"{directory.name}.yaml"


def _manifest_of(table: Path, name: str) -> bytes:
    """Return the manifest of a table that is a batch of its own.

    Raises:
        JobError: `rows-invalid`: it is none any more.
    """
    if (data := batch_of(table, name)) is None:
        hint = "Drop it beside a manifest of `kind: batch` that names it in `rows`."
        raise JobError("rows-invalid", f"{name} is no table whose columns are keys of a manifest.", hint)
    return data


def _owner(path: Path) -> tuple[str, bool]:
    """Return the name of the user who owns a claimed manifest, whom no other user can change in a folder of ours, and whether
    it is the service's own user.
    """
    try:
        info = os.lstat(path)
    except OSError:
        return "", False
    return owner_name(info), info.st_uid == os.geteuid()


def _held(directory: Path) -> Held | None:
    """Return who holds the jobs of a claim, why and since when; None where nobody does."""
    if not os.path.lexists(directory / HELD):
        return None
    with contextlib.suppress(AvatarError, ValueError, RecursionError):
        value = json.loads(read_manifest(directory, HELD, MAX_NAME_BYTES * 4))
        if isinstance(value, dict):
            return Held(by=value.get("by", ""), reason=value.get("reason", ""), since=value.get("since", 0.0))
    return {"by": "", "reason": "", "since": time.time()}  # it cannot be read: that it was there is enough to hold them
