"""Tells why nothing happens with a job of the service now: no daemon, a pause, a lane that a fault of the machine has stopped."""

from __future__ import annotations

from pathlib import Path

from daemon.outbox.status_file import describe_intake_pause, describe_pause
from daemon.queue.lock import lock_holder
from daemon.queue.pauses import read_pauses
from daemon.system.installation import how_to_start
from daemon.telemetry.state_file import read_state


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
