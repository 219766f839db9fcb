"""What the tests of hostile input look for: a file outside, whose content must be nowhere."""

from __future__ import annotations

import stat
from pathlib import Path

CANARY = b"canary-7d1f0a"


def unread(*roots: Path) -> None:
    """The canary's content is in no file below the folders (but behind links and names people put there themselves)."""
    for root in roots:
        for path in root.rglob("*"):
            info = path.lstat()
            if stat.S_ISREG(info.st_mode) and info.st_nlink == 1:
                assert CANARY not in path.read_bytes(), path
