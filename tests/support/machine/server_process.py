"""Starts the servers that tests use, so that none outlives a test run that is killed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

#: Asks the kernel for SIGTERM at the end of the thread that starts a program: servers then end their own children, too.
_UNTIL_THE_TESTS_END = ("setpriv", "--pdeathsig", "TERM", "--")


def server_process(command: Sequence[str | Path], **options: Any) -> subprocess.Popen[bytes]:
    """Start a program that ends with the thread that calls this, in any way; `options` are those of `subprocess.Popen`."""
    through = _UNTIL_THE_TESTS_END if shutil.which("setpriv") else ()
    return subprocess.Popen([*through, *command], **options)
