"""How often tests repeat what could go on for hours: kills, power cuts, random attacks, examples, damaged files.

All of it with AVATAR_ENDURANCE=full, as CI does; a few of each otherwise. Each has a variable of its own for more.
"""

from __future__ import annotations

import os

from hypothesis import settings

FULL = os.environ.get("AVATAR_ENDURANCE") == "full"


def repeats(variable: str, few: int, many: int) -> int:
    """Return how often, by the environment variable of this name, or else by `FULL`."""
    return int(os.environ.get(variable) or (many if FULL else few))


def configure_examples() -> None:
    """Let hypothesis try fewer examples, and fail none for the time it takes: its own limit of 200 ms is that of a quiet machine.

    A test may say another number; to be called before tests are imported, which take over the rest.
    """
    settings.register_profile("avatard", deadline=None, max_examples=repeats("AVATAR_FUZZ", 25, 100))
    settings.load_profile("avatard")
