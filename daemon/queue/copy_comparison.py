"""Compares a file with an earlier copy of it: whether the file is the same, goes on after it, or has other content."""

from __future__ import annotations

import os
import threading
from enum import Enum

#: Unit of comparison, in bytes: the kernel writes files page by page.
PAGE = 4096
_CHUNK = 256 * PAGE


class Content(Enum):
    """How the content of a file differs from its copy."""

    #: It does not.
    SAME = "same"
    #: It continues the copy: every page of the copy equals the file's, or does so up to trailing zeros.
    GROWN = "grown"
    OTHER = "other"


def compare_with_copy(copy: int, file: int, given_up: threading.Event) -> Content:
    """Compare an open file with its open copy. `OTHER` as well when `given_up` is set."""
    at, content = 0, Content.SAME
    while not given_up.is_set():
        old, new = os.pread(copy, _CHUNK, at), os.pread(file, _CHUNK, at)
        if old != new:
            content = Content.GROWN
            if len(old) > len(new) or not all(
                new[page : page + PAGE].startswith(old[page : page + PAGE].rstrip(b"\0"))
                for page in range(0, len(old), PAGE)
            ):
                return Content.OTHER
        if len(old) < _CHUNK:
            return content
        at += len(old)
    return Content.OTHER
