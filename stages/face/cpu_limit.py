"""Limits the CPU time of a block, so that decoding a malicious picture ends even if no check of its format catches it."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

#: Interval after which the signal is repeated, in case a library swallowed the exception. s of CPU time
_AGAIN_S = 0.25


class _CpuLimitReached(BaseException):
    """Derives from BaseException, because libraries catch Exception and continue."""


@contextlib.contextmanager
def cpu_limit(seconds: float, error: Exception) -> Iterator[None]:
    """Raise `error` once the process has used `seconds` of CPU time inside the block. Main thread only.

    A call into C is interrupted only when it returns; the stage's time limit (`daemon.workers.time_limits`) ends longer ones.
    """

    def over(_number: int, _frame: FrameType | None) -> None:
        raise _CpuLimitReached

    before = signal.signal(signal.SIGPROF, over)
    try:
        signal.setitimer(signal.ITIMER_PROF, seconds, _AGAIN_S)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except _CpuLimitReached:
        raise error from None
    finally:
        signal.signal(signal.SIGPROF, before)
