"""A folder under a real watch, whose inbox has its clock in the hand of the test."""

from __future__ import annotations

import threading
from pathlib import Path

from daemon.config import Settings
from daemon.config.settings import Intake
from daemon.intake.file_writers import FileWriters, Writing
from daemon.intake.scanner import InboxScanner
from daemon.intake.watcher import Watcher
from tests.conftest import wait_for

SETTLE_S, UNKNOWN_S, PATIENCE_S = 2.0, 10.0, 100.0


class Watched:
    """A folder under a real watch, whose inbox has its clock in the test's hand."""

    def __init__(self, root: Path) -> None:
        self.root, self.now, self.heard = root, 0.0, threading.Event()
        self.writers = FileWriters(str(root))
        limits = Intake(settle_s=SETTLE_S, settle_unknown_s=UNKNOWN_S, settle_mb_s=1.0, companion_wait_s=PATIENCE_S)
        self.inbox = InboxScanner(root, Settings(intake=limits), lambda: self.now, self.writers)
        self.watcher = Watcher(self.heard.set)
        self.watcher.watch(root, "inotify", recursive=True, writers=self.writers)
        self.watcher.start()

    def becomes(self, name: str, state: Writing) -> None:
        """Wait until the kernel's notifications tell a file to be in a state."""
        wait_for(f"{name} to be known as {state.value}", lambda: self.writers.of(name) is state)

    def whole(self, name: str, after_s: float = 0.0) -> bool:
        """Look again `after_s` seconds later by the test's clock; returns whether the file counts as whole."""
        self.now += after_s
        self.inbox.look()
        return self.inbox.still(name)


def kept_notifications() -> int:
    """How many notifications the kernel keeps for one watcher. A setting of the whole machine, so no test changes it."""
    return int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
