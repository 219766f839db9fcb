"""`avatar run`: the daemon."""

from __future__ import annotations

import asyncio

import click

from daemon.cli.common import Shell, config_option


@click.command()
@config_option
@click.pass_obj
def run(shell: Shell | None, config: str | None) -> None:
    """Run the daemon in the foreground until SIGTERM or Ctrl-C."""
    from daemon.logs import configure
    from daemon.service import Service

    shell = Shell(config) if config or shell is None else shell
    configure(shell.settings.log)
    asyncio.run(Service(shell.settings).run())
