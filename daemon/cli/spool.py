"""`avatar spool check`."""

from __future__ import annotations

import click

from daemon.check import SpoolCheck
from daemon.cli.common import Shell, json_option, show
from daemon.lock import SpoolLock


@click.group()
def spool() -> None:
    """Look after the spool."""


@spool.command()
@click.option("--dry-run", "-n", is_flag=True, help="Only tell; also works while the daemon runs.")
@json_option
@click.pass_obj
def check(shell: Shell, dry_run: bool, as_json: bool) -> None:
    """Find what is not in a legal state, and repair it. Exit code 1 when something is left for a person."""
    if dry_run or not shell.spool.root.is_dir():
        live = shell.daemon() is not None
        found = [(problem, False) for problem in SpoolCheck(shell.settings, live=live).problems()]
    else:
        lock = SpoolLock(shell.spool.lock)
        lock.acquire()
        try:
            found = []
            for problem in list(SpoolCheck(shell.settings).problems()):
                if problem.repair is not None:
                    problem.repair()
                found.append((problem, problem.repair is not None))
        finally:
            lock.release()

    def text() -> None:
        for problem, repaired in found:
            click.echo(f"{problem.path}: {problem.what}; {'done: ' if repaired else ''}{problem.remedy}")
        click.echo(
            "The spool is in order." if not found else f"{len(found)} found, {sum(done for _, done in found)} repaired."
        )

    rows = [{"path": str(p.path), "what": p.what, "remedy": p.remedy, "repaired": done} for p, done in found]
    show(rows, as_json, text)
    if not all(done for _, done in found):
        raise click.exceptions.Exit(1)
