"""Sends what stages log to the daemon as `log` messages, with the job and the stage: see docs/worker.md.

It sends Python's `logging` and `warnings`, and exceptions that end a thread. Text written directly to stderr (by C libraries
and other programs) is not sent: the daemon reads stderr and logs it at debug.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from daemon.errors import shorten
from daemon.wire import LogLevel, LogMessage

#: Maximum number of messages per run of a stage: a stage that logs in a loop must not fill the daemon's log.
LINES = 200
#: Packages whose messages of every level are sent; other packages' are sent from warning on, as in the daemon itself.
_OURS = ("stages", "daemon")
_LEVELS: tuple[tuple[LogLevel, int], ...] = (
    ("error", logging.ERROR),
    ("warning", logging.WARNING),
    ("info", logging.INFO),
)


class WorkerLogHandler(logging.Handler):
    """A logging handler that sends the records of this process to the daemon.

    Args:
        send: sends one message.
    """

    def __init__(self, send: Callable[[LogMessage], None]) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        self._send = send
        self._fields: dict[str, str] = {}
        self._count = 0

    def install(self) -> None:
        """Send all log records and warnings of this process and the tracebacks of its threads."""
        logging.getLogger().addHandler(self)
        logging.captureWarnings(True)
        threading.excepthook = _log_thread_exception

    def set_level(self, level: str) -> None:
        """Set the lowest level that is sent: debug, info, warning or error."""
        least = logging.getLevelNamesMapping()[level.upper()]
        logging.getLogger().setLevel(max(least, logging.WARNING))
        for package in _OURS:
            logging.getLogger(package).setLevel(least)

    @contextmanager
    def for_job(self, job: str, stage: str) -> Iterator[None]:
        """Add the job and the stage to all messages of the block; at most `LINES` messages are sent."""
        self._start_run({"job": job, "stage": stage})
        try:
            yield
        finally:
            self._start_run({})

    def _start_run(self, fields: dict[str, str]) -> None:
        self.acquire()
        try:
            dropped, ended = self._count - LINES, self._fields
            self._fields, self._count = fields, 0
            if dropped > 0:
                text = f"{dropped} more messages were not sent: at most {LINES} are sent per run of a stage."
                self._send(LogMessage(level="warning", text=text, **ended))
        finally:
            self.release()

    def emit(self, record: logging.LogRecord) -> None:
        self._count += 1
        if self._count > LINES:
            return
        try:
            text = shorten(self.format(record).rstrip())
            self._send(LogMessage(level=_level(record.levelno), text=text, **self._fields))
        except Exception:
            self.handleError(record)  # writes it to stderr


def _level(number: int) -> LogLevel:
    """Name on the wire of a level of `logging`."""
    return next((name for name, least in _LEVELS if number >= least), "debug")


def _log_thread_exception(args: threading.ExceptHookArgs) -> None:
    """Replacement for `threading.excepthook`, which would write to stderr."""
    if args.exc_type is SystemExit:
        return
    name = args.thread.name if args.thread else "?"
    info: Any = (args.exc_type, args.exc_value, args.exc_traceback)
    logging.getLogger(__name__).error("An exception ended the thread %s.", name, exc_info=info)
