"""Starts the program of a hook, and bounds its time and its output."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from daemon.system.process import start_program

#: So much of what a program prints is kept; the rest is read and thrown away, so that it never waits for us.
OUTPUT_BYTES: Final = 4096
_CHUNK: Final = 65_536
#: How often a program whose output has ended is looked at, in s.
_LOOK_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended. `code`: None where it was killed at its time limit. `output`: the beginning of what it printed."""

    code: int | None
    output: str
    cut: bool


def run_command(command: Sequence[str], message: bytes, environment: Mapping[str, str], timeout_s: float) -> Ended:
    """Run a program with a message on its stdin. It and what it started is killed at the time limit, and at its end what it
    left behind in its group.

    Must be called in a thread that lives as long as the program may.

    Raises:
        OSError: it cannot be started.
    """
    deadline = time.monotonic() + timeout_s
    process = start_program(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **environment},
        start_new_session=True,
    )
    try:
        output, cut = _exchange(process, message, deadline)
        code = _wait(process, deadline)
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
    return Ended(code, output.decode("utf-8", "replace"), cut)


def _wait(process: subprocess.Popen[bytes], deadline: float) -> int | None:
    """Return the exit code; None if the program has not ended in time."""
    while (code := process.poll()) is None and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
    return code


def _exchange(process: subprocess.Popen[bytes], message: bytes, deadline: float) -> tuple[bytes, bool]:
    """Write the message and read the output until the program ends, closes both, or its time is over.

    Returns:
        The beginning of the output, and whether there was more.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    kept, cut, rest = bytearray(), False, memoryview(message)
    with selectors.DefaultSelector() as selector:
        for pipe, event in ((process.stdin, selectors.EVENT_WRITE), (process.stdout, selectors.EVENT_READ)):
            os.set_blocking(pipe.fileno(), False)
            selector.register(pipe, event)
        while selector.get_map() and (left := deadline - time.monotonic()) > 0 and process.poll() is None:
            # A program may end while what it started keeps the pipe open: it is looked at now and then.
            for key, _ in selector.select(min(left, 0.2)):
                if key.fileobj is process.stdin:
                    rest = _write(process, rest)
                    if not rest:
                        selector.unregister(process.stdin)
                        with contextlib.suppress(OSError):
                            process.stdin.close()
                    continue
                cut |= _keep(kept, chunk := os.read(key.fd, _CHUNK))
                if not chunk:
                    selector.unregister(process.stdout)
        with contextlib.suppress(BlockingIOError):  # what it printed last
            while len(kept) < OUTPUT_BYTES and (chunk := os.read(process.stdout.fileno(), _CHUNK)):
                cut |= _keep(kept, chunk)
    return bytes(kept), cut


def _write(process: subprocess.Popen[bytes], rest: memoryview) -> memoryview:
    """Write what the pipe takes; returns what is left: nothing if the program does not read."""
    assert process.stdin is not None
    try:
        return rest[os.write(process.stdin.fileno(), rest[:_CHUNK]) :]
    except BlockingIOError:
        return rest
    except BrokenPipeError:  # it does not want it all
        return rest[:0]


def _keep(kept: bytearray, chunk: bytes) -> bool:
    """Add to the output; returns whether a part of it was left out."""
    room = OUTPUT_BYTES - len(kept)
    kept += chunk[:room]
    return len(chunk) > room
