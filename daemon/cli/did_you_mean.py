"""Adds to an error of the command line what was probably meant: a manifest key written as an option, or a command of a group."""

from __future__ import annotations

from collections.abc import Iterator

import click
from click.exceptions import NoSuchCommand, NoSuchOption

from daemon.jobs.manifest import Manifest
from daemon.jobs.manifest_values import KEYS_BELOW
from daemon.jobs.mistakes.key_names import meant_key

#: What people type for a command, from the words of other tools.
_MEANT: dict[str, tuple[str, ...]] = {
    "run": ("start", "serve", "daemon", "up"),
    "submit": ("render", "create", "make", "generate", "say", "add", "send"),
    "jobs list": ("ls", "queue", "ps", "history", "job"),
    "jobs cancel": ("rm", "delete", "kill", "abort"),
    "jobs show": ("info", "job", "inspect"),
    "jobs retry": ("restart", "rerun"),
    "jobs release": ("unhold", "continue"),
    "resume": ("unpause",),
    "voice list": ("voices",),
    "voice clone": ("profile", "profiles"),
    "avatar list": ("avatars", "portraits", "faces"),
    "models fetch": ("download", "install", "pull"),
    "validate": ("lint", "check", "verify"),
    "config": ("settings",),
}

#: How click ends its sentence of what is no whole number.
_NO_INTEGER = "not a valid integer range."

#: How click begins its sentence of more words than a command takes.
_TOO_MANY = "Got unexpected extra argument"

#: What is an option of a command here, and a command elsewhere.
_OPTIONS = dict.fromkeys(("search", "find", "grep", "filter"), "jobs list --search WORDS")


def explain_usage(error: click.ClickException) -> click.ClickException:
    """Return the same error, with what was probably meant."""
    if isinstance(error, NoSuchOption) and error.ctx is not None and (way := _option_meant(error, error.ctx)):
        return NoSuchOption(error.option_name, f"{error.message} Did you mean {way}?", ctx=error.ctx)
    if isinstance(error, click.UsageError) and error.ctx is not None and error.message.startswith(_TOO_MANY):
        return click.UsageError(f"{error.message}. {_one_word(error.ctx)}", error.ctx)
    if isinstance(error, click.BadParameter) and error.message.endswith(_NO_INTEGER):
        message = f"{error.message.removesuffix(_NO_INTEGER)}no whole number."
        return click.BadParameter(message, error.ctx, error.param, error.param_hint)
    if isinstance(error, NoSuchCommand) and error.ctx is not None and (found := _commands_meant(error)):
        return NoSuchCommand(
            error.command_name,
            f"{error.message} Did you mean {' or '.join(f'`avatar {name}`' for name in found)}?",
            ctx=error.ctx,
        )
    return error


def _one_word(ctx: click.Context) -> str:
    """Return how a command is given several words."""
    arguments = [param.human_readable_name for param in ctx.command.params if isinstance(param, click.Argument)]
    if "TEXT" in arguments:
        of_files = " Of files it takes one at a time." if ctx.command.name == "submit" else ""
        return f'Put a text of several words in quotes, such as "Good morning.".{of_files}'
    names, above = list[str](), ctx
    while above.parent is not None:  # the program may have been started by another name
        names.insert(0, above.info_name or "")
        above = above.parent
    command = " ".join(("avatar", *names))
    if not arguments:
        return f"`{command}` takes options only."
    return f"`{command}` takes {' '.join(arguments)} and no more; a name with blanks goes in quotes."


def _option_meant(error: NoSuchOption, ctx: click.Context) -> str | None:
    """Return how a command is given the key of a manifest that was written as an option; None where it cannot be."""
    options = [name for option in ctx.command.params for name in option.opts]
    if error.option_name[1:].isdecimal() and "--to" in options:  # a number below zero looks like an option
        return f"--to {error.option_name}"
    key = meant_key(error.option_name.lstrip("-"), Manifest.model_fields, KEYS_BELOW)
    if key is None or error.option_name.startswith("--no"):
        return None
    arguments = [param.human_readable_name for param in ctx.command.params if isinstance(param, click.Argument)]
    if key in ("text", "voice", "video", "prompt", "avatar") and key.upper() in arguments:
        return f"{key.upper()}, without an option"
    if (name := f"--{key.rpartition('.')[2].replace('_', '-')}") in options:
        return name
    if key == "priority" and "--to" in options:
        return "--to"
    if "--set" not in options:
        return None
    return {"output": "--name", "seed": "--set motion.seed=VALUE"}.get(key, f"--set {key}=VALUE")


def _commands_meant(error: NoSuchCommand) -> list[str]:
    assert error.ctx is not None
    root, wanted = error.ctx.find_root().command, error.command_name.lower()
    if wanted in _OPTIONS:
        return [_OPTIONS[wanted]]
    paths = list(_paths(root)) if isinstance(root, click.Group) else []
    return [path for path in paths if path.split()[-1] == wanted or wanted in _MEANT.get(path, ())]


def _paths(group: click.Group, prefix: str = "") -> Iterator[str]:
    ctx = click.Context(group)
    for name in group.list_commands(ctx):  # some groups import a command only where it is asked for
        command = group.get_command(ctx, name)
        if isinstance(command, click.Group):
            yield from _paths(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}"
