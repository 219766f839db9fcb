"""Requests to the daemon, as files: obeyed at once, or at the next start.

In `spool/control` a request is `NAME.json` ({"op", "job", …}), put there by rename; the answer appears as `NAME.answer`, and the
request goes. (What people without a shell put into the inbox: `daemon/control/inbox_requests.py`.)
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from daemon.errors import JobError, MachineError, from_exception
from daemon.jobs.untrusted import read_manifest
from daemon.system import fs
from daemon.system.json_files import replace_json

if TYPE_CHECKING:  # the commands send requests and need nothing of what carries them out
    from daemon.control.operations import Operations

log = structlog.get_logger()

MAX_REQUEST_BYTES = 65_536
#: Answers nobody fetched, and requests nobody finished writing, are cleared after this long, in s.
ANSWER_S = 3600.0


class SpoolRequests:
    """Answers the request files in `folder`, `spool/control`."""

    def __init__(self, folder: Path, operations: Operations) -> None:
        self.folder = folder
        self._operations = operations

    async def answer_all(self) -> None:
        """Carry out the requests in `spool/control`, oldest first, and write their answers."""
        now = time.time()
        for path in sorted(self.folder.iterdir(), key=_age):
            if path.suffix == ".json" and not path.name.startswith("."):
                await self._answer(path)
            elif path.suffix in (".answer", ".tmp") and now - _age(path) > ANSWER_S:
                fs.remove(path)  # nobody fetched it, or whoever wrote it was killed

    async def _answer(self, path: Path) -> None:
        try:
            answer = {"ok": True, "message": await self._operations.run_request(_read(path))}
        except Exception as exc:  # whatever it was, the one who asked is told, and the next one is heard
            error = from_exception(exc)
            answer = {"ok": False, **error.to_dict(), "fault": error.fault}
        log.info("control", request=path.stem, **answer)
        if answer["ok"]:  # who has the answer may rely on it: a power cut must not bring the request back
            fs.remove(path)
            fs.OPS.sync_dir(self.folder)
        try:
            replace_json(path.with_suffix(".answer"), answer, durable=False)
        except OSError as exc:
            if isinstance(from_exception(exc), MachineError):
                raise
            log.warning("no answer", request=path.stem, error=str(exc))  # a folder of that name, or too long a name
        fs.remove(path)


def _read(path: Path) -> dict[str, Any]:
    with contextlib.suppress(JobError, OSError, ValueError, RecursionError):
        value = json.loads(read_manifest(path.parent, path.name, MAX_REQUEST_BYTES))
        if isinstance(value, dict):
            return value
    raise JobError("control-invalid", f"{path.name} is not a request.", "A request is a small JSON object with `op`.")


def _age(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0


def send_request(folder: Path, op: str, **data: Any) -> Path:
    """Write a request file into `folder`. Returns the path of its future answer."""
    name = f"{time.time_ns()}-{secrets.token_hex(4)}"
    replace_json(folder / f"{name}.json", {"op": op, **data})
    return folder / f"{name}.answer"
