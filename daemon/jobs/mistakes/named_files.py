"""Finds the files that a manifest with mistakes names, so that one that is not there is told together with the mistakes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from daemon.jobs.kinds import KINDS, keys_without_use
from daemon.jobs.manifest import COMPANIONS, Manifest
from daemon.jobs.manifest_values import FileName
from daemon.jobs.mistakes.key_names import meant_key

_NAME: TypeAdapter[str] = TypeAdapter(FileName)
_FILE = re.compile(r".*\.\w{2,5}")
_LINE = re.compile(rf"""({"|".join(COMPANIONS)}): +(["']?)([^"'#:]*\.\w{{2,5}})\2\s*""", re.IGNORECASE)


def named_files(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the files that a document names, also by a key that is called otherwise: key → name.

    Args:
        values: of the document, without those that are wrong.
    """
    kind = KINDS.get(str(values.get("kind", "video")).strip().casefold())
    unused = keys_without_use(kind) if kind else ()
    found: dict[str, str] = {}
    for written, value in values.items():
        key = written if written in Manifest.model_fields else meant_key(written, Manifest.model_fields)
        if key not in COMPANIONS or key in unused or not isinstance(value, str) or not _FILE.fullmatch(value.strip()):
            continue
        try:
            found.setdefault(key, _NAME.validate_python(value))
        except ValidationError:
            continue
    return found


def named_in_lines(lines: Sequence[str]) -> dict[str, str]:
    """Return the files that the lines of a document name which is no YAML: key → name."""
    return named_files({found[1].lower(): found[3] for found in map(_LINE.fullmatch, lines) if found})
