"""Writes the figures of the hooks into a file for node_exporter, since their process listens nowhere."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from daemon.doors.hooks.store import Store

log = structlog.get_logger("hooks")

#: Interval of the file, in s.
FILE_S: Final = 15.0


class MetricsFile:
    """The file `hooks.textfile`.

    Args:
        store: what is told of.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._written = 0.0
        self._failed = False

    def write(self, path: Path | None) -> None:
        """Write it, where one is wanted and the last is older than `FILE_S`. Errors are logged once.

        Raises:
            AvatarError: `hooks-unavailable`.
        """
        if path is None or time.monotonic() - self._written < FILE_S:
            return
        self._written = time.monotonic()
        registry = CollectorRegistry()
        number = Gauge(
            "avatar_hook_deliveries",
            "Deliveries of hooks by state: waiting, delivered (within hooks.keep_days), dead.",
            ["hook", "state"],
            registry=registry,
        )
        age = Gauge(
            "avatar_hook_oldest_waiting_seconds", "Age of the oldest delivery that waits.", ["hook"], registry=registry
        )
        failing = Gauge(
            "avatar_hook_failing_deliveries",
            "Deliveries that wait and were tried in vain.",
            ["hook"],
            registry=registry,
        )
        written = Gauge(
            "avatar_hooks_written_timestamp_seconds",
            "When the hooks wrote these figures, which they do each 15 s while they run.",
            registry=registry,
        )
        written.set_to_current_time()
        for hook, counts in self._store.counts().items():
            for state in ("waiting", "delivered", "dead"):
                number.labels(hook, state).set(counts[state])
            failing.labels(hook).set(counts["failing"] or 0)
            age.labels(hook).set(0 if counts["oldest"] is None else time.time() - counts["oldest"])
        try:
            write_to_textfile(str(path), registry)
        except OSError as exc:
            if not self._failed:
                log.error("hooks.textfile cannot be written", path=str(path), error=str(exc))
            self._failed = True
        else:
            self._failed = False
