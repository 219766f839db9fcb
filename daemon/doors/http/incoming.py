"""Writes uploads to the disk as they come: each file once, in the inbox's own filesystem, hashed and counted on its way.

The framework would write each into a temporary folder first. Here a file goes to `inbox/.http/new-…`, which nobody takes for a
drop, and is renamed from there when the job is handed in.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Final
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from daemon.doors.http.problems import RequestError, in_bytes
from daemon.doors.http.sniff import SNIFF_BYTES, may_be_picture, what_it_is
from daemon.doors.shared_files import MEDIA_ENDINGS
from daemon.errors import MachineError, escape_unprintable
from daemon.jobs.batch.table import TABLE_ENDINGS
from daemon.jobs.manifest import COMPANIONS
from daemon.system.mount_guard import check_mounted
from daemon.system.mounts import free_bytes
from daemon.system.permissions import private_folder

#: Folder in the inbox that holds what has not become a job yet.
FOLDER: Final = ".http"
#: Most files and most other fields of a request.
MAX_FILES, MAX_FIELDS = 16, 64
#: The free space is looked at again after so many bytes.
_LOOK_BYTES: Final = 16 * 2**20
#: Part that holds a manifest.
MANIFEST: Final = "manifest"
#: Keys whose file is a picture, and says so in its first bytes.
_PICTURES: Final = frozenset({"image"})
#: Headers that say how a part is coded, and what they may say.
_CODED: Final = (b"content-encoding", b"content-transfer-encoding")
_AS_IT_IS: Final = (b"binary", b"8bit", b"7bit", b"identity")
_FIELD = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_EXTENDED_NAME = re.compile(rb";\s*filename\*\s*=\s*utf-8'[^']*'([^;\s]+)", re.IGNORECASE)
#: Key of the table of a batch, and part that brings it.
ROWS: Final = "rows"
#: Longest file name that is kept, in characters.
_NAME_CHARS: Final = 80


@dataclass(frozen=True)
class Bounds:
    """How much may come.

    Attributes:
        file_bytes, request_bytes, manifest_bytes: largest file, request and field.
        reserve_bytes: free space that must be left.
        spool: says whether the inbox is mounted.
    """

    file_bytes: int
    request_bytes: int
    manifest_bytes: int
    reserve_bytes: int
    spool: Path


@dataclass
class Received:
    """What a request brought.

    Attributes:
        folder: its own folder, which goes at the end.
        fields: field → text.
        files: key of the manifest → file.
        digests: key → SHA-256 of the file, in hexadecimal.
    """

    folder: Path
    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)


def check_room(inbox: Path, wanted: int, bounds: Bounds) -> None:
    """Refuse an upload for which there is no room.

    Args:
        wanted: bytes that are to come, as far as they are known.

    Raises:
        RequestError: `too-large`.
        MachineError: `disk-full`; `inbox-missing`: it is not mounted.
    """
    check_mounted(inbox, bounds.spool)
    if wanted > bounds.request_bytes:
        raise RequestError(
            "too-large",
            f"The request has {in_bytes(wanted)}, and at most {bounds.request_bytes} are taken.",
            "Send smaller files; whoever runs the server can raise `server.max_upload_bytes`.",
        )
    if free_bytes(inbox) - wanted < bounds.reserve_bytes:
        raise MachineError("disk-full", "The disk of the inbox has no room for this.", "Send it again later.")


@contextlib.contextmanager
def own_folder(inbox: Path, prefix: str = "new") -> Iterator[Path]:
    """Yield a new folder for one request, which goes at the end with what is in it. It is locked until then, so that nobody takes
    it for litter (`daemon.doors.http.kept_uploads.clear_litter`), however long the request takes.

    Raises:
        PermissionError: as `check_private`: somebody else who may write into the inbox put something in the place of `FOLDER`.
    """
    above = private_folder(inbox / FOLDER)
    folder = above / f"{prefix}-{secrets.token_hex(8)}"
    folder.mkdir(mode=0o770)
    with contextlib.ExitStack() as end:
        end.callback(shutil.rmtree, folder, ignore_errors=True)
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        end.callback(os.close, held)
        with contextlib.suppress(OSError):  # a share without locks
            fcntl.flock(held, fcntl.LOCK_SH)
        yield folder


class FileWriter:
    """Writes one file as it comes.

    Args:
        path: a new file.
        key: the key of the manifest that it is for; "" where that is not known yet.
        bounds, inbox: what may come, and where.
    """

    def __init__(self, path: Path, key: str, bounds: Bounds, inbox: Path) -> None:
        self.path, self._key, self._bounds, self._inbox = path, key, bounds, inbox
        self.bytes = 0
        self._unlooked = 0
        self._head = b""
        self._sniffed = False
        self._hash = hashlib.sha256()
        path.parent.mkdir(mode=0o770, exist_ok=True)
        self._file: IO[bytes] = os.fdopen(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640), "wb"
        )

    def write(self, data: bytes) -> None:
        """Write the next bytes.

        Raises:
            RequestError: `too-large`; `media-type`: it cannot be what it is sent as.
            MachineError: `disk-full`.
            OSError: it cannot be written.
        """
        self.bytes += len(data)
        if self.bytes > self._bounds.file_bytes:
            raise RequestError(
                "too-large",
                f"The file for {self._named} has more than {self._bounds.file_bytes} bytes.",
                "Send a smaller one; whoever runs the server can raise `intake.max_file_bytes`.",
            )
        if not self._sniffed:
            self._head = (self._head + data)[:SNIFF_BYTES]
            if len(self._head) >= SNIFF_BYTES:
                self._sniff()
        self._unlooked += len(data)
        if self._unlooked >= _LOOK_BYTES:
            self._unlooked = 0
            check_room(self._inbox, 0, self._bounds)
        self._hash.update(data)
        self._file.write(data)

    def finish(self) -> str:
        """End the file, durably; returns its SHA-256. Errors as for `write`."""
        if not self.bytes:
            raise RequestError("file-empty", f"The file for {self._named} is empty.", "Send the file itself.")
        if not self._sniffed:
            self._sniff()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return self._hash.hexdigest()

    def close(self) -> None:
        """Give the file up."""
        with contextlib.suppress(OSError):
            self._file.close()

    @property
    def _named(self) -> str:
        return f"`{self._key}`" if self._key else "the upload"

    def _sniff(self) -> None:
        self._sniffed = True
        what = "" if self._key == ROWS else what_it_is(self._head)
        if not what and self._key in _PICTURES and not may_be_picture(self._head):
            what = "no picture"
        if what:
            raise RequestError(
                "media-type",
                f"The file for {self._named} is {what}.",
                "Send a picture as JPEG, PNG or WebP."
                if self._key in _PICTURES
                else "Send a picture, a sound or a video.",
            )


class MultipartReader:
    """Takes a multipart body apart as it comes.

    Args:
        content_type: the header of the request.
        received: what is filled.
        bounds, inbox: what may come, and where.

    Raises:
        RequestError: `request-invalid`: there is no boundary.
    """

    def __init__(self, content_type: str, received: Received, bounds: Bounds, inbox: Path) -> None:
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if not boundary:
            raise RequestError(
                "request-invalid", "The multipart body has no boundary.", "Let the client set the header."
            )
        self._received, self._bounds, self._inbox = received, bounds, inbox
        self._header = self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._writer: FileWriter | None = None
        self._key = ""
        self._text = b""
        self._total = 0
        self._ended = self._unchosen = False
        callbacks = {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._open,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._finished,
        }
        try:
            self._parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]
        except FormParserError as exc:
            raise _malformed(exc) from exc

    def write(self, data: bytes) -> None:
        """Take the next bytes of the body.

        Raises:
            RequestError: `request-invalid`: it is no multipart body; as `FileWriter.write`.
        """
        self._total += len(data)
        if self._total > self._bounds.request_bytes:
            check_room(self._inbox, self._total, self._bounds)
        try:
            self._parser.write(data)
        except FormParserError as exc:
            raise _malformed(exc) from exc

    def finish(self) -> None:
        """End the body.

        Raises:
            RequestError: `request-invalid`: it ends in the middle.
        """
        try:
            self._parser.finalize()
        except FormParserError as exc:
            raise _malformed(exc) from exc
        if not self._ended:
            raise RequestError("request-invalid", "The multipart body ends in the middle.", "Send it whole.")

    def close(self) -> None:
        """Give up what is open."""
        if self._writer is not None:
            self._writer.close()

    def _begin(self) -> None:
        self._headers, self._text, self._writer, self._unchosen = {}, b"", None, False

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header = self._value = b""

    def _open(self) -> None:
        disposition = self._headers.get(b"content-disposition", b"")
        _, options = parse_options_header(disposition)
        self._key = options.get(b"name", b"").decode("utf-8", "replace")
        if not _FIELD.fullmatch(self._key):
            raise RequestError(
                "request-invalid",
                f"A part of the body is called {escape_unprintable(self._key[:40])!r}.",
                "Name each part by a key of the manifest.",
            )
        if coded := next(
            (one for one in _CODED if self._headers.get(one, b"binary").strip().lower() not in _AS_IT_IS), b""
        ):
            raise RequestError(
                "media-type",
                f"The part {self._key} is coded ({coded.decode()}), and is only read as it is.",
                "Send it without that header.",
            )
        if self._key in self._received.fields or self._key in self._received.files:
            raise RequestError("request-invalid", f"The part {self._key} comes twice.", "Send each once.")
        name = options.get(b"filename")
        if name is None and (extended := _EXTENDED_NAME.search(disposition)):  # as older clients send what is not ASCII
            name = unquote_to_bytes(extended[1])
        if name == b"" and self._key in COMPANIONS:
            self._unchosen = True  # a form in which no file was chosen
            return
        if name is None or self._key == MANIFEST:
            if len(self._received.fields) >= MAX_FIELDS:
                raise RequestError(
                    "too-large", f"There are more than {MAX_FIELDS} fields.", "Put them into `manifest`."
                )
            return
        if self._key not in COMPANIONS:
            raise RequestError(
                "request-invalid",
                f"`{self._key}` names no file.",
                f"Use one of {', '.join((MANIFEST, *COMPANIONS))}.",
                errors=[{"pointer": f"#/{self._key}", "detail": "it names no file"}],
            )
        if len(self._received.files) >= MAX_FILES:
            raise RequestError("too-large", f"There are more than {MAX_FILES} files.", "Send fewer.")
        folder = self._received.folder / str(len(self._received.files))
        self._writer = FileWriter(folder / plain_name(name, self._key), self._key, self._bounds, self._inbox)

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._writer is not None:
            self._writer.write(data[start:end])
            return
        self._text += data[start:end]
        if len(self._text) > self._bounds.manifest_bytes:
            raise RequestError("too-large", f"The field {self._key} is too long.", "Shorten it.")

    def _end(self) -> None:
        if self._unchosen:
            return
        if self._writer is not None:
            self._received.digests[self._key] = self._writer.finish()
            self._received.files[self._key] = self._writer.path
            self._writer = None
            return
        try:
            self._received.fields[self._key] = self._text.decode("utf-8-sig")
        except UnicodeDecodeError as exc:
            raise RequestError(
                "request-invalid", f"The field {self._key} is not UTF-8.", "Send texts as UTF-8."
            ) from exc

    def _finished(self) -> None:
        self._ended = True


def plain_name(name: bytes, key: str) -> str:
    """Return the name under which an upload is kept: the last part of the client's path, of harmless characters, with the
    ending of a picture, sound, video or subtitles, or none.

    Args:
        name: what the client called it, in any spelling.
        key: what it is for, where nothing of that is left.
    """
    text = PureWindowsPath(PurePosixPath(name.decode("utf-8", "replace")).name).name
    stem, ending = os.path.splitext(text)
    stem = re.sub(r"[^\w-]+", "-", stem).strip("-")[:_NAME_CHARS] or key or "file"
    ending = ending.lower()
    return f"{stem}{ending}" if ending in (TABLE_ENDINGS if key == ROWS else MEDIA_ENDINGS) else stem


def batch_refused() -> RequestError:
    """Return the error of a table that does not come as it must, so that its rows cannot be checked."""
    return RequestError(
        "batch-refused",
        "A batch is only taken with its table in the request: its rows are checked before.",
        "Send `kind: batch` and the table as the part `rows` of a multipart body, a .csv, .tsv or .jsonl.",
    )


def _malformed(exc: Exception) -> RequestError:
    return RequestError("request-invalid", f"The multipart body is malformed: {exc}.", "Let the client write it.")
