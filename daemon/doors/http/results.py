"""Serves the results of jobs, as they lie in the outbox: in ranges, and with the digest that the status names as ETag."""

from __future__ import annotations

import mimetypes
import os
import re
from email.utils import formatdate
from typing import Any, Final

from fastapi import Request
from fastapi.responses import Response
from starlette.datastructures import Headers
from starlette.responses import FileResponse

from daemon.config.paths import Paths
from daemon.doors.http.answers import Door, is_known
from daemon.doors.http.callers import Caller
from daemon.doors.http.problems import RequestError, in_bytes
from daemon.errors import JobError, MachineError, Postponed
from daemon.jobs.record import FINISHED
from daemon.system.mount_guard import check_readable
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
#: A header that asks for parts: first and last byte, or how many of the last; no file has more bytes than 18 digits tell.
_RANGES: Final = re.compile(
    r"bytes=\s*(?:\d{1,18}-\d{0,18}|-\d{1,18})(?:\s*,\s*(?:\d{1,18}-\d{0,18}|-\d{1,18}))*", re.ASCII
)
#: Only these may be shown by a browser in the server's own name; anything else is saved.
_SHOWN: Final = ("video/", "audio/", "image/png", "image/jpeg", "image/webp", "text/vtt")


def chosen_output(paths: Paths, status: dict[str, Any], file: str | None) -> dict[str, Any]:
    """Return the entry of `outputs` of one result.

    Args:
        paths: the folders of the installation.
        file: its name, without folder; None: the main result.

    Raises:
        RequestError: `not-ready`; `cleared`; `file-unknown`.
        MachineError, OSError: the outbox cannot be read now.
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
        check_readable(paths.outbox, paths.spool, "outbox")
        raise RequestError("cleared", f"The results of {status['name']} are gone.", "Make it again.")
    if file is None:
        return outputs[-1]
    found = [one for one in outputs if os.path.basename(one["file"]) == file]
    if not found:
        names = ", ".join(os.path.basename(one["file"]) for one in outputs)
        raise RequestError("file-unknown", f"{status['name']} has no result {file[:80]}.", f"It has {names}.")
    return found[0]


def answer_result(request: Request, door: Door, caller: Caller, job: str, file: str | None = None) -> Response:
    """Answer with a result of a job. `file`: as for `chosen_output`. Errors as `chosen_output` and `open_result`."""
    paths = door.jobs.paths
    return serve(request, paths, chosen_output(paths, door.jobs.status(job, caller), file))


def serve(request: Request, paths: Paths, output: dict[str, Any]) -> Response:
    """Answer with one result. Errors as `open_result`."""
    name = os.path.basename(output["file"])
    etag = f'"{output.get("sha256", "")}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if is_known(request, etag):
        return Response(status_code=304, headers=headers)
    fd = open_result(paths, output)
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


def open_result(paths: Paths, output: dict[str, Any]) -> int:
    """Open one result for reading; returns its file descriptor, which the caller closes.

    Args:
        paths: the folders of the installation.

    Raises:
        RequestError: `cleared`: it is gone, or is not what the job made.
        MachineError: `outbox-missing`: the outbox is not mounted; `result-unreadable`: it cannot be read now.
        OSError: so can nothing.
    """
    name = os.path.basename(output["file"])
    try:
        with open_inside(paths.outbox, output["file"]) as opened:
            fd = os.dup(opened)
    except (JobError, Postponed) as exc:
        check_readable(paths.outbox, paths.spool, "outbox")
        if isinstance(exc, Postponed) or exc.code == "file-unreadable":
            raise MachineError(
                "result-unreadable",
                f"{name} cannot be read now.",
                "Ask again in a moment; if that does not help, whoever runs the server looks at the outbox.",
            ) from exc
        raise RequestError("cleared", f"{name} is not there any more.", "Make it again.") from exc
    if os.fstat(fd).st_size != output.get("bytes"):
        os.close(fd)
        raise RequestError("cleared", f"{name} is not what the job made: somebody changed it.", "Make it again.")
    return fd


class RangedFileResponse(FileResponse):
    """Serves a file, and parts of it. A range that is none is passed over (RFC 9110), and one beyond the end is a problem."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer.

        Raises:
            RequestError: `range-beyond`; nothing was sent then.
        """
        given = Headers(scope=scope)
        if (wanted := given.get("range")) is not None:
            parts = self._parts(wanted, given.get("if-range"))
            range_header = [(b"range", f"bytes={', '.join(parts)}".encode())] * bool(parts)
            scope = {**scope, "headers": [one for one in scope["headers"] if one[0] != b"range"] + range_header}
        await super().__call__(scope, receive, send)

    def _parts(self, wanted: str, condition: str | None) -> list[str]:
        """Return the parts of a range that the file has; none where it is no range, or of another file (`condition`)."""
        info = self.stat_result or os.stat(self.path)
        present = (self.headers.get("etag"), formatdate(info.st_mtime, usegmt=True))
        if _RANGES.fullmatch(wanted) is None or (condition is not None and condition not in present):
            return []
        parts = [one.strip() for one in wanted.partition("=")[2].split(",")]
        ends = [one.partition("-")[::2] for one in parts]
        if any(first and last and int(first) > int(last) for first, last in ends):
            return []
        size = info.st_size
        found = [
            one
            for one, (first, last) in zip(parts, ends, strict=True)
            if (int(first) < size if first else int(last) and size)
        ]
        if not found:
            raise RequestError(
                "range-beyond",
                f"The result has {in_bytes(size)}, and the range begins behind them.",
                "Ask for a range within it, or for all of it.",
                headers={"Content-Range": f"bytes */{size}"},
            )
        return found


class OpenFileResponse(RangedFileResponse):
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
