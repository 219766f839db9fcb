"""`avatar jobs …`: which jobs there are, and requests about them."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.common import Shell, alias, console, exit_code, json_option, note, show, tell_error, with_examples
from daemon.cli.complete import complete_jobs, complete_value
from daemon.cli.job_list import ALL, count, find_rows
from daemon.cli.moments import Moment
from daemon.cli.numbers import Priority
from daemon.errors import AvatarError, RefusedError
from daemon.history.query import STATE_WORDS, STATES, Query, Row
from daemon.jobs.iso_time import iso
from daemon.system.permissions import access_error, explain_refusal

if TYPE_CHECKING:
    from daemon.jobs.record import Job

#: What is said of a manifest that the daemon has not looked into.
NOT_YET = "It is taken in when it has stopped changing and the daemon has looked at it."
#: So many jobs are listed on a terminal, unless more are asked for.
ON_TERMINAL = 200


class _Jobs(click.Group):
    """Imports `rerun` only where it is called, as it needs all that hands in jobs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), "rerun"})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.commands:  # also where it is none, so that it is among those that may be meant
            from daemon.cli.commands.rerun import rerun

            self.add_command(rerun)
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Jobs)
def jobs() -> None:
    """List, find, show, count, cancel, hold and retry jobs, and make them again."""


def _filters(command: Callable[..., Any]) -> Callable[..., Any]:
    states = click.Choice([*STATES, *STATE_WORDS], case_sensitive=False)
    meant = "pending: waiting, queued or held; processing: running; completed: done."
    for option in (
        click.option(
            "--tag", multiple=True, help="One of `metadata.tags`, or KEY=VALUE of `metadata`; all that are given."
        ),
        click.option("--until", type=Moment(), help="Accepted before this time."),
        click.option(
            "--since", type=Moment(), help="Accepted since 2026-01-31, 2026-01-31T09:30 (UTC), or 90m, 24h, 7d, 2w ago."
        ),
        click.option("--by", multiple=True, metavar="USER", help="Handed in by this user."),
        click.option(
            "--kind", multiple=True, shell_complete=complete_value("kind"), help="Kind of job, such as video or speech."
        ),
        click.option("--state", "--status", "state", multiple=True, type=states, help=meant),
        click.option("--search", default="", metavar="WORDS", help="All in the name, text, tags or manifest's path."),
    ):
        command = option(command)
    return command


def _query(filters: dict[str, Any]) -> Query:
    query = Query(**filters).without_looks
    if wrong := query.unknown_word():
        raise click.BadParameter(" ".join(wrong), param_hint="--kind")
    return query


@jobs.command("list")
@_filters
@click.option(
    "--limit", "-n", type=click.IntRange(0), help=f"The newest only; 0: all. On a terminal {ON_TERMINAL} by default."
)
@json_option
@click.pass_obj
def list_jobs(shell: Shell, /, limit: int | None, as_json: bool, **filters: Any) -> None:
    """Jobs, oldest first; also the manifests that wait in the inbox. Looks of the page are listed by --tag page-look only.

    \b
    Examples:
      avatar jobs list --state failed --since 7d
      avatar jobs list --search "annual report" --by anna --limit 20
    """
    on_terminal = sys.stdout.isatty() and not as_json
    most = limit if limit is not None else ON_TERMINAL if on_terminal else 0
    found = find_rows(shell, _query(filters), most + 1 if most else ALL)
    if cut := bool(most) and len(found) > most:
        found = found[:most]
    found.reverse()
    rows = [row.to_json() for row in found] if as_json or on_terminal else []

    def text() -> None:
        if not on_terminal:  # for grep and cut: nothing shortened, one job a line
            click.echo("".join(map(_line, found)), nl=False)
            return
        from daemon.cli.job_view import job_table

        terminal = console()
        terminal.print(job_table(rows, terminal.width) if rows else "No jobs.")
        if cut and limit is None:
            note(f"These are the newest {most}; --limit 0 lists all.")

    show(rows, as_json, text)


def _line(row: Row) -> str:
    what = row.error.get("code") if row.error else f"waits for {', '.join(row.waiting_for)}" if row.waiting_for else ""
    told = (row.job, row.name, row.state, row.stage, iso(row.accepted), what)
    return "\t".join(field or "-" for field in told) + "\n"


@jobs.command()
@click.option("--since", type=Moment(), help="Only jobs accepted since 2026-01-31, or 24h, 7d ago.")
@json_option
@click.pass_obj
def stats(shell: Shell, since: float | None, as_json: bool) -> None:
    """How many jobs there are of each state, kind and owner, and which errors are frequent.

    \b
    Example:
      avatar jobs stats --since 7d
    """
    counts = count(shell, since)
    counts["oldest"] = iso(counts["oldest"])

    def text() -> None:
        click.echo(f"{'jobs':12}{counts['jobs']:>8}")
        for label in ("states", "kinds", "owners", "errors"):
            for number, (key, value) in enumerate(counts[label].items()):
                click.echo(f"{label if number == 0 else '':12}{value:>8}  {key}")
        click.echo(f"{'speech':12}{counts['audio_s']:>8.0f}  s, in {counts['work_s']:.0f} s of work")
        if counts["oldest"]:
            click.echo(f"The oldest that has not ended was accepted at {counts['oldest']}.")

    show(counts, as_json, text)


