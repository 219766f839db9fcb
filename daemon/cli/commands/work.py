"""`avatar capacity`, `avatar timeline`: how much this machine does, and what it has done."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.common import Shell, json_option, note, show
from daemon.cli.moments import Moment
from daemon.cli.numbers import Number
from daemon.jobs.iso_time import iso
from daemon.jobs.speech_length import minutes_or_seconds
from daemon.system.permissions import access_error

if TYPE_CHECKING:
    from daemon.telemetry.timeline.records import Past

_SIZE = re.compile(r"(\d{2,5})x(\d{2,5})")


class _Size(click.ParamType[tuple[int, int]]):
    """Width and height of a video, px: 720x720."""

    name = "WxH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        found = _SIZE.fullmatch(str(value))
        if found is None:
            self.fail(f"{value} is no size; write width and height in pixels, such as 720x720.", param, ctx)
        return int(found[1]), int(found[2])


@click.command()
@click.option(
    "--seconds", "-s", "lengths", type=Number("seconds", min=0.1, max=36_000), multiple=True, default=(10.0, 30.0, 60.0),
    show_default="10, 30 and 60", help="Length of the speech; may be given several times.",
)  # fmt: skip
@click.option(
    "--size", "sizes", type=_Size(), multiple=True, default=("512x512", "720x720", "1080x1080"), show_default="three sizes",
    help="Size of the video, px; may be given several times.",
)  # fmt: skip
@json_option
@click.pass_obj
def capacity(shell: Shell, lengths: tuple[float, ...], sizes: tuple[tuple[int, int], ...], as_json: bool) -> None:
    """How many videos of which length and size this machine makes in a day, by what it has measured.

    It makes nothing else then. A row for each pair of engines that has made a video here. What was measured at other sizes only
    is scaled, and what was not is a first guess for a machine of two cores; both are said to be so.

    \b
    Examples:
      avatar capacity
      avatar capacity --seconds 45 --size 1080x1920
    """
    from daemon.cli.capacity import NAMES, slots_here
    from daemon.cli.capacity import capacity as computed
    from daemon.telemetry.state_file import learned_times, read_state

    settings = shell.settings
    if access_error(settings.paths.spool) is not None:
        note("You may not read the spool, so what was measured here cannot be told.")
    state = read_state(settings.paths.spool / "state.json")
    learned = learned_times(state)
    rows = list(computed(learned, slots_here(state, settings.lanes.cpu.slots), lengths, sizes))

    def text() -> None:
        click.echo(f"{'length':>8}  {'size':>10}  {'a day':>7}  {'limited by':<18}  {'measured':<24}  engines")
        for row in rows:
            measured = f"{row.measured:.0%}"
            if row.alike >= 0.005:
                measured += f", {row.alike:.0%} scaled"
            engines = ", ".join(row.engines.values()) or "not known yet"
            click.echo(
                f"{minutes_or_seconds(row.seconds):>8}  {row.size[0]:>5}x{row.size[1]:<4}  {int(row.a_day):>7,}  "
                f"{NAMES[row.limit]:<18}  {measured:<24}  {engines}"
            )
        if any(row.alike >= 0.005 for row in rows):
            click.echo("scaled: measured here at other lengths or sizes, and scaled by length and pixels.")
        if not any(row.measured or row.alike for row in rows):
            click.echo("Nothing that was measured here is known: these are first guesses for a machine of two cores.")

    show([row.to_json() for row in rows], as_json, text)


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
    """A picture of what ran where and when, and why nothing ran, from the records of jobs.

    A row for each slot of a lane. The daemon need not run. Jobs that are removed by the retention are not in it any more. A
    .json file opens at ui.perfetto.dev.

    \b
    Examples:
      avatar timeline --since 1h --output night.svg
      avatar timeline --since 24h -o night.json
    """
    from daemon.queue.spool import Spool
    from daemon.telemetry.timeline.records import read_past
    from daemon.telemetry.timeline.summary import summary

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
    from daemon.telemetry.timeline.picture import draw
    from daemon.telemetry.timeline.trace import trace
    from daemon.telemetry.timeline.write import to_svg, write_png

    if ending == ".json":
        output.write_text(json.dumps(trace(past)), encoding="utf-8")
    elif ending == ".svg":
        output.write_text(to_svg(draw(past)), encoding="utf-8")
    else:
        write_png(draw(past), output)
