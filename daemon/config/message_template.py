"""Fills the places of a message's template, such as {name} or {error.message}, with what is known of a job."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

#: Places, and how their value is found in a message: its keys one after the other.
PLACES: Final[dict[str, str]] = {
    "id": "id of the message, the same at each attempt",
    "type": "job.done, job.failed, job.cancelled; of batches batch.done and so on",
    "job": "id of the job",
    "name": "name of its results",
    "state": "done, failed or cancelled",
    "kind": "kind of the job",
    "by": "who handed it in",
    "source": "path of its manifest in the inbox",
    "accepted": "when it was taken in",
    "finished": "when it ended",
    "output": "path of its main result below the outbox",
    "text": "the beginning of its text",
    "next": "what to do next, a sentence",
    "error.code": "code of its error",
    "error.message": "what is wrong, a sentence",
    "error.hint": "what to do about it, a sentence",
    "tags": "its tags, with commas between them",
}
#: What is no such name between braces stays as it is: templates are JSON mostly.
_PLACE: Final = re.compile(r"\{([a-z_]+(?:\.[a-z_]+)?)\}")


def unknown_places(template: str) -> list[str]:
    """Return the names between braces that are no places."""
    return [name for name in _PLACE.findall(template) if name not in PLACES]


def fill(template: str, values: Mapping[str, Any], *, escape_json: bool) -> str:
    """Return a template with the values of its places; a place without a value is empty.

    Values cannot leave their place: for JSON they are escaped as a string's content. In other text each is one line without
    control characters, so that none can begin a new line of a mail's head, for example.
    """
    escape: Callable[[str], str] = _as_json if escape_json else _as_line
    return _PLACE.sub(lambda found: escape(_text(values.get(found[1]))), template)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _as_json(text: str) -> str:
    return json.dumps(text)[1:-1]


def _as_line(text: str) -> str:
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
