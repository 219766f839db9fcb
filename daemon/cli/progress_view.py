"""Shows on stderr how far a job is: a bar on a terminal, else a line for each change; and why it stands still."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from daemon.cli.common import console, note

#: Is told state, stage and finished part, 0 to 1.
Show = Callable[[str, str | None, float], None]


@contextmanager
def progress_view(*, quiet: bool) -> Iterator[Show]:
    """Yield the function that shows a job's progress. `quiet`: nothing is shown."""
    if quiet:
        yield lambda *_: None
    elif not sys.stderr.isatty():
        yield _lines()
    else:
        yield from _bar()


class StandstillNotes:
    """Says why nothing happens with a job that is waited for, once for each reason."""

    def __init__(self) -> None:
        self._last = ""

    def tell(self, standstill: str) -> None:
        """Say a reason (`daemon.doors.standstill`) unless it is the one that was said last; empty: the job goes on."""
        if standstill and standstill != self._last:
            note(standstill)
        self._last = standstill


def _lines() -> Show:
    last: tuple[str, str | None] | None = None

    def show(state: str, stage: str | None, part: float) -> None:
        nonlocal last
        if (state, stage) != last:
            last = (state, stage)
            click.echo(f"{state:8} {stage or ''}", err=True)

    return show


def _bar() -> Iterator[Show]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description:18}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console(stderr=True)) as bar:
        task = bar.add_task("handed in", total=1.0)
        yield lambda state, stage, part: bar.update(task, completed=part, description=f"{state} {stage or ''}")
