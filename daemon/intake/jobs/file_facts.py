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

    def is_whole(self, name: str, now: Look) -> bool:
        """Return whether it is whole, and looks like it did at the last look; True where it was not looked at."""
        ...

    def spelled(self, name: str, key: str) -> Spelled:
        """Return the file as it is there, where its name is written a little otherwise."""
        ...

    def resembling(self, name: str) -> tuple[str, ...]:
        """Names of files in its folder that resemble it, the most alike first."""
        ...
