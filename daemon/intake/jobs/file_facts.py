"""What the builder of jobs asks of the inbox: what its looks have found of the files that manifests name."""

from __future__ import annotations

from typing import Protocol

from daemon.intake.companion_names import Spelled
from daemon.intake.drop import Look


class FileFacts(Protocol):
    """What the looks at the inbox have found of a file, by its path below the inbox."""

    def still_s(self, name: str) -> float:
        """For how long it has been seen unchanged, in s."""
        ...

    def size(self, name: str) -> int:
        """Its bytes at the last look; 0 where that is not known."""
        ...

    def whole_in(self, name: str, now: Look) -> float:
        """Seconds until it counts as whole if it goes on looking like `now`: 0 where it does, or was not looked at; infinity
        while somebody writes to it.
        """
        ...

    def spelled(self, name: str, key: str) -> Spelled:
        """Return the file as it is there, where its name is written a little otherwise."""
        ...

    def resembling(self, name: str) -> tuple[str, ...]:
        """Names of files in its folder that resemble it, the most alike first."""
        ...
