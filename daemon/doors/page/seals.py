"""Seals the sentences that the address of a page carries, so that a link of somebody else cannot make a page say anything."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

from daemon.doors.http.incoming import FOLDER
from daemon.system.permissions import check_private, private_folder

#: File with the secret, beside the uploads: all processes of the server share it, and it survives restarts.
_FILE: Final = ".page-seal"
_BYTES: Final = 32


class Seals:
    """Makes and checks seals.

    Args:
        inbox: the folder in which the server may write.
    """

    def __init__(self, inbox: Path) -> None:
        self._folder = inbox / FOLDER

    def seal(self, who: str, text: str) -> str:
        """Return the seal of a sentence for somebody; empty where the secret cannot be read or written. `who`: id of the key."""
        try:
            secret = self._secret()
        except OSError:
            return ""
        return hmac.new(secret, f"{who}\n{text}".encode(), hashlib.sha256).hexdigest()[:32]

    def is_ours(self, who: str, text: str, seal: str) -> bool:
        """Return whether this server sealed a sentence for somebody."""
        made = self.seal(who, text)
        return bool(made) and hmac.compare_digest(made.encode(), seal.encode())

    def _secret(self) -> bytes:
        path = self._folder / _FILE
        with contextlib.suppress(FileNotFoundError):
            check_private(self._folder)
            return _read(path)
        private_folder(self._folder)
        new = path.with_name(f"{_FILE}-{secrets.token_hex(8)}")
        try:
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(secrets.token_bytes(_BYTES))
            with contextlib.suppress(FileExistsError):  # another process was quicker
                os.link(new, path)
        finally:
            new.unlink(missing_ok=True)
        return _read(path)


def _read(path: Path) -> bytes:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        found = file.read(_BYTES)
    if len(found) != _BYTES:
        raise OSError(f"{path.name} is damaged")
    return found
