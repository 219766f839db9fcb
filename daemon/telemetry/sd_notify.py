"""What systemd is told, and what it asks for: sd_notify(3), one datagram for each word. Silent where nobody listens."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping


class SystemdNotifier:
    """Args:
    environment: where NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID are looked for.

    Attributes:
        watchdog_s: systemd kills the service when it hears nothing for this long, in s; None: it does not watch.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        watched = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        interval = environment.get("WATCHDOG_USEC", "")
        self.watchdog_s = int(interval) / 1e6 if watched and interval.isdigit() and int(interval) else None

    def send(self, *words: str) -> None:
        """Send assignments such as `READY=1`; they take effect together. Failing to be heard is no reason to stop."""
        if not self._address:
            return
        # A leading @ stands for the zero byte of Linux's abstract names.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as s:
            s.settimeout(1.0)  # a manager that is itself stuck must not hold the queue
            s.sendto("\n".join(words).encode(), address)

    def reloading(self) -> None:
        """The configuration is read anew; `READY=1` ends it. The time lets systemd tell this reload from an older one."""
        self.send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def extend_timeout(self, seconds: float) -> None:
        """Start or stop takes longer, for a good reason."""
        self.send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")
