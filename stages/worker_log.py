"""What stages log goes to the daemon as `log` messages, with the job and the stage: see docs/worker.md.

Python's `logging`, its `warnings`, and exceptions that end a thread are sent. What is written to stderr itself (by C
libraries, and by other programs) stays there: the daemon logs it at debug.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from daemon.errors import shorten

#: Messages of one run of a stage. A stage that logs in a loop must not fill the daemon's log.
LINES = 200
#: Packages whose messages of every level are wanted; those of libraries are from warning on, as in the daemon itself.
_OURS = ("stages", "daemon")
_LEVELS = (("error", logging.ERROR), ("warning", logging.WARNING), ("info", logging.INFO))


class WireLog(logging.Handler):
    """Sends log records of this process to the daemon.

    Args:
        send: sends one message: its event, and its fields.
    """

    def __init__(self, send: Callable[..., None]) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        self._send = send
        self._about: dict[str, str] = {}
        self._count = 0

    def install(self) -> None:
        """Take over what this process logs, its warnings, and the tracebacks of its threads."""
        logging.getLogger().addHandler(self)
        logging.captureWarnings(True)
        threading.excepthook = _thread_ended

    def set_level(self, level: str) -> None:
        """Set the least level that is sent: debug, info, warning or error."""
        least = logging.getLevelNamesMapping()[level.upper()]
        logging.getLogger().setLevel(max(least, logging.WARNING))
        for package in _OURS:
            logging.getLogger(package).setLevel(least)

    @contextmanager
    def about(self, job: str, stage: str) -> Iterator[None]:
        """Name the job and the stage in all messages of the block, of which `LINES` are sent."""
        self._renew({"job": job, "stage": stage})
        try:
            yield
        finally:
            self._renew({})

    def _renew(self, about: dict[str, str]) -> None:
        self.acquire()
        try:
            dropped, before = self._count - LINES, self._about
            self._about, self._count = about, 0
            if dropped > 0:
                text = f"{dropped} more messages were not sent; at most {LINES} are, of one run of a stage."
                self._send("log", level="warning", text=text, **before)
        finally:
            self.release()

    def emit(self, record: logging.LogRecord) -> None:
        self._count += 1
        if self._count > LINES:
            return
        try:
            self._send("log", level=_level(record.levelno), text=shorten(self.format(record).rstrip()), **self._about)
        except Exception:
            self.handleError(record)  # writes it to stderr


def _level(number: int) -> str:
    """The wire's name of a level of `logging`."""
    return next((name for name, least in _LEVELS if number >= least), "debug")


def _thread_ended(args: threading.ExceptHookArgs) -> None:
    """In the place of `threading.excepthook`, which writes to stderr."""
    if args.exc_type is SystemExit:
        return
    name = args.thread.name if args.thread else "?"
    info: Any = (args.exc_type, args.exc_value, args.exc_traceback)
    logging.getLogger(__name__).error("An exception ended the thread %s.", name, exc_info=info)
