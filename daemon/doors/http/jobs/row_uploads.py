"""The uploads that the rows of a table name, each by `upload:ID`: every row may have a picture or a recording of its own."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from daemon.doors.http.incoming import ROWS, own_folder
from daemon.doors.http.problems import RequestError
from daemon.doors.shared_files import file_digest, share, usual_name
from daemon.errors import RefusedError
from daemon.jobs.batch.table import MAX_LINE

#: Most uploads that one table names.
MOST: Final = 1000
_REF: Final = re.compile(r"upload:(up-[0-9A-Za-z]{1,64})")
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class RowFiles:
    """The files of rows. `names`: name in the inbox, as the table says it → the upload."""

    names: Mapping[str, Path] = field(default_factory=dict)

    def bring(self, inbox: Path) -> None:
        """Copy them into the inbox, durably.

        Raises:
            AvatarError: `name-taken`: something else is there under such a name.
            OSError: it cannot be written.
        """
        for name, path in self.names.items():
            brought, said = share(path, "", inbox)
            if brought != name:
                raise RefusedError(
                    "name-taken", f"A row cannot have its upload: {said}", "Upload the file by another name."
                )


#: Of a job whose rows name none.
NO_ROW_FILES: Final = RowFiles()


@contextlib.contextmanager
def row_files(
    inbox: Path, files: Mapping[str, Path], find: Callable[[str], Path]
) -> Iterator[tuple[dict[str, Path], RowFiles]]:
    """Yield the files of a request, and those of its rows. Where rows name uploads, the table is a copy that names files of the
    inbox in place of these, and goes at the end unless it was moved.

    Args:
        files: key of the manifest → file of the request.
        find: returns the file of an upload's id.

    Raises:
        RequestError: `too-large`: there are too many; what `find` raises.
    """
    table = files.get(ROWS)
    uploads = set[str]() if table is None else _uploads_in(table)
    if table is None or not uploads:
        yield dict(files), NO_ROW_FILES
        return
    found = {upload: find(upload) for upload in sorted(uploads)}
    names = {upload: usual_name(path, "", file_digest(path)) for upload, path in found.items()}
    with own_folder(inbox) as folder:
        copy = folder / table.name
        file = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        with open(file, "w", encoding=_encoding(table), newline="") as text:
            for line in _lines(table):
                text.write(_REF.sub(lambda ref: names[ref[1]], line))
            text.flush()
            os.fsync(file)
        yield {**files, ROWS: copy}, RowFiles({names[upload]: path for upload, path in found.items()})


def _uploads_in(table: Path) -> set[str]:
    """Return the uploads that a table names; none where it is no text, as that is refused with its rows.

    Raises:
        RequestError: `too-large`: there are too many.
    """
    found = set[str]()
    try:
        for line in _lines(table):
            found.update(_REF.findall(line))
            if len(found) > MOST:
                raise RequestError(
                    "too-large", f"The rows name more than {MOST} uploads.", "Hand in fewer rows at once."
                )
    except UnicodeError:
        return set()
    return found


def _lines(table: Path) -> Iterator[str]:
    """Yield the lines of a table, one too long for a table in parts: it may have as many bytes as any file."""
    with table.open(encoding=_encoding(table), newline="") as file:
        while line := file.readline(MAX_LINE):
            yield line


def _encoding(table: Path) -> str:
    """Return as what a table is copied: UTF-16, or bytes as they are, whatever they say."""
    with table.open("rb") as file:
        return "utf-16" if file.read(2) in _UTF_16 else "latin-1"
