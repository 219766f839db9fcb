"""Makes processes end when their parent process ends, in any way, starts programs so, and bounds what they inherit."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Sequence
from typing import IO, Any

_PR_SET_PDEATHSIG, _PR_CAP_AMBIENT, _CLEAR_ALL = 1, 47, 4  # prctl(2)
#: Resolved at import, since nothing may be loaded between fork and exec.
_prctl = ctypes.CDLL(None, use_errno=True).prctl
PIPE_BYTES = 1 << 20
#: For a shell: becomes the program that its arguments name if its parent is still the process whose id is its name.
_IF_PARENT_LIVES = '[ "$PPID" = "$0" ] && exec "$@"'
#: Programs that this process has started: they can be.
_started: set[str] = set()


def die_with_parent() -> None:
    """Have the kernel send SIGKILL to this process when its parent ends. Safe as a `preexec_fn` of `subprocess`."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def die_with(parent: int) -> None:
    """Call `die_with_parent` in a running process; ends it at once if the process `parent` (its id) is gone."""
    die_with_parent()
    if os.getppid() != parent:  # it ended before the kernel was asked
        os._exit(1)


def start_program(command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a program that ends when the thread that called this does; `options` are those of `subprocess.Popen`.

    From its second start on, util-linux's `setpriv` asks the kernel for that, and then a shell looks whether this process had
    ended before. If code of ours had to ask, Python would copy this process first, which takes 5 ms of a process of 250 MB, and
    several times as long on a busy machine.

    Raises:
        OSError: it cannot be started.
    """
    through = _setpriv() if command[0] in _started and os.access(command[0], os.X_OK) else None
    if through is not None:
        return subprocess.Popen([*through, str(os.getpid()), *command], **options)
    process = subprocess.Popen(command, preexec_fn=die_with_parent, **options)
    _started.add(command[0])
    return process


@functools.cache
def _setpriv() -> list[str] | None:
    """The beginning of a command that goes on with this process's id and a program, which then ends with this process; None
    without a shell, or without a `setpriv` that can do so (BusyBox's cannot).
    """
    found, shell = shutil.which("setpriv"), shutil.which("sh")
    if found is None or shell is None:
        return None
    command = [found, "--pdeathsig", "KILL", "--", shell, "-c", _IF_PARENT_LIVES]
    with contextlib.suppress(OSError):
        trial = [*command, str(os.getpid()), found, "--version"]
        if subprocess.run(trial, capture_output=True, stdin=subprocess.DEVNULL, check=False).returncode == 0:
            return command
    return None


def keep_capabilities() -> None:
    """Let programs that this process starts inherit none of its capabilities. It keeps them itself."""
    _prctl(_PR_CAP_AMBIENT, _CLEAR_ALL, 0, 0, 0)


def widen_pipe(pipe: IO[bytes]) -> None:
    """Let a pipe hold a large part of a frame, so that its two processes wait for each other less often."""
    with contextlib.suppress(OSError):  # a smaller pipe is only slower
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


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
