"""Keeps API keys: who may use the HTTP door, and for what. The file holds digests, never a key itself."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import math
import os
import re
import secrets
import string
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

from daemon.doors.file_lock import hold_lock
from daemon.errors import ConfigError, RefusedError
from daemon.system import fs
from daemon.system.json_files import dump_json

Role = Literal["submit", "read", "admin"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
SCHEMA = 1
#: What every key begins with, so that programs which look for leaked secrets find it.
PREFIX = "avk"
_LETTERS = string.ascii_letters + string.digits
#: Length of a key's id and of its secret; the secret has 256 bits, so a plain SHA-256 of it cannot be guessed.
_ID_CHARS, _SECRET_CHARS = 8, 43
_KEY = re.compile(rf"{PREFIX}_([A-Za-z0-9]{{{_ID_CHARS}}})_([A-Za-z0-9]{{{_SECRET_CHARS}}})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
#: The last moment that a date has, in seconds since the epoch: the end of the year 9999.
_LAST_S = 253_402_300_799.0
#: Largest file that is read, in bytes.
MAX_BYTES = 4 * 2**20


@dataclass(frozen=True)
class Limits:
    """What a key may take; None: no limit.

    Attributes:
        jobs_per_minute: jobs handed in.
        waiting_jobs: jobs that have not ended.
        speech_s_per_day: seconds of speech of the jobs handed in within 24 h, as they were estimated or made.
        upload_bytes_per_day: bytes of files.
        priority: highest priority of a job.
        kinds: kinds of job.
    """

    jobs_per_minute: int | None = None
    waiting_jobs: int | None = None
    speech_s_per_day: float | None = None
    upload_bytes_per_day: int | None = None
    priority: int | None = None
    kinds: tuple[str, ...] | None = None


@dataclass(frozen=True)
class ApiKey:
    """One key, as the file holds it.

    Attributes:
        id: the part of the key that names it.
        name: whose it is; `by` of the jobs that are handed in with it.
        role: `read`: sees its own jobs; `submit`: hands in and changes them as well; `admin`: sees and changes everybody's.
        sha256: digest of the secret, in hexadecimal.
        created, expires: seconds since the epoch; `expires` None: never.
    """

    id: str
    name: str
    role: Role
    sha256: str
    created: float
    expires: float | None = None
    limits: Limits = Limits()

    def fits(self, secret: str) -> bool:
        """Return whether this is its secret; takes the same time for every wrong one."""
        return hmac.compare_digest(_digest(secret), self.sha256)

    def is_over(self, now: float) -> bool:
        """Return whether it has expired."""
        return self.expires is not None and self.expires <= now


class ApiKeys:
    """The keys in a file, read again when it changes.

    Args:
        path: the file; one that is not there holds no key.
        clock: seconds since the epoch.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        self._mark: tuple[int, ...] | None = None
        self._keys: dict[str, ApiKey] = {}
        self._former: dict[str, set[str]] = {}
        self._wanted = False
        self._lock = threading.Lock()

    def all(self) -> list[ApiKey]:
        """Return every key, the oldest first.

        Raises:
            ConfigError: `keys-unreadable`.
        """
        with self._lock:
            self._read()
            return list(self._keys.values())

    def valid(self) -> list[ApiKey]:
        """Return every key that has not expired. Errors as `all`."""
        return [key for key in self.all() if not key.is_over(self._clock())]

    def roles(self) -> dict[str, set[str]]:
        """Return the roles of the keys that each name has and had, those that were revoked included.

        Raises:
            ConfigError: `keys-unreadable`.
        """
        with self._lock:
            self._read()
            return self._all_roles(self._keys)

    def _all_roles(self, keys: dict[str, ApiKey]) -> dict[str, set[str]]:
        found = {name: set(roles) for name, roles in self._former.items()}
        for key in (*self._keys.values(), *keys.values()):
            found.setdefault(key.name, set()).add(key.role)
        return found

    def wanted(self) -> bool:
        """Return whether a key is asked for: there is one, or there has been one.

        Who revokes the last key shuts its owner out, and lets nobody in. Only a process that starts without the file, or with one
        into which no key was ever written, asks for none.

        Raises:
            ConfigError: `keys-unreadable`.
        """
        with self._lock:
            self._read()
            return self._wanted

    def find(self, key: str) -> ApiKey | None:
        """Return the key that a client gave; None where it is none of these, or has expired.

        Raises:
            ConfigError: `keys-unreadable`.
        """
        parts = _KEY.fullmatch(key)
        with self._lock:
            self._read()
            known = self._keys.get(parts[1]) if parts else None
        if known is None or parts is None:
            hmac.compare_digest(_digest(key), _digest(""))  # as long as for one that is known
            return None
        return known if known.fits(parts[2]) and not known.is_over(self._clock()) else None

    def add(
        self, name: str, role: Role, expires: float | None = None, limits: Limits | None = None
    ) -> tuple[ApiKey, str]:
        """Make a key, durably. Returns it, and the text that its owner gives; that is kept nowhere.

        Raises:
            AvatarError: `key-invalid`: the name cannot be one, or a number is none.
            ConfigError: `keys-unreadable`.
            OSError: the file cannot be written.
        """
        if not _NAME.fullmatch(name):
            raise RefusedError(
                "key-invalid",
                f"{name!r} cannot name a key.",
                "Use up to 64 letters, digits, and the signs . _ @ -, beginning with a letter or digit.",
            )
        secret = "".join(secrets.choice(_LETTERS) for _ in range(_SECRET_CHARS))
        with self._changing():
            key_id = next(one for one in iter(_new_id, "") if one not in self._keys)
            key = ApiKey(key_id, name, role, _digest(secret), self._clock(), expires, limits or Limits())
            if not _is_sound(key):
                raise RefusedError(
                    "key-invalid", "A limit, or the day on which the key expires, is no number.", "Give another one."
                )
            self._write({**self._keys, key_id: key})
        return key, f"{PREFIX}_{key_id}_{secret}"

    def revoke(self, wanted: str) -> list[ApiKey]:
        """Remove the key of an id, or all of a name. Returns those that were removed; they are refused from now on.

        Raises:
            AvatarError: `key-unknown`.
            ConfigError: `keys-unreadable`.
            OSError: the file cannot be written.
        """
        with self._changing():
            gone = [key for key in self._keys.values() if wanted in (key.id, key.name)]
            if not gone:
                raise RefusedError(
                    "key-unknown", f"There is no key {wanted}.", "`avatar key list` shows those there are."
                )
            self._write({key.id: key for key in self._keys.values() if key not in gone})
        return gone

    def _read(self) -> None:
        try:
            info = os.stat(self.path)
        except FileNotFoundError:
            self._mark, self._keys, self._former = None, {}, {}
            return
        except OSError as exc:
            raise self._unreadable(exc.strerror or str(exc)) from exc
        mark = (info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
        if mark == self._mark:
            return
        try:
            if info.st_size > MAX_BYTES:
                raise ValueError("it is too large")
            value = json.loads(self.path.read_bytes())
            self._keys, self._former = _parsed(value), _former(value)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
            raise self._unreadable(str(exc)) from exc
        self._mark = mark
        self._wanted = self._wanted or bool(self._keys) or value.get("wanted") is True

    def _unreadable(self, why: str) -> ConfigError:
        return ConfigError(
            "keys-unreadable",
            f"The API keys in {self.path} cannot be read: {why}.",
            "Mend its rights, or restore it; as long as it cannot be read, nobody is let in.",
        )

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the file, so that of two processes which change it at once neither loses what the other wrote."""
        with self._lock, hold_lock(self.path.with_name(f".{self.path.name}.lock"), remove=True):
            self._read()
            yield

    def _write(self, keys: dict[str, ApiKey]) -> None:
        roles = {name: sorted(had) for name, had in self._all_roles(keys).items()}
        value = {"schema": SCHEMA, "wanted": True, "keys": [asdict(key) for key in keys.values()], "roles": roles}
        present = self.path.stat() if self.path.exists() else None
        temporary = self.path.with_name(f".{self.path.name}.tmp")
        fs.discard(temporary)  # of a process that was killed while it held the file
        try:
            # Before the content: a key's digest is no secret, but who has keys is nobody else's business.
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640))
            if present is not None:
                os.chmod(temporary, present.st_mode & 0o777)
                if (os.geteuid(), os.getegid()) != (present.st_uid, present.st_gid):
                    os.chown(temporary, present.st_uid, present.st_gid)
            fs.OPS.rewrite(temporary, dump_json(value))
            fs.rename(temporary, self.path)
        finally:
            fs.discard(temporary)
        fs.OPS.sync_dir(self.path.parent)
        self._mark = None
        self._read()


def _new_id() -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(_ID_CHARS))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _is_sound(key: ApiKey) -> bool:
    """Return whether a key says what a key can say. One that ends on `nan`, or may take `nan`, would have no end and no limit."""
    limits = (key.limits.jobs_per_minute, key.limits.waiting_jobs, key.limits.speech_s_per_day,
              key.limits.upload_bytes_per_day, key.limits.priority)  # fmt: skip
    return (
        key.role in ROLES
        and _NAME.fullmatch(key.name) is not None
        and len(key.sha256) == hashlib.sha256().digest_size * 2
        and all(moment is None or 0.0 <= moment <= _LAST_S for moment in (key.created, key.expires))
        and all(limit is None or math.isfinite(limit) for limit in limits)
    )


def _parsed(value: Any) -> dict[str, ApiKey]:
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise ValueError("it is no file of keys of this version")
    keys = {}
    for raw in value["keys"]:
        limits = dict(raw.get("limits") or {})
        if limits.get("kinds") is not None:
            limits["kinds"] = tuple(map(str, limits["kinds"]))
        key = ApiKey(**{**raw, "limits": Limits(**limits)})
        if not _is_sound(key):
            raise ValueError(f"the key {key.id} is none")
        keys[key.id] = key
    return keys


def _former(value: dict[str, Any]) -> dict[str, set[str]]:
    """Return the roles that each name had; files of earlier versions say nothing of them."""
    former = {name: set(roles) for name, roles in value.get("roles", {}).items()}
    if any(not roles <= set(ROLES) for roles in former.values()):
        raise ValueError("it names a role that there is not")
    return former
