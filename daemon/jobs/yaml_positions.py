"""Reads YAML documents as plain values, and records the position of each value.

Every unquoted scalar stays the text that was written (the schema knows which keys are numbers), so `text: 7:30` is not 450
and `language: no` is not False. Limits are checked on the event stream, before anything is built: aliases are refused, and
depth and length are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from daemon.errors import JobError

MAX_DEPTH = 16  # levels of nesting
MAX_NODES = 20_000  # scalars and collections in one file

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Position:
    """A position in the file. Lines and columns count from 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


@dataclass
class YamlDocument:
    """One YAML document: its value, and the positions of each value (`values`) and each key (`keys`), by path."""

    value: Any = None
    values: dict[Path, Position] = field(default_factory=dict)
    keys: dict[Path, Position] = field(default_factory=dict)

    def mark(self, path: Path) -> Position:
        """Return the position of the value at `path`; that of the nearest parent if it is missing."""
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, Position(1, 1))


def _position(node: Any) -> Position:
    return Position(node.start_mark.line + 1, node.start_mark.column + 1)


def _check_events(text: str) -> None:
    depth = nodes = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise JobError(
                "yaml-alias",
                f"The manifest uses a YAML anchor or alias ({_position(event)}).",
                "Write the value out in full.",
            )
        if isinstance(event, yaml.NodeEvent):
            nodes += 1
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH or nodes > MAX_NODES:
            raise JobError(
                "yaml-too-large",
                f"The manifest is nested too deeply or too long ({_position(event)}).",
                f"Keep to {MAX_DEPTH} levels and {MAX_NODES} values.",
            )


def load_documents(text: str) -> Iterator[YamlDocument]:
    """Parse YAML text; yields its documents.

    Raises:
        JobError: `yaml-invalid`, `yaml-alias`, `yaml-too-large`, `yaml-duplicate-key`, each with line and column.
    """
    try:
        _check_events(text)
        for root in yaml.compose_all(text, Loader=yaml.CSafeLoader):
            document = YamlDocument()
            document.value = _build_value(root, (), document)
            yield document
    except yaml.MarkedYAMLError as exc:
        where = exc.problem_mark or exc.context_mark
        place = f"line {where.line + 1}, column {where.column + 1}" if where else "the file"
        raise JobError(
            "yaml-invalid",
            f"The manifest is not valid YAML at {place}: {exc.problem or exc.context}.",
            "Check indentation and quotes there; put text that contains a colon in quotes.",
        ) from exc
    except yaml.YAMLError as exc:
        raise JobError(
            "yaml-invalid", f"The manifest is not valid YAML: {exc}.", "Save it as plain UTF-8 text."
        ) from exc


def _build_value(node: yaml.Node, path: Path, document: YamlDocument) -> Any:
    document.values[path] = _position(node)
    if not node.tag.startswith("tag:yaml.org,2002:"):
        raise JobError("yaml-invalid", f"The tag {node.tag} is not known ({_position(node)}).", "Leave the tag out.")
    if isinstance(node, yaml.MappingNode):
        return _build_mapping(node, path, document)
    if isinstance(node, yaml.SequenceNode):
        return [_build_value(child, (*path, i), document) for i, child in enumerate(node.value)]
    if isinstance(node, yaml.ScalarNode):
        return _build_scalar(node)
    raise JobError("yaml-invalid", f"{node.tag} is not allowed here ({_position(node)}).", "Write plain values.")


def _build_mapping(node: yaml.MappingNode, path: Path, document: YamlDocument) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise JobError("yaml-invalid", f"A key must be a word ({_position(key_node)}).", "Write `key: value`.")
        key = str(key_node.value)
        if key in result:
            raise JobError(
                "yaml-duplicate-key", f"`{key}` is given twice ({_position(key_node)}).", "Keep one of the two."
            )
        document.keys[*path, key] = _position(key_node)
        result[key] = _build_value(value_node, (*path, key), document)
    return result


def _build_scalar(node: yaml.ScalarNode) -> str | None:
    if node.style:  # quoted or a block
        return str(node.value)
    return None if node.value in ("", "~", "null", "Null", "NULL") else PlainScalar(node.value)


class PlainScalar(str):
    """A scalar without quotes, which may mean a number or a boolean."""

    __slots__ = ()


_INT = re.compile(r"[-+]?(0|[1-9]\d{0,15})")
_FLOAT = re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d{1,3})?")


def to_core_types(value: Any) -> Any:
    """Convert free-form values (`metadata`) by the YAML 1.2 core schema into numbers, booleans, None and text."""
    if isinstance(value, dict):
        return {key: to_core_types(item) for key, item in value.items()}
    if isinstance(value, list):
        return [to_core_types(item) for item in value]
    if not isinstance(value, PlainScalar):
        return value
    if value in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return value.lower() == "true"
    if _INT.fullmatch(value):
        return int(value)
    return float(value) if _FLOAT.fullmatch(value) and abs(float(value)) < 1e300 else str(value)
