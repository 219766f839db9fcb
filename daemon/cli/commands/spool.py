"""`avatar spool check`."""

from __future__ import annotations

import click

from daemon.cli.common import Shell, json_option, show
from daemon.cli.spool_check import Problem, SpoolCheck
from daemon.queue.lock import SpoolLock

DONE = "done"


@click.group()
def spool() -> None:
    """Look after the spool."""


@spool.command()
@click.option("--dry-run", "-n", is_flag=True, help="Only tell; also works while the daemon runs.")
@json_option
@click.pass_obj
def check(shell: Shell, dry_run: bool, as_json: bool) -> None:
    """Find what is not in a legal state, and repair it. Exit code 1 when something is left for a person.

    \b
    Example:
      avatar spool check --dry-run
    """
    found: list[tuple[Problem, str]] = []
    if dry_run or not shell.spool.root.is_dir():
        live = shell.daemon() is not None
        found = [(problem, "") for problem in SpoolCheck(shell.settings, live=live).problems()]
    else:
        lock = SpoolLock(shell.spool.lock)
        lock.acquire()
        try:
            checker = SpoolCheck(shell.settings)
            found = [(problem, _repair(problem)) for problem in list(checker.problems_of_folders())]
            found += [(problem, _repair(problem)) for problem in checker.problems_of_index()]
        finally:
            lock.release()

    def text() -> None:
        for problem, end in found:
            click.echo(f"{problem.path}: {problem.what}; {f'{end}: ' if end else ''}{problem.remedy}")
        repaired = sum(end == DONE for _, end in found)
        click.echo(f"{len(found)} found, {repaired} repaired." if found else "The spool is in order.")

    rows = [
        {"path": str(p.path), "what": p.what, "remedy": p.remedy, "repaired": end == DONE, "end": end}
        for p, end in found
    ]
    show(rows, as_json, text)
    if not all(end == DONE for _, end in found):
        raise click.exceptions.Exit(1)


def _repair(problem: Problem) -> str:
    """Repair one thing; returns how that went. One that cannot be repaired does not keep the others from it."""
    if problem.repair is None:
        return ""
    try:
        problem.repair()
    except Exception as exc:
        return f"failed ({exc})"
    return DONE
