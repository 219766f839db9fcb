"""Asks the daemon for something by a request in the spool, and waits for its answer; or by an empty file in the inbox."""

from __future__ import annotations

import contextlib
import json
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from daemon.control.spool_requests import send_request
from daemon.errors import UnavailableError, stated_error
from daemon.queue.spool import Spool
from daemon.system import fs
from daemon.system.permissions import current_user, make_folder

ANSWER_S = 15.0  # how long an answer is waited for
LOOK_S = 0.05


def ask(spool: Spool, may_run: Callable[[], bool], op: str, *, by: str = "", **data: Any) -> dict[str, Any]:
    """Send a request. While the daemon runs its answer is waited for; otherwise it is obeyed at the next start.

    Args:
        may_run: whether a daemon runs, as far as can be told.
        by: who asks; the user of this process by default.

    Raises:
        AvatarError: the daemon refused, with its code; `answer-late`: no answer came in time.
        PermissionError: the spool may not be written.
    """
    make_folder(spool.control)
    answer = send_request(spool.control, op, by=by or current_user(), **data)
    deadline = time.monotonic() + ANSWER_S
    while not answer.exists() and may_run():
        if time.monotonic() > deadline:
            raise UnavailableError(
                "answer-late", "The daemon has not answered yet.", "The request stands and will be obeyed."
            )
        time.sleep(LOOK_S)
    if answer.exists():
        reply: dict[str, Any] = json.loads(answer.read_bytes())
        fs.remove(answer)
        if not reply["ok"]:
            raise stated_error(reply.get("fault"), reply)
        return reply
    if not answer.with_suffix(".json").exists():
        raise UnavailableError(
            "answer-late", "The daemon ended before it answered.", "`avatar jobs show` tells what it did."
        )
    return {"ok": True, "message": "The daemon does not run; it will obey when it starts."}


def put_request_file(inbox: Path, name: str, op: str) -> None:
    """Ask by an empty file in the inbox, as people without a shell do; its answer shows in the job's status.

    Args:
        name: of the job's result, below the outbox.

    Raises:
        OSError: the inbox refuses it.
    """
    path = inbox / f"{name}.{op}"
    if not path.parent.exists():  # the result of a row lies in a folder that is called like its batch
        path.parent.mkdir(exist_ok=True)
        # The daemon, of the same group, takes the file away when it has done what was asked.
        path.parent.chmod(stat.S_IMODE(path.parent.stat().st_mode) | stat.S_IRWXG)
    with contextlib.suppress(FileExistsError):
        path.touch(mode=0o640, exist_ok=False)
