"""Says in one sentence what a key of a manifest is for: what an error tells where no line can be proposed."""

from __future__ import annotations

import re

from daemon.jobs.manifest import Manifest
from daemon.jobs.manifest_values import GROUPS

_SENTENCE_END = re.compile(r"(?<=\.) ")
#: What a description says of a page, which people who only see the folders do not have.
_PAGE = re.compile(r" \([^()]*docs/[^()]*\)")


def describe_key(path: tuple[str | int, ...]) -> str:
    """Return what a key is for; empty where it is not known. `path`: to its value."""
    owner = GROUPS.get(str(path[0]), Manifest) if len(path) > 1 else Manifest
    field = owner.model_fields.get(str(path[-1])) or Manifest.model_fields.get(str(path[0]))
    return first_sentence(field.description or "") if field else ""


def first_sentence(description: str) -> str:
    """Return what an error says of a key: docs/manifest.md has the rest."""
    return _SENTENCE_END.split(_PAGE.sub("", description), maxsplit=1)[0]
