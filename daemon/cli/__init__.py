"""The command `avatar`. Reads the spool and the outbox; whatever changes something is a request to the daemon.

Exit codes (docs/cli.md): 0 done, 1 the answer is no (job failed, check found something, manifest wrong), 2 wrong usage,
3 no such job, 69 the daemon does not run, 74 the disk is at fault, 75 another daemon holds the spool or the answer did not
come in time, 77 a right is missing, 78 the configuration is wrong, 141 whoever read the output has gone.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from daemon import __version__
from daemon.cli.common import EXIT_IO, EXIT_PIPE, Shell, config_option, exit_code, tell_error
from daemon.cli.did_you_mean import explain_usage
from daemon.errors import AvatarError
from daemon.system.permissions import explain_refusal


class _ReaderGoneError(Exception):
    """Whoever read the output has gone, as in `avatar jobs list | head`."""


#: The module of each command, which has a function of the command's name.
MODULES = {
    "run": "daemon.cli.commands.run",
    "submit": "daemon.cli.commands.submit",
    "jobs": "daemon.cli.commands.jobs",
    "status": "daemon.cli.commands.queue",
    "pause": "daemon.cli.commands.queue",
    "drain": "daemon.cli.commands.queue",
    "resume": "daemon.cli.commands.queue",
    "top": "daemon.cli.commands.top",
    "validate": "daemon.cli.commands.validate",
    "schema": "daemon.cli.commands.validate",
    "doctor": "daemon.cli.doctor",
    "config": "daemon.cli.commands.config",
    "models": "daemon.cli.commands.models",
    "voice": "daemon.cli.commands.voice",
    "avatar": "daemon.cli.commands.avatar",
    "spool": "daemon.cli.commands.spool",
}


class _Commands(click.Group):
    """Imports only the command that is called, as each needs little of what all together import.

    Keeps a broken pipe from click, which would call it a failure of the command.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        # Where there is no such command, all are imported: click and `explain_usage` look for similar ones.
        for name in [cmd_name] if cmd_name in MODULES else MODULES:
            self.add_command(getattr(importlib.import_module(MODULES[name]), name))
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as exc:
            raise _ReaderGoneError from exc


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="avatar")
@config_option("AVATAR_CONFIG")
@click.pass_context
def cli(ctx: click.Context, config: str | None) -> None:
    """Talking-head videos from job files. `avatar run` is the daemon; the other commands talk to it."""
    ctx.obj = Shell(config)


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; never shows a traceback for what is not a fault of ours."""
    try:
        # Outside its standalone mode click returns the code of an Exit instead of raising it.
        code = cli.main(args=list(args) if args is not None else None, standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as exc:
        explain_usage(exc).show()
        sys.exit(exc.exit_code)
    except click.Abort:
        sys.exit(130)
    except AvatarError as exc:
        tell_error(exc)
        sys.exit(exit_code(exc))
    except _ReaderGoneError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left to flush has nowhere to go
        sys.exit(EXIT_PIPE)
    except PermissionError as exc:
        error = explain_refusal(exc)
        tell_error(error)
        sys.exit(exit_code(error))
    except OSError as exc:
        where = f"{exc.filename}: " if exc.filename else ""
        tell_error(AvatarError("", f"{where}{exc.strerror or exc}.", "`avatar doctor` looks at disks and folders."))
        sys.exit(EXIT_IO)
