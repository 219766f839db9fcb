"""Turns what is typed on a command line into a manifest: KEY=VALUE pairs and a text."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from daemon.doors.manifest_files import names_file, names_folder
from daemon.doors.option_words import OptionWords
from daemon.errors import JobError
from daemon.jobs.mistakes.flow_mistakes import COLLECTIONS
from daemon.jobs.yaml_positions import load_documents


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
        target[last] = _entries(pair, key, value) if not groups and key in COLLECTIONS and value[0] in "[{" else value
    return manifest


def _entries(pair: str, key: str, value: str) -> Any:
    """Return a value in braces or brackets, such as `[{at: 0, name: smile}]`, as a manifest would have it.

    Raises:
        click.BadParameter: it is none.
    """
    documents: list[Any] = []
    with contextlib.suppress(JobError):
        documents = list(load_documents(f"{key}: {value}"))
    if len(documents) != 1 or isinstance(documents[0], JobError):
        raise click.BadParameter(
            f"{pair!r} is no valid {value[0]}…{'}' if value[0] == '{' else ']'}: commas stand between its entries, a colon and "
            "a blank after each key, and each bracket has its other half",
            param_hint="--set",
        )
    return documents[0].value[key]


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


def option_of(given: Mapping[str, Any], **arguments: str) -> OptionWords:
    """Return the words of the command that runs, for the errors of its manifest.

    Args:
        given: what the options besides `--set` say, as for `with_settings`.
        arguments: key of the manifest → the argument that gives it.
    """
    return OptionWords(given=given, arguments=arguments)


def _check_is_no_path(text: str) -> None:
    if names_folder(text):
        raise click.BadParameter(
            f"{text} is a folder. `avatar submit` takes one manifest in it, such as {Path(text) / 'hello.yaml'}; to hand in all "
            "of them, copy them with their files into the inbox.",
            param_hint="TEXT",
        )
    if names_file(text):
        raise click.BadParameter(
            f"{text} is a file. Manifests are called .yaml or .yml, and tables .csv, .tsv or .jsonl: `avatar submit` takes them. "
            "If it has the words to be said, give - for TEXT and the file as standard input.",
            param_hint="TEXT",
        )


def words_of(text: str) -> str:
    """TEXT of a command; `-` is standard input, which is UTF-8 whatever the terminal's language.

    Raises:
        click.BadParameter: it is not, or is closed; the text is the path of a file or folder.
    """
    if text != "-":
        _check_is_no_path(text)
        return text
    if sys.stdin is None:  # the caller closed it: Python then has none
        raise click.BadParameter("standard input is closed; give a file or a pipe to read from", param_hint="TEXT")
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise click.BadParameter(
            f"standard input is not UTF-8 text (byte {exc.start + 1}); `iconv -t UTF-8` makes it so", param_hint="TEXT"
        ) from exc
