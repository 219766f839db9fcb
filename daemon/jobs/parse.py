"""Parses manifest files into validated jobs. Error messages name the key, line, column, and a correction."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from daemon.errors import JobError
from daemon.jobs import yaml_positions
from daemon.jobs.manifest import GROUPS, Manifest
from daemon.jobs.yaml_positions import YamlDocument


def parse_manifest(data: bytes, max_documents: int = 1000) -> list[Manifest | JobError]:
    """Parse a manifest file; returns one entry for each document: the manifest, or the error if it is invalid.

    Raises:
        JobError: the file as a whole is not readable as YAML, is empty, or has too many documents.
    """
    documents = [d for d in yaml_positions.load_documents(_decode(data)) if d.value is not None]
    if not documents:
        raise JobError("manifest-empty", "The manifest is empty.", "Write at least `text:` and `image:`.")
    if len(documents) > max_documents:
        raise JobError(
            "manifest-too-many",
            f"The manifest holds {len(documents)} documents; {max_documents} are allowed.",
            "Split the file.",
        )
    return [_validate(document) for document in documents]


def _decode(data: bytes) -> str:
    if b"\0" in data and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise JobError("manifest-not-text", "The manifest is not a text file.", "Save it as plain UTF-8 text.")
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise JobError(
            "manifest-not-text", f"The manifest is not UTF-8 text at line {line}.", "Save it as plain UTF-8 text."
        ) from exc


def _validate(document: YamlDocument) -> Manifest | JobError:
    value = document.value
    if not isinstance(value, dict):
        return JobError(
            "manifest-invalid",
            f"The manifest must be `key: value` lines ({document.mark(())}).",
            "Write at least `text:` and `image:`.",
        )
    if "metadata" in value:
        value = {**value, "metadata": yaml_positions.to_core_types(value["metadata"])}
    # A key without a value means its default.
    given = {key: item for key, item in value.items() if item is not None}
    try:
        return Manifest.model_validate(given)
    except ValidationError as exc:
        return _error_of_document(exc.errors(include_url=False), document)


def _error_of_document(errors: list[ErrorDetails], document: YamlDocument) -> JobError:
    """Combine the errors of a document into one: the first in full, unknown keys before invalid values."""
    errors = sorted(errors, key=lambda e: (e["type"] != "extra_forbidden", e["loc"] == ()))
    sentences = [_describe_error(error, document) for error in errors[:4]]
    more = f" (and {len(errors) - 1} more: {' '.join(s for s, _ in sentences[1:])})" if len(errors) > 1 else ""
    code = "manifest-unknown-key" if errors[0]["type"] == "extra_forbidden" else "manifest-invalid"
    return JobError(code, sentences[0][0] + more, sentences[0][1])


def _describe_error(error: ErrorDetails, document: YamlDocument) -> tuple[str, str]:
    path = tuple(error["loc"])
    key = ".".join(map(str, path))
    if error["type"] == "extra_forbidden":
        known = GROUPS.get(str(path[0]), Manifest).model_fields
        close = difflib.get_close_matches(str(path[-1]), known, n=1, cutoff=0.6)
        place = document.keys.get(path, document.mark(path))
        hint = f"Did you mean `{close[0]}`?" if close else f"Known keys: {', '.join(known)}."
        return f"`{key}` is not a known key ({place}).", hint
    if error["type"] == "missing":
        return f"`{key}` is missing ({document.mark(path)}).", _hint(path)
    if not path:
        return f"{_plain_message(error)} ({document.mark(path)}).", "docs/manifest.md shows every key."
    return f"`{key}` {_plain_message(error)}, not {_quoted(error['input'])} ({document.mark(path)}).", _hint(path)


def _plain_message(error: ErrorDetails) -> str:
    """Return Pydantic's message as the rest of a sentence."""
    if error["type"] == "value_error":
        return str(error["ctx"]["error"]) if "ctx" in error else error["msg"]
    text = (
        error["msg"]
        .replace("Input should be", "must be")
        .replace("String should", "must")
        .replace("Input should", "must")
    )
    return (
        text.split(", unable to parse")[0]
        .replace("a valid number", "a number")
        .replace("a valid integer", "a whole number")
    )


def _quoted(value: Any) -> str:
    text = str(value)
    return f"{text[:60]}…" if len(text) > 60 else f"“{text}”" if text else "nothing"


def _hint(path: tuple[str | int, ...]) -> str:
    owner = GROUPS.get(str(path[0]), Manifest) if len(path) > 1 else Manifest
    field = owner.model_fields.get(str(path[-1])) or Manifest.model_fields.get(str(path[0]))
    return field.description or "" if field else ""
