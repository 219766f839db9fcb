"""`avatar jobs …` and `avatar status`: what is in the spool, and requests about it."""

from __future__ import annotations

import contextlib
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import click

from daemon.cli.common import Shell, json_option, show
from daemon.errors import AvatarError
from daemon.job import STAGES, Job
from daemon.pauses import read
from daemon.spool import RESTING, Spool
from daemon.status import describe, iso


def all_jobs(spool: Spool) -> Iterator[Job]:
    """Every job with a readable record, as the disk has it at this moment."""
    for folder in spool.folders()[3:]:
        for path in spool.jobs(folder):
            with contextlib.suppress(ValueError):  # it moved on while we looked
                yield spool.load(path)


@click.group()
def jobs() -> None:
    """List, show, cancel and retry jobs."""


@jobs.command("list")
@click.option("--state", multiple=True, type=click.Choice(["queued", "running", "held", "done", "failed", "cancelled"]))
@json_option
@click.pass_obj
def list_jobs(shell: Shell, state: tuple[str, ...], as_json: bool) -> None:
    """All jobs, oldest first."""
    found = sorted(
        (job for job in all_jobs(shell.spool) if not state or job.state in state),
        key=lambda job: (job.accepted, job.id),
    )

    def text() -> None:
        if not sys.stdout.isatty():  # for grep and cut: nothing shortened, one job a line
            for job in found:
                fields = (
                    job.id,
                    job.name,
                    job.state,
                    job.stage or "-",
                    iso(job.accepted) or "-",
                    (job.error or {}).get("code", "-"),
                )
                click.echo("\t".join(fields))
            return
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        table = Table("job", "name", "state", "stage", "accepted", "what", box=None)
        for job in found:
            what = job.error["code"] if job.error else ""
            table.add_row(job.id, escape(job.name), job.state, job.stage or "", iso(job.accepted), what)
        Console().print(table if found else "No jobs.")

    show([describe(job) for job in found], as_json, text)


@jobs.command("show")
@click.argument("job_id")
@json_option
@click.pass_obj
def show_job(shell: Shell, job_id: str, as_json: bool) -> None:
    """Everything known about one job (by id or by name)."""
    job = find(shell.spool, job_id)

    def text() -> None:
        from rich.console import Console
        from rich.pretty import pprint

        pprint({**describe(job), "history": job.history}, console=Console(), expand_all=True)

    show({**describe(job), "history": job.history, "manifest": job.manifest}, as_json, text)


def find(spool: Spool, wanted: str) -> Job:
    """A job by id, or the latest of that name.

    Raises:
        AvatarError: `job-unknown`.
    """
    named = [job for job in all_jobs(spool) if wanted in (job.id, job.name)]
    if not named:
        raise AvatarError("job-unknown", f"There is no job {wanted}.", "`avatar jobs list` shows those there are.")
    return max(named, key=lambda job: job.accepted)


def _request(name: str, doc: str, *options: Callable[..., Any]) -> click.Command:
    @json_option
    @click.pass_obj
    def command(shell: Shell, /, job_ids: tuple[str, ...], as_json: bool, **data: Any) -> None:
        answers = [shell.ask(name, job=find(shell.spool, job_id).id, **data) for job_id in job_ids]
        show(answers, as_json, lambda: click.echo("\n".join(answer["message"] for answer in answers)))

    made: Callable[..., Any] = click.argument("job_ids", nargs=-1, required=True)(command)
    for option in options:
        made = option(made)
    return click.command(name, help=doc)(made)


_reason = click.option("--reason", "-r", default="", help="Why; people see it in the status.")
_priority = click.option("--to", "priority", type=click.IntRange(-100, 100), required=True, help="Higher goes first.")
jobs.add_command(_request("cancel", "End jobs, waiting or running (by id or by name)."))
jobs.add_command(_request("retry", "Start failed or cancelled jobs again (by id or by name)."))
jobs.add_command(_request("hold", "Keep jobs back; one that runs ends its stage first.", _reason))
jobs.add_command(_request("release", "Let held jobs go on."))
jobs.add_command(_request("priority", "Give jobs another place among those that wait.", _priority))


