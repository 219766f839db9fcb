"""Says which rows of a report are left out or made again otherwise than its column `_state` lets people expect."""

from __future__ import annotations

from typing import Final

from daemon.jobs.batch.done_rows import LEFT_OUT, Standing
from daemon.jobs.batch.table import Row

#: Rows that a sentence names.
SHOWN: Final = 10


class DoneWarnings:
    """Counts the rows of a report that are done.

    Args:
        name: of the report.

    Attributes:
        left_out: how many rows are left out.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._numbers: dict[Standing, list[int]] = {}
        self.left_out = 0

    def note(self, row: Row, standing: Standing) -> None:
        """Count a row."""
        self.left_out += standing in LEFT_OUT
        if standing not in (Standing.TO_MAKE, Standing.DONE):
            self._numbers.setdefault(standing, []).append(row.number)

    def all_done(self) -> str:
        """Return the sentence for a report of which no row is left."""
        since = len(self._numbers.get(Standing.DONE_SINCE, ()))
        if self.left_out == 1:
            when = "was done after that report was written" if since else "is done"
            return f"No row of {self._name} is left: its only one {when}."
        late = f", {since} of them since that report was written" if since else ""
        return f"No row of {self._name} is left: all {self.left_out} are done{late}."

    def warnings(self) -> list[str]:
        """Return a sentence for each kind of row that people may not expect."""
        told = []
        if since := self._numbers.get(Standing.DONE_SINCE):
            were = f"{_rows(since)} of {self._name} {'were' if len(since) > 1 else 'was'}"
            told.append(f"{were} done after that report was written, and {_are(since)} left out.")
        if mended := self._numbers.get(Standing.MENDED):
            were = f"{_rows(mended)} of {self._name} {'were' if len(mended) > 1 else 'was'}"
            told.append(
                f"{were} done after that report was written, and {_are(mended)} made again, since what "
                f"{'they ask' if len(mended) > 1 else 'it asks'} for is not the same any more."
            )
        if otherwise := self._numbers.get(Standing.DONE_OTHERWISE):
            them = "them" if len(otherwise) > 1 else "it"
            told.append(
                f"{_rows(otherwise)} of {self._name} {_are(otherwise)} left out as done, although the result was made from "
                f"other cells or another template. To make {them} again, empty `_state` there, and put the "
                "report into the inbox again."
            )
        return told


def _are(numbers: list[int]) -> str:
    return "are" if len(numbers) > 1 else "is"


def _rows(numbers: list[int]) -> str:
    """Return `Row 3`, `Rows 3, 5` or `Rows 3, 5, … and 7 more`, for the beginning of a sentence."""
    shown = ", ".join(map(str, numbers[:SHOWN]))
    more = f" and {len(numbers) - SHOWN} more" if len(numbers) > SHOWN else ""
    return f"Row{'s' if len(numbers) > 1 else ''} {shown}{more}"
