"""`make demo-ui`: start the daemon and the HTTP server on config.yaml, hand in the example job, and show the page until Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import webbrowser
from pathlib import Path

from daemon.cli.common import Shell
from daemon.doors.page.address import page_address
from daemon.errors import AvatarError
from tools import demo

#: Port of the server where it is free, else any.
PORT = 8000
LOG = demo.ROOT / "spool" / "demo-server.log"


def free_port() -> int:
    """Return `PORT`, or another that nobody listens on."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            one.bind(("127.0.0.1", PORT))
            return PORT
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def serve(port: int) -> subprocess.Popen[bytes]:
    """Start the HTTP server, and wait until it answers.

    Raises:
        SystemExit: it ended, or does not answer; the message is its log.
    """
    command = [Path(sys.executable).with_name("avatar"), "--config", demo.ROOT / "config.yaml", "server", "start"]
    with LOG.open("wb") as out:
        server = subprocess.Popen([*command, "--port", str(port)], cwd=demo.ROOT, stdout=out, stderr=out)
    deadline = time.monotonic() + demo.START_S
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
            return server
        if server.poll() is not None or time.monotonic() > deadline:
            server.kill()
            raise SystemExit(LOG.read_text(errors="replace") or "demo-ui: the server did not start")
        time.sleep(0.05)


def main() -> int:
    """Run until Ctrl-C or SIGTERM, or until the server ends; returns the exit code."""
    shell = Shell(str(demo.ROOT / "config.yaml"))
    for end in (signal.SIGTERM, signal.SIGINT):
        signal.signal(end, lambda *_: sys.exit(0))
    started = [demo.start(shell)]
    try:
        if started[0] is not None:
            demo.wait_for_lock(shell, started[0])
        demo.drop(shell)
        port = free_port()
        started.insert(0, server := serve(port))
        address = page_address(port)
        print(f"demo-ui: {address} is open to this machine alone. Ctrl-C ends it.", flush=True)
        if sys.stdout.isatty() and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            webbrowser.open(address)
        server.wait()
        return 1
    finally:
        for process in filter(None, started):
            process.send_signal(signal.SIGTERM)
            process.wait(60)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except AvatarError as exc:
        sys.exit(f"demo-ui: {exc}")
