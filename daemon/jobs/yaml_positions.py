"""Reads YAML documents as plain values, and records the position of each value; writes values that it reads as the same.

Every unquoted scalar stays the text that was written (the schema knows which keys are numbers), so `text: 7:30` is not 450
and `language: no` is not False. Limits are checked on the event stream, before anything is built: aliases are refused, and
depth and length are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from daemon.errors import JobError

MAX_DEPTH = 16  # levels of nesting
MAX_NODES = 20_000  # scalars and collections in one file
MAX_LINES_READ = 10_000_000  # lines that are read for all documents of a file: for each also those before it

Path = tuple[str | int, ...]

#: Says what is wrong and what to do, for lines that YAML refuses at a line and a column (from 0); None where it does not know.
Explain = Callable[[Sequence[str], int, int], tuple[str, str] | None]

#: What begins a document, wherever it stands: also inside a quoted or a block text.
_SEPARATOR = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_COMMENT = re.compile(r"\s+(#.*?)\s*")
_COMMENT_LINE = re.compile(r"^[ \t]*#.*$", re.MULTILINE)


@dataclass(frozen=True)
class Position:
    """A position in the file. Lines and columns count from 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


@dataclass(frozen=True)
class Place(Position):
    """A position that is none in a YAML file, such as a cell of a table. `words`: what people are told in its place."""

    words: str = ""

    def __str__(self) -> str:
        return self.words


@dataclass
class YamlDocument:
    """One YAML document.

    Attributes:
        value: its value.
        values, keys: position of each value and of each key, by path.
        comments: what follows a value without quotes on its line as a comment, by path; with its #.
        lines: of the file up to its end; those before it are empty.
    """

    value: Any = None
    values: dict[Path, Position] = field(default_factory=dict)
    keys: dict[Path, Position] = field(default_factory=dict)
    comments: dict[Path, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def mark(self, path: Path) -> Position:
        """Return the position of the value at `path`; that of the nearest parent if it is missing."""
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, Position(1, 1))


class DocumentError(JobError):
    """What is wrong in one document.

    Attributes:
        lines: of the file up to the document's end, where it is no YAML.
        named: the files that it names as far as that can be read: key → name.
        key: the key that the first mistake is about; empty where one is missing.
    """

    lines: Sequence[str] = ()
    named: Mapping[str, str] = {}
    key: str = ""


def with_places(document: YamlDocument, place: Callable[[Path], str]) -> YamlDocument:
    """Return a document that nobody wrote as a file; messages say where the value at a path comes from by `place`."""

    def placed(marks: Mapping[Path, Position]) -> dict[Path, Position]:
        return {path: Place(mark.line, mark.column, place(path)) for path, mark in marks.items()}

    return replace(document, values=placed(document.values), keys=placed(document.keys))


def _position(node: Any) -> Position:
    return Position(node.start_mark.line + 1, node.start_mark.column + 1)


#: Signs one of which begins each level of nesting, and those of anchors and aliases.
_NESTING = re.compile(r"[-?:\[{]")
_MARKS = re.compile(r"[&*]")


class Budget:
    """Counts the nodes of a whole file, and the lines that are read for them."""

    def __init__(self) -> None:
        self.nodes = self.lines = 0

    def read(self, lines: int) -> None:
        """Refuse a file of many documents behind many lines, since each is read behind all the lines before it."""
        self.lines += lines
        if self.lines > MAX_LINES_READ:
            raise JobError(
                "yaml-too-large",
                f"The manifest has too many jobs behind too many lines (line {lines}).",
                "Split the file, and remove empty lines.",
            )

    def has_room(self, text: str) -> bool:
        """Return whether nothing in a text can be refused, as it is so short and has so few signs: most manifests are so. What
        is in it is then counted when it is built (`add`).
        """
        most = 2 * len(text) + 2  # a node has a sign of its own, but for an empty key or value beside another's
        return self.nodes + most <= MAX_NODES and len(_NESTING.findall(text)) <= MAX_DEPTH and not _MARKS.search(text)

    def add(self, document: YamlDocument) -> None:
        """Count the nodes of a document that was built."""
        self.nodes += len(document.values) + len(document.keys)

    def check(self, text: str) -> None:
        """Refuse aliases, and what is nested too deeply or too long, before anything is built."""
        depth = 0
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise JobError(
                    "yaml-alias",
                    f"The manifest uses a YAML anchor or alias ({_position(event)}).",
                    "Put text that begins with * or & in quotes; write other values out in full.",
                )
            if isinstance(event, yaml.NodeEvent):
                self.nodes += 1
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > MAX_DEPTH or self.nodes > MAX_NODES:
                raise JobError(
                    "yaml-too-large",
                    f"The manifest is nested too deeply or too long ({_position(event)}).",
                    f"Keep to {MAX_DEPTH} levels and {MAX_NODES} values.",
                )


