"""How often tests repeat what could go on for hours: kills, power cuts, random attacks, damaged files.

All of it with AVATAR_ENDURANCE=full, as CI does; a few of each otherwise. Each has a variable of its own for more.
"""

from __future__ import annotations

import os

FULL = os.environ.get("AVATAR_ENDURANCE") == "full"


def repeats(variable: str, few: int, many: int) -> int:
    """Return how often, by the environment variable of this name, or else by `FULL`."""
    return int(os.environ.get(variable) or (many if FULL else few))
