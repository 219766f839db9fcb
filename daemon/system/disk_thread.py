"""Runs calls on users' files in a thread, one after the other, so that none of them blocks the event loop.

Such a call may wait for a file server, for a lease on a file, or for a large copy. The thread is a daemon thread, so that a
call that never returns does not keep the process from ending.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

#: Time after which an idle thread ends, in s; the next call starts a new one.
IDLE_S = 30.0

#: The calls of `in_thread` that have not returned, with their names.
_in_threads: dict[asyncio.Future[Any], str] = {}

T = TypeVar("T")
_Task = Callable[[], None]


class DiskThread:
    """Runs calls in one thread, in order. `name`: of the thread; `idle_s`: time after which it ends without a call, s."""

    def __init__(self, name: str, idle_s: float = IDLE_S) -> None:
        self._name, self._idle_s = name, idle_s
        self._tasks: queue.SimpleQueue[_Task] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._since: float | None = None

    async def run(self, call: Callable[..., T], *args: Any) -> T:
        """Run a call in the thread and return its result, without blocking the loop. A cancelled call still runs to its end.

        Raises:
            OSError: EAGAIN: no thread can be started; the call was not made.
            Exception: what the call raises.
        """
        loop = self._loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def task() -> None:
            try:
                result = call(*args)
            except BaseException as exc:  # raised in the coroutine that waits
                self.post(_set_exception, future, exc)
            else:
                self.post(_set_result, future, result)

        with self._lock:
            if self._thread is None:
                self._thread = self._start()
            self._tasks.put(task)
        return await future

    def _start(self) -> threading.Thread:
        thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError as exc:  # the machine, or the control group, has reached its limit
            raise OSError(errno.EAGAIN, "No further thread can be started") from exc
        return thread

    def _work(self) -> None:
        while True:
            try:
                task = self._tasks.get(timeout=self._idle_s)
            except queue.Empty:
                with self._lock:
                    if self._tasks.empty():
                        self._thread = None
                        return
                continue
            self._since = time.monotonic()
            task()
            self._since = None

    def post(self, call: Callable[..., object], *args: Any) -> None:
        """Run a call in the event loop: soon and in order if called from this thread, otherwise at once."""
        if self._loop is None or threading.current_thread() is not self._thread:
            call(*args)
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed, so nothing waits
            self._loop.call_soon_threadsafe(call, *args)

    @property
    def busy_s(self) -> float:
        """How long the present call has been running, in s; 0 if there is none."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since


async def in_thread(call: Callable[..., T], *args: Any) -> T:
    """Run a call in a new thread and return its result; see `DiskThread.run`.

    In place of `asyncio.to_thread`, for whose threads the end of the process waits, however long their calls take.
    """
    name = getattr(call, "__name__", "call")
    thread = asyncio.ensure_future(DiskThread(name, idle_s=0.0).run(call, *args))
    _in_threads[thread] = name
    thread.add_done_callback(_in_threads.pop)
    return await asyncio.shield(thread)


async def threads_ended(limit_s: float) -> list[str]:
    """Wait until the calls of `in_thread` have returned, for at most `limit_s` seconds; returns the names of the others."""
    loop = asyncio.get_running_loop()
    if calls := [call for call in _in_threads if call.get_loop() is loop]:
        await asyncio.wait(calls, timeout=limit_s)
    return sorted(_in_threads[call] for call in calls if call in _in_threads)


def _set_result(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _set_exception(future: asyncio.Future[Any], exc: BaseException) -> None:
    if not future.done():
        future.set_exception(exc)
