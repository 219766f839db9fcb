"""What the commands share: finding the configuration, printing, asking the daemon."""

from __future__ import annotations

import copy
import functools
import inspect
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

from daemon.errors import AvatarError, ConfigError, UnavailableError
from daemon.system.config_file import PLACES, config_path, has_config
from daemon.system.permissions import NOT_ALLOWED, access_error, check_right

if TYPE_CHECKING:  # imported where they are needed, as `avatar --help` needs none of them
    from rich.console import Console

    from daemon.config import Settings
    from daemon.config.paths import Paths
    from daemon.queue.spool import Spool

#: Exit codes beside 0 to 2, mostly those of sysexits.h (docs/cli.md).
EXIT_IO, EXIT_CONFIG, EXIT_PIPE = 74, 78, 141
EXIT_CODES = {
    "job-unknown": 3,
    "address-unusable": 75,
    "daemon-absent": 69,
    "io-error": EXIT_IO,
    "disk-full": EXIT_IO,
    "inbox-missing": EXIT_IO,
    "outbox-missing": EXIT_IO,
    "spool-locked": 75,
    "hooks-running": 75,
    "answer-late": 75,
    "daemon-unknown": 77,
    NOT_ALLOWED: 77,
}

P = ParamSpec("P")
R = TypeVar("R")


def config_option(envvar: str | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """`--config FILE`. The variable belongs to the outermost command alone: a command below it that read the variable too
    would put it before the option given to the outermost one.
    """
    text = "Default: $AVATAR_CONFIG, ./config.yaml, then /etc/avatard/config.yaml."
    return click.option("--config", "-c", envvar=envvar, metavar="FILE", help=text)


def json_option(function: Callable[P, R]) -> Callable[P, R]:
    """Add `--json` to a command."""
    decorated: Callable[P, R] = click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)
    return functools.wraps(function)(decorated)


def alias(command: click.Command, name: str) -> click.Command:
    """Return the same command under another name, by which people know it from elsewhere."""
    same = copy.copy(command)
    same.name, same.help = name, f"The same as `{command.name}`.\n\n{inspect.cleandoc(command.help or '')}"
    return same


def with_examples(text: str, *lines: str) -> str:
    """Return a help text with examples, for commands that are made by a function."""
    head = "Example" if len(lines) == 1 else "Examples"
    return "\n".join([text, "", "\b", f"{head}:", *(f"  {line}" for line in lines)])


class Shell:
    """The command line's view of one installation."""

    def __init__(self, config: str | None) -> None:
        self._config = config

    @functools.cached_property
    def config_path(self) -> Path:
        """The configuration file: the one named by `--config`, else the first of the usual places.

        Raises:
            ConfigError: `config-missing`.
        """
        return config_path(self._config)

    @functools.cached_property
    def settings(self) -> Settings:
        """The settings of that file.

        Raises:
            ConfigError: it is missing, or is no valid configuration.
        """
        from daemon.config import Settings

        return Settings.load(self.config_path)

    @functools.cached_property
    def paths(self) -> Paths:
        """The folders of that file, read without the other settings.

        Raises:
            ConfigError: it is missing, or is no valid configuration of the folders.
        """
        from daemon.config.paths import read_paths

        return read_paths(self.config_path) or self.settings.paths

    @property
    def configured(self) -> bool:
        """Whether a configuration is there, or was named."""
        return has_config(self._config)

    @property
    def settings_or_defaults(self) -> Settings:
        """The settings; the defaults where there is no configuration and none was named."""
        return self.settings if self.configured else self.defaults

    @property
    def defaults(self) -> Settings:
        """The settings without any configuration, with folders in this one."""
        from daemon.config import Settings

        return Settings.parse({}, Path(PLACES[0]))

    @functools.cached_property
    def spool(self) -> Spool:
        """The spool of these settings."""
        from daemon.queue.spool import Spool

        return Spool(self.paths.spool)

    @functools.cached_property
    def spool_closed(self) -> bool:
        """Whether whoever asks may not look into the spool; then says so, once, as less can be told from the outbox."""
        if access_error(self.spool.root) is None:
            return False
        note("You may not read the spool, so this is what the status files in the outbox say.")
        return True

    def daemon(self) -> dict[str, Any] | None:
        """Return who runs the daemon on this spool, if anybody.

        Raises:
            AvatarError: `daemon-unknown`.
        """
        from daemon.queue.lock import lock_holder

        try:
            return lock_holder(self.spool.lock)
        except OSError as exc:
            raise UnavailableError(
                "daemon-unknown",
                f"Whether the daemon runs cannot be told: {self.spool.lock}: {exc.strerror}.",
                "Run it as the service's user, as one of its group, or as root.",
            ) from exc

    def may_run(self) -> bool:
        """Return whether a daemon runs, as far as can be told."""
        try:
            return self.daemon() is not None
        except AvatarError:
            return True

    def ask(self, op: str, **data: Any) -> dict[str, Any]:
        """Send a request. While the daemon runs its answer is waited for; otherwise it is obeyed at the next start.

        Raises:
            AvatarError: the daemon refused, with its code; or no answer came in time.
        """
        from daemon.doors.requests import ask

        return ask(self.spool, self.may_run, op, **data)


def console(*, stderr: bool = False) -> Console:
    """Return a console of rich. Where its reader goes away it raises `BrokenPipeError`, as click does; rich's own ends with 1."""
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return Plain(stderr=stderr)


def check_may_make(folder: Path, job: str) -> None:
    """Ask before any work whether the folder of the profiles may be written.

    Args:
        job: the command that has the service make such a profile.

    Raises:
        AvatarError: `not-allowed`.
    """
    try:
        check_right(folder, "write")
    except AvatarError as exc:
        raise UnavailableError(exc.code, exc.message, f"{exc.hint} Or let the service make it: `{job}`.") from exc


def exit_code(exc: AvatarError) -> int:
    """Return the exit code of a command that ended with this error."""
    return EXIT_CONFIG if isinstance(exc, ConfigError) else EXIT_CODES.get(exc.code, 1)


def note(sentence: str) -> None:
    """Say something beside the answer, on standard error."""
    click.echo(f"avatar: {sentence}", err=True)


def disk_room(folder: Path) -> dict[str, int] | None:
    """Return bytes free and in all on the disk of a folder; None where it is away."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return {"free": usage.free, "total": usage.total}


def tell_error(exc: AvatarError) -> None:
    """Say what is wrong, and what would be right, on standard error."""
    click.echo(f"avatar: {exc.message}", err=True)
    if exc.hint:
        click.echo(f"        {exc.hint}", err=True)


#: A JSON list of so many elements is read by programs, hardly by people.
_LONG_LIST = 100


def show(value: Any, as_json: bool, text: Callable[[], None]) -> None:
    """Print JSON, or call `text` to print for people. A long list has one element a line, which takes half the time."""
    if as_json and isinstance(value, list) and len(value) >= _LONG_LIST:
        click.echo("[\n " + ",\n ".join(map(json.JSONEncoder(ensure_ascii=False).encode, value)) + "\n]")
    elif as_json:
        click.echo(json.dumps(value, ensure_ascii=False, indent=1))
    else:
        text()
