"""Reads a manifest file or a table that somebody names to a door, as the daemon reads what lies in the inbox."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.config.settings import Intake
from daemon.doors.row_files import ROWS
from daemon.doors.shared_files import usual_names
from daemon.errors import JobError
from daemon.intake.inbox_names import MANIFESTS, is_defaults
from daemon.jobs.batch.table import TABLE_ENDINGS
from daemon.jobs.defaults import FolderDefaults
from daemon.jobs.kinds import BATCH_KEYS, KINDS
from daemon.jobs.manifest import COMPANIONS, Manifest
from daemon.jobs.parse import parse_manifest
from daemon.jobs.untrusted import read_manifest

#: Keys of which kinds of job need one.
_NEEDED = frozenset(key for kind in KINDS.values() for keys, _ in kind.needs for key in keys)
#: Keys that say something of a batch as a whole; all others are its rows'.
_OF_BATCH = (*BATCH_KEYS, "priority", "notify")


@dataclass(frozen=True)
class WrittenJob:
    """What one document of a manifest file asks for.

    Attributes:
        values: its keys, without those in `files`.
        files: key of the manifest → the file beside the manifest that it names. Others are in the inbox, or nowhere.
        warnings: what was read otherwise than it may be meant.
    """

    values: Mapping[str, Any]
    files: Mapping[str, Path]
    warnings: Sequence[str] = ()

    def _changed(self, values: Mapping[str, Any], files: Mapping[str, Path]) -> WrittenJob:
        """Return the same job with other values of some keys, and other files."""
        kept = {key: value for key, value in self.values.items() if key not in files}
        kept_files = {key: path for key, path in self.files.items() if key not in values}
        return WrittenJob(_joined(kept, values), {**kept_files, **files}, self.warnings)


def names_jobs(text: str) -> bool:
    """Return whether a text is no text to speak but the name of a manifest file or of a table."""
    return text.lower().endswith((*MANIFESTS, *TABLE_ENDINGS)) and (" " not in text or _is_file(text))


def names_file(text: str) -> bool:
    """Return whether a text is the name of a file that is there, with an ending or a folder as only files have them."""
    return bool(os.path.dirname(text) or os.path.splitext(text)[1]) and _is_file(text)


def names_folder(text: str) -> bool:
    """Return whether a text is the path of a folder that is there, and no word of its name."""
    with contextlib.suppress(OSError):  # longer than any name
        return bool(os.path.dirname(text) or text in (".", "..")) and Path(text).is_dir()
    return False


def _is_file(text: str) -> bool:
    with contextlib.suppress(OSError):  # longer than any name
        return Path(text).is_file()
    return False


def read_jobs(
    path: Path,
    intake: Intake,
    defaults: Sequence[FolderDefaults] = (),
    values: Mapping[str, Any] | None = None,
    files: Mapping[str, Path] | None = None,
) -> list[WrittenJob]:
    """Read a manifest file.

    Args:
        defaults: those of the folder into which it goes.
        values, files: what stands in place of what is written there, so that it need not be written.

    Raises:
        JobError: a document is wrong, with its line; `file-missing`; `manifest-invalid`: it has the defaults of a folder.
    """
    if is_defaults(path.name):
        raise JobError(
            "manifest-invalid",
            f"{path.name} has the defaults of a folder, and is no job.",
            "Copy it into the folder of the inbox whose manifests it is to hold for.",
        )
    if not path.is_file():
        raise JobError("file-missing", f"{path} is not a file.", "Name a manifest file that is there and can be read.")
    data = read_manifest(path.parent, path.name, intake.max_manifest_bytes)
    values, files = values or {}, files or {}
    needed = {key: value for key, value in {**values, **usual_names(files)}.items() if key in _NEEDED}
    known = [*defaults, FolderDefaults("", needed)] if needed else defaults
    items, jobs = parse_manifest(data, intake.max_documents, known), list[WrittenJob]()
    for number, item in enumerate(items, start=1):
        if isinstance(item, JobError):
            where = f"{path.name}, job {number}" if len(items) > 1 else path.name
            raise JobError(item.code, f"{where}: {item.message}", item.hint)
        jobs.append(_written(item, path.parent)._changed(values, files))
    return jobs


def batch_of(table: Path, values: Mapping[str, Any], files: Mapping[str, Path]) -> WrittenJob:
    """Return the batch that makes a job of each row of a table.

    Args:
        values, files: what its rows have in common, and keys of the batch itself.
    """
    own = {key: value for key, value in values.items() if key in _OF_BATCH}
    shared = {key: value for key, value in values.items() if key not in _OF_BATCH}
    template = _joined(shared, own.get("template") or {})
    return WrittenJob({**own, "kind": "batch", **({"template": template} if template else {})}, {**files, ROWS: table})


def _written(manifest: Manifest, folder: Path) -> WrittenJob:
    given = manifest.model_dump(mode="json", exclude_unset=True, exclude=set(manifest.inherited))
    files = _beside(given, folder)
    if isinstance(template := given.get("template"), dict):
        shared = _beside(template, folder)  # by all rows
        given["template"] = {key: value for key, value in template.items() if key not in shared}
        files |= shared
    return WrittenJob({key: value for key, value in given.items() if key not in files}, files, manifest.warnings)


def _beside(given: Mapping[str, Any], folder: Path) -> dict[str, Path]:
    """Return the files in a folder that keys name, by their key."""
    named = {key: folder / name for key in COMPANIONS if isinstance(name := given.get(key), str)}
    return {key: path for key, path in named.items() if path.is_file()}


def _joined(given: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with others in their place; groups of keys are joined key by key."""
    joined = dict(given)
    for key, value in others.items():
        had = joined.get(key)
        joined[key] = _joined(had, value) if isinstance(had, Mapping) and isinstance(value, Mapping) else value
    return joined
