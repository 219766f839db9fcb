"""The command `avatar`. Reads the spool and the outbox; whatever changes something is a request to the daemon.

Exit codes (docs/cli.md): 0 done, 1 the answer is no (job failed, check found something, manifest wrong), 2 wrong usage,
3 no such job, 69 the daemon does not run, 75 another daemon holds the spool or the answer did not come in time, 78 the
configuration is wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from daemon import __version__
from daemon.cli import doctor, jobs, models, run, spool, submit, validate, voice
from daemon.cli.common import Shell, config_option
from daemon.errors import AvatarError, ConfigError

CODES = {"spool-locked": 75, "answer-late": 75, "daemon-absent": 69, "job-unknown": 3}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="avatar")
@config_option
@click.pass_context
def cli(ctx: click.Context, config: str | None) -> None:
    """Talking-head videos from job files. `avatar run` is the daemon; the other commands talk to it."""
    ctx.obj = Shell(config)


COMMANDS: tuple[click.Command, ...] = (
    run.run, submit.submit, jobs.jobs, jobs.status, jobs.pause, jobs.drain, jobs.resume,
    validate.validate, validate.schema, doctor.doctor, models.models, voice.voice,
    spool.spool,
)  # fmt: skip
for command in COMMANDS:
    cli.add_command(command)


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; never shows a traceback for an error that has a code."""
    try:
        # Outside its standalone mode click returns the code of an Exit instead of raising it.
        code = cli.main(args=list(args) if args is not None else None, standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except click.Abort:
        sys.exit(130)
    except AvatarError as exc:
        click.echo(f"avatar: {exc.message}", err=True)
        if exc.hint:
            click.echo(f"        {exc.hint}", err=True)
        sys.exit(78 if isinstance(exc, ConfigError) else CODES.get(exc.code, 1))
