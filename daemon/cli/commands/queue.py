"""`avatar status`, and what stops and starts the whole queue: `pause`, `drain`, `resume`."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import click

from daemon.cli.common import EXIT_CODES, Shell, json_option, show, with_examples
from daemon.cli.status_snapshot import (
    daemon_absent,
    describe_hook_troubles,
    describe_slot,
    describe_unknown_daemon,
    status_overview,
)
from daemon.jobs.iso_time import iso
from daemon.queue.spool import RESTING


@click.command()
@click.option("--verbose", "-v", is_flag=True, help="Also lanes, loaded models, what runs, and the last errors.")
@json_option
@click.pass_obj
def status(shell: Shell, verbose: bool, as_json: bool) -> None:
    """Show whether the daemon runs, and how many jobs stand where. Exit code 69 when it does not run.

    \b
    Examples:
      avatar status
      avatar status -v
      avatar status --json
    """
    value = status_overview(shell)
    if verbose:
        from daemon.cli.status_details import details

        value |= details(shell)

    def text() -> None:
        lines = list(_lines(value))
        if verbose:
            from daemon.cli.status_details import detail_lines

            lines += detail_lines(value)
        width = max(len(label) for label, _ in lines)
        for label, told in lines:
            click.echo(f"{label:{width}} {told}" if label else told)

    show({**value, "at": iso(time.time())}, as_json, text)
    if daemon_absent(value):
        raise click.exceptions.Exit(EXIT_CODES["daemon-absent"])


def _lines(value: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the label of each line, which may be empty, and the rest of it."""
    yield "daemon", _daemon(value)
    for scope, pause in value["paused"].items():
        end = f" until {pause['until']}" if pause["until"] else ""
        yield "PAUSED", f"{scope} by {pause['by']} since {pause['since']}{end}: {pause['reason'] or 'no reason given'}"
    for lane, fault in value["paused_lanes"].items():
        yield "WAITING", f"{lane} since {fault['since']}: {fault['message']} {fault['hint']}"
    if unwatched := value["unwatched"]:
        yield "NOTE", f"{unwatched['message']} {unwatched['hint']}"
    yield from (("HOOKS", line) for line in describe_hook_troubles(value))
    for stage, sides in value["queues"].items():
        yield stage, f"{sides['ready']} waiting, {sides['active']} running"
    for slot in value["slots"] if len(value["slots"]) > 1 else ():
        yield slot["lane"], describe_slot(slot)
    # A job that was cancelled rests in the folder of those that failed.
    rest = {"failed or cancelled" if name == "failed" else name: value[name] for name in RESTING}
    yield "", ", ".join(f"{count} {name}" for name, count in [*rest.items(), ("waiting for files", value["waiting"])])


def _daemon(value: dict[str, Any]) -> str:
    owner = value["daemon"]
    if owner and "pid" in owner:
        return f"runs since {owner['since']} as process {owner['pid']}"
    return "does not run" if daemon_absent(value) else describe_unknown_daemon(value)


def _stopping(name: str, scope: str, help_text: str) -> click.Command:
    """A command that pauses one part of the daemon until it is told to go on, or for a time."""

    @click.command(name, help=help_text)
    @click.option("--reason", "-r", default="", help="Why; people see it in `avatar status`.")
    @click.option(
        "--for", "duration", metavar="TIME", help="End by itself after 90s, 15m, 8h or 2d (a number and its unit)."
    )
    @click.option("--force", is_flag=True, help="Take over a pause that somebody else ordered.")
    @json_option
    @click.pass_obj
    def command(shell: Shell, reason: str, duration: str | None, force: bool, as_json: bool) -> None:
        answer = shell.ask("pause", scope=scope, reason=reason, for_s=_seconds(duration), force=force)
        show(answer, as_json, lambda: click.echo(answer["message"]))

    return command


pause = _stopping(
    "pause",
    "lanes",
    with_examples(
        "Start nothing new; what runs ends its stage. Jobs are still taken in.",
        'avatar pause --for 2h --reason "the GPU is needed elsewhere"',
    ),
)
drain = _stopping(
    "drain",
    "intake",
    with_examples(
        "Take nothing new out of the inbox; what has been taken in is finished.",
        'avatar drain --reason "this machine is replaced"',
    ),
)


@click.command()
@json_option
@click.pass_obj
def resume(shell: Shell, as_json: bool) -> None:
    """End every pause and drain.

    \b
    Example:
      avatar resume
    """
    answer = shell.ask("resume")
    show(answer, as_json, lambda: click.echo(answer["message"]))


def _seconds(duration: str | None) -> float | None:
    if duration is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", duration.strip())
    if match is None and re.fullmatch(r"\d+(?:\.\d+)?", number := duration.strip()):
        raise click.BadParameter(
            f"{duration!r} has no unit. Write {number}s for seconds, {number}m for minutes, {number}h for hours or {number}d for "
            "days",
            param_hint="--for",
        )
    if match is None:
        raise click.BadParameter(f"{duration!r} is not a time such as 90s, 15m, 8h or 2d", param_hint="--for")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]
