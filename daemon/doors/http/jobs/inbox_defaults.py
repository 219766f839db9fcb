"""Reads the defaults of the inbox for every job that is handed in, in a time that does not grow with the jobs that wait there."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from typing import Final

from daemon.config import Settings
from daemon.intake.folder_defaults import parsed_defaults, read_defaults_file
from daemon.intake.inbox_names import DEFAULTS, is_defaults
from daemon.jobs.defaults import FolderDefaults

#: How often the inbox is listed for files of defaults whose names are written otherwise, such as `_Defaults.YAML`, in s.
LIST_S: Final = 1.0


class InboxDefaults:
    """The defaults of the inbox itself. The daemon reads them again when it takes a job.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._inbox = settings.paths.inbox
        self._limit = settings.intake.max_manifest_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._others: list[str] = []
        self._due = clock()

    def read(self) -> list[FolderDefaults]:
        """Return the defaults that hold for what is handed in.

        Raises:
            JobError: `defaults-wrong`.
            Postponed: somebody holds a file.
        """
        there: dict[tuple[int, int], str] = {}
        for name in (*DEFAULTS, *self._listed()):
            try:
                info = os.lstat(f"{self._inbox}/{name}")
            except OSError:
                continue
            there.setdefault((info.st_dev, info.st_ino), name)  # one file where capitals count for nothing
        return parsed_defaults([read_defaults_file(self._inbox, name, self._limit) for name in sorted(there.values())])

    def _listed(self) -> list[str]:
        """Return the other names of files of defaults, as they were at the last listing."""
        with self._lock:
            if self._clock() >= self._due:
                with contextlib.suppress(OSError):
                    self._others = [
                        name for name in os.listdir(self._inbox) if is_defaults(name) and name not in DEFAULTS
                    ]
                self._due = self._clock() + LIST_S
            return self._others
