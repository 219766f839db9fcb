"""Says how a batch ends whose rows have all ended."""

from __future__ import annotations

from typing import Final, NamedTuple

from daemon.errors import JobError
from daemon.jobs.facts import BatchCounts
from daemon.jobs.record import State
from daemon.queue.job_end import cancelled_by

#: Stands in `BatchCounts.stopped` where rows failed as often as `on_error` allows.
ON_ERROR: Final = "on_error"


class Ending(NamedTuple):
    """How a batch ends. `error`: why it is not done; `warning`: what is to be known where it is, empty for nothing."""

    state: State
    error: JobError | None = None
    warning: str = ""


def ending_of(counts: BatchCounts, report: str) -> Ending:
    """Return how a batch ends by what became of its rows. `report`: file name of its report."""
    again = f"or a file {report.partition('.')[0] or 'NAME'}.retry in the inbox"
    if counts.stopped == ON_ERROR:
        return Ending(
            "failed",
            JobError(
                "batch-stopped",
                f"{_rows(counts.failed)} failed, and {_rows(counts.cancelled)} that had not started "
                f"{'was' if counts.cancelled == 1 else 'were'} cancelled, as `on_error` says.",
                f"{report} says why. Mend that, and start those rows again: `avatar jobs retry`, {again}.",
            ),
        )
    if counts.stopped:
        return Ending("cancelled", cancelled_by(counts.stopped))
    if counts.failed and not counts.done:
        return Ending(
            "failed",
            JobError(
                "rows-failed",
                f"{'All' if counts.failed > 1 else 'The'} {_rows(counts.failed)} failed.",
                f"{report} says why each one did. Mend that, and start them again: `avatar jobs retry`, {again}.",
            ),
        )
    told = [f"{_rows(counts.failed)} of {counts.rows} failed"] if counts.failed else []
    told += [f"{_rows(counts.cancelled)} cancelled"] if counts.cancelled else []
    starts = f"`avatar jobs retry`, {again}, starts them again."
    return Ending("done", warning=f"{' and '.join(told)}: {report} says why. {starts}" if told else "")


def _rows(number: int) -> str:
    return "1 row" if number == 1 else f"{number} rows"
