"""Commands of `avatar` in the process of the tests: a process of its own for each would spend most of its time on imports."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import structlog

from daemon.cli import main


def run_command(args: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run one command in a folder, as `python -m daemon.cli` does: the answer has its exit code and what it wrote."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with _as_a_process(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(args)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(bool(end.code))
        else:
            code = 0
    written = (stream.buffer.getvalue().decode() for stream in (out, err))
    return subprocess.CompletedProcess(["avatar", *args], code, *written)


@contextlib.contextmanager
def _as_a_process(folder: Path) -> Iterator[None]:
    """Put back what ends with a process: its folder, environment, umask, signals, input and logs."""
    before, environment, mask = Path.cwd(), dict(os.environ), os.umask(0o022)
    os.umask(mask)
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    root = logging.getLogger()
    handlers, level, structured = list(root.handlers), root.level, structlog.get_config()
    given = sys.stdin
    os.chdir(folder)
    os.environ["COLUMNS"] = "200"
    try:
        with Path(os.devnull).open() as sys.stdin:
            yield
    finally:
        sys.stdin = given
        structlog.configure(**structured)
        root.handlers[:] = handlers
        root.setLevel(level)
        for number, handler in signals.items():
            signal.signal(number, handler)
        os.umask(mask)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(before)
