"""Bounds the processor time of a block: decoding must end, also where no check of the file's format found the harm."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

#: Where code that must not be interrupted swallows the interruption, it comes again after this. s of processor time
_AGAIN_S = 0.25


class _Over(BaseException):
    """Not an Exception: libraries catch those, and go on."""


@contextlib.contextmanager
def cpu_limit(seconds: float, error: Exception) -> Iterator[None]:
    """Raise `error` once the process has spent `seconds` of processor time inside of the block. Main thread only.

    A call into C is not interrupted before it returns; the stage's own time limit ends it (`daemon.workers.time_limits`).
    """

    def over(_number: int, _frame: FrameType | None) -> None:
        raise _Over

    before = signal.signal(signal.SIGPROF, over)
    try:
        signal.setitimer(signal.ITIMER_PROF, seconds, _AGAIN_S)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except _Over:
        raise error from None
    finally:
        signal.signal(signal.SIGPROF, before)
