"""`avatar top`: the picture of the on-call dashboard in a terminal, live."""

from __future__ import annotations

import sys
import time

import click

from daemon.cli.common import EXIT_CODES, Shell, console, json_option, show
from daemon.cli.numbers import Number
from daemon.cli.status_snapshot import daemon_absent, status_overview


@click.command()
@click.option(
    "--every", "every_s", default=1.0, type=Number("seconds", endless=True, min=0.1), help="Seconds between two looks."
)
@click.option("--once", is_flag=True, help="Show it once and end; so it is where the output is no terminal.")
@json_option
@click.pass_obj
def top(shell: Shell, every_s: float, once: bool, as_json: bool) -> None:
    """What runs, what waits since when, what ended, what is paused; live, until Ctrl-C. Exit code 69 when no daemon runs.

    \b
    Examples:
      avatar top
      avatar top --once
    """
    from rich.live import Live

    from daemon.cli.status_view import render_status

    terminal = console()
    if as_json or once or not terminal.is_terminal:
        now = status_overview(shell)
        show(now, as_json, lambda: terminal.print(render_status(now)))
        if daemon_absent(now):
            raise click.exceptions.Exit(EXIT_CODES["daemon-absent"])
        return
    with Live(render_status(status_overview(shell)), console=terminal, screen=True, auto_refresh=False) as live:
        try:
            while True:
                time.sleep(every_s)
                live.update(render_status(status_overview(shell)), refresh=True)
        except KeyboardInterrupt:
            sys.exit(0)
