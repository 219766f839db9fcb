"""`avatar doctor`: is everything there that the service needs, and what to do where it is not."""

from __future__ import annotations

from dataclasses import asdict

import click

from daemon.cli.checks import Finding, findings
from daemon.cli.common import Shell, json_option, show


@click.command()
@json_option
@click.pass_obj
def doctor(shell: Shell, as_json: bool) -> None:
    """Check ffmpeg, models, folders, rights, free disk and GPU. Exit code 1 when something is bad."""
    found = list(findings(shell.settings))
    owner = shell.daemon()
    found.append(
        Finding(
            "daemon",
            "good" if owner else "note",
            f"process {owner.get('pid')}" if owner else "does not run",
            "" if owner else "Start it with `avatar run` or `systemctl start avatard`.",
        )
    )

    def text() -> None:
        marks = {
            "good": click.style("good", fg="green"),
            "note": click.style("note", fg="yellow"),
            "bad": click.style("bad ", fg="red"),
        }
        for finding in found:
            click.echo(f"{marks[finding.verdict]}  {finding.what}: {finding.found}")
            if finding.remedy:
                click.echo(f"      → {finding.remedy}")

    show([asdict(finding) for finding in found], as_json, text)
    if any(finding.verdict == "bad" for finding in found):
        raise click.exceptions.Exit(1)
