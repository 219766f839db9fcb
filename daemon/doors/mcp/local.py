"""The desk of somebody at this machine: the Python client, with the rights of whoever started `avatar mcp`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from daemon.doors.client.client import Client
from daemon.errors import AvatarError, JobError, MachineError, RefusedError
from daemon.history.history import History
from daemon.history.query import Query
from daemon.outbox.checked_status import checked
from daemon.outbox.outbox import Outbox

#: How an address begins that is no path.
_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class LocalDesk:
    """Hands in jobs by the folder.

    Args:
        client: the client.
        roots: the folders below which files may be named. An assistant also reads texts of strangers, which may ask it for files.
    """

    def __init__(self, client: Client, roots: Sequence[Path]) -> None:
        self._client = client
        self._roots = [root.resolve() for root in roots]
        self.outbox = client.paths.outbox
        self._history = History(client.paths.history)

    def submit(self, manifest: Mapping[str, Any], files: Mapping[str, Path], name: str | None) -> str:
        """Hand in a job; see `Desk`."""
        return self._client.submit({**manifest, **files}, name=name).id

    def file(self, reference: str) -> Path:
        """Return a file below one of the roots.

        Raises:
            JobError: `path-refused`, `file-missing`.
        """
        if found := _ADDRESS.match(reference):
            raise JobError(
                "path-refused",
                f"{reference[:200]} is an address ({found[0]}), and only paths of files are read here.",
                f"Write the path alone: {unquote(reference[found.end() :])[:200]}."
                if found[0].lower() == "file://"
                else "Download the file, and write its path.",
            )
        try:
            path = (self._roots[0] / Path(reference).expanduser()).resolve()
        except (ValueError, RuntimeError) as exc:  # a NUL in it, a ring of links, or the home of nobody
            raise JobError("file-missing", f"{reference[:200]!r} cannot name a file.", "Check its name.") from exc
        if not any(path.is_relative_to(root) for root in self._roots):
            raise JobError(
                "path-refused",
                f"{reference[:200]} lies outside the folders that may be read: {', '.join(map(str, self._roots))}.",
                "Copy the file there, or start `avatar mcp` with --root and the file's folder.",
            )
        if not path.is_file():
            raise JobError("file-missing", f"There is no file {path}.", "Check its name.")
        return path

    def status(self, job: str) -> Mapping[str, Any]:
        """Return the status of a job; see `Desk`."""
        status = self._client.get(job).status
        record = {"job": status.job, "name": status.name, "state": status.state, **status.record}
        return {**record, "next": " ".join(part for part in (status.standstill, status.next) if part)}

    def find(self, state: str, search: str, limit: int) -> list[Mapping[str, Any]]:
        """Return jobs; see `Desk`.

        Raises:
            AvatarError: `query-invalid`: there is no such state.
        """
        query = Query(state=[state] if state else [], search=search).without_looks
        if wrong := query.unknown_word():
            raise RefusedError("query-invalid", *wrong)
        return [self._full(row.to_json()) for row in self._history.find(query, limit=limit)]

    def _full(self, row: dict[str, Any]) -> Mapping[str, Any]:
        """Return the status of a job of a list, with what only its status file says."""
        status = checked(row["name"], Outbox(self.outbox).read_status(row["name"])) if row["job"] else None
        return status if status is not None and status["job"] == row["job"] else row

    def cancel(self, job: str) -> str:
        """Cancel a job; see `Desk`."""
        return self._client.cancel(job)

    def link(self, job: str, file: str) -> str:
        """Return the file's address on this machine."""
        return (self.outbox / file).resolve().as_uri()

    def told(self, exc: AvatarError | OSError) -> AvatarError:
        """Return what somebody at this machine is told: all of it."""
        if isinstance(exc, AvatarError):
            return exc
        return MachineError("io-error", f"{exc.strerror or exc}: {str(exc.filename or '')[:200]}".rstrip(": ") + ".")
