"""Sends notifications to systemd by the protocol of sd_notify(3). Without NOTIFY_SOCKET, it does nothing."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping


class SystemdNotifier:
    """Sends notifications to systemd.

    Args:
        environment: contains NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, if systemd set them.

    Attributes:
        watchdog_s: time without notification after which systemd kills the service, in s; None: no watchdog.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        watched = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        interval = environment.get("WATCHDOG_USEC", "")
        self.watchdog_s = int(interval) / 1e6 if watched and interval.isdigit() and int(interval) else None

    def send(self, *words: str) -> None:
        """Send assignments such as `READY=1` in one datagram. Errors are ignored."""
        if not self._address:
            return
        # A leading @ means the zero byte of Linux's abstract socket names.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as s:
            s.settimeout(1.0)  # a blocked systemd must not block the queue
            s.sendto("\n".join(words).encode(), address)

    def reloading(self) -> None:
        """Announce a reload of the configuration, which `READY=1` ends. The time identifies this reload."""
        self.send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def extend_timeout(self, seconds: float) -> None:
        """Extend the timeout of start or stop by `seconds` from now."""
        self.send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")
