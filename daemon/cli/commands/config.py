"""`avatar config`: the settings that would be in force, or only whether the file can be used."""

from __future__ import annotations

import contextlib
from typing import Any

import click
import yaml

from daemon.cli.common import Shell, json_option, show
from daemon.errors import AvatarError


@click.command()
@click.option("--check", is_flag=True, help="Only say whether the file can be used (exit code 78 when not).")
@json_option
@click.pass_obj
def config(shell: Shell, check: bool, as_json: bool) -> None:
    """Print every setting as config.yaml and the defaults make it.

    \b
    Examples:
      avatar config
      avatar config --check
    """
    value: dict[str, Any] = shell.settings.model_dump(mode="json")
    if check:
        _say_good(shell, as_json)
        return
    show(value, as_json, lambda: click.echo(yaml.safe_dump(value, sort_keys=False, allow_unicode=True).rstrip()))


def _say_good(shell: Shell, as_json: bool) -> None:
    """Say that the file can be used, with a warning where no voice is the default that it names: models may come later."""
    from daemon.doors.hooks.trouble import unknown_kinds
    from stages.tts.engines.choose_default import default_voice_error

    error = None
    with contextlib.suppress(
        AvatarError, OSError
    ):  # the folders may be the service's; `avatar doctor` says what is wrong
        error = default_voice_error(shell.settings)
    warnings = [f"{one.message} {one.hint}" for one in (error, *unknown_kinds(shell.settings.hooks)) if one is not None]

    def say() -> None:
        click.echo(f"{shell.config_path}: good")
        for warning in warnings:
            click.echo(f"Warning: {warning}", err=True)

    show({"ok": True, "file": str(shell.config_path), "warnings": warnings}, as_json, say)
