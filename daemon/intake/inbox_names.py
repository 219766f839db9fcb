"""Tells from the names of files in the inbox what they are: manifests, request files, or what a program keeps for itself."""

from __future__ import annotations

import os
import re
from pathlib import Path

from daemon.system.safe_open import open_below, opened_root
from daemon.system.subfolders import INBOX_DEPTH

MANIFESTS = (".yaml", ".yml")
#: Names of the file that holds the defaults of the manifests in its folder and below, in small letters.
DEFAULTS = tuple(f"_defaults{ending}" for ending in MANIFESTS)
#: What people without a shell put beside their files: `hello.cancel` means the job whose result is called hello.
REQUEST_ENDINGS = (".cancel", ".hold", ".release", ".retry")
#: Folder in the inbox in which the doors keep idempotency keys (`daemon/doors/keys.py`).
KEYS = ".keys"
#: Names that programs give to what they have not finished writing.
UNFINISHED = (".tmp", ".part", ".partial", ".filepart", ".crdownload", ".download")
#: Files that Windows and Macs put into every folder that somebody looks into.
_OF_SYSTEMS = frozenset({"desktop.ini", "thumbs.db", "ehthumbs.db", "icon\r"})
#: What synchronisers put in place of a file that they have not brought to this computer: iCloud Drive, Nextcloud, ownCloud.
_PLACEHOLDER = re.compile(r"\.(?P<apple>.+)\.icloud|(?P<other>.+)\.(?:nextcloud|owncloud)", re.IGNORECASE)
#: What such a file means, as a part of a sentence, and what to do about it.
PLACEHOLDER = "the synchroniser has put a placeholder in its place"
HAVE_IT_BROUGHT = "Have it bring the file (iCloud Drive: Download Now; Nextcloud: always available locally)."
#: What synchronisers add to the name of a copy that they put beside a file when two people changed it at once.
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


def is_defaults(name: str) -> bool:
    """Return whether a file holds the defaults of its folder, and so is no job itself."""
    return name[:1] == "_" and name.lower() in DEFAULTS  # asked of every name of a large folder


def resembles_defaults(name: str) -> bool:
    """Return whether a manifest has nearly the name of a file of defaults, as `defaults.yaml`."""
    stem, _, ending = name.lower().rpartition(".")
    return f".{ending}" in MANIFESTS and stem.strip("_-. ") in ("default", "defaults")


def ignored(name: str) -> bool:
    """Return whether a name is never that of a finished drop: hidden, temporary, a lock, or a copy made by a synchroniser."""
    return is_passed_over(name) or is_conflict_copy(name)


def is_only_ending(name: str) -> bool:
    """Return whether a name is nothing but the ending of a manifest or a request: `.yaml`, `.cancel`."""
    return name.lower() in (*MANIFESTS, *REQUEST_ENDINGS)


def is_passed_over(name: str) -> bool:
    """Return whether a program made a file for itself, so that people need no word about it."""
    if is_only_ending(name):
        return False
    if (real := stands_for(name)) is not None and real.lower().endswith((*MANIFESTS, *REQUEST_ENDINGS)):
        return is_passed_over(real)
    return (
        name.startswith((".", "~$", "~lock", "~WR", "#"))
        or name.endswith(("~", "#"))
        or name.lower().endswith(UNFINISHED)
        or name.lower() in _OF_SYSTEMS
    )


def stands_for(name: str) -> str | None:
    """Return the name of the file in whose place a synchroniser has put this one; None for any other file."""
    found = _PLACEHOLDER.fullmatch(name)
    return None if found is None else found["apple"] or found["other"]


def is_conflict_copy(name: str) -> bool:
    """Return whether a file has a name that only a synchroniser gives. Nobody asked for such a copy, so it is no job."""
    return _CONFLICT.search(name) is not None


def has_manifests(inbox: Path) -> bool:
    """Return whether files in the inbox, or in folders that are looked into, have names of manifests."""
    try:
        with opened_root(inbox) as root:
            return _has_manifests(root, ".", 0)
    except OSError:
        return False


def _has_manifests(root: int, folder: str, depth: int) -> bool:
    try:
        descriptor = open_below(root, folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # closed, moved away, or a mount
        return False
    try:
        with os.scandir(descriptor) as entries:
            names = [
                (entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries if not is_passed_over(entry.name)
            ]
    finally:
        os.close(descriptor)
    return any(
        name.lower().endswith(MANIFESTS) and not is_dir and not is_defaults(name) for name, is_dir in names
    ) or any(
        is_dir and depth < INBOX_DEPTH and _has_manifests(root, f"{folder}/{name}", depth + 1) for name, is_dir in names
    )
