"""The command `avatar`. Reads the spool and the outbox; whatever changes something is a request to the daemon.

Exit codes (docs/cli.md): 0 done, 1 the answer is no (job failed, check found something, manifest wrong), 2 wrong usage,
3 no such job, 69 the daemon does not run, 74 the disk is at fault, 75 another daemon holds the spool or the answer did not
come in time, 77 a right is missing, 78 the configuration is wrong, 141 whoever read the output has gone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from daemon import __version__
from daemon.cli import doctor
from daemon.cli.commands import config as config_command
from daemon.cli.commands import jobs, models, queue, run, spool, submit, top, validate, voice
from daemon.cli.common import EXIT_IO, EXIT_PIPE, Shell, config_option, exit_code, tell_error
from daemon.cli.did_you_mean import explain_usage
from daemon.errors import AvatarError
from daemon.system.permissions import explain_refusal


class _ReaderGoneError(Exception):
    """Whoever read the output has gone, as in `avatar jobs list | head`."""


class _Commands(click.Group):
    """Keeps a broken pipe from click, which would call it a failure of the command."""

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


COMMANDS: tuple[click.Command, ...] = (
    run.run, submit.submit, jobs.jobs, queue.status, queue.pause, queue.drain, queue.resume,
    top.top, validate.validate, validate.schema, doctor.doctor, config_command.config, models.models, voice.voice,
    spool.spool,
)  # fmt: skip
for command in COMMANDS:
    cli.add_command(command)


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
