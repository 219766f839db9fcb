"""Says who sends a request: by an API key, or, on this machine alone and without any key, whoever it is."""

from __future__ import annotations

import os
import pwd
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from daemon.doors.http.api_keys import ApiKeys, Limits, Role
from daemon.doors.http.incoming import FOLDER
from daemon.doors.http.problems import RequestError
from daemon.errors import ConfigError
from daemon.system.permissions import private_folder

#: How often it is noted that a key was used, s.
USED_S: Final = 60.0
_BEARER = re.compile(r"Bearer +(\S{1,200})", re.IGNORECASE)


@dataclass(frozen=True)
class Caller:
    """Who sends a request.

    Attributes:
        name: `by` of the jobs; empty: the user of this process.
        role: what they may do.
        key_id: id of the key; empty without one.
        limits: what they may take.
    """

    name: str = ""
    role: Role = "admin"
    key_id: str = ""
    limits: Limits = field(default_factory=Limits)

    @property
    def sees_all(self) -> bool:
        """Whether other people's jobs are seen and changed, too."""
        return self.role == "admin"

    def owns(self, by: str | None) -> bool:
        """Return whether a job of `by` is this caller's business."""
        return self.sees_all or (bool(self.name) and by == self.name)

    def check_may_submit(self) -> None:
        """Refuse whoever may only look.

        Raises:
            RequestError: `not-allowed`.
        """
        if self.role == "read":
            raise RequestError(
                "not-allowed", f"The key of {self.name} may only read.", "Use a key whose role is submit or admin."
            )


class Callers:
    """Finds out who sends a request.

    Args:
        keys: the API keys.
        inbox: the folder where it is noted when a key was last used.
        user: whom the daemon believes who hands in (`server.user`).
    """

    def __init__(self, keys: ApiKeys, inbox: Path, user: str) -> None:
        self._keys = keys
        self._inbox = inbox
        self._user = user
        self._used: dict[str, float] = {}

    def find(self, authorization: str | None, api_key: str | None, now: float) -> Caller:
        """Return who sends a request, by its headers `Authorization` and `X-API-Key`.

        Args:
            now: monotonic time, s.

        Raises:
            RequestError: `key-missing`, `key-refused`.
            ConfigError: `keys-unreadable`; `server-user-unknown`: the first key was made while the server runs.
        """
        if not self._keys.wanted():
            return Caller()  # OpenAI's clients always send some key
        bearer = _BEARER.fullmatch(authorization.strip()) if authorization else None
        given = bearer[1] if bearer else api_key
        if not given:
            raise RequestError(
                "key-missing",
                "This server wants an API key.",
                "Send it as `Authorization: Bearer avk_…`, or as `X-API-Key`.",
            )
        key = self._keys.find(given)
        if key is None:
            raise _refused()
        check_believed(self._user)
        self._note_use(key.id, now)
        return Caller(key.name, key.role, key.id, key.limits)

    def wanted(self) -> bool:
        """Return whether a key is asked for. Errors as `check`."""
        return self._keys.wanted()

    def of_key(self, key_id: str, now: float) -> Caller | None:
        """Return whoever has the key of an id; None where it was revoked or has expired.

        Args:
            now: monotonic time, s.

        Raises:
            ConfigError: `keys-unreadable`.
        """
        found = next((key for key in self._keys.valid() if key.id == key_id), None)
        if found is None:
            return None
        self._note_use(found.id, now)
        return Caller(found.name, found.role, found.id, found.limits)

    def check_still(self, caller: Caller) -> None:
        """Refuse a caller whose key was revoked or has expired since it was found, of a request that lasts.

        Raises:
            RequestError: `key-refused`.
            ConfigError: `keys-unreadable`.
        """
        if self._keys.wanted() and all(key.id != caller.key_id for key in self._keys.valid()):
            raise _refused()

    def check(self) -> None:
        """Look whether keys can be looked up, and the daemon believes whose they are.

        Raises:
            ConfigError: `keys-unreadable`, `server-user-unknown`.
        """
        if self._keys.wanted():
            check_believed(self._user)

    def _note_use(self, key_id: str, now: float) -> None:
        if now - self._used.get(key_id, -USED_S) < USED_S:
            return
        self._used[key_id] = now
        try:
            mark = used_mark(self._inbox, key_id)
            private_folder(mark.parent)
            os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640))
            os.utime(mark)
        except OSError:
            pass  # it is for people's information only


def _refused() -> RequestError:
    return RequestError(
        "key-refused",
        "The API key is not known here, or has expired.",
        "Ask whoever runs the server for another.",
    )


def check_believed(user: str) -> None:
    """Look whether the daemon believes this process who hands in: its jobs would be nobody's else, and seen by no key.

    Args:
        user: name or uid of whom it believes (`server.user`); empty: nobody.

    Raises:
        ConfigError: `server-user-unknown`.
    """
    uid: int | None
    try:
        uid = int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid
    except KeyError:
        uid = None
    if uid != os.geteuid():
        raise ConfigError(
            "server-user-unknown",
            "There are API keys, but the daemon would not believe who handed in a job: `server.user` is not this process's user.",
            f'Write `server: {{user: "{os.geteuid()}"}}` into the configuration, reload the daemon, and start the server again.',
        )


def used_mark(inbox: Path, key_id: str) -> Path:
    """Return the empty file whose time says when a key was last used."""
    return inbox / FOLDER / f".used-{key_id}"


def last_used(inbox: Path, key_id: str) -> float | None:
    """Return when a key was last used, to a minute, in seconds since the epoch; None: never, or it is not known."""
    try:
        return used_mark(inbox, key_id).stat().st_mtime
    except OSError:
        return None
