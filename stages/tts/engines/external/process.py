"""Another program, spoken to in JSON lines: kept alive between requests, never waited for without end, never believed.

Its lines, their number and its complaints are bounded, so that a broken one can cost a job but not the memory. It is
killed by the kernel when this process ends, however that comes about.
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

from daemon.errors import visible
from daemon.system.process import die_with_parent

#: Longest line taken, in bytes. A piece has some hundred phones of about 100 bytes.
LINE_BYTES = 1 << 20
#: Complaints kept: lines, and characters of each.
LAST_LINES, LINE_CHARS = 20, 300
_STOP_S = 2.0


class EngineProcessError(Exception):
    """The program did not do its part: a sentence about it, with its last words."""


class EngineProcess:
    """A running program.

    Args:
        name: what messages call it.
        command: program and arguments.
        folder: its working directory.

    Raises:
        ProgramError: it cannot be started.
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
        return self._process.poll() is None

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one line. That the program has ended is noticed by whoever reads the answer."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(json.dumps(message, ensure_ascii=False).encode() + b"\n")

    def receive(self, deadline: float) -> dict[str, Any]:
        """The next answer.

        Args:
            deadline: on the monotonic clock; a program that says nothing until then is killed.

        Raises:
            ProgramError: it ended, was silent too long, or said what is no JSON object.
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
            raise self._stop_and_quote(f"The engine {self.name} wrote '{shown}' where a JSON object should be")
        return message

    def _read_more(self, deadline: float) -> bytes:
        stdout = self._process.stdout
        assert stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise self._stop_and_quote(f"The engine {self.name} took longer than it may")
        data = os.read(stdout.fileno(), 1 << 16)
        if not data:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_S)
            raise self._stop_and_quote(f"The engine {self.name} ended ({_exit_reason(self._process.returncode)})")
        return data

    def stop_with_error(self, why: str) -> EngineProcessError:
        """End it, because what it said cannot be used."""
        return self._stop_and_quote(f"The engine {self.name} {why}")

    def _stop_and_quote(self, sentence: str) -> EngineProcessError:
        self.stop()
        last = " | ".join(self._last_lines)
        return EngineProcessError(
            visible(f"{sentence}; its last words: {last}" if last else f"{sentence}; it said nothing.")
        )

    def stop(self) -> None:
        """Kill it. It has nothing to save: what it makes is only used when it says so."""
        self._process.kill()
        self._process.wait()
        self._listener.join(_STOP_S)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _forward_stderr(self) -> None:
        """Keep its last complaints, and pass them on to our log."""
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
