"""Reads the daemon's requests in a thread, so that a running stage learns that its job was cancelled."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable, Iterator

from daemon.wire import CancelRequest, InitRequest, PreloadRequest, RunRequest, read_request

_CHUNK = 1 << 16


class StageCancelled(BaseException):
    """The job was cancelled, and its stage ends here. No `Exception`: a stage's own handlers must not take it for a fault."""


class Requests:
    """The requests that come through a file descriptor.

    A cancel is not handed out: it is noted at once, and `check` raises it in the stage.

    Attributes:
        idle_s: see `__init__`; None: for any time.
    """

    def __init__(self, descriptor: int, on_idle: Callable[[], None] = lambda: None) -> None:
        """Take the descriptor of the input; nothing is read yet. `on_idle` is called where no request came for `idle_s`."""
        self.idle_s: float | None = None
        self._descriptor, self._on_idle = descriptor, on_idle
        self._waiting: queue.SimpleQueue[InitRequest | RunRequest | PreloadRequest | Exception | None] = (
            queue.SimpleQueue()
        )
        self._cancelled = ""

    def __iter__(self) -> Iterator[InitRequest | RunRequest | PreloadRequest]:
        """Yield requests until the input is closed.

        Raises:
            ValueError: a line is no request.
        """
        threading.Thread(target=self._read, name="requests", daemon=True).start()
        while (request := self._next()) is not None:
            if isinstance(request, Exception):
                raise request
            yield request

    def _next(self) -> InitRequest | RunRequest | PreloadRequest | Exception | None:
        with contextlib.suppress(queue.Empty):
            return self._waiting.get(timeout=self.idle_s)
        self._on_idle()
        return self._waiting.get()

    def check(self, job: str) -> None:
        """Raise `StageCancelled` if the job was cancelled; called by its stage, from any thread."""
        if self._cancelled == job:
            raise StageCancelled

    def _read(self) -> None:
        try:
            for line in self._lines():
                request = read_request(line)
                if isinstance(request, CancelRequest):
                    self._cancelled = request.job
                    continue
                if isinstance(request, RunRequest):
                    self._cancelled = ""  # a late cancel of an earlier run must not end a retry of the same job
                self._waiting.put(request)
        except Exception as exc:
            self._waiting.put(exc)
        else:
            self._waiting.put(None)

    def _lines(self) -> Iterator[bytes]:
        # Not `sys.stdin`: a thread that waits in it at the end of the process holds its lock, and Python aborts.
        held = b""
        while chunk := os.read(self._descriptor, _CHUNK):
            *lines, held = (held + chunk).split(b"\n")
            yield from lines
