"""Tells why nothing happens with a job of the service now: no daemon, a pause, a lane that a fault of the machine has stopped.

Says as well when nobody who waits has to wait any longer, because the daemon is gone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from daemon.errors import UnavailableError
from daemon.outbox.status_file import describe_intake_pause, describe_pause
from daemon.queue.lock import lock_holder
from daemon.queue.pauses import read_pauses
from daemon.system.installation import how_to_start
from daemon.telemetry.state_file import read_state

#: How long a service may be gone while its job is waited for: it may be starting anew. s
ABSENT_S: Final = 15.0


class Absence:
    """Watches whether a daemon runs while its job is waited for. Every command that waits goes by it.

    Args:
        runs: whether a daemon runs, as far as can be told.
        job: its id, or the name of its result.
    """

    def __init__(self, runs: Callable[[], bool], job: str) -> None:
        self._runs, self._job = runs, job
        self._seen = time.monotonic()

    def check(self) -> None:
        """Look whether it runs.

        Raises:
            AvatarError: `daemon-absent`: it has been gone for longer than a start takes.
        """
        if self._runs():
            self._seen = time.monotonic()
        elif time.monotonic() - self._seen > ABSENT_S:
            raise UnavailableError(
                "daemon-absent",
                f"The daemon does not run; it keeps the job {self._job}.",
                "Start it with `avatar run` or `systemctl start avatard`; the results then come into the outbox.",
            )


def standstill(spool: Path, state: str, next_step: str = "") -> str:
    """Return why a job does not go on, and what makes it go on, as sentences; empty where it does, or where it cannot be known.

    Args:
        spool: folder of the spool. Whoever may not look into it only hears of a hold.
        state: of the job.
        next_step: `next` of its status, which says how a hold ends.
    """
    if state == "held":
        return next_step
    if state not in ("waiting", "queued", "running"):
        return ""
    try:
        if lock_holder(spool / "lock") is None:
            return f"The daemon does not run; it keeps the job. {how_to_start()}"
    except OSError:
        return ""
    pauses = read_pauses(spool / "paused.json")
    if state == "waiting" and (intake := pauses.get("intake")) is not None and intake.left_s > 0:
        return describe_intake_pause(intake)
    if state != "queued":
        return ""
    if (lanes := pauses.get("lanes")) is not None and lanes.left_s > 0:
        return describe_pause(lanes.by, lanes.since, lanes.until, lanes.reason)
    faults = read_state(spool / "state.json").get("paused_lanes")
    told = faults.items() if isinstance(faults, dict) else ()
    return " ".join(f"The lane {lane} stands still: {fault['message']} {fault['hint']}".strip() for lane, fault in told)
