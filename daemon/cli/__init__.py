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
from typing import TYPE_CHECKING, Any

import click

try:
    from daemon import __version__
except ImportError:  # the files of python-daemon lie among ours, and one of them in the place of ours
    sys.exit(
        "avatar: the module `daemon` here is another package's, such as python-daemon.\n"
        "        Uninstall that package and install avatard again, each in an environment of its own."
    )
from daemon.cli.common import EXIT_IO, EXIT_PIPE, Shell, config_option, exit_code, tell_error
from daemon.errors import AvatarError, UnavailableError
from daemon.system.permissions import explain_refusal

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


# Nothing here has plugins for pydantic, and the search for them costs each command 20 ms.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")


class _ReaderGoneError(Exception):
    """Whoever read the output has gone, as in `avatar jobs list | head`."""


#: The module of each command, which has a function of the command's name, and its first sentence in the help.
COMMANDS = {
    "run": ("daemon.cli.commands.run", "Run the daemon in the foreground until SIGTERM or Ctrl-C."),
    "submit": ("daemon.cli.commands.submit", "Hand in a job: TEXT or --audio, spoken by the face in --image."),
    "pipeline": ("daemon.cli.commands.pipeline", "Make a video and wait for it, with or without a service."),
    "jobs": ("daemon.cli.commands.jobs", "List, find, show, count, cancel, hold and retry jobs, and make them again."),
    "batch": (
        "daemon.cli.commands.batch",
        "Batches: a job for each row of a table; how far they have come, and what failed.",
    ),
    "status": ("daemon.cli.commands.queue", "Show whether the daemon runs, and how many jobs stand where."),
    "pause": ("daemon.cli.commands.queue", "Start nothing new; what runs ends its stage."),
    "drain": ("daemon.cli.commands.queue", "Take nothing new out of the inbox; what has been taken in is finished."),
    "resume": ("daemon.cli.commands.queue", "End every pause and drain."),
    "top": (
        "daemon.cli.commands.top",
        "What runs, what waits since when, what ended, what is paused; live, until Ctrl-C.",
    ),
    "capacity": (
        "daemon.cli.commands.work",
        "How many videos of which length and size this machine makes in a day, by what it has measured.",
    ),
    "timeline": (
        "daemon.cli.commands.work",
        "A picture of what ran where and when, and why nothing ran, from the records of jobs.",
    ),
    "validate": (
        "daemon.cli.commands.validate",
        "Check a manifest, its text and the files it names, or a `_defaults.yaml`, without handing it in.",
    ),
    "schema": ("daemon.cli.commands.validate", "Print the JSON Schema of a manifest, for editors."),
    "doctor": (
        "daemon.cli.doctor",
        "Check ffmpeg, models, folders, rights, free disk and GPU, and speak with every engine.",
    ),
    "completion": (
        "daemon.cli.commands.completion",
        "Print the script with which a shell completes `avatar`.",
    ),
    "config": ("daemon.cli.commands.config", "Print every setting as config.yaml and the defaults make it."),
    "models": ("daemon.cli.commands.models", "Model files: what each engine needs, what is there, and how to get it."),
    "voice": (
        "daemon.cli.commands.voices.voice",
        "Voices: what each engine has, how they sound, and under which licence.",
    ),
    "avatar": (
        "daemon.cli.commands.avatar",
        "Avatar profiles: portraits of people, kept under a name with framing, voice, background and motion.",
    ),
    "video": (
        "daemon.cli.commands.video",
        "Move a portrait by a recording, give a video another form, and see what is in a file.",
    ),
    "server": ("daemon.cli.commands.server", "The HTTP server, by which programs hand in jobs."),
    "mcp": (
        "daemon.cli.commands.mcp",
        "Give an assistant tools that make videos, by the Model Context Protocol on stdin and stdout.",
    ),
    "key": ("daemon.cli.commands.server", "API keys of the HTTP server: who may use it, and for what."),
    "hooks": ("daemon.cli.commands.hooks", "Programs that are started, and messages that are sent, when a job ends."),
    "spool": ("daemon.cli.commands.spool", "Look after the spool."),
}


class _Commands(click.Group):
    """Imports only the command that is called, as each needs little of what all together import; the help imports none.

    Keeps a broken pipe from click, which would call it a failure of the command.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        # Where there is no such command, all are imported: click and `explain_usage` look for similar ones.
        for name in [cmd_name] if cmd_name in COMMANDS else COMMANDS:
            self.add_command(getattr(importlib.import_module(COMMANDS[name][0]), name))
        return super().get_command(ctx, cmd_name)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [*(CompletionItem(name, help=COMMANDS[name][1]) for name in names), *options]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])

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
    if os.environ.get("NO_COLOR"):  # click does not ask for it; rich does
        ctx.color = False


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; never shows a traceback for what is not a fault of ours."""
    try:
        # Outside its standalone mode click returns the code of an Exit instead of raising it.
        code = cli.main(args=list(args) if args is not None else None, standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as exc:
        from daemon.cli.did_you_mean import explain_usage  # knows all manifests' keys, which takes long to import

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
        tell_error(
            UnavailableError("", f"{where}{exc.strerror or exc}.", "`avatar doctor` looks at disks and folders.")
        )
        sys.exit(EXIT_IO)
