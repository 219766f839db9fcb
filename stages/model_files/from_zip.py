"""Fetches model files that are published inside a zip file on a web server."""

from __future__ import annotations

import http.client
import shutil
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

from daemon.errors import MachineError

#: Time without data from the server after which the download fails, s.
SILENCE_S = 60.0
CHUNK = 1 << 20


def download_zip(url: str, folder: Path) -> Path:
    """Download the zip file of a URL into `folder` and return its path; an interrupted download is resumed.

    Raises:
        MachineError: `fetch-failed`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / url.rsplit("/", 1)[-1]
    if target.exists():
        return target
    part = target.with_suffix(".part")
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        with urllib.request.urlopen(request, timeout=SILENCE_S) as answer:
            with part.open("ab" if answer.status == http.HTTPStatus.PARTIAL_CONTENT else "wb") as sink:
                shutil.copyfileobj(answer, sink, CHUNK)
            told = answer.headers.get("Content-Range", "").rpartition("/")[2] or answer.headers.get(
                "Content-Length", ""
            )
        if told.isdecimal() and part.stat().st_size != int(told):
            raise http.client.IncompleteRead(b"")
    except (OSError, http.client.HTTPException) as exc:
        if isinstance(exc, urllib.error.HTTPError) and exc.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink()  # it is not the beginning of the file that the server has now
        raise MachineError(
            "fetch-failed",
            f"{url} could not be fetched: {exc or type(exc).__name__}.",
            "Run the command again, which resumes the download; or copy the files by hand and use --mirror.",
        ) from exc
    part.rename(target)
    return target


def extract_from_zip(archive: Path, name: str, target: Path) -> None:
    """Extract the file `name`, from any folder of the zip file, to `target`.

    Raises:
        MachineError: `model-damaged`; the zip file is then deleted, because it must be downloaded again.
    """
    try:
        with zipfile.ZipFile(archive) as content:
            inside = next(entry for entry in content.infolist() if entry.filename.rpartition("/")[2] == name)
            with content.open(inside) as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink, CHUNK)
    except (zipfile.BadZipFile, StopIteration, EOFError) as exc:
        archive.unlink(missing_ok=True)
        why = str(exc) or f"it has no {name}"
        raise MachineError(
            "model-damaged", f"{archive.name} is not the published file: {why}.", "Fetch it again."
        ) from exc
