"""Runs an engine program and exchanges JSON lines with it, with limits on time and size.

Length and number of its lines are limited, so that a broken program can fail a job but not exhaust memory. The kernel kills
it when this process ends for any reason.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from daemon.errors import escape_unprintable
from daemon.system.process import die_with_parent

#: Longest accepted line, in bytes. A piece has a few hundred phones of about 100 bytes.
LINE_BYTES = 1 << 20
#: Kept of stderr: number of lines, and characters of each.
LAST_LINES, LINE_CHARS = 20, 300
_STOP_S = 2.0


class EngineProcessError(Exception):
    """The program failed: a sentence, with the last lines of its stderr."""


class EngineProcess:
    """A running engine program.

    Args:
        name: the engine, for messages.
        command: program and arguments.
        folder: its working directory.

    Raises:
        EngineProcessError: the program cannot be started.
    """

    def __init__(self, name: str, command: Sequence[str], folder: Path) -> None:
        self.name = name
        self._buffer = b""
        self._last_lines: deque[str] = deque(maxlen=LAST_LINES)
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder, bufsize=0,
                preexec_fn=die_with_parent,
            )  # fmt: skip
        except OSError as exc:
            raise EngineProcessError(f"The engine {name} cannot be started: {command[0]}: {exc.strerror}.") from exc
        self._listener = threading.Thread(target=self._forward_stderr, name=f"{name}-log", daemon=True)
        self._listener.start()

    @property
    def alive(self) -> bool:
        """Whether the program runs."""
        return self._process.poll() is None

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message as one line. Ignores that the program has ended, which `receive` reports."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(json.dumps(message, ensure_ascii=False).encode() + b"\n")

    def receive(self, deadline: float) -> dict[str, Any]:
        """Wait for the next answer.

        Args:
            deadline: on the monotonic clock; a program that has not answered by then is killed.

        Raises:
            EngineProcessError: the program ended, missed the deadline, or sent a line that is not a JSON object.
        """
        while b"\n" not in self._buffer:
            if len(self._buffer) > LINE_BYTES:
                raise self._stop_and_quote(f"The engine {self.name} wrote a line of more than {LINE_BYTES:,} bytes")
            self._buffer += self._read_more(deadline)
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            shown = line[:80].decode(errors="replace")
            raise self._stop_and_quote(f"The engine {self.name} wrote '{shown}'; a JSON object expected")
        return message

    def _read_more(self, deadline: float) -> bytes:
        stdout = self._process.stdout
        assert stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise self._stop_and_quote(f"The engine {self.name} exceeded its time limit")
        data = os.read(stdout.fileno(), 1 << 16)
        if not data:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_S)
            raise self._stop_and_quote(f"The engine {self.name} ended ({_exit_reason(self._process.returncode)})")
        return data

    def stop_with_error(self, why: str) -> EngineProcessError:
        """Stop the program because of an unusable answer, and return the error to raise."""
        return self._stop_and_quote(f"The engine {self.name} {why}")

    def _stop_and_quote(self, sentence: str) -> EngineProcessError:
        self.stop()
        last = " | ".join(self._last_lines)
        return EngineProcessError(
            escape_unprintable(
                f"{sentence}; its last output: {last}" if last else f"{sentence}; it wrote nothing to stderr."
            )
        )

    def stop(self) -> None:
        """Kill the program. It has nothing to save, because its files are used only after it announces them."""
        self._process.kill()
        self._process.wait()
        self._listener.join(_STOP_S)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _forward_stderr(self) -> None:
        """Copy its stderr to ours, and keep the last lines."""
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            while line := stream.readline(4 * LINE_CHARS):
                text = line.decode(errors="replace").strip()[:LINE_CHARS]
                if text:
                    self._last_lines.append(text)
                    print(f"{self.name}: {text}", file=sys.stderr, flush=True)


def _exit_reason(code: int | None) -> str:
    if code is None:
        return "it closed its output"
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
