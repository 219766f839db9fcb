"""`avatar jobs …`: which jobs there are, and requests about them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from typing import Any

import click

from daemon.cli import outbox_view
from daemon.cli.common import Shell, exit_code, json_option, show, tell_error
from daemon.cli.job_lookup import all_jobs, find
from daemon.cli.job_view import describe, job_table, remark, with_iso_times
from daemon.errors import AvatarError
from daemon.intake.inbox_names import REQUEST_ENDINGS
from daemon.jobs.record import FINISHED, Job
from daemon.outbox.status_file import describe_pause, next_step, status_of
from daemon.queue.pauses import read_pauses
from daemon.system.installation import how_to_start
from daemon.system.permissions import access_error, explain_refusal

STATES = ["waiting", "queued", "running", "held", "done", "failed", "cancelled"]
#: What is said of a manifest that the daemon has not looked into.
NOT_YET = "It is taken in when it has stopped changing and the daemon has looked at it."


@click.group()
def jobs() -> None:
    """List, show, cancel, hold and retry jobs."""


@jobs.command("list")
@click.option("--state", multiple=True, type=click.Choice(STATES))
@json_option
@click.pass_obj
def list_jobs(shell: Shell, state: tuple[str, ...], as_json: bool) -> None:
    """All jobs, oldest first; also the manifests that wait in the inbox."""
    every = outbox_view.statuses(shell) if shell.spool_closed else map(_describer(shell), all_jobs(shell))
    found = sorted(
        (job for job in every if not state or job["state"] in state),
        key=lambda job: (job.get("accepted") or "", job["job"] or ""),
    )

    def text() -> None:
        if not sys.stdout.isatty():  # for grep and cut: nothing shortened, one job a line
            for job in found:
                accepted, stage = job.get("accepted") or "", job.get("stage") or ""
                row = [job["job"] or "", job["name"], job["state"], stage, accepted, _what(job)]
                click.echo("\t".join(field or "-" for field in row))
            return
        from rich.console import Console

        console = Console()
        console.print(job_table(found, console.width) if found else "No jobs.")

    show(found, as_json, text)


def _what(job: dict[str, Any]) -> str:
    return "" if job["state"] in ("queued", "running", "held") else remark(job)


def _pause(shell: Shell) -> str:
    """Return what a pause of the queue means for jobs that wait; empty if there is none."""
    pause = read_pauses(shell.spool.root / "paused.json").get("lanes")
    return (
        "" if pause is None or pause.left_s <= 0 else describe_pause(pause.by, pause.since, pause.until, pause.reason)
    )


def _describer(shell: Shell) -> Callable[[Job], dict[str, Any]]:
    """Return what makes a status of a job, with what is known here and now: of the pause, the daemon, and the outbox."""
    pause, outbox = _pause(shell), shell.settings.paths.outbox
    start = "" if shell.may_run() else f"The daemon does not run. {how_to_start()} "

    def describe_job(job: Job) -> dict[str, Any]:
        what = next_step(job, outbox, pause) if job.id else NOT_YET
        return {**status_of(job), "job": job.id or None, "next": what if job.state in FINISHED else f"{start}{what}"}

    return describe_job


@jobs.command("show")
@click.argument("job_id")
@json_option
@click.pass_obj
def show_job(shell: Shell, job_id: str, as_json: bool) -> None:
    """Everything known about one job (by id or by name)."""
    if shell.spool_closed:
        known, more = outbox_view.find_status(shell, job_id), {}
    else:
        job = find(shell, job_id)
        known, more = (
            {**_describer(shell)(job), "history": with_iso_times(job.history)},
            {"manifest": job.manifest},
        )

    def text() -> None:
        for line in describe(known, shutil.get_terminal_size().columns):
            click.echo(line)
        for entry in known.get("history", [])[::-1]:
            if trace := entry.get("traceback"):  # the last one, in lines; --json has all
                click.echo(f"\nTraceback of the last {entry.get('code')} ({entry.get('stage')}):\n{trace}")
                break

    show({**known, **more}, as_json, text)


def _target(shell: Shell, op: str, wanted: str) -> dict[str, str]:
    """Return how a request names the job; a manifest that is not a job yet is named by its path, and can only be cancelled.

    Raises:
        AvatarError: `job-unknown`, `job-waiting`; `not-allowed`, with what does the same from the inbox.
    """
    if (refused := access_error(shell.spool.root)) is not None:
        error = explain_refusal(refused)
        if f".{op}" in REQUEST_ENDINGS:
            name = outbox_view.find_status(shell, wanted)["name"]
            error.hint = f"An empty file {name}.{op} in the inbox does the same: docs/cli.md. {error.hint}"
        raise error
    job = find(shell, wanted)
    if job.id:
        return {"job": job.id}
    if op != "cancel":
        raise AvatarError(
            "job-waiting", f"{job.source} is still in the inbox, and no job yet.", "It can only be cancelled there."
        )
    return {"manifest": str(job.facts.path)}


def _request(op: str, doc: str, *options: Callable[..., Any]) -> click.Command:
    @json_option
    @click.pass_obj
    def command(shell: Shell, /, job_ids: tuple[str, ...], as_json: bool, **data: Any) -> None:
        answers: list[dict[str, Any]] = []
        errors: list[AvatarError] = []
        for wanted in job_ids:  # one that cannot be does not keep the others from it
            try:
                answers.append({"for": wanted, **shell.ask(op, **_target(shell, op, wanted), **data)})
            except AvatarError as exc:
                errors.append(exc)
                answers.append({"for": wanted, "ok": False, **exc.to_dict()})

        def text() -> None:
            for answer in answers:
                if answer["ok"]:
                    click.echo(answer["message"])

        show(answers, as_json, text)
        for error in errors:
            tell_error(error)
        codes = {exit_code(error) for error in errors}
        if codes:
            raise click.exceptions.Exit(codes.pop() if len(codes) == 1 else 1)

    made: Callable[..., Any] = click.argument("job_ids", nargs=-1, required=True)(command)
    for option in options:
        made = option(made)
    return click.command(op, help=doc)(made)


_reason = click.option("--reason", "-r", default="", help="Why; people see it in the status.")
_priority = click.option("--to", "priority", type=click.IntRange(-100, 100), required=True, help="Higher goes first.")
jobs.add_command(_request("cancel", "End jobs, waiting or running (by id or by name)."))
jobs.add_command(_request("retry", "Start failed or cancelled jobs again (by id or by name)."))
jobs.add_command(_request("hold", "Keep jobs back; one that runs ends its stage first.", _reason))
jobs.add_command(_request("release", "Let held jobs go on."))
jobs.add_command(_request("priority", "Give jobs another place among those that wait.", _priority))
