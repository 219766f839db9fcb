"""Reading what strangers wrote: manifests, requests and names; whatever is in them, the daemon lives on."""

from __future__ import annotations

import os
from pathlib import Path

import structlog

from daemon.errors import JobError, escape_unprintable
from daemon.jobs.manifest import Manifest
from daemon.jobs.parse import parse_manifest
from daemon.system.safe_open import open_inside

log = structlog.get_logger()


def read_manifest(root: Path, name: str, limit: int) -> bytes:
    """The bytes of a manifest below `root`.

    Raises:
        JobError: it is a link, not a file, or larger than `limit` bytes.
    """
    data = b""
    with open_inside(root, name) as fd:
        while len(data) <= limit and (chunk := os.read(fd, limit + 1)):
            data += chunk
    if len(data) > limit:
        raise JobError(
            "manifest-too-large", f"The manifest is larger than {limit} bytes.", "Split it, or shorten the text."
        )
    return data


def parse_untrusted(data: bytes, max_documents: int) -> list[Manifest | JobError]:
    """`parse`, with one error in place of the whole file where it cannot be read, whatever the reason."""
    try:
        return parse_manifest(data, max_documents)
    except JobError as exc:
        return [exc]
    except Exception as exc:  # no input may stop the daemon, not even one that meets a fault of ours
        log.exception("manifest reader failed")
        return [JobError("manifest-unreadable", f"The manifest cannot be read ({type(exc).__name__}).", "Simplify it.")]


def printable(name: str) -> str:
    """A file name for people and JSON: bytes that are not UTF-8 become `\\xNN`, and what cannot be shown likewise."""
    return escape_unprintable(name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))
