"""Makes processes end when their parent process ends, in any way."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1  # prctl(2)
#: Resolved at import, since nothing may be loaded between fork and exec.
_prctl = ctypes.CDLL(None, use_errno=True).prctl


def die_with_parent() -> None:
    """Have the kernel send SIGKILL to this process when its parent ends. Safe as a `preexec_fn` of `subprocess`."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def die_with(parent: int) -> None:
    """Call `die_with_parent` in a running process; ends it at once if the process `parent` (its id) is gone."""
    die_with_parent()
    if os.getppid() != parent:  # it ended before the kernel was asked
        os._exit(1)
