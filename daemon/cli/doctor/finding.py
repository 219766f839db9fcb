"""What `avatar doctor` says of one thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["good", "note", "bad"]


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `remedy` says what to do when it is not good."""

    what: str
    verdict: Verdict
    found: str
    remedy: str = ""
