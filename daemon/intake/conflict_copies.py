"""Copies that synchronisers put beside a file when two people changed it at once. Nobody asked for them, so they are no jobs."""

from __future__ import annotations

import re

_PATTERNS = (
    r"\.sync-conflict-",  # Syncthing
    # Dropbox and Nextcloud, in the languages they speak: (Anna's conflicted copy 2026-01-02), (conflicted copy 2026-01-02 120000)
    r"\([^()]*\b(conflicted copy|in konflikt stehende kopie|copie en conflit|copia en conflicto|copia in conflitto)\b[^()]*\)",
    r"\((case|selective sync|unicode encoding|whitespace) conflict[^()]*\)",  # Dropbox
    r"_conflict-\d{8}-\d{6}",  # ownCloud, older Nextcloud
    r"-(DESKTOP|LAPTOP)-[0-9A-Z]{7,8}( ?\(?\d+\)?)?\.[^.]+$",  # OneDrive adds the name of the computer
    r"\[conflict( \d+)?\]",  # Google Drive
    r"\.conflict\.[^.]+$",  # Resilio Sync
)
_CONFLICT = re.compile("|".join(f"(?:{pattern})" for pattern in _PATTERNS), re.IGNORECASE)


def is_conflict_copy(name: str) -> bool:
    """Whether a file has a name that only a synchroniser gives."""
    return _CONFLICT.search(name) is not None
