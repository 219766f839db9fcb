"""Has the service check a picture or speak a sentence while somebody waits. Such jobs are marked: no list of jobs shows them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from starlette.concurrency import run_in_threadpool

from daemon.doors.http.answers import Door
from daemon.doors.http.callers import Caller
from daemon.doors.http.events import wait_for_end
from daemon.outbox import looks

#: Longest wait for such a job, s.
WAIT_S: Final = 20.0
#: They go before what only has to be finished some day.
_SOON: Final = 50


def hand_in_look(door: Door, caller: Caller, manifest: Mapping[str, Any], files: Mapping[str, Path]) -> str:
    """Hand in such a job; returns its id. Errors as for `Jobs.hand_in`."""
    highest = caller.limits.priority
    wanted = {**manifest, **looks.marked(), "priority": _SOON if highest is None else min(_SOON, highest)}
    name = f"{looks.PREFIX}{secrets.token_hex(4)}"
    return door.jobs.hand_in(wanted, files, caller, name=name, take=False).job


async def wait_for_look(door: Door, caller: Caller, job: str) -> dict[str, Any]:
    """Return its status when it has ended, or as it is when the wait is over, at once where the service is stopped."""
    if not await run_in_threadpool(door.jobs.may_run):
        return {"state": "waiting"}
    return await wait_for_end(lambda: door.jobs.status(job, caller), WAIT_S)
