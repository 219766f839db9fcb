"""Serves the results of jobs, as they lie in the outbox: in ranges, and with the digest that the status names as ETag."""

from __future__ import annotations

import mimetypes
import os
import re
from pathlib import Path
from typing import Any, Final

from fastapi import Request
from fastapi.responses import Response
from starlette.responses import FileResponse

from daemon.doors.http.answers import is_known
from daemon.doors.http.problems import RequestError
from daemon.errors import JobError
from daemon.jobs.record import FINISHED
from daemon.system.safe_open import open_inside

#: Types that the machine's own table may lack.
_TYPES: Final = {
    ".csv": "text/csv; charset=utf-8",
    ".flac": "audio/flac",
    ".json": "application/json",
    ".m4a": "audio/mp4",
    ".mov": "video/quicktime",
    ".opus": "audio/ogg",
    ".srt": "application/x-subrip",
    ".vtt": "text/vtt; charset=utf-8",
    ".wav": "audio/wav",
    ".webm": "video/webm",
}
#: A header that asks for parts: first and last byte, or how many of the last.
_RANGES: Final = re.compile(r"bytes=\s*(?:\d+-\d*|-\d+)(?:\s*,\s*(?:\d+-\d*|-\d+))*")
#: Only these may be shown by a browser in the server's own name; anything else is saved.
_SHOWN: Final = ("video/", "audio/", "image/png", "image/jpeg", "image/webp", "text/vtt")


def chosen_output(status: dict[str, Any], file: str | None) -> dict[str, Any]:
    """Return the entry of `outputs` of one result.

    Args:
        file: its name, without folder; None: the main result.

    Raises:
        RequestError: `not-ready`; `cleared`; `file-unknown`.
    """
    if status["state"] != "done":
        ended = status["state"] in FINISHED
        raise RequestError(
            "cleared" if ended else "not-ready",
            f"{status['name']} has no result: it is {status['state']}."
            if ended
            else f"{status['name']} is not ready: it is {status['state']}.",
            "Its status says why." if ended else "Ask again later.",
        )
    outputs = [one for one in status.get("outputs") or [] if isinstance(one, dict) and isinstance(one.get("file"), str)]
    if not outputs:
        raise RequestError("cleared", f"The results of {status['name']} are gone.", "Make it again.")
    if file is None:
        return outputs[-1]
    found = [one for one in outputs if os.path.basename(one["file"]) == file]
    if not found:
        names = ", ".join(os.path.basename(one["file"]) for one in outputs)
        raise RequestError("file-unknown", f"{status['name']} has no result {file[:80]}.", f"It has {names}.")
    return found[0]


def serve(request: Request, root: Path, output: dict[str, Any]) -> Response:
    """Answer with one result.

    Args:
        root: the outbox.

    Raises:
        RequestError: `cleared`: it is gone, or is not what the job made.
    """
    name = os.path.basename(output["file"])
    etag = f'"{output.get("sha256", "")}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if is_known(request, etag):
        return Response(status_code=304, headers=headers)
    fd = open_result(root, output)
    _check_range(request, os.fstat(fd).st_size, fd)
    ending = os.path.splitext(name)[1].lower()
    kind = _TYPES.get(ending) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    shown = kind.startswith(_SHOWN)
    return OpenFileResponse(
        fd,
        headers=headers,
        media_type=kind
        if shown or kind.startswith(("application/json", "text/csv", "application/x-subrip"))
        else "application/octet-stream",
        filename=name,
        content_disposition_type="inline" if shown else "attachment",
    )


def open_result(root: Path, output: dict[str, Any]) -> int:
    """Open one result for reading; returns its file descriptor, which the caller closes.

    Args:
        root: the outbox.

    Raises:
        RequestError: `cleared`: it is gone, or is not what the job made.
    """
    name = os.path.basename(output["file"])
    try:
        with open_inside(root, output["file"]) as opened:
            fd = os.dup(opened)
    except (JobError, OSError) as exc:
        raise RequestError("cleared", f"{name} is not there any more.", "Make it again.") from exc
    if os.fstat(fd).st_size != output.get("bytes"):
        os.close(fd)
        raise RequestError("cleared", f"{name} is not what the job made: somebody changed it.", "Make it again.")
    return fd


def _check_range(request: Request, size: int, fd: int) -> None:
    """Refuse a range beyond the end of an open file, which is closed then; one that is none is passed over (RFC 9110).

    Raises:
        RequestError: `range-beyond`.
    """
    given = request.headers.get("range")
    if given is None:
        return
    if _RANGES.fullmatch(given) is None:
        request.scope["headers"] = [one for one in request.scope["headers"] if one[0] != b"range"]
        return
    firsts = [one.strip().partition("-")[0] for one in given.partition("=")[2].split(",")]
    if all(first and int(first[:20]) >= size for first in firsts):
        os.close(fd)
        raise RequestError(
            "range-beyond",
            f"The result has {size} bytes, and the range begins behind them.",
            "Ask for a range within it, or for all of it.",
            headers={"Content-Range": f"bytes */{size}"},
        )


class OpenFileResponse(FileResponse):
    """Serves an open file, the very one that was looked at, and closes it, also where the client goes in the middle."""

    def __init__(self, fd: int, **options: Any) -> None:
        super().__init__(f"/proc/self/fd/{fd}", stat_result=os.fstat(fd), **options)
        self._fd = fd

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            os.close(self._fd)
