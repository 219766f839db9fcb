"""Turns what is typed on a command line into a manifest: KEY=VALUE pairs and a text."""

from __future__ import annotations

import sys
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


def words_of(text: str) -> str:
    """TEXT of a command; `-` is standard input, which is UTF-8 whatever the terminal's language.

    Raises:
        click.BadParameter: it is not.
    """
    if text != "-":
        return text
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise click.BadParameter(
            f"standard input is not UTF-8 text (byte {exc.start + 1}); `iconv -t UTF-8` makes it so", param_hint="TEXT"
        ) from exc
