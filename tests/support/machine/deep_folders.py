"""A folder that is too deep to be removed by a program that goes into each folder in turn."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

#: More than the calls that Python nests, or the files that a process may have open.
DEPTH = 1500
#: Makes one; also for another user's process, after `path` was set.
SCRIPT = f"""
import os
os.mkdir(path)
os.chdir(path)
for _ in range({DEPTH}):
    os.mkdir("d")
    os.chdir("d")
"""


@contextlib.contextmanager
def deep_folder(path: Path) -> Iterator[Path]:
    """Make one, and remove it at the end."""
    try:
        subprocess.run([sys.executable, "-c", f"path = {str(path)!r}\n{SCRIPT}"], check=True)
        yield path
    finally:
        subprocess.run(["rm", "-rf", str(path)], check=True)
