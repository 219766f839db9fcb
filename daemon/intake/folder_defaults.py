"""Reads the defaults of the inbox's folders: `_defaults.yaml` holds for every manifest in its folder and below."""

from __future__ import annotations

import base64
import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.errors import JobError
from daemon.intake.inbox_names import is_defaults
from daemon.jobs.defaults import FolderDefaults
from daemon.jobs.mistakes.document_errors import defaults_error
from daemon.jobs.parse import parse_defaults
from daemon.jobs.untrusted import read_manifest
from daemon.system.safe_open import open_below, opened_root


@dataclass(frozen=True)
class DefaultsFile:
    """A file of defaults as it was read.

    Attributes:
        path: below the inbox.
        data: its bytes.
        error: why it could not be read.
    """

    path: str
    data: bytes = b""
    error: JobError | None = None


def folders_above(name: str) -> Iterator[str]:
    """Yield the folders that a file lies in, by their path below the inbox; the inbox itself, which is "", comes first."""
    yield ""
    parts = name.split("/")[:-1]
    for count in range(1, len(parts) + 1):
        yield "/".join(parts[:count])


def read_defaults_file(root: Path, path: str, limit: int) -> DefaultsFile:
    """Read a file of defaults below the inbox, as a manifest is read.

    Args:
        root: the inbox.
        path: below the inbox.
        limit: `intake.max_manifest_bytes`.

    Raises:
        Postponed: somebody holds it, or the disk cannot read it now.
    """
    try:
        return DefaultsFile(path, read_manifest(root, path, limit))
    except JobError as exc:
        return DefaultsFile(path, error=exc)


def read_defaults(root: Path, name: str, limit: int) -> list[FolderDefaults]:
    """Read the defaults that hold for a manifest, for commands: from the folder's own files, the nearest last.

    Args:
        root: the inbox, or another folder that stands for it.
        name: path of the manifest below it.
        limit: `intake.max_manifest_bytes`.

    Raises:
        JobError: `defaults-wrong`.
        Postponed: somebody holds a file.
    """
    paths: list[str] = []
    for folder in folders_above(name):
        with contextlib.suppress(OSError), opened_root(root) as root_fd:
            fd = open_below(root_fd, folder or ".", os.O_RDONLY | os.O_DIRECTORY)
            try:
                found = sorted(filter(is_defaults, os.listdir(fd)))
            finally:
                os.close(fd)
            paths += [os.path.join(folder, entry) for entry in found]
    return parsed_defaults([read_defaults_file(root, path, limit) for path in paths])


def parsed_defaults(files: Sequence[DefaultsFile]) -> list[FolderDefaults]:
    """Return the defaults in files, in the same order.

    Raises:
        JobError: `defaults-wrong`: one of them cannot be read or is wrong, or a folder has two.
    """
    folders = [os.path.dirname(file.path) for file in files]
    for file, folder in zip(files, folders, strict=True):
        if folders.count(folder) > 1:
            raise defaults_error(
                file.path, JobError("", "The folder has two files of defaults.", "Remove one of them.")
            )
        if file.error is not None:
            raise defaults_error(file.path, file.error)
    return [parse_defaults(file.path, file.data) for file in files]


def to_bytes(files: Sequence[DefaultsFile]) -> bytes:
    """Return files of defaults as bytes, for the claim of a manifest."""
    records = [
        {
            "path": file.path.encode("utf-8", "surrogateescape").decode("latin-1"),
            "data": base64.b64encode(file.data).decode(),
            "error": file.error and file.error.to_dict(),
        }
        for file in files
    ]
    return json.dumps(records).encode()


def from_bytes(data: bytes) -> list[DefaultsFile]:
    """Read what `to_bytes` gives.

    Raises:
        ValueError: it is damaged.
    """
    try:
        return [
            DefaultsFile(
                record["path"].encode("latin-1").decode("utf-8", "surrogateescape"),
                base64.b64decode(record["data"], validate=True),
                _error(record["error"]),
            )
            for record in json.loads(data)
        ]
    except (KeyError, TypeError, AttributeError) as exc:
        raise ValueError(f"no record of defaults: {exc!r}") from exc


def _error(record: dict[str, str] | None) -> JobError | None:
    return None if record is None else JobError(str(record["code"]), str(record["message"]), str(record["hint"]))
