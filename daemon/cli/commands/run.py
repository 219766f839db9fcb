"""`avatar run`: the daemon."""

from __future__ import annotations

import asyncio
import faulthandler
import gc

import click

from daemon.cli.common import Shell, config_option


@click.command()
@config_option()
@click.pass_obj
def run(shell: Shell | None, config: str | None) -> None:
    """Run the daemon in the foreground until SIGTERM or Ctrl-C.

    \b
    Examples:
      avatar run
      avatar --config /etc/avatard/config.yaml run
    """
    gc.disable()  # what is imported stays: to search it for garbage took a tenth of the processor time of a start
    from daemon.service import Service
    from daemon.system.permissions import restrict_umask
    from daemon.system.process import keep_capabilities
    from daemon.telemetry.logs import configure_logging

    gc.freeze()
    gc.enable()
    restrict_umask()
    keep_capabilities()  # the service has one, to ask who writes a file; decoders and engines need none
    shell = Shell(config) if config or shell is None else shell
    configure_logging(shell.settings.log)
    faulthandler.enable()  # systemd's watchdog ends a daemon that hangs by SIGABRT; the log then says where it hung
    asyncio.run(Service(shell.settings, shell.config_path).run())
