"""Makes a ZIP while it is sent. Videos are compressed already, so files are only stored."""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import quote

from starlette.responses import StreamingResponse

from daemon.errors import AvatarError

_CHUNK: Final = 1 << 20
#: Says in the archive what is not in it.
MISSING: Final = "MISSING.txt"
#: What is saved must not run in the page's name, whatever is in it.
SAVED: Final = {"Content-Security-Policy": "default-src 'none'; sandbox", "Cache-Control": "private, no-cache"}


@dataclass(frozen=True)
class ZipPart:
    """A file of the archive.

    Attributes:
        name: what it is called there; where another file is called so already, it gets a number.
        what: how `MISSING.txt` speaks of it.
        open: opens it to be read; an AvatarError or OSError that it raises is told there.
    """

    name: str
    what: str
    open: Callable[[], int]


def zip_of(parts: Iterable[ZipPart | str]) -> Iterator[bytes]:
    """Yield the bytes of a ZIP. A sentence in place of a part is told in `MISSING.txt`, as is what is not there any more."""
    sink, missing, used = _Sink(), list[str](), set[str]()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for part in parts:
            if isinstance(part, str):
                missing.append(part)
                continue
            try:
                fd = part.open()
            except AvatarError as exc:
                missing.append(f"{part.what}: {exc.message}")
            except OSError as exc:
                missing.append(f"{part.what}: it cannot be read ({exc.strerror}).")
            else:
                yield from _store(archive, sink, fd, _free(part.name, used))
        if missing:
            archive.writestr(MISSING, "\n".join([*missing, ""]))
        yield sink.taken()
    yield sink.taken()


def zip_answer(parts: Iterable[ZipPart | str], name: str) -> StreamingResponse:
    """Answer with a ZIP that a browser saves under a name."""
    headers = {**SAVED, "Content-Disposition": disposition(name)}
    return StreamingResponse(zip_of(parts), media_type="application/zip", headers=headers)


def disposition(name: str) -> str:
    """Return the header that has a browser save a file under a name (RFC 8187)."""
    return f"attachment; filename*=UTF-8''{quote(name)}"


def _free(name: str, used: set[str]) -> str:
    """Return a name that no other file of the archive has, ignoring case."""
    path, number = PurePosixPath(name), 1
    while name.casefold() in used:
        number += 1
        name = f"{path.stem}-{number}{path.suffix}"
    used.add(name.casefold())
    return name


def _store(archive: zipfile.ZipFile, sink: _Sink, fd: int, name: str) -> Iterator[bytes]:
    """Yield the bytes of one file of the archive. `fd`: of the file; it is closed."""
    with os.fdopen(fd, "rb") as source:
        known = os.fstat(fd)
        entry = zipfile.ZipInfo(
            name, time.gmtime(max(known.st_mtime, 315_532_800))[:6]
        )  # a ZIP knows no year before 1980
        entry.file_size = known.st_size  # decides whether the entry needs 64 bits
        entry.external_attr = 0o644 << 16
        with archive.open(entry, "w") as target:
            while chunk := source.read(_CHUNK):
                target.write(chunk)
                yield sink.taken()
    yield sink.taken()


class _Sink:
    """Takes what the archive writes, until it is sent."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Take bytes."""
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: all is taken already."""

    def close(self) -> None:
        """Do nothing."""

    def taken(self) -> bytes:
        """Return what was written since the last call."""
        data = b"".join(self._parts)
        self._parts.clear()
        return data
