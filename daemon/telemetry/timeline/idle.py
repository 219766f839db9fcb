"""Says why a slot stood still: cuts the times in which nothing ran in it by what is known of them."""

from __future__ import annotations

from typing import Final, NamedTuple

from daemon.jobs.stages import BY_NAME
from daemon.telemetry.timeline.intervals import Interval, merged, without
from daemon.telemetry.timeline.records import Past, lane_of

STOPPED: Final = "daemon stopped"
PAUSED: Final = "paused"
LOADING: Final = "loading a model"
KEPT_FREE: Final = "kept free for short stages"
NEXT_JOB: Final = "next job not started"
EARLIER: Final = "waiting for an earlier stage"
NO_WORK: Final = "no work"
#: In the order in which they count where several hold.
REASONS: Final = (STOPPED, PAUSED, LOADING, KEPT_FREE, NEXT_JOB, EARLIER, NO_WORK)


class Idle(NamedTuple):
    """A time in which nothing ran, seconds since the epoch, and why."""

    began: float
    ended: float
    why: str


def idle_times(past: Past, slot: str) -> list[Idle]:
    """Return the times in which nothing ran in a slot, in order."""
    lane = lane_of(slot)
    left = without([(past.began, past.ended)], [(span.began, span.ended) for span in past.spans[slot]])[1]
    found: list[Idle] = []
    for why, times in (
        (STOPPED, past.stopped),
        (PAUSED, [*past.paused.get("", ()), *past.paused.get(lane, ()), *past.paused.get(slot, ())]),
        (LOADING, [*past.loading.get(lane, ()), *past.loading.get(slot, ())]),
        (KEPT_FREE, _kept_free(past, slot)),
        (NEXT_JOB, [*past.ready.get(lane, ()), *past.ready_long.get(lane, ())]),
        (EARLIER, past.coming.get(lane, ())),
    ):
        inside, left = without(left, times)
        found += [Idle(*one, why) for one in inside]
    found += [Idle(*one, NO_WORK) for one in left]
    return sorted(found)


def _kept_free(past: Past, slot: str) -> list[Interval]:
    """Return when only long stages waited for the lane of a slot, and another of its slots ran one."""
    lane = lane_of(slot)
    others = [span for other, spans in past.spans.items() if other != slot and lane_of(other) == lane for span in spans]
    long = [(span.began, span.ended) for span in others if BY_NAME[span.stage].turn == "long"]
    waiting = without(merged(past.ready_long.get(lane, ())), past.ready.get(lane, ()))[1]
    return without(waiting, long)[0]