#: Characters that no YAML file may hold: control characters but for tab and line ends, halves of pairs, and two that are none.
_NOT_ALLOWED = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def load_documents(text: str, explain: Explain | None = None) -> Iterator[YamlDocument | JobError]:
    """Parse YAML text; yields each document, or the error if it is invalid: `yaml-invalid`, `yaml-alias`,
    `yaml-duplicate-key`, with line and column.

    Args:
        explain: finds what was mistyped in the lines of a document that is no YAML.

    Raises:
        JobError: `yaml-too-large`.
    """
    budget = Budget()
    for lines_before, part in document_parts(text):
        if _is_blank(part):
            yield YamlDocument()
            continue
        budget.read(lines_before + part.count("\n"))
        part = "\n" * lines_before + part  # so that its positions are the file's
        lines = part.splitlines()
        try:
            yield from _built_documents(part, lines, budget)
        except JobError as exc:
            if exc.code == "yaml-too-large":
                raise
            yield exc
        except yaml.MarkedYAMLError as exc:
            where = exc.problem_mark or exc.context_mark
            place = f"line {where.line + 1}, column {where.column + 1}" if where else "the file"
            known = explain(lines, where.line, where.column) if where and explain else None
            what = (
                f"{known[0]}." if known else f"The manifest is not valid YAML at {place}: {exc.problem or exc.context}."
            )
            hint = (
                known[1] if known else "Check indentation and quotes there; put text that contains a colon in quotes."
            )
            error = DocumentError("yaml-invalid", what, hint)
            error.lines = lines
            yield error
        except yaml.YAMLError as exc:
            yield _unreadable_character(part) or JobError(
                "yaml-invalid", f"The manifest is not valid YAML: {exc}.", "Save it as plain UTF-8 text."
            )


def _built_documents(part: str, lines: list[str], budget: Budget) -> Iterator[YamlDocument]:
    """Yield the documents of a text, which are all counted, also where one is wrong. Errors as `Budget.check`, and PyYAML's."""
    before, has_room = budget.nodes, budget.has_room(part)
    if not has_room:
        budget.check(part)
    try:
        for root in [*yaml.compose_all(part, Loader=yaml.CSafeLoader)]:  # none where a later one is no YAML
            document = YamlDocument(lines=lines)
            document.value = _build_value(root, (), document)
            if has_room:
                budget.add(document)
            yield document
    except (JobError, yaml.YAMLError):
        if has_room:
            budget.nodes = before
            budget.check(part)
        raise


def _unreadable_character(text: str) -> JobError | None:
    """Return the error of the first character that YAML does not allow; None where there is none."""
    found = _NOT_ALLOWED.search(text)
    if found is None:
        return None
    before = text[: found.start()]
    line, column = before.count("\n") + 1, found.start() - before.rfind("\n")
    return JobError(
        "yaml-invalid",
        f"A control character, which nobody sees, is in line {line}, column {column} (U+{ord(found[0]):04X}).",
        "Delete it there, or type the words around it anew; it comes with text that is copied from a PDF or another program.",
    )


def count_documents(text: str) -> int:
    """Return how many documents a text has that are not empty, without reading them."""
    return sum(not _is_blank(part) for _, part in document_parts(text))


def _is_blank(part: str) -> bool:
    """Return whether a document's text has nothing but its separator and comments."""
    return not _SEPARATOR.sub("", _COMMENT_LINE.sub("", part), count=1).strip()


def document_parts(text: str) -> Iterator[tuple[int, str]]:
    """Yield the documents' texts, each with the number of lines before it."""
    start = lines = 0
    for mark in _SEPARATOR.finditer(text):
        # What stands before the first separator may be directives, which belong to the document after it.
        if all(not line.strip() or line.startswith(("%", "#")) for line in text[start : mark.start()].splitlines()):
            continue
        yield lines, text[start : mark.start()]
        lines += text.count("\n", start, mark.start())
        start = mark.start()
    yield lines, text[start:]


