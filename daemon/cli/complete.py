"""Completes names and fixed values on a command line: jobs, voices, avatar profiles, kinds. A shell waits for it, and shows
nothing else it says.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, get_args

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
        return [*complete(ctx, param, incomplete), *complete_files(ctx, param, incomplete)]

    return both


def complete_files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Let the shell complete its files, where a text may also be the name of one."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def _jobs(shell: Shell) -> Iterable[Named]:
    from daemon.cli.job_list import find_rows
    from daemon.history.query import Query

    return ((row.name, row.state) for row in find_rows(shell, Query().without_looks, NEWEST) if row.name)


def _voices(shell: Shell) -> Iterable[Named]:
    from daemon.cli.voice_rows import voice_rows

    return ((row.name, row.description) for row in voice_rows(shell) if row.installed)


def _avatars(shell: Shell) -> Iterable[Named]:
    from daemon.profiles.avatars import AvatarStore

    return ((one.name, one.id) for one in AvatarStore(shell.settings_or_defaults.paths.avatars).all_profiles())


def _keys(shell: Shell) -> Iterable[Named]:
    from daemon.doors.http.api_keys import ApiKeys

    return ((one.id, one.name) for one in ApiKeys(shell.settings.server.keys).all())


def _hooks(shell: Shell) -> Iterable[Named]:
    return ((one.name, "") for one in shell.settings.hooks.targets)


def _engines(shell: Shell) -> Iterable[Named]:
    from daemon.config.engines import TTS_ENGINES

    return ((name, "") for name in (*TTS_ENGINES, *shell.settings_or_defaults.engines))


def complete_value(key: str) -> Completer:
    """Return a completer of the values of a manifest's key that has fixed ones."""
    return _completer(lambda shell: ((value, "") for value in values_of(key)))


def values_of(key: str) -> tuple[str, ...]:
    """Return the words that a key of the manifest may have, where they are fixed, and those that are usual."""
    from daemon.jobs.kinds import KINDS
    from daemon.jobs.language import LANGUAGE_NAMES
    from daemon.jobs.manifest import Manifest
    from daemon.jobs.manifest_values import BACKGROUNDS, FRAME_RATES

    listed: dict[str, Iterable[str]] = {"kind": KINDS, "fps": FRAME_RATES, "background": BACKGROUNDS, "language": LANGUAGE_NAMES,
              "aspect": ("16:9", "9:16", "1:1", "4:5", "4:3")}  # fmt: skip
    return tuple(listed.get(key) or _words_of(Manifest.model_fields[key].annotation))


def _words_of(annotation: Any) -> Iterator[str]:
    for part in get_args(annotation):
        if isinstance(part, str):
            yield part
        else:
            yield from _words_of(part)


complete_jobs = _completer(_jobs)
complete_keys = _completer(_keys)
complete_hooks = _completer(_hooks)
complete_engines = _completer(_engines)
complete_voices = _completer(_voices)
complete_avatars = _completer(_avatars)
