"""Says in sentences whether the service works on jobs: it is stopped, or paused, by whom and why."""

from __future__ import annotations

from dataclasses import dataclass

from daemon.doors.http.answers import Door
from daemon.doors.page import shown
from daemon.queue.pauses import read_pauses
from daemon.queue.spool import Spool
from daemon.telemetry.state_file import read_state


@dataclass(frozen=True)
class ServiceState:
    """Whether the service works. `running`: the daemon runs, or it is not known; `banners`: sentences on what stands still."""

    running: bool
    banners: tuple[str, ...]


def service_state(door: Door) -> ServiceState:
    """Return how the service stands."""
    spool = Spool(door.jobs.paths.spool)
    running, banners = door.jobs.may_run(), []
    if not running:
        banners.append("The service is stopped. What you hand in is kept, and starts with it.")
    try:
        pauses = {scope: pause for scope, pause in read_pauses(spool.root / "paused.json").items() if pause.left_s > 0}
    except OSError:
        pauses = {}
    for scope, pause in pauses.items():
        what = {"lanes": "Work on jobs is paused", "intake": "Taking in of new jobs is paused"}.get(
            scope, f"{scope} is paused"
        )
        why = f": {pause.reason}" if pause.reason else ""
        banners.append(
            f"{what} by {pause.by or 'somebody'} since {shown.ago(pause.since)}{why}. Jobs wait until it goes on."
        )
    lanes = read_state(spool.root / "state.json").get("paused_lanes") or {} if running else {}
    for lane, error in lanes.items():
        banners.append(f"The {lane} lane stands still: {error.get('message', '')} {error.get('hint', '')}".strip())
    return ServiceState(running, tuple(banners))
