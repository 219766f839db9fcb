"""Starts the command `avatar`, so that Ctrl-C ends it without a traceback also while it is still being imported."""

from __future__ import annotations

import os
import sys

#: What a shell says of a program that Ctrl-C ended.
INTERRUPTED = 130

try:
    # The first modules here that Python itself has not imported yet.
    import signal
    from typing import TYPE_CHECKING
except KeyboardInterrupt:
    os._exit(INTERRUPTED)

if TYPE_CHECKING:
    from types import FrameType


def main() -> None:
    """Run the command line with the arguments of this process."""
    heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # what a script starts with `&` ignores it
    if heeded:
        signal.signal(signal.SIGINT, _leave)  # an exception would leave modules half imported
    from daemon.cli import main as run

    try:
        if heeded:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    finally:
        if heeded:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # the work is done; what is left is to end


def _leave(signum: int, frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)
