"""Asks the daemon for something by a request in the spool, and waits for its answer; or by an empty file in the inbox."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from daemon.config.paths import Paths
from daemon.control.spool_requests import send_request
from daemon.errors import RefusedError, UnavailableError, stated_error
from daemon.outbox.outbox import Outbox
from daemon.queue.spool import Spool
from daemon.system import fs
from daemon.system.mount_guard import kept_mounted
from daemon.system.permissions import NOT_ALLOWED, current_user, make_folder
from daemon.system.subfolders import INBOX_DEPTH, is_looked_into

ANSWER_S = 15.0  # how long an answer is waited for
LOOK_S = 0.05
TAKEN_IN_S = 5.0  # how long a job that was just handed in is waited for
TRIES = 3  # to put a request file into a folder that the daemon removes at that moment


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


def check_taken_in(name: str, is_seen: Callable[[], bool], may_run: Callable[[], bool]) -> None:
    """Wait a moment for the daemon to see a job that was handed in, which has no other request for it before.

    Args:
        name: of the job's result.

    Raises:
        RefusedError: `job-waiting`: it has not.
    """
    deadline = time.monotonic() + TAKEN_IN_S
    while not is_seen():
        if time.monotonic() > deadline or not may_run():
            raise RefusedError(
                "job-waiting",
                f"{name} has not been taken in yet, and until then it can only be cancelled.",
                "Ask again when its status says that it is queued.",
            )
        time.sleep(LOOK_S)


def put_request_file(paths: Paths, name: str, op: str, job: str = "") -> None:
    """Ask by an empty file in the inbox, as people without a shell do; its answer shows in the job's status.

    Args:
        paths: the folders of the installation.
        name: of the job's result, below the outbox.
        job: its id; empty where any job of that name is meant, or one whose manifest waits in the inbox.

    Raises:
        AvatarError: `not-allowed`: the inbox is not looked into where the file would lie, or another job has the name.
        MachineError: `inbox-missing`: the inbox is not mounted, and the file would be hidden when it is.
        OSError: the inbox refuses it.
    """
    if not is_looked_into(os.path.dirname(name)):
        raise UnavailableError(
            NOT_ALLOWED,
            f"There is no request file for {name}: the inbox is looked into {INBOX_DEPTH} folders deep, and this row of a batch "
            "would have its file in a deeper one.",
            f"Ask for its whole batch, or run `avatar jobs {op}` as a user who may write into the spool.",
        )
    if job and (owner := Outbox(paths.outbox).owner_of(name)) not in (None, job):
        raise UnavailableError(
            NOT_ALLOWED,
            f"{job} cannot be asked for by a file in the inbox: {name}.{op} would mean {owner}, which has that name by now.",
            f"Run `avatar jobs {op} {job}` as a user who may write into the spool.",
        )
    path = paths.inbox / f"{name}.{op}"
    for again in reversed(range(TRIES)):
        try:
            with kept_mounted(paths.inbox, paths.spool):
                _put_empty_file(path)
        except FileNotFoundError:  # the daemon removed the folder, with the last request that was in it
            if not again:
                raise
        else:
            return


def _put_empty_file(path: Path) -> None:
    """Make an empty file, where it is not there, and the folder for it."""
    if not path.parent.exists():  # the result of a row lies in a folder that is called like its batch
        path.parent.mkdir(exist_ok=True)
        # The daemon, of the same group, takes the file away when it has done what was asked.
        path.parent.chmod(stat.S_IMODE(path.parent.stat().st_mode) | stat.S_IRWXG)
    with contextlib.suppress(FileExistsError):
        path.touch(mode=0o640, exist_ok=False)
