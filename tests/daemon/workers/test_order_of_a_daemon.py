"""A running daemon starts jobs in the order that docs/scaling.md promises, over all stages of its lanes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from daemon.queue.spool import Spool
from daemon.telemetry.timeline.records import read_past
from tests.conftest import Installation

#: Jobs of `many` that may be spoken before one that goes before them: their checks run two at once, and may end in another order.
BEFORE = 3


def spoken(spool: Path, began: float) -> list[str]:
    """Return the names of the jobs in the order in which their speech was begun."""
    spans = [span for found in read_past(Spool(spool), began, time.time()).spans.values() for span in found]
    return [span.name for span in sorted(spans, key=lambda span: span.began) if span.stage == "tts"]


def test_a_single_job_waits_neither_for_a_folder_full_of_jobs_nor_for_its_turn_behind_higher_priorities(
    installation: Callable[..., Installation],
) -> None:
    # Given jobs that wait: of one folder many, of a second some of higher priority, of a third a single one, the last to come
    one = installation()
    one.start()
    began = time.time()
    one.avatar("pause")
    jobs = [(f"many/m{number}", 0) for number in range(8)] + [(f"first/f{number}", 5) for number in range(6)]
    jobs += [("alone/a", 0)]
    for name, priority in jobs:
        (one.inbox / name).parent.mkdir(exist_ok=True)
        one.drop(f"{name}.yaml", {"kind": "speech", "text": f"{name[-2:]}.", "priority": priority})
        one.reaches(name, "queued")
    # When they run
    one.avatar("resume")
    for name, _ in jobs:
        assert one.finished(name)["state"] == "done"
    # Then those of higher priority come first, and the single one comes before most of the many
    order = spoken(one.spool, began)
    assert sorted(order) == sorted(name for name, _ in jobs)
    before = [sum(name.startswith("many/") for name in order[: order.index(last)]) for last in ("first/f5", "alone/a")]
    assert max(before) <= BEFORE, order
