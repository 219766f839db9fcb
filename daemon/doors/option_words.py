"""Says in the words of a command line what errors of a manifest say in those of a file: where a value is, what to write."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import click
import yaml

from daemon.config.flow import as_flow
from daemon.doors.hand_in import Wording
from daemon.jobs.manifest import Manifest
from daemon.jobs.manifest_values import GROUPS, KEYS_BELOW
from daemon.jobs.mistakes.flow_mistakes import COLLECTIONS

#: A line that a file would have, unless it only describes a job ("a job of `kind: voice`"), and one that a text follows.
_LINE = re.compile(r"(?<!of )(?<!For )`([a-z_.]+): ([^`|]+)`")
_BLOCK = re.compile(r"write `text: \|`, and under it [^.]*\.(?: What does not belong to [^.]*\.)?", re.IGNORECASE)
#: What is said of a file that nobody wrote → what is meant.
_OF_FILES = (
    (re.compile(r", each in a line of its own"), ""),
    (re.compile(r" It stands below `\w+:`, indented\."), ""),
    (re.compile(r", indented below it"), ""),
    (re.compile(r",? and a line --- between two"), ""),
    (re.compile(r", beginning in the first column; a line --- stands between two jobs"), ""),
    (re.compile(r"; if they are two jobs, write a line --- between them"), ""),
    (re.compile(r"put it next to the manifest, and write its name"), "and name it"),
    (re.compile(r"save it as a file next to the manifest, and write its name"), "save it as a file, and name that"),
    (re.compile(r"Put [^`]+ next to the manifest, and write(?: its name, such as)?"), "Name a file that is here, such as"),
    (re.compile(r",? next to the manifest"), ""),
    (re.compile(r" \(in quotes: # begins a comment\)"), ""),
)  # fmt: skip


@dataclass(frozen=True)
class OptionWords(Wording):
    """The words of one command.

    Attributes:
        given: what its options besides `--set` say, as for `daemon.doors.words.with_settings`.
        arguments: key of the manifest → the argument that gives it.
        options: its options; by default those of the command that runs.
    """

    given: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, str] = field(default_factory=dict)
    options: Collection[str] | None = None

    def place(self, path: tuple[str | int, ...]) -> str:
        """Return the option which the value at a path of the manifest comes from."""
        keys = [str(part) for part in itertools.takewhile(lambda part: isinstance(part, str), path)]
        if not keys:
            return "in this command"
        if self.given.get(keys[0]) is None:
            return f"--set {'.'.join(keys)}"
        return self._arguments.get(keys[0], f"--{keys[-1].replace('_', '-')}")

    def tell(self, sentences: str) -> str:
        """Return sentences of an error, with options in the place of lines to write into a file."""
        for pattern, meant in _OF_FILES:
            sentences = pattern.sub(meant, sentences)
        sentences = _BLOCK.sub(
            lambda found: (
                f"{found[0][0].replace('W', 'G').replace('w', 'g')}ive the words themselves as TEXT; - reads them from "
                "standard input."
            ),
            sentences,
        )
        return _LINE.sub(lambda line: self._option(line[1], line[2], line[0]), sentences)

    @property
    def _arguments(self) -> dict[str, str]:
        return {"text": "TEXT", **self.arguments}

    def _option(self, key: str, value: str, line: str) -> str:
        """Return what gives a key its value here; `line` where nothing does."""
        options = _options_here() if self.options is None else self.options
        path = _path_of(key)
        if path is None:
            return line
        meant = _value(value)
        name = f"--{path.rpartition('.')[2].replace('_', '-')}"
        if path in self._arguments and (path == "text" or self.given.get(path) is not None):
            return f"`{shlex.quote(as_flow(meant))}`"
        if name in options:
            return f"`{name} {shlex.quote(as_flow(meant))}`"
        if "--set" not in options:
            return line
        if isinstance(meant, dict) and meant and not any(isinstance(one, dict | list) for one in meant.values()):
            parts = [f"--set {shlex.quote(f'{path}.{part}={as_flow(one)}')}" for part, one in meant.items()]
            return f"`{' '.join(parts)}`"
        return f"`--set {shlex.quote(f'{path}={value if path in COLLECTIONS else as_flow(meant)}')}`"


def _path_of(key: str) -> str | None:
    """Return a key of a manifest with its group; None where it is none, or may stand in several."""
    if key in Manifest.model_fields or key in KEYS_BELOW:
        return key
    groups = [group for group, model in GROUPS.items() if key in model.model_fields]
    return f"{groups[0]}.{key}" if len(groups) == 1 and f"{groups[0]}.{key}" in KEYS_BELOW else None


def _value(written: str) -> Any:
    """Return a value as YAML reads it; everything unquoted is a text."""
    try:
        return yaml.load(written, Loader=yaml.BaseLoader)  # noqa: S506  # makes nothing but texts, lists and mappings
    except yaml.YAMLError:
        return written


def _options_here() -> Collection[str]:
    context = click.get_current_context(silent=True)
    return [] if context is None else [name for option in context.command.params for name in option.opts]