def _build_value(node: yaml.Node, path: Path, document: YamlDocument) -> Any:
    document.values[path] = _position(node)
    if not node.tag.startswith("tag:yaml.org,2002:"):
        raise JobError(
            "yaml-invalid",
            f"The tag {node.tag} is not known ({_position(node)}).",
            f'Put text that begins with ! in quotes, such as text: "{node.tag}".',
        )
    if isinstance(node, yaml.MappingNode):
        return _build_mapping(node, path, document)
    if isinstance(node, yaml.SequenceNode):
        return [_build_value(child, (*path, i), document) for i, child in enumerate(node.value)]
    if isinstance(node, yaml.ScalarNode):
        if not node.style and (comment := _comment_after(node, document.lines)):
            document.comments[path] = comment
        return _build_scalar(node)
    raise JobError("yaml-invalid", f"{node.tag} is not allowed here ({_position(node)}).", "Write plain values.")


def _build_mapping(node: yaml.MappingNode, path: Path, document: YamlDocument) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise yaml.MarkedYAMLError(problem="a key must be a word", problem_mark=key_node.start_mark)
        key = str(key_node.value)
        if key in result:
            raise JobError(
                "yaml-duplicate-key",
                f"`{key}` is given twice ({_position(key_node)}).",
                "Keep one of the two; if they are two jobs, write a line --- between them.",
            )
        document.keys[*path, key] = _position(key_node)
        result[key] = _build_value(value_node, (*path, key), document)
    return result


def _comment_after(node: yaml.ScalarNode, lines: list[str]) -> str:
    """Return what follows a scalar on its line as a comment; empty if nothing does."""
    end = node.end_mark
    found = _COMMENT.fullmatch(lines[end.line], end.column) if end.line < len(lines) else None
    return found[1] if found else ""


def _build_scalar(node: yaml.ScalarNode) -> str | None:
    if node.style:  # quoted or a block
        return str(node.value)
    return None if node.value in ("", "~", "null", "Null", "NULL") else PlainScalar(node.value)


class PlainScalar(str):
    """A scalar without quotes, which may mean a number or a boolean."""

    __slots__ = ()


_INT = re.compile(r"[-+]?(0|[1-9]\d{0,15})")
_FLOAT = re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d{1,3})?\Z")


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


#: Texts that some key takes for a time where they have no quotes, such as 0:07 and 4.5s.
_TIME = re.compile(r"[-+]?[\d._]+(:[-+]?[\d._]+)?([eE][-+]?\d+)?s?\Z")


class _Dumper(yaml.CSafeDumper):
    """Puts quotes around each text that would be read as a number or a time, also where YAML 1.1 has none, such as 1e3."""


class _SlowDumper(yaml.SafeDumper):
    """As `_Dumper`, for a text with half a pair, which that one does not write."""


def _as_it_was(dumper: Any, value: PlainScalar) -> yaml.ScalarNode:
    """Write a value without quotes again, where it can stand so: its key decides whether it is a number."""
    node: yaml.ScalarNode = dumper.represent_scalar(dumper.resolve(yaml.ScalarNode, value, (True, False)), str(value))
    return node


for _dumper in (_Dumper, _SlowDumper):
    _dumper.add_representer(PlainScalar, _as_it_was)
    _dumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
    _dumper.add_implicit_resolver("tag:yaml.org,2002:float", _TIME, list("-+._0123456789"))


#: How signs are written in double quotes in place of their letters, which `lost_backslashes` takes for those of a path.
_BY_NUMBER = {"t": r"\x09", "n": r"\x0A", "r": r"\x0D", "N": r"\x85", "L": r"\u2028", "P": r"\u2029"}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def to_yaml(values: Mapping[str, Any], **options: Any) -> bytes:
    """Return values as YAML, from which a manifest reads them as they are. `options`: more of those of `yaml.dump`."""

    def dumped(dumper: type) -> str:
        return str(yaml.dump(dict(values), Dumper=dumper, allow_unicode=True, sort_keys=False, **options))

    try:
        text = dumped(_Dumper)
    except UnicodeEncodeError:  # half a pair is written as an escape that the check refuses
        return dumped(_SlowDumper).encode()
    return (_with_numbers(text) if "\\" in text else text).encode()


def _with_numbers(text: str) -> str:
    """Return YAML with the signs in its double quotes written by number."""
    parts, at = [], 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.ScalarEvent) and event.style == '"' and event.start_mark and event.end_mark:
            begin, end = event.start_mark.index, event.end_mark.index
            parts += [text[at:begin], _ESCAPE.sub(lambda sign: _BY_NUMBER.get(sign[1], sign[0]), text[begin:end])]
            at = end
    return "".join([*parts, text[at:]])
