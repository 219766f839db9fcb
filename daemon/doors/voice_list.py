"""The list of voices as the service published it, for doors that may read only the outbox."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

from daemon.errors import JobError
from daemon.outbox.outbox import VOICES
from daemon.system.safe_open import open_inside

#: Largest list of voices that is read, in bytes.
_VOICES_BYTES: Final = 4 * 2**20


def published_voices(outbox: Path) -> dict[str, Any]:
    """Return the list of voices that the daemon wrote into the outbox; empty before it has."""
    try:
        with open_inside(outbox, VOICES) as fd:
            value = json.loads(os.read(fd, _VOICES_BYTES))
    except (OSError, ValueError, JobError):  # no daemon has run yet
        value = {}
    return value if isinstance(value, dict) else {}
