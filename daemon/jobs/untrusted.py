"""Reads untrusted manifests and file names. No content can stop the daemon."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import structlog

from daemon.errors import JobError, escape_unprintable
from daemon.jobs.defaults import FolderDefaults
from daemon.jobs.manifest import Manifest
from daemon.jobs.parse import check_text, parse_manifest
from daemon.system.safe_open import explain_open_error, open_inside

log = structlog.get_logger()


def read_manifest(root: Path, name: str, limit: int, shown: str = "") -> bytes:
    """Read a manifest below `root`; returns its bytes.

    Args:
        shown: how people know it; by default its path.

    Raises:
        JobError: it is a link, no file, no text, or larger than `limit` bytes.
        Postponed: `file-unreadable`, `file-changing`.
    """
    data = b""
    with open_inside(root, name, shown) as fd:
        try:
            while len(data) <= limit and (chunk := os.read(fd, limit + 1)):
                data += chunk
        except OSError as exc:  # a bad block, or a file server that lost the file: this file's, not the intake's
            raise explain_open_error(exc, shown or name) from exc
    if len(data) > limit:
        check_text(data)  # a picture is not to be split
        raise JobError(
            "manifest-too-large", f"The manifest is larger than {limit} bytes.", "Split it, or shorten the text."
        )
    return data


def parse_untrusted(
    data: bytes, max_documents: int, defaults: Sequence[FolderDefaults] = ()
) -> list[Manifest | JobError]:
    """Parse a manifest file as `parse_manifest` does; returns one error instead of raising if it is unreadable."""
    try:
        return parse_manifest(data, max_documents, defaults)
    except JobError as exc:
        return [exc]
    except Exception as exc:  # no input may stop the daemon, even if it triggers a bug
        log.exception("manifest reader failed")
        return [JobError("manifest-unreadable", f"The manifest cannot be read ({type(exc).__name__}).", "Simplify it.")]


def printable(name: str) -> str:
    """Return a file name for people and JSON: bytes that are not UTF-8, and unprintable characters, become `\\xNN`."""
    return escape_unprintable(name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))
