"""Reads results in JSON, such as the report on a portrait, for doors that show what they say."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from daemon.errors import JobError
from daemon.system.safe_open import open_inside

#: Largest result that is read, in bytes.
_BYTES: Final = 8 * 2**20


def read_report(outbox: Path, status: Mapping[str, Any], ending: str) -> dict[str, Any]:
    """Return a result of a finished job, by the ending of its name; empty where there is none, or it is gone."""
    for output in status.get("outputs") or ():
        if str(output.get("file", "")).endswith(ending):
            try:
                with open_inside(outbox, output["file"]) as fd:
                    value = json.loads(os.read(fd, _BYTES))
            except (OSError, ValueError, JobError):
                return {}
            return value if isinstance(value, dict) else {}
    return {}
