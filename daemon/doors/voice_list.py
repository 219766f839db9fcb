"""The list of voices as the service published it, for doors that may read only the outbox, and what each calls it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from daemon.errors import JobError
from daemon.outbox.outbox import VOICES
from daemon.system.safe_open import open_inside

#: Largest list of voices that is read, in bytes.
_VOICES_BYTES: Final = 4 * 2**20
#: What lists the voices by HTTP.
BY_HTTP: Final = "`GET /v1/audio/voices`"
#: What the stages name: a file of the outbox, or a command (`stages.tts.engines.voice_hints.all_voices`).
_PLACES: Final = ("voices.txt in the outbox", "`avatar voice list`")


def published_voices(outbox: Path) -> dict[str, Any]:
    """Return the list of voices that the daemon wrote into the outbox; empty before it has."""
    try:
        with open_inside(outbox, VOICES) as fd:
            value = json.loads(os.read(fd, _VOICES_BYTES))
    except (OSError, ValueError, JobError):  # no daemon has run yet
        value = {}
    return value if isinstance(value, dict) else {}


def name_voice_list(text: str, listing: str = BY_HTTP) -> str:
    """Return a sentence that names a listing of voices which its reader has. `listing`: what that is called."""
    for place in _PLACES:
        text = text.replace(f"in {place}", f"by {listing}").replace(place, listing)
    return text


def with_voice_list(status: Mapping[str, Any], listing: str = BY_HTTP) -> Mapping[str, Any]:
    """Return a status whose error and warnings name that listing."""
    told: dict[str, Any] = {}
    if isinstance(error := status.get("error"), Mapping):
        texts = {
            key: name_voice_list(error[key], listing) for key in ("message", "hint") if isinstance(error.get(key), str)
        }
        told["error"] = {**error, **texts}
    if isinstance(warnings := status.get("warnings"), list):
        told["warnings"] = [name_voice_list(one, listing) if isinstance(one, str) else one for one in warnings]
    return {**status, **told} if told else status
