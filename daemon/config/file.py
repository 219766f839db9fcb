"""Reads config.yaml as plain values, with the line of each, so that an error names it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from daemon.errors import ConfigError

#: Path to a value or a section → its line, from 1.
Lines = dict[tuple[str | int, ...], int]

_HINT = "Correct the line; docs/config.md shows how settings are written."
#: What YAML says → what it means to whoever wrote the file.
_WORDS: Mapping[str, str] = {
    "'\\t'": "a tab; indent with blanks",
    "<stream end>": "the file ends before a quote or a bracket is closed",
    "mapping values are not allowed here": "a colon too many (a value that contains a colon and a blank goes in quotes), or the "
    "line before lacks its own",
    "expected ',' or": "a comma, or the bracket that closes, is missing before it",
    "could not find expected ':'": "there is no colon after a name, or the line before is not finished",
    "did not find expected key": "the line is indented otherwise than the one before, or a quote or a bracket is not closed",
    "expected <block end>": "the line is indented otherwise than the one before, or a quote or a bracket is not closed",
}


def read_config(path: Path) -> tuple[Any, Lines]:
    """Return what the file holds, and in which lines.

    Raises:
        ConfigError: `config-unreadable`, `config-invalid`.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        lines: Lines = {}
        if root is not None:
            _note_lines(root, (), lines, path)
        return yaml.safe_load(text), lines
    except OSError as exc:
        raise ConfigError(
            "config-unreadable", f"{path}: {exc.strerror}.", "Give a readable file with --config."
        ) from exc
    except UnicodeDecodeError as exc:
        line = exc.object.count(b"\n", 0, exc.start) + 1
        raise ConfigError("config-invalid", f"{path} is not UTF-8 text at line {line}.", "Save it in UTF-8.") from exc
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        said = str(getattr(exc, "problem", None) or exc)
        why = next((meant for words, meant in _WORDS.items() if words in said), said)
        raise ConfigError("config-invalid", f"{path} is not valid YAML{where}: {why}.", _HINT) from exc
    except (ValueError, RecursionError) as exc:  # such as the date 2026-13-45
        raise ConfigError("config-invalid", f"{path} has a value that cannot be read: {exc}.", _HINT) from exc


def _note_lines(node: yaml.Node, place: tuple[str | int, ...], lines: Lines, path: Path) -> None:
    """Note the lines of a node's values.

    Raises:
        ConfigError: a key is there twice, of which YAML would drop the first without a word.
    """
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[*place, index] = item.start_mark.line + 1
            _note_lines(item, (*place, index), lines, path)
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
            continue
        here, line = (*place, key.value), key.start_mark.line + 1
        if here in lines:
            name = ".".join(map(str, here))
            raise ConfigError(
                "config-invalid",
                f"{path}: {name} is there twice, in line {lines[here]} and in line {line}.",
                "Write what belongs to it below one of the two, and remove the other.",
            )
        lines[here] = line
        _note_lines(value, here, lines, path)
