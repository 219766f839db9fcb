"""`avatar config`: the settings that would be in force, or only whether the file can be used."""

from __future__ import annotations

from typing import Any

import click
import yaml

from daemon.cli.common import Shell, json_option, show


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
        show({"ok": True, "file": str(shell.config_path)}, as_json, lambda: click.echo(f"{shell.config_path}: good"))
        return
    show(value, as_json, lambda: click.echo(yaml.safe_dump(value, sort_keys=False, allow_unicode=True).rstrip()))
