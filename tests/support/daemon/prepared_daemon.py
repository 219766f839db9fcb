"""Starts daemons, and commands that have workers, as copies of a process that has imported what they and their workers import.

It saves a third of a second of processor time for each daemon, and more for each worker (`prepared_worker.py`).
Run as a program, it is that process: it copies itself for each request on the socket that it is given, and tells how each copy
ended. A copy is like a daemon that was started by itself, but for its arguments as the kernel lists them.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from daemon import NOT_SENT
from daemon.system.process import die_with
from tests.support.daemon.prepared_worker import prepare, run_to_the_end
from tests.support.machine.server_process import server_process

_ROOT = Path(__file__).resolve().parents[3]
_LONGEST = 1 << 16
#: What `avatar run` imports when it runs.
_IMPORTED = ("daemon.service", "daemon.cli.commands.run", "daemon.telemetry.logs")
#: What changes in the environment by itself: pytest names each test, and libraries set the others when a test uses them. Daemons
#: set what they need of these themselves.
_BY_ITSELF = (
    "PYTEST_CURRENT_TEST",
    "LD_LIBRARY_PATH",  # OpenCV
    "GLOG_minloglevel",  # MediaPipe, by stages.face.landmarker
    "TF_CPP_MIN_LOG_LEVEL",
    "OMP_WAIT_POLICY",  # stages.worker
    "PYDANTIC_DISABLE_PLUGINS",  # daemon.cli
    "RAY_CLIENT_MODE",
    "TORCHINDUCTOR_CACHE_DIR",
    *NOT_SENT,  # daemon
)
#: What a test that reaches into workers changes (`worker_seam.py`): it matters to workers alone, and never to what they import.
_SEAM = ("PYTHONPATH", "TEST_GATES")


class PreparedDaemon:
    """A daemon that was copied, with the methods of `subprocess.Popen` that tests use."""

    def __init__(self, source: _Source, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._source = source

    def poll(self) -> int | None:
        """Return how it ended, as `Popen` does; None while it runs."""
        if self.returncode is None:
            self.returncode = self._source.ended(self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises:
            TimeoutExpired: it still runs after so many seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise subprocess.TimeoutExpired(f"the daemon {self.pid}", timeout or 0.0)
            self._source.await_news(left)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal while it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)


class _Source:
    """The process that is copied, as seen from the tests. It ends with them."""

    def __init__(self) -> None:
        self._socket, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ended: dict[int, int] = {}
        with its:
            command = [sys.executable, "-m", __name__, str(its.fileno())]
            self._process = server_process(
                command, cwd=_ROOT, pass_fds=[its.fileno()], stdin=subprocess.DEVNULL, env=_usual
            )

    def start(
        self, arguments: Sequence[str], environment: dict[str, str], cwd: Path, *out: IO[bytes]
    ) -> PreparedDaemon:
        """Start a copy. `environment`: what it has beside the usual one. `out`: where its output and its errors go."""
        os.umask(umask := os.umask(0o077))
        request = {"arguments": arguments, "environment": environment, "cwd": str(cwd), "umask": umask}
        socket.send_fds(self._socket, [json.dumps(request).encode()], [file.fileno() for file in out])
        started = None
        while started is None:
            started = self._receive()
        return PreparedDaemon(self, started)

    def ended(self, pid: int) -> int | None:
        self._socket.setblocking(False)
        try:
            while True:
                self._receive()
        except BlockingIOError:
            pass
        finally:
            self._socket.setblocking(True)
        return self._ended.pop(pid, None)

    def await_news(self, seconds: float | None) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.select(seconds)

    def _receive(self) -> int | None:
        """Read a message; returns the id of a daemon that has started, or None where one has ended, which is noted."""
        data = self._socket.recv(_LONGEST)
        if not data:
            raise ChildProcessError("the process that is copied for each daemon has ended")
        message: dict[str, int] = json.loads(data)
        if "started" in message:
            return message["started"]
        self._ended[message["ended"]] = message["code"]
        return None


#: The environment of the process that is copied.
_usual: dict[str, str] = {}


def note_environment() -> None:
    """Note the usual environment; to be called before the first test, which may change it."""
    _usual.update(_usual_part(os.environ))


def usual_environment() -> dict[str, str]:
    """Return the environment in which daemons are copied: that before the first test. Libraries that tests import change it."""
    return dict(_usual)


def _usual_part(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in _BY_ITSELF}


@functools.cache
def _source() -> _Source:
    return _Source()


def start_prepared(
    arguments: list[str], environment: dict[str, str], cwd: Path, log: IO[bytes]
) -> PreparedDaemon | None:
    """Start `avatar ARGUMENTS` as a copy; None where its environment is not the usual one, as imports may depend on it."""
    seam = {name: environment[name] for name in _SEAM} if "TEST_GATES" in environment else {}
    return _source().start(arguments, seam, cwd, log, log) if _usual_part(environment) == _usual | seam else None


def run_prepared(arguments: Sequence[str], cwd: Path) -> subprocess.CompletedProcess[str] | None:
    """Run `avatar ARGUMENTS` as a copy, whose workers are copies, too; None where the environment is not the usual one."""
    if _usual_part(os.environ) != _usual:
        return None
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        code = _source().start(arguments, {"COLUMNS": "200"}, cwd, out, errors).wait()
        written = (os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode() for file in (out, errors))
        return subprocess.CompletedProcess(["avatar", *arguments], code, *written)


def _serve(connection: socket.socket) -> list[str]:
    """Copy this process for each request, until the connection ends. Returns in each copy, with its arguments."""
    woken, wakes = socket.socketpair()
    for one in (woken, wakes):
        one.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
    source = os.getpid()
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            if woken in ready:
                woken.recv(_LONGEST)
                _tell_ended(connection)
            if connection not in ready:
                continue
            data, files, _, _ = socket.recv_fds(connection, _LONGEST, 2)
            if not data:
                sys.exit()
            pid = os.fork()
            if not pid:
                break
            for file in files:
                os.close(file)
            connection.send(json.dumps({"started": pid}).encode())
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for one in (woken, wakes, connection):
        one.close()
    return _become(json.loads(data), files, source)


def _tell_ended(connection: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        connection.send(json.dumps({"ended": pid, "code": os.waitstatus_to_exitcode(status)}).encode())


def _become(request: dict[str, Any], out: Sequence[int], source: int) -> list[str]:
    die_with(source)
    for descriptor, file in enumerate(out, start=1):
        os.dup2(file, descriptor)
        os.close(file)
    os.chdir(request["cwd"])
    os.umask(request["umask"])
    os.environ.update(request["environment"])
    arguments: list[str] = request["arguments"]
    return arguments


if __name__ == "__main__":
    for name in _IMPORTED:
        importlib.import_module(name)
    prepare()
    from daemon.cli import main

    arguments = _serve(socket.socket(fileno=int(sys.argv[1])))
    run_to_the_end(lambda: main(arguments))
