"""`avatar timeline`: what ran in which slot and when, and why slots stood still."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from daemon.cli.common import Shell, json_option, show
from daemon.cli.moments import Moment
from daemon.jobs.iso_time import iso
from daemon.jobs.speech_length import minutes_or_seconds

if TYPE_CHECKING:
    from daemon.cli.timeline.records import Past


@click.command()
@click.option(
    "--since",
    type=Moment(),
    default="1h",
    show_default=True,
    help="Since 2026-01-31T09:30 (UTC), or 90m, 24h, 7d, 2w ago.",
)
@click.option("--until", type=Moment(), help="Until then; default: now.")
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path),
    help="File to write: .svg or .png, or .json for a Chrome trace, which Perfetto opens.",
)  # fmt: skip
@json_option
@click.pass_obj
def timeline(shell: Shell, since: float, until: float | None, output: Path | None, as_json: bool) -> None:
    """What ran in which slot of a lane and when, and why slots stood still.

    Reads the records of jobs and the log of the lanes in the spool; the daemon need not run. Jobs that are removed by the
    retention are not in it any more. Perfetto (ui.perfetto.dev) opens a .json.

    \b
    Examples:
      avatar timeline --since 1h --output night.svg
      avatar timeline --since 24h -o night.json
    """
    from daemon.cli.timeline.records import read_past
    from daemon.cli.timeline.summary import summary
    from daemon.queue.spool import Spool

    ending = output.suffix.lower() if output else ""
    if output is not None and ending not in (".svg", ".png", ".json"):
        raise click.BadParameter(f"{output.name} ends in none of .svg, .png and .json.", param_hint="--output")
    end = time.time() if until is None else until
    if end <= since:
        raise click.BadParameter("it is not after --since.", param_hint="--until")
    past = read_past(Spool(shell.settings.paths.spool), since, end)
    if output is not None:
        _write(past, output, ending)
    rows = summary(past)

    def text() -> None:
        for row in rows:
            idle = ", ".join(f"{why} {minutes_or_seconds(seconds)}" for why, seconds in row["idle"].items())
            click.echo(f"{row['slot']}\t{row['busy']:.0%} busy\t{row['jobs']} jobs\tidle: {idle or 'never'}")
        if output is not None:
            click.echo(f"Written: {output}")

    span = {"began": iso(past.began), "ended": iso(past.ended)}
    show({**span, "slots": rows, "output": str(output) if output else None}, as_json, text)


def _write(past: Past, output: Path, ending: str) -> None:
    from daemon.cli.timeline.picture import draw
    from daemon.cli.timeline.trace import trace
    from daemon.cli.timeline.write import to_svg, write_png

    if ending == ".json":
        output.write_text(json.dumps(trace(past)), encoding="utf-8")
    elif ending == ".svg":
        output.write_text(to_svg(draw(past)), encoding="utf-8")
    else:
        write_png(draw(past), output)
