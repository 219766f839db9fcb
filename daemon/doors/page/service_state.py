"""Says in sentences whether the service works on jobs: it is stopped, or paused, by whom and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from daemon.doors.http.answers import Door
from daemon.doors.page import shown
from daemon.queue.pauses import read_pauses
from daemon.queue.spool import Spool
from daemon.telemetry.state_file import read_state

#: What a pause holds up: scope → words.
PAUSED: Final = {"lanes": "Work on jobs", "intake": "Taking in of new jobs"}


@dataclass(frozen=True)
class ServiceState:
    """Whether the service works.

    Attributes:
        running: the daemon runs, or it is not known.
        begins: jobs that wait are begun when their turn comes, so that it can be said when they are done.
        banners: sentences on what stands still.
    """

    running: bool
    begins: bool
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
        why = f": {pause.reason}" if pause.reason else ""
        who = f"{pause.by or 'somebody'} {shown.ago(pause.since)}"
        banners.append(f"{PAUSED.get(scope, scope)} was paused by {who}{why}. Jobs wait until it goes on.")
    lanes = read_state(spool.root / "state.json").get("paused_lanes") or {} if running else {}
    for lane, error in lanes.items():
        banners.append(f"The {lane} lane stands still: {error.get('message', '')} {error.get('hint', '')}".strip())
    return ServiceState(running, running and "lanes" not in pauses, tuple(banners))
