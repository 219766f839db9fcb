"""Sends log entries with their fields to journald by its native protocol: `journalctl JOB_ID=job-…` finds those of one job.

https://systemd.io/JOURNAL_NATIVE_PROTOCOL: a datagram of NAME=value lines; a value with a line break is sent as the name, a
line break, its length in 8 bytes, and the value. An entry too long for a datagram is sent as a sealed memory file.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import socket
import struct
from collections.abc import Mapping
from typing import Any

SOCKET = "/run/systemd/journal/socket"
#: Priorities of syslog(3) for structlog's levels.
PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
#: Field names without prefix, for frequent searches; all other fields get a prefix, so that none collides with journald's.
PLAIN = {"job_id": "JOB_ID", "stage": "STAGE", "lane": "LANE", "code": "CODE"}
PREFIX = "AVATAR_"
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


def leads_to_journal(fd: int = 2, environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether a file descriptor is connected to journald, which systemd announces in JOURNAL_STREAM."""
    try:
        info = os.fstat(fd)
    except OSError:
        return False
    return environment.get("JOURNAL_STREAM") == f"{info.st_dev}:{info.st_ino}" and os.path.exists(SOCKET)


def journal_fields(event: Mapping[str, Any]) -> dict[str, str]:
    """Return the journal fields of one structlog event. MESSAGE contains all values, since `journalctl` shows only it."""
    rest = {key: value for key, value in event.items() if key not in ("event", "level", "timestamp", "exception")}
    words = [
        str(event.get("event", "")),
        *(f"{key}={_text(value)}" for key, value in rest.items() if value is not None),
    ]
    message = " ".join(words)
    if trace := event.get("exception"):
        message += f"\n{trace}"
    named = {PLAIN.get(key, PREFIX + _name(key)): _text(value) for key, value in rest.items() if value is not None}
    return {
        "MESSAGE": message,
        "PRIORITY": str(PRIORITIES.get(str(event.get("level")), 6)),
        "SYSLOG_IDENTIFIER": "avatard",
        **named,
        "AVATAR_EVENT": str(event.get("event", "")),
    }


def _name(key: str) -> str:
    return re.sub(r"[^A-Z0-9_]", "_", key.upper())[:50]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def encode_entry(entry: Mapping[str, str]) -> bytes:
    """Encode the fields of one entry in journald's native protocol."""
    parts = []
    for name, text in entry.items():
        value = text.encode("utf-8", "replace")
        if b"\n" in value:
            parts.append(name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n")
        else:
            parts.append(name.encode() + b"=" + value + b"\n")
    return b"".join(parts)


class JournalSocket:
    """Sends entries to journald. Errors are ignored, since logging must not stop the work."""

    def __init__(self, address: str = SOCKET) -> None:
        self._address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)

    def send(self, **event: Any) -> None:
        """Send one structlog event."""
        with contextlib.suppress(OSError, ValueError):
            data = encode_entry(journal_fields(event))
            try:
                self._socket.sendto(data, self._address)
            except OSError as exc:
                if exc.errno not in (errno.EMSGSIZE, errno.ENOBUFS):
                    raise
                self._send_long(data)

    def _send_long(self, data: bytes) -> None:
        fd = os.memfd_create("journal-entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.write(fd, data)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", fd))]
            self._socket.sendmsg([b""], ancillary, 0, self._address)
        finally:
            os.close(fd)

    log = debug = info = warning = warn = error = critical = exception = fatal = failure = err = send
