"""Makes processes end when their parent process ends, in any way, and bounds what they inherit."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import stat
from typing import IO

_PR_SET_PDEATHSIG, _PR_CAP_AMBIENT, _CLEAR_ALL = 1, 47, 4  # prctl(2)
#: Resolved at import, since nothing may be loaded between fork and exec.
_prctl = ctypes.CDLL(None, use_errno=True).prctl
_PIPE_BYTES = 1 << 20


def die_with_parent() -> None:
    """Have the kernel send SIGKILL to this process when its parent ends. Safe as a `preexec_fn` of `subprocess`."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def die_with(parent: int) -> None:
    """Call `die_with_parent` in a running process; ends it at once if the process `parent` (its id) is gone."""
    die_with_parent()
    if os.getppid() != parent:  # it ended before the kernel was asked
        os._exit(1)


def keep_capabilities() -> None:
    """Let programs that this process starts inherit none of its capabilities. It keeps them itself."""
    _prctl(_PR_CAP_AMBIENT, _CLEAR_ALL, 0, 0, 0)


def widen_pipe(pipe: IO[bytes]) -> None:
    """Let a pipe hold a large part of a frame, so that its two processes wait for each other less often."""
    with contextlib.suppress(OSError):  # a smaller pipe is only slower
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def close_pipes(keep: int) -> None:
    """Close all pipes and sockets of this process but its standard ones and the descriptor `keep`.

    For a process that was forked and not replaced by a program: a pipe ends only when every process has closed it.
    """
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        with contextlib.suppress(OSError):  # the folder's own descriptor
            mode = os.fstat(descriptor).st_mode
            if descriptor > 2 and descriptor != keep and (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
                os.close(descriptor)