def _pause(shell: Shell) -> str:
    """Return what a pause of the queue means for jobs that wait; empty if there is none."""
    from daemon.outbox.status_file import describe_pause
    from daemon.queue.pauses import read_pauses

    pause = read_pauses(shell.spool.root / "paused.json").get("lanes")
    return (
        "" if pause is None or pause.left_s <= 0 else describe_pause(pause.by, pause.since, pause.until, pause.reason)
    )


def _describer(shell: Shell) -> Callable[[Job], dict[str, Any]]:
    """Return what makes a status of a job, with what is known here and now: of the pause, the daemon, and the outbox."""
    from daemon.jobs.record import FINISHED
    from daemon.outbox.status_file import next_step, status_of
    from daemon.system.installation import how_to_start

    pause, outbox = _pause(shell), shell.settings.paths.outbox
    start = "" if shell.may_run() else f"The daemon does not run. {how_to_start()} "

    def describe_job(job: Job) -> dict[str, Any]:
        what = next_step(job, outbox, pause) if job.id else NOT_YET
        return {**status_of(job), "job": job.id or None, "next": what if job.state in FINISHED else f"{start}{what}"}

    return describe_job


@jobs.command("show")
@click.argument("job_id", metavar="JOB", shell_complete=complete_jobs)
@json_option
@click.pass_obj
def show_job(shell: Shell, job_id: str, as_json: bool) -> None:
    """Everything known about one job (by id or by name).

    \b
    Examples:
      avatar jobs show morning
      avatar jobs show anna/morning --json
    """
    from daemon.cli import outbox_view
    from daemon.cli.job_lookup import find
    from daemon.cli.job_view import describe, with_iso_times

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


jobs.add_command(alias(show_job, "status"))


def _target(shell: Shell, op: str, wanted: str) -> dict[str, str]:
    """Return how a request names the job; a manifest that has no id yet is named by its path, and can only be cancelled.

    Raises:
        AvatarError: `job-unknown`, `job-waiting`; `not-allowed`, with what does the same from the inbox.
    """
    from daemon.cli import outbox_view
    from daemon.cli.job_lookup import find
    from daemon.intake.inbox_names import REQUEST_ENDINGS

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
        raise RefusedError(
            "job-waiting", f"{job.source} is still in the inbox, and no job yet.", "It can only be cancelled there."
        )
    return {"manifest": str(job.facts.path)}


def _ask(shell: Shell, op: str, wanted: str, data: dict[str, Any]) -> dict[str, Any]:
    """Ask for something about a job, again where its manifest was taken in between the look at it and the answer."""
    from daemon.cli.job_lookup import TAKEN_IN_S

    target = _target(shell, op, wanted)
    deadline = time.monotonic() + TAKEN_IN_S
    while True:
        try:
            return shell.ask(op, **target, **data)
        except AvatarError as exc:
            if "manifest" not in target or exc.code != "file-missing" or time.monotonic() > deadline:
                raise
        time.sleep(0.1)
        with contextlib.suppress(AvatarError):  # neither in the inbox any more nor in the spool yet
            target = _target(shell, op, wanted)


def _request(op: str, doc: str, *options: Callable[..., Any]) -> click.Command:
    @json_option
    @click.pass_obj
    def command(shell: Shell, /, job_ids: tuple[str, ...], as_json: bool, **data: Any) -> None:
        if "priority" in data and data["priority"] is None:
            *others, last = job_ids
            if not others:
                raise click.UsageError("Name a job and its priority: low, normal, high or a number from -100 to 100.")
            job_ids, data = tuple(others), {"priority": _PRIORITIES(last)}
        answers: list[dict[str, Any]] = []
        errors: list[AvatarError] = []
        for wanted in job_ids:  # one that cannot be does not keep the others from it
            try:
                answers.append({"for": wanted, **_ask(shell, op, wanted, data)})
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

    made: Callable[..., Any] = click.argument(
        "job_ids", metavar="JOB...", nargs=-1, required=True, shell_complete=complete_jobs
    )(command)
    for option in options:
        made = option(made)
    return click.command(op, help=doc)(made)


_reason = click.option("--reason", "-r", default="", help="Why; people see it in the status.")
_PRIORITIES = Priority()
_priority = click.option(
    "--to",
    "priority",
    type=_PRIORITIES,
    help="low, normal, high or a number from -100 to 100; higher goes first. Without it, N comes last.",
)
jobs.add_command(
    _request(
        "cancel",
        with_examples(
            "End jobs, waiting or running (by id or by name).",
            "avatar jobs cancel morning",
            "avatar jobs cancel morning evening",
        ),
    )
)
jobs.add_command(
    _request(
        "retry",
        with_examples("Start failed or cancelled jobs again (by id or by name).", "avatar jobs retry morning"),
    )
)
jobs.add_command(
    _request(
        "hold",
        with_examples(
            "Keep jobs back; one that runs ends its stage first.",
            'avatar jobs hold morning --reason "the text changes"',
        ),
        _reason,
    )
)
jobs.add_command(_request("release", with_examples("Let held jobs go on.", "avatar jobs release morning")))
jobs.add_command(
    _request(
        "priority",
        with_examples(
            "Give jobs another place among those that wait: JOB… --to N, or JOB… N.",
            "avatar jobs priority morning 50",
            "avatar jobs priority morning evening --to 50",
        ),
        _priority,
    )
)
