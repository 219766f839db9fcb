"""Starts what is measured, so that nothing of it outlives the benchmark, however that ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

from daemon.system.process import die_with_parent


def start_program(command: Sequence[Any], **options: Any) -> subprocess.Popen[Any]:
    """Start a program; `options` are those of `subprocess.Popen`. The kernel kills it when the thread that calls this ends.

    SIGTERM then ends the benchmark as an exception does, so that its services are stopped and its folders removed.
    """
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    return subprocess.Popen([str(part) for part in command], preexec_fn=die_with_parent, **options)
