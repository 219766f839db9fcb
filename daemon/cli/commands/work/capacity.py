"""`avatar capacity`: how many videos this machine makes in a day."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.common import Shell, json_option, show
from daemon.jobs.speech_length import minutes_or_seconds

if TYPE_CHECKING:
    from daemon.jobs.stages import LaneName

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
    "--seconds", "-s", "lengths", type=click.FloatRange(0.1, 36_000), multiple=True, default=(10.0, 30.0, 60.0),
    show_default="10, 30 and 60", help="Length of the speech; may be given several times.",
)  # fmt: skip
@click.option(
    "--size", "sizes", type=_Size(), multiple=True, default=("512x512", "720x720", "1080x1080"), show_default="three sizes",
    help="Size of the video, px; may be given several times.",
)  # fmt: skip
@json_option
@click.pass_obj
def capacity(shell: Shell, lengths: tuple[float, ...], sizes: tuple[tuple[int, int], ...], as_json: bool) -> None:
    """How many videos this machine makes in a day, if it makes nothing else, by what it has measured.

    A row for each pair of engines that has made a video here. What has not been measured is a first guess for a machine of two
    cores, and is said to be one.

    \b
    Examples:
      avatar capacity
      avatar capacity --seconds 45 --size 1080x1920
    """
    from daemon.cli.capacity import NAMES
    from daemon.cli.capacity import capacity as computed
    from daemon.telemetry.state_file import learned_times, read_state

    settings = shell.settings
    state = read_state(settings.paths.spool / "state.json")
    learned = learned_times(state)
    slots: dict[LaneName, int] = {
        "gpu": max(1, len(state.get("slots") or ())),
        "voice": 1,
        "cpu": settings.lanes.cpu.slots,
    }
    rows = list(computed(learned, slots, lengths, sizes))

    def text() -> None:
        click.echo(f"{'length':>8}  {'size':>10}  {'a day':>7}  {'limited by':<18}  {'measured':<24}  engines")
        for row in rows:
            measured = f"{row.measured:.0%}"
            if row.alike >= 0.005:
                measured += f", {row.alike:.0%} at other sizes"
            engines = ", ".join(row.engines.values()) or "not known yet"
            click.echo(
                f"{minutes_or_seconds(row.seconds):>8}  {row.size[0]:>5}x{row.size[1]:<4}  {int(row.a_day):>7,}  "
                f"{NAMES[row.limit]:<18}  {measured:<24}  {engines}"
            )
        if not any(row.measured or row.alike for row in rows):
            click.echo("Nothing has been measured here yet: these are first guesses for a machine of two cores.")

    show([row.to_json() for row in rows], as_json, text)
