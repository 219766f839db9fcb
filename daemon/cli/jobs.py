"""`avatar jobs …` and `avatar status`: what is in the spool, and requests about it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import click

from daemon.cli.common import Shell, json_option, show
from daemon.errors import AvatarError
from daemon.job import STAGES, Job
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
        from rich.console import Console
        from rich.table import Table

        table = Table("job", "name", "state", "stage", "accepted", "what", box=None)
        for job in found:
            what = job.error["code"] if job.error else ""
            table.add_row(job.id, job.name, job.state, job.stage or "", iso(job.accepted), what)
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


def _request(name: str, doc: str) -> click.Command:
    @json_option
    @click.pass_obj
    def command(shell: Shell, job_ids: tuple[str, ...], as_json: bool) -> None:
        answers = [shell.ask(name, job=find(shell.spool, job_id).id) for job_id in job_ids]
        show(answers, as_json, lambda: click.echo("\n".join(answer["message"] for answer in answers)))

    return click.command(name, help=doc)(click.argument("job_ids", nargs=-1, required=True)(command))


jobs.add_command(_request("cancel", "End jobs, waiting or running (by id or by name)."))
jobs.add_command(_request("retry", "Start failed or cancelled jobs again (by id or by name)."))


@click.command()
@json_option
@click.pass_obj
def status(shell: Shell, as_json: bool) -> None:
    """Whether the daemon runs, and how many jobs stand where. Exit code 69 when it does not run."""
    owner = shell.daemon()
    queues = {stage: {side: _count(shell, stage, side) for side in ("ready", "active")} for stage in STAGES}
    rest: dict[str, int] = {str(name): sum(1 for _ in shell.spool.jobs(shell.spool.root / name)) for name in RESTING}
    value: dict[str, Any] = {
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
        for stage, sides in queues.items():
            click.echo(f"{stage:8} {sides['ready']} waiting, {sides['active']} running")
        click.echo(
            ", ".join(f"{count} {name}" for name, count in [*rest.items(), ("waiting for files", value["waiting"])])
        )

    show({**value, "at": iso(time.time())}, as_json, text)
    if owner is None:
        raise click.exceptions.Exit(69)


def _count(shell: Shell, stage: str, side: str) -> int:
    return sum(1 for _ in shell.spool.jobs(shell.spool.root / stage / side))
