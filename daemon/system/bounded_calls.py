"""Calls that may never return, such as asking a file server for its free space, made so that nobody waits long for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class BoundedCall(Generic[T]):
    """Makes one call again and again, each in a thread of its own. While one has not returned, no other is begun: a call that
    hangs costs one thread, however often it is asked for. May be used from any thread.

    Args:
        patience_s: how long an answer is waited for, from when its call began.
    """

    def __init__(self, call: Callable[[], T], patience_s: float = 2.0) -> None:
        self._call, self._patience_s = call, patience_s
        self._lock = threading.Lock()
        self._answer: Future[T] | None = None
        self._began = 0.0

    def ask(self) -> T:
        """The call's result.

        Raises:
            TimeoutError: there is none yet.
            Exception: what the call raised.
        """
        with self._lock:
            if self._answer is None or self._answer.done():
                self._answer, self._began = Future(), time.monotonic()
                # Not of a pool: the interpreter waits for a pool's threads when it ends.
                threading.Thread(target=self._run, args=(self._answer,), name="bounded", daemon=True).start()
            answer, deadline = self._answer, self._began + self._patience_s
        return answer.result(max(0.0, deadline - time.monotonic()))

    def _run(self, answer: Future[T]) -> None:
        try:
            answer.set_result(self._call())
        except BaseException as exc:
            answer.set_exception(exc)
