"""Signs messages by the Standard Webhooks specification 1.0 (symmetric, `v1`), and reads secrets from files."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from pathlib import Path
from typing import Final

from daemon.errors import ConfigError

PREFIX: Final = "whsec_"
#: Bytes of a secret: the specification's bounds.
_LEAST, _MOST = 24, 64
#: Longest file of a secret, a token or a URL.
_FILE_BYTES: Final = 16_384


def sign(keys: list[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """Return the header `webhook-signature`: a signature by each key, the newest first, so that receivers may change over.

    Args:
        timestamp: of this attempt, seconds since the epoch.
    """
    content = f"{message_id}.{timestamp}.".encode() + body
    digests = (hmac.new(key, content, hashlib.sha256).digest() for key in keys)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def read_keys(path: Path) -> list[bytes]:
    """Return the keys of a file: one in each line, the newest first.

    Raises:
        ConfigError: `hook-secret`: it cannot be read, or holds no secret.
    """
    return [_key(line, path) for line in read_secret_lines(path)]


def _key(line: str, path: Path) -> bytes:
    try:
        key = base64.b64decode(line.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not line.startswith(PREFIX) or not _LEAST <= len(key) <= _MOST:
        raise ConfigError(
            "hook-secret",
            f"{path} holds no secret: whsec_ and {_LEAST} to {_MOST} bytes in base64.",
            "Make one: `avatar hooks secret > FILE`.",
        )
    return key


def read_secret_lines(path: Path) -> list[str]:
    """Return the lines of a file of secrets that are not empty.

    Raises:
        ConfigError: `hook-secret`: it cannot be read, or is empty.
    """
    try:
        with path.open("rb") as file:
            lines = [line.strip() for line in file.read(_FILE_BYTES).decode().splitlines()]
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "not text"
        raise ConfigError(
            "hook-secret",
            f"{path}: {why}.",
            "Make it readable for the user that runs the hooks (avatard-hooks), and for nobody else.",
        ) from exc
    if not any(lines):
        raise ConfigError("hook-secret", f"{path} is empty.", "Write the secret into it.")
    return [line for line in lines if line]
