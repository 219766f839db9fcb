"""Says which folders are not watched because a limit of inotify is reached, and what to do."""

from __future__ import annotations

import errno
from typing import NamedTuple

from daemon.errors import MachineError

WATCHES, INSTANCES = "fs.inotify.max_user_watches", "fs.inotify.max_user_instances"
#: Error of the kernel → the limit that is reached.
LIMITS = {errno.ENOSPC: WATCHES, errno.EMFILE: INSTANCES}
#: The value that is proposed.
_ENOUGH = {WATCHES: 1_048_576, INSTANCES: 1024}


class Unwatched(NamedTuple):
    """Folders whose changes are not announced.

    Attributes:
        limit: the kernel's setting that is reached.
        folders: how many.
        first: one of them, by its path below the inbox; empty: the inbox itself, and all in it.
    """

    limit: str
    folders: int = 1
    first: str = ""


def unwatched_error(unwatched: Unwatched, poll_s: float) -> MachineError:
    """Return what people are told. Nothing pauses for it."""
    number = f"{unwatched.folders} folder{'s' if unwatched.folders > 1 else ''}"
    where = f"{number} in the inbox, such as {unwatched.first}," if unwatched.first else "the inbox"
    return MachineError(
        "inbox-unwatched",
        f"The kernel does not announce changes in {where} since {unwatched.limit} is reached; the inbox is scanned every "
        f"{poll_s:g} s instead.",
        f"As root: `sysctl {unwatched.limit}={_ENOUGH[unwatched.limit]}`, the same in /etc/sysctl.d, and restart the service.",
    )
