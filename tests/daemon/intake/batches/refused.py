"""Makes what docs/mistakes.md says of batches that do not go on, and returns the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import pytest

from daemon.errors import JobError
from daemon.intake.batches.dropped_tables import ALONE_S
from daemon.jobs.record import row_id
from tests.daemon.intake.batches.test_reports_again import begin, end, hand_in, hand_in_without_batch, report_of
from tests.daemon.intake.batches.test_rows_alone import ask, carry_on, end_next, with_jobs
from tests.support.daemon.begun_batch import begun, checked
from tests.support.daemon.intake import Room


def _retried(room: Room, job_id: str) -> str:
    with pytest.raises(JobError) as refused:
        ask(room, "retry", job_id)
    return str(refused.value)


def _checked(room: Room) -> str:
    with pytest.raises(JobError) as refused:
        checked(room)
    return str(refused.value)


def retried_while_a_row_is_held(room: Room) -> str:
    """Start a batch again while one of its rows is held."""
    batch = with_jobs(room)
    ask(room, "hold", row_id(batch.id, 3))
    return _retried(room, batch.id)


def row_retried_after_a_stop(room: Room) -> str:
    """Start a row again whose batch was stopped."""
    batch = with_jobs(room, "dedupe: false\non_error: stop")
    end_next(room, "failed")
    return _retried(room, row_id(batch.id, 5))


def stopped_by_a_row(room: Room) -> str:
    """Let a batch of two rows be stopped by the first one."""
    begun(room, more="dedupe: false\non_error: stop", table="name\nanna\nben\n")
    asyncio.run(carry_on(room))
    end_next(room, "failed")
    error = room.status("talk")["error"]
    return f"{error['message']} {error['hint']}"


def report_while_a_row_runs(room: Room) -> str:
    """Hand in the report of a batch that runs."""
    with_jobs(room)
    end_next(room, "failed")
    room.put("talk.report.csv", (room.outbox / "talk.report.csv").read_bytes())
    for _ in range(3):  # it waits for a manifest that names it
        room.look(ALONE_S)
    status = room.status("talk-v2")
    return f"{status['error']['message']} {status['error']['hint']} {status['next']}"


def retried_beside_its_report(room: Room) -> str:
    """Start a batch again while another one makes its rows."""
    first = begin(room)[0]["_batch"]
    end(room, "done", "failed", "failed")
    hand_in(room, report_of(room, "talk"))
    return _retried(room, first)


def row_that_its_report_made(room: Room) -> str:
    """Start a row again that a batch of the report has made."""
    first = begin(room)[0]["_batch"]
    end(room, "done", "failed", "failed")
    hand_in(room, report_of(room, "talk"))
    checked(room)
    asyncio.run(carry_on(room))
    end(room, "done", "failed")
    return _retried(room, row_id(first, 2))


def report_without_a_row_left(room: Room) -> str:
    """Hand in an early report whose rows are done by now."""
    early = begin(room)
    end(room, "done", "done", "done")
    hand_in(room, early)
    return _checked(room)


def report_of_one_row_that_is_done(room: Room) -> str:
    """Hand in one row of an early report, which is done by now."""
    early = begin(room)
    end(room, "done", "done", "done")
    hand_in(room, early[:1])
    return _checked(room)


def report_without_numbers(room: Room) -> str:
    """Hand in a report without the column that says which row is which."""
    early = begin(room)
    end(room, "done", "failed", "failed")
    hand_in(room, [{key: cell for key, cell in row.items() if key != "_row"} for row in early])
    return _checked(room)


def report_of_a_batch_that_is_gone(room: Room) -> str:
    """Hand in the report of a batch that is not kept any more."""
    refused = hand_in_without_batch(room)
    assert refused.error is not None
    return f"{refused.error['message']} {refused.error['hint']}"


def too_many_cells(room: Room) -> str:
    """Hand in a table of one column, in one of whose rows a comma is not quoted."""
    room.put("p.png", b"picture")
    room.put("talk.csv", "name\nanna\nHall, Ben\n")
    room.put("talk.yaml", "kind: batch\nrows: talk.csv\ntemplate: {kind: info, image: p.png, output: '{{name}}'}\n")
    room.settle()
    return _checked(room)


#: By what is done, as the page says it: what does it, and returns the answer.
REFUSED: Final[dict[str, Callable[[Room], str]]] = {
    "`avatar batch retry-failed talk`, while a row is held": retried_while_a_row_is_held,
    "`avatar jobs retry talk/n4`, after `on_error: stop` ended the batch": row_retried_after_a_stop,
    "`on_error: stop`, and the first of two rows fails": stopped_by_a_row,
    "`talk.report.csv` in the inbox, while a row runs": report_while_a_row_runs,
    "`avatar batch retry-failed talk`, while a batch of its report runs": retried_beside_its_report,
    "`avatar jobs retry` with the id of a row that a batch of its report has made": row_that_its_report_made,
    "`talk.report.csv`, whose rows are done by now": report_without_a_row_left,
    "`talk.report.csv` with one row, which is done by now": report_of_one_row_that_is_done,
    "`talk.report.csv` without the column `_row`": report_without_numbers,
    "`talk.report.csv`, whose batch is not kept any more": report_of_a_batch_that_is_gone,
    "`name⏎anna⏎Hall, Ben` as the table": too_many_cells,
}
