"""Turns what is typed on a command line into a manifest: KEY=VALUE pairs and a text."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import click


def settings_of(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Return the part of a manifest that `--set KEY=VALUE …` describes; dots in a key lead into groups.

    Raises:
        click.BadParameter: no KEY=VALUE, or a key given both a value and keys below it.
    """
    manifest: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not all(key.split(".")):
            raise click.BadParameter(f"{pair!r} is not KEY=VALUE, such as fps=30 or motion.head=0", param_hint="--set")
        if not value:
            raise click.BadParameter(f"{pair!r} has no value; leave it out for the default", param_hint="--set")
        *groups, last = key.split(".")
        target = manifest
        for group in groups:
            target = target.setdefault(group, {})
            if not isinstance(target, dict):
                raise click.BadParameter(f"{group} has a value already, so {key} cannot be set", param_hint="--set")
        if isinstance(target.get(last), dict):
            raise click.BadParameter(f"keys below {key} are set already, so it has no value itself", param_hint="--set")
        target[last] = value
    return manifest


def with_settings(pairs: tuple[str, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a manifest that `--set KEY=VALUE …` and the command itself describe; None in `given` says nothing.

    Raises:
        click.BadParameter: as `settings_of`; or the two say different things, of which one would be passed over in silence.
    """
    manifest = settings_of(pairs)
    _join(manifest, given, "")
    return manifest


def _join(manifest: dict[str, Any], given: Mapping[str, Any], above: str) -> None:
    for key, value in given.items():
        had = manifest.get(key)
        if isinstance(value, Mapping) and isinstance(had, dict | None):
            _join(manifest.setdefault(key, {}), value, f"{above}{key}.")
        elif value is not None and had is not None and str(had) != str(value):
            raise click.BadParameter(
                f"{above}{key} cannot be {had!r}: this command, or another of its options, makes it {str(value)!r}",
                param_hint="--set",
            )
        elif value is not None:
            manifest[key] = value


def option_of(given: Mapping[str, Any], **arguments: str) -> Callable[[tuple[str | int, ...]], str]:
    """Return what says which option of a command the value at a path of its manifest comes from.

    Args:
        given: what the options besides `--set` say, as for `with_settings`.
        arguments: key of the manifest → the argument that gives it.
    """
    named = {"text": "TEXT", **arguments}

    def option(path: tuple[str | int, ...]) -> str:
        keys = [str(part) for part in path if isinstance(part, str)]
        if not keys:
            return "in this command"
        if given.get(keys[0]) is None:
            return f"--set {'.'.join(keys)}"
        return named.get(keys[0], f"--{keys[-1].replace('_', '-')}")

    return option


def words_of(text: str) -> str:
    """TEXT of a command; `-` is standard input, which is UTF-8 whatever the terminal's language.

    Raises:
        click.BadParameter: it is not, or is closed.
    """
    if text != "-":
        return text
    if sys.stdin is None:  # the caller closed it: Python then has none
        raise click.BadParameter("standard input is closed; give a file or a pipe to read from", param_hint="TEXT")
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise click.BadParameter(
            f"standard input is not UTF-8 text (byte {exc.start + 1}); `iconv -t UTF-8` makes it so", param_hint="TEXT"
        ) from exc
