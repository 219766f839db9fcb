"""Compares names of files as people and other systems do: with composed letters or not, capitals or not."""

from __future__ import annotations

import unicodedata


def composed(name: str) -> str:
    """Return a name with its letters composed, as most systems write them; Macs may take `ë` apart into two characters."""
    return unicodedata.normalize("NFC", name)


def folded(name: str) -> str:
    """Return what is equal for all names that Windows, macOS or a person may take for the same."""
    return composed(composed(name).casefold())
