"""Bounds the wait for calls that may never return, such as asking a file server for its free space."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class BoundedCall(Generic[T]):
    """Repeats one call, each time in a new thread. No call is started while one has not returned, so that a hanging call
    costs one thread. Safe to use from any thread.

    Args:
        patience_s: longest wait for a result, from the start of its call, in s.
    """

    def __init__(self, call: Callable[[], T], patience_s: float = 2.0) -> None:
        self._call, self._patience_s = call, patience_s
        self._lock = threading.Lock()
        self._answer: Future[T] | None = None
        self._began = 0.0
        self._missed = False
        self._late: Future[T] | None = None

    def ask(self) -> T:
        """Return the call's result; starts the call if it is not running.

        Raises:
            TimeoutError: the call has not returned in time.
            Exception: what the call raised.
        """
        with self._lock:
            if self._answer is None or self._answer.done():
                self._late = self._answer if self._missed else None
                self._answer, self._began, self._missed = Future(), time.monotonic(), False
                # Not from a pool, since the interpreter waits for a pool's threads when it exits.
                threading.Thread(target=self._run, args=(self._answer,), name="bounded", daemon=True).start()
            answer, deadline = self._answer, self._began + self._patience_s
        try:
            return answer.result(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            self._missed = True
            raise

    def ask_or_late(self) -> T:
        """Return what `ask` does; where the call takes too long, once, the result of the call before, if that took too long, too.
        So whoever asks at intervals gets the answers of a slow call one interval late, and none of one that hangs.

        Raises:
            TimeoutError: the call has not returned in time.
            Exception: what the call raised.
        """
        try:
            return self.ask()
        except TimeoutError:
            late, self._late = self._late, None
            if late is None:
                raise
            return late.result(0)

    def _run(self, answer: Future[T]) -> None:
        try:
            answer.set_result(self._call())
        except BaseException as exc:
            answer.set_exception(exc)
