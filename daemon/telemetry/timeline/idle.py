"""Says why a slot stood still: cuts the times in which nothing ran in it by what is known of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from daemon.jobs.stages import BY_NAME
from daemon.telemetry.timeline.records import Interval, Past, lane_of

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
    left = _without([(past.began, past.ended)], [(span.began, span.ended) for span in past.spans[slot]])[1]
    found: list[Idle] = []
    for why, times in (
        (STOPPED, past.stopped),
        (PAUSED, [*past.paused.get("", ()), *past.paused.get(lane, ()), *past.paused.get(slot, ())]),
        (LOADING, [*past.loading.get(lane, ()), *past.loading.get(slot, ())]),
        (KEPT_FREE, _kept_free(past, slot)),
        (NEXT_JOB, [*past.ready.get(lane, ()), *past.ready_long.get(lane, ())]),
        (EARLIER, past.coming.get(lane, ())),
    ):
        inside, left = _without(left, times)
        found += [Idle(*one, why) for one in inside]
    found += [Idle(*one, NO_WORK) for one in left]
    return sorted(found)


def _kept_free(past: Past, slot: str) -> list[Interval]:
    """Return when only long stages waited for the lane of a slot, and another of its slots ran one."""
    lane = lane_of(slot)
    others = [span for other, spans in past.spans.items() if other != slot and lane_of(other) == lane for span in spans]
    long = [(span.began, span.ended) for span in others if BY_NAME[span.stage].turn == "long"]
    waiting = _without(merged(past.ready_long.get(lane, ())), past.ready.get(lane, ()))[1]
    return _without(waiting, long)[0]


def merged(times: Iterable[Interval]) -> list[Interval]:
    """Return times as disjoint ones, in order."""
    found: list[Interval] = []
    for began, ended in sorted(times):
        if ended <= began:
            continue
        if found and began <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], ended)
        else:
            found.append((began, ended))
    return found


def _without(times: Sequence[Interval], others: Iterable[Interval]) -> tuple[list[Interval], list[Interval]]:
    """Return the parts of disjoint ordered times that lie in others, and the parts that do not."""
    inside: list[Interval] = []
    outside: list[Interval] = []
    cover, at = merged(others), 0
    for began, ended in times:
        while at < len(cover) and cover[at][1] <= began:
            at += 1
        here, after = began, at
        while after < len(cover) and cover[after][0] < ended:
            first, last = max(here, cover[after][0]), min(ended, cover[after][1])
            outside.append((here, first))
            inside.append((first, last))
            here, after = last, after + 1
        outside.append((here, ended))
    return merged(inside), merged(outside)
