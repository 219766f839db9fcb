"""Records what the files that a job keeps were made from, so that a job which is based on it can take them over.

A job that is based on another one has the other's files in its folder from the start (`daemon.queue.base_jobs`). They are used
where they follow from the same things and are not damaged.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from daemon.system.json_files import replace_json

#: Why a stage had nothing to make, for the status.
UNCHANGED = "nothing that it follows from has changed"


@dataclass(frozen=True)
class Kept:
    """What a record says.

    Attributes:
        facts: the facts of the stage that made the files.
        warnings: what it told people.
        files: names of the files, beside the record.
        more: what else the stage noted, as JSON.
    """

    facts: dict[str, Any]
    warnings: list[str]
    files: tuple[str, ...] = ()
    more: Any = None


def read_kept(record: Path, key: str) -> Kept | None:
    """Return what a record says; None if it is missing or damaged, is of other things, or one of its files has changed.

    Args:
        record: the JSON file.
        key: digest of what the files would be made from now: see `content_key`.
    """
    try:
        found = json.loads(record.read_bytes())
        if found["key"] != key or not isinstance(found["facts"], dict):
            return None
        if any(digest(record.parent / name) != known for name, known in found["files"].items()):
            return None
        return Kept(found["facts"], list(found["warnings"]), tuple(found["files"]), found.get("more"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_kept(record: Path, key: str, kept: Kept) -> None:
    """Write a record. Not durable: without it, the files are made again."""
    files = {name: digest(record.parent / name) for name in kept.files}
    content = {"key": key, "files": files, "facts": kept.facts, "warnings": kept.warnings, "more": kept.more}
    replace_json(record, content, durable=False)


def content_key(content: Mapping[str, Any]) -> str:
    """Return a digest of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def digests(folder: Path, names: Iterable[str]) -> list[str]:
    """Return the digests of files; empty for one that is not there."""
    return [digest(path) if (path := folder / name).exists() else "" for name in names]


def digest(path: Path) -> str:
    """Return the hexadecimal digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def code_digest(*packages: str) -> str:
    """Return a digest of the modules of packages in `stages`: their results follow from their code, too."""
    modules, root = hashlib.sha256(), Path(__file__).parent
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            modules.update(path.read_bytes())
    return modules.hexdigest()
