"""`avatar doctor`: is everything there that the service needs, and what to do where it is not."""

from __future__ import annotations

from dataclasses import asdict

import click

from daemon.cli.common import Shell, json_option, show
from daemon.cli.doctor.checks import collect_findings
from daemon.cli.doctor.finding import Finding
from daemon.config.settings import Log
from daemon.errors import AvatarError, ConfigError
from daemon.system import installation
from daemon.system.config_file import PLACES
from daemon.telemetry import logs

_UNKNOWN_DAEMON = Finding("daemon", "note", "unknown without a configuration", "")


@click.command()
@json_option
@click.pass_obj
def doctor(shell: Shell, as_json: bool) -> None:
    """Check ffmpeg, models, folders, rights, free disk and GPU, and speak with every engine.

    Exit code 1 when something is bad.

    \b
    Example:
      avatar doctor
    """
    logs.configure_logging(Log(level="error"))  # what the worker that speaks logs is for the daemon's journal
    try:
        settings, of_file, daemon = shell.settings_or_defaults, _configuration(shell), _daemon(shell)
    except ConfigError as exc:  # what else is wrong is better told now than after it is mended
        settings = shell.defaults
        of_file = Finding("configuration", "bad", exc.message, f"{exc.hint} Until then the defaults are checked.")
        daemon = _UNKNOWN_DAEMON
    found = [of_file, *collect_findings(settings), daemon]

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


def _configuration(shell: Shell) -> Finding:
    if shell.configured:
        return Finding("configuration", "good", str(shell.config_path))
    remedy = f"Make a config.yaml here or name one with --config; {PLACES[-1]} is read, too."
    return Finding(
        "configuration", "note", "there is no file; the defaults are checked, with folders in this one", remedy
    )


def _daemon(shell: Shell) -> Finding:
    if not shell.configured:
        return _UNKNOWN_DAEMON
    try:
        owner = shell.daemon()
    except AvatarError as exc:
        return Finding("daemon", "note", exc.message, exc.hint)
    if owner:
        return Finding("daemon", "good", f"process {owner.get('pid')}")
    return Finding("daemon", "note", "does not run", installation.how_to_start())