@click.command()
@json_option
@click.pass_obj
def status(shell: Shell, as_json: bool) -> None:
    """Whether the daemon runs, and how many jobs stand where. Exit code 69 when it does not run."""
    owner = shell.daemon()
    queues = {stage: {side: _count(shell, stage, side) for side in ("ready", "active")} for stage in STAGES}
    rest: dict[str, int] = {str(name): sum(1 for _ in shell.spool.jobs(shell.spool.root / name)) for name in RESTING}
    value: dict[str, Any] = {
        "paused": {
            scope: asdict(pause) for scope, pause in read(shell.spool.root / "paused.json").items() if not pause.over
        },
        "paused_lanes": _paused_lanes(shell) if owner else {},
        "daemon": owner,
        "queues": queues,
        **rest,
        "waiting": len(list(shell.spool.waiting.glob("job-*.json"))),
    }

    def text() -> None:
        running = (
            f"runs since {iso(owner['since'])} as process {owner['pid']}"
            if owner and "pid" in owner
            else "does not run"
        )
        click.echo(f"daemon   {running}")
        for scope, pause in value["paused"].items():
            end = f" until {iso(pause['until'])}" if pause["until"] else ""
            click.echo(
                f"PAUSED   {scope} by {pause['by']} since {iso(pause['since'])}{end}: {pause['reason'] or 'no reason given'}"
            )
        for lane, fault in value["paused_lanes"].items():
            click.echo(f"WAITING  {lane} since {iso(fault['since'])}: {fault['message']} {fault['hint']}")
        for stage, sides in queues.items():
            click.echo(f"{stage:8} {sides['ready']} waiting, {sides['active']} running")
        click.echo(
            ", ".join(f"{count} {name}" for name, count in [*rest.items(), ("waiting for files", value["waiting"])])
        )

    show({**value, "at": iso(time.time())}, as_json, text)
    if owner is None:
        raise click.exceptions.Exit(69)


def _paused_lanes(shell: Shell) -> dict[str, Any]:
    try:
        lanes: dict[str, Any] = json.loads((shell.spool.root / "state.json").read_bytes())["paused_lanes"]
    except (OSError, ValueError, KeyError):
        return {}
    return lanes


@click.command()
@click.option("--reason", "-r", default="", help="Why; people see it in `avatar status`.")
@click.option("--for", "duration", metavar="TIME", help="End by itself after 90s, 15m, 8h or 2d.")
@json_option
@click.pass_obj
def pause(shell: Shell, reason: str, duration: str | None, as_json: bool) -> None:
    """Start nothing new; what runs ends its stage. Jobs are still taken in."""
    answer = shell.ask("pause", scope="lanes", reason=reason, for_s=_seconds(duration))
    show(answer, as_json, lambda: click.echo(answer["message"]))


@click.command()
@click.option("--reason", "-r", default="", help="Why; people see it in `avatar status`.")
@click.option("--for", "duration", metavar="TIME", help="End by itself after 90s, 15m, 8h or 2d.")
@json_option
@click.pass_obj
def drain(shell: Shell, reason: str, duration: str | None, as_json: bool) -> None:
    """Take nothing new out of the inbox; what has been taken in is finished."""
    answer = shell.ask("pause", scope="intake", reason=reason, for_s=_seconds(duration))
    show(answer, as_json, lambda: click.echo(answer["message"]))


@click.command()
@json_option
@click.pass_obj
def resume(shell: Shell, as_json: bool) -> None:
    """End every pause and drain."""
    answer = shell.ask("resume")
    show(answer, as_json, lambda: click.echo(answer["message"]))


def _seconds(duration: str | None) -> float | None:
    if duration is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", duration.strip())
    if match is None:
        raise click.BadParameter(f"{duration!r} is not a time such as 90s, 15m, 8h or 2d", param_hint="--for")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]


def _count(shell: Shell, stage: str, side: str) -> int:
    return sum(1 for _ in shell.spool.jobs(shell.spool.root / stage / side))
