"""Completes names on a command line: jobs, voices, avatar profiles. A shell waits for it, and shows nothing else it says."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

from daemon.cli.common import Shell
from daemon.errors import AvatarError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

#: So many jobs are looked at, the newest first.
NEWEST = 1000
#: A name and a word about it.
Named = tuple[str, str]
Completer = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]


def _completer(find: Callable[[Shell], Iterable[Named]]) -> Completer:
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        shell = Shell(ctx.find_root().params.get("config"))
        # What cannot be read has no names; a note would stand in the middle of what is being typed.
        with contextlib.suppress(AvatarError, OSError), contextlib.redirect_stderr(io.StringIO()):
            found = dict(find(shell))
            given = set(ctx.params.get(param.name or "") or ())
            return [
                CompletionItem(name, help=about)
                for name, about in found.items()
                if name.startswith(incomplete) and name not in given
            ]
        return []

    return complete


def or_files(complete: Completer) -> Completer:
    """Return a completer of names that lets the shell add its files."""

    def both(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [*complete(ctx, param, incomplete), CompletionItem(incomplete, type="file")]

    return both


def _jobs(shell: Shell) -> Iterable[Named]:
    from daemon.cli.job_list import find_rows
    from daemon.history.query import Query

    return ((row.name, row.state) for row in find_rows(shell, Query(), NEWEST) if row.name)


def _voices(shell: Shell) -> Iterable[Named]:
    from daemon.cli.voice_rows import voice_rows

    return ((row.name, row.description) for row in voice_rows(shell) if row.installed)


def _avatars(shell: Shell) -> Iterable[Named]:
    from daemon.profiles.avatars import AvatarStore

    return ((one.name, one.id) for one in AvatarStore(shell.settings_or_defaults.paths.avatars).all_profiles())


complete_jobs = _completer(_jobs)
complete_voices = _completer(_voices)
complete_avatars = _completer(_avatars)
