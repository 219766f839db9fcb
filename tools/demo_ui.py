"""`make demo-ui`: start the daemon and the HTTP server on config.yaml, and open the page, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import webbrowser

from demo import LOG, ROOT, start, wait_for_lock, wait_until

from daemon.cli.common import Shell
from daemon.errors import AvatarError

FIRST_PORT, PORTS = 8000, 50


def free_port() -> int:
    """Return the first port from 8000 on that nobody uses."""
    for port in range(FIRST_PORT, FIRST_PORT + PORTS):
        if not _answers(port):
            return port
    raise SystemExit(f"demo: no port from {FIRST_PORT} to {FIRST_PORT + PORTS - 1} is free")


def main() -> int:
    """Serve until Ctrl-C; returns the exit code."""
    shell = Shell(str(ROOT / "config.yaml"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # what was started ends with it
    daemon = start(shell)
    port = free_port()
    log = LOG.with_name("demo-ui.log")
    with log.open("wb") as out:
        command = [sys.executable, "-m", "daemon.cli", "--config", str(ROOT / "config.yaml"), "server", "start"]
        server = subprocess.Popen([*command, "--port", str(port)], cwd=ROOT, stdout=out, stderr=out)
    try:
        if daemon is not None:
            wait_for_lock(shell, daemon)
        wait_until(lambda: _answers(port), server, log)
        address = f"http://127.0.0.1:{port}/ui/"
        print(f"demo: the page is {address} (examples/portrait.png is a picture to try). Ctrl-C ends it.", flush=True)
        # Without a display, a browser in the terminal would hide what is said here.
        if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
            webbrowser.open(address)
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        for process in (server, daemon):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(60)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except AvatarError as exc:
        sys.exit(f"demo: {exc}")
