"""Marks the short jobs by which the page checks a picture or lets a voice be heard: they are nobody's results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

#: Begins the names of their files.
PREFIX: Final = "page-look-"
#: Their tag, in the `metadata` of the manifest.
TAG: Final = "page-look"
#: What they leave is removed after so many days.
KEPT_DAYS: Final = 1.0


def marked() -> dict[str, Any]:
    """Return what the manifest of such a job says beside its work."""
    return {"metadata": {"tags": [TAG]}}


def is_look(name: str, metadata: Any) -> bool:
    """Return whether a job is such a one. `name`: of its result; `metadata`: of its manifest, which people may have written."""
    tags = metadata.get("tags") if isinstance(metadata, Mapping) else None
    return name.startswith(PREFIX) and isinstance(tags, list) and TAG in tags
