"""What the tools need of an installation; the Python client and the HTTP server each give it."""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from daemon.errors import AvatarError, JobError

#: Largest file that comes within a request, in bytes, as it is and as the text of a data URI.
MAX_DATA_BYTES: Final = 4 * 2**20
_DATA: Final = re.compile(r"data:[\w.+/-]+(?:;[\w=.-]+)*;base64,", re.ASCII)
#: What a tool calls a key of the manifest that names a file.
_ARGUMENTS: Final = {"image": "portrait"}
_ENDINGS: Final = ((b"\x89PNG", ".png"), (b"\xff\xd8", ".jpg"), (b"RIFF", ".wav"), (b"ID3", ".mp3"), (b"OggS", ".ogg"))


class Desk(Protocol):
    """Hands in jobs and finds them, with the rights of whoever asks. A status has the keys of docs/status.md.

    Attributes:
        outbox: the folder of the results.
    """

    outbox: Path

    def submit(self, manifest: Mapping[str, Any], files: Mapping[str, Path], name: str | None) -> str:
        """Hand in a job, and return its id. `files`: key of the manifest → path; they are copied."""

    def file(self, reference: str) -> Path:
        """Return the path of the file that a reference other than a data URI names.

        Raises:
            AvatarError: it names none that this caller may use.
        """

    def status(self, job: str) -> Mapping[str, Any]:
        """Return the status of a job, by its id or name."""

    def find(self, state: str, search: str, limit: int) -> list[Mapping[str, Any]]:
        """Return jobs with their whole statuses, the newest first. `state`, `search`: empty for all."""

    def cancel(self, job: str) -> str:
        """Cancel a job; returns the answer, a sentence."""

    def link(self, job: str, file: str) -> str:
        """Return the address of a result. `file`: its path below the outbox."""

    def told(self, exc: AvatarError | OSError) -> AvatarError:
        """Return what whoever asks is told of an exception: nobody elsewhere hears of this machine's folders."""


@contextlib.contextmanager
def files_of(desk: Desk, references: Mapping[str, str]) -> Iterator[dict[str, Path]]:
    """Yield the paths of files that are named, or that are within the request as data URIs; those go at the end.

    Args:
        references: key of the manifest → what names its file.

    Raises:
        JobError: `request-invalid`: a data URI is none, or too large.
        AvatarError: as `Desk.file`.
    """
    with tempfile.TemporaryDirectory(prefix="avatar-mcp-") as folder:
        yield {
            key: _unpacked(key, reference, Path(folder)) if reference.startswith("data:") else desk.file(reference)
            for key, reference in references.items()
        }


def _unpacked(key: str, reference: str, folder: Path) -> Path:
    name, begin = _ARGUMENTS.get(key, key), _DATA.match(reference)
    if begin is None:
        raise JobError("request-invalid", f"`{name}` is no data URI in Base64.", "Write data:image/png;base64,…")
    if (len(reference) - begin.end()) * 3 // 4 - reference[-2:].count("=") > MAX_DATA_BYTES:
        raise JobError(
            "too-large", f"`{name}` has more than {MAX_DATA_BYTES // 2**20} MiB.", "Give the file's path, or upload it."
        )
    try:
        content = base64.b64decode(reference[begin.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise JobError("request-invalid", f"The Base64 of `{name}` is damaged.", "Send the whole file again.") from None
    ending = next((ending for mark, ending in _ENDINGS if content.startswith(mark)), ".bin")
    path = folder / f"{key}{ending}"
    path.write_bytes(content)
    return path
