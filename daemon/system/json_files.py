"""JSON files: how their content looks, how an old one is replaced, and how strictly their fields are read."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon.system import fs

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

#: Files that are overwritten in place are padded to a multiple of this, so that most keep their size.
BLOCK_BYTES = 4096


def replace_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Replace a file's content with JSON, as `daemon.system.fs.replace_bytes` does."""
    fs.replace_bytes(path, dump_json(value), durable=durable)


def replace_all_json(values: Mapping[Path, Any]) -> None:
    """Replace files in one folder, or create them, each with JSON. All are flushed together.

    Raises:
        OSError: some may be replaced; no temporary file is left.
    """
    temporary = {path: path.with_name(f".{path.name}.tmp") for path in values}
    try:
        for path, value in values.items():
            fs.OPS.write(temporary[path], dump_json(value), sync=False)
        fs.OPS.sync_all(list(temporary.values()))
        for path in values:
            fs.rename(temporary[path], path)
    except OSError:
        for left in temporary.values():
            with contextlib.suppress(OSError):
                fs.remove(left)
        raise
    for folder in {path.parent for path in values}:
        fs.OPS.sync_dir(folder)


def replace_json_best_effort(path: Path, value: Any) -> None:
    """Replace a file with JSON for information only: errors are ignored, and nothing is durable.

    On a full disk there is no space for a new file, so the old one, which is padded, is overwritten in place.
    """
    data = padded(dump_json(value))
    try:
        fs.replace_bytes(path, data, durable=False)
    except OSError:
        with contextlib.suppress(OSError):
            fs.OPS.overwrite(path, data)


def padded(data: bytes) -> bytes:
    """Return JSON with blanks at its end, up to a multiple of `BLOCK_BYTES`."""
    return data + b" " * (-len(data) % BLOCK_BYTES)


def dump_json(value: Any) -> bytes:
    """Return indented JSON; non-ASCII text is escaped only if a file name in it is not valid Unicode."""
    try:
        return json.dumps(value, ensure_ascii=False, indent=1).encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(value, indent=1).encode() + b"\n"


def dump_lines(value: dict[str, Any]) -> bytes:
    """Return JSON with one line for each key: ten times faster than `dump_json`, for files that are written often."""
    try:
        lines = [f"{json.dumps(key)}: {json.dumps(item, ensure_ascii=False)}" for key, item in value.items()]
        return ("{" + ",\n ".join(lines) + "}\n").encode()
    except UnicodeEncodeError:
        return dump_json(value)


@dataclass(frozen=True)
class StoredAs:
    """Makes pydantic read a field as another type than the one that it is annotated with.

    A `TypedDict` says which keys this version writes into a JSON object. A file may be from another version, so reading one must
    neither refuse it nor drop keys: `Annotated[Held, StoredAs(dict[str, Any])]`.

    Attributes:
        stored: what is checked when it is read.
    """

    stored: Any

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema of the stored type."""
        return handler.generate_schema(self.stored)
