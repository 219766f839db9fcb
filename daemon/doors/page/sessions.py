"""Keeps who is signed in at the page: a cookie with a random number, whose hash names a small file beside the uploads."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

from daemon.doors.http.incoming import FOLDER
from daemon.system.permissions import check_private, private_folder

#: Name of the cookie.
COOKIE: Final = "avatard_session"
#: A session that nobody uses ends after so long, s; its use is noted so often, s.
LASTS_S: Final = 30 * 86_400.0
_NOTED_S: Final = 3600.0
_TOKEN: Final = re.compile(r"[\w-]{40,60}", re.ASCII)
_MAX_BYTES: Final = 400


class Sessions:
    """The sessions of one installation. All processes of the server share them; they survive restarts.

    Args:
        inbox: the folder in which the server may write.
        clock: seconds since the epoch.
    """

    def __init__(self, inbox: Path, clock: Callable[[], float]) -> None:
        self._folder = inbox / FOLDER
        self._clock = clock

    def begin(self, key_id: str) -> str:
        """Begin the session of an API key; returns what the cookie holds."""
        token = secrets.token_urlsafe(32)
        path = self._path(token)
        private_folder(self._folder)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640), "w") as file:
            json.dump({"key": key_id}, file)
        os.utime(path, (self._clock(), self._clock()))
        self._clear()
        return token

    def key_of(self, token: str) -> str | None:
        """Return the id of the key that began a session; None: there is no such session, or it is over."""
        if not _TOKEN.fullmatch(token):
            return None
        path = self._path(token)
        try:
            check_private(self._folder)  # whoever else could write there could sign in by any key
            with open(path, "rb", opener=_no_link) as file:
                info = os.fstat(file.fileno())
                if info.st_uid != os.geteuid():  # written while others could
                    return None
                age = self._clock() - info.st_mtime
                value = json.loads(file.read(_MAX_BYTES))
        except (OSError, ValueError):
            return None
        if abs(age) > LASTS_S or not isinstance(value, dict):
            return None
        if abs(age) > _NOTED_S:  # also where it was noted by a clock that was ahead
            with contextlib.suppress(OSError):
                os.utime(path, (self._clock(), self._clock()))
        return str(value.get("key", "")) or None

    def end(self, token: str) -> None:
        """End a session."""
        if _TOKEN.fullmatch(token):
            self._path(token).unlink(missing_ok=True)

    def _path(self, token: str) -> Path:
        return self._folder / f".session-{hashlib.sha256(token.encode()).hexdigest()}"

    def _clear(self) -> None:
        """Remove the files of sessions that are over."""
        for path in self._folder.glob(".session-*"):
            with contextlib.suppress(OSError):
                if self._clock() - path.stat().st_mtime > LASTS_S:
                    path.unlink()


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
