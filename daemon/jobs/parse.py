"""Parses manifest files into validated jobs. Error messages name the key, line, column, and a correction."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from daemon.errors import JobError
from daemon.jobs import yaml_positions
from daemon.jobs.defaults import FolderDefaults, merge_values
from daemon.jobs.key_names import meant_key, what_instead
from daemon.jobs.manifest import COMPANIONS, GROUPS, KEYS_BELOW, Manifest
from daemon.jobs.unused_keys import unused_keys
from daemon.jobs.value_mistakes import advice_for_value, lists_for_one_value, without_word_quotes
from daemon.jobs.yaml_mistakes import explain_mistake
from daemon.jobs.yaml_positions import YamlDocument

#: Keys whose text may contain a #.
_FREE_TEXT = (("text",), ("title",), ("profile", "name"), ("profile", "consent"))
#: Keys whose value is a list or has keys of its own.
_COLLECTIONS = ("metadata", "lexicon", *GROUPS)
_PLAIN_TEXT = (
    "Save it as plain text in UTF-8; in Windows' Notepad: Save as, encoding UTF-8; in TextEdit: Make Plain Text."
)
#: How files of programs begin in which people write, in small letters.
_DOCUMENTS = (
    (b"{\\rtf", "an RTF document"), (b"<!doctype", "a web page"), (b"<html", "a web page"), (b"<?xml", "an XML document"),
    (b"pk\x03\x04", "a Word or other office document"), (b"\xd0\xcf\x11\xe0", "a Word or other office document"),
    (b"%pdf", "a PDF document"),
)  # fmt: skip
_SENTENCE_END = re.compile(r"(?<=\.) ")
_NO_NUMBER = ("float_parsing", "int_parsing", "float_type", "int_type", "int_from_float")


def parse_manifest(
    data: bytes, max_documents: int = 1000, defaults: Sequence[FolderDefaults] = ()
) -> list[Manifest | JobError]:
    """Parse a manifest file; returns one entry for each document: the manifest, or the error if it is invalid.

    Args:
        max_documents: most documents in it.
        defaults: those of its folder and of the folders above, the nearest last.

    Raises:
        JobError: the file as a whole is not readable as YAML, is empty, or has too many documents.
    """
    text = decode(data)
    documents = [
        document
        for document in yaml_positions.load_documents(text, Manifest.model_fields)
        if isinstance(document, JobError) or document.value is not None
    ]
    if not documents:
        raise JobError("manifest-empty", "The manifest is empty.", "Write at least `text:` and `image:`.")
    if len(documents) > max_documents:
        raise JobError(
            "manifest-too-many",
            f"The manifest holds {len(documents)} documents; {max_documents} are allowed.",
            "Split the file.",
        )
    return [document if isinstance(document, JobError) else _validate(document, defaults) for document in documents]


@functools.lru_cache(maxsize=64)
def parse_defaults(path: str, data: bytes) -> FolderDefaults:
    """Parse a file of folder defaults: a part of a manifest, whose values are checked as a manifest's are.

    Args:
        path: of the file, below the inbox.
        data: its content.

    Raises:
        JobError: `defaults-wrong`, with file, line and column.
    """
    try:
        return FolderDefaults(path, _default_values(decode(data)))
    except JobError as exc:
        raise defaults_error(path, exc) from exc


def defaults_error(path: str, error: JobError) -> JobError:
    """Return the error of a manifest whose folder has defaults that cannot be used. `path`: of their file, below the inbox."""
    what = error.message.replace("The manifest", "The file")
    return JobError("defaults-wrong", f"The folder's defaults in {path} cannot be used. {what}", error.hint)


def _default_values(text: str) -> dict[str, Any]:
    documents = [
        document
        for document in yaml_positions.load_documents(text, Manifest.model_fields)
        if isinstance(document, JobError) or document.value is not None
    ]
    if not documents:
        return {}
    document = documents[0]
    if isinstance(document, JobError):
        raise document
    if len(documents) > 1:
        raise JobError("manifest-invalid", "The file has several documents.", "Write one set of defaults, without ---.")
    given = _given(document)
    if isinstance(given, JobError):
        raise given
    try:
        Manifest.model_validate(given)
    except ValidationError as exc:
        # What a kind of job needs is for the manifests to give.
        if errors := [error for error in exc.errors(include_url=False) if error["loc"]]:
            raise _error_of_document(errors, document) from exc
    if lost := _lost_words(document):
        raise JobError("manifest-invalid", lost[0], "")
    return given


def decode(data: bytes) -> str:
    """Return the text of a manifest file.

    Raises:
        JobError: `manifest-not-text`.
    """
    if (kind := next((kind for mark, kind in _DOCUMENTS if data.lstrip().lower().startswith(mark)), None)) is not None:
        raise JobError("manifest-not-text", f"The manifest is {kind}, not plain text.", _PLAIN_TEXT)
    if b"\0" in data and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise JobError("manifest-not-text", "The manifest is not a text file.", _PLAIN_TEXT)
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise JobError("manifest-not-text", f"The manifest is not UTF-8 text at line {line}.", _PLAIN_TEXT) from exc


def _validate(document: YamlDocument, defaults: Sequence[FolderDefaults] = ()) -> Manifest | JobError:
    given = _given(document)
    if isinstance(given, JobError):
        return given
    merged, folders = given, dict[str, str]()
    for one in reversed(defaults):
        before, merged = merged.keys(), merge_values(merged, one.values)
        folders |= dict.fromkeys(merged.keys() - before, os.path.dirname(one.path))
    lost = _lost_words(document)
    try:
        manifest = Manifest.model_validate(merged)
    except ValidationError as exc:
        error = _error_of_document(exc.errors(include_url=False), document)
        if defaults:
            lost.append(f"Defaults of {' and '.join(one.path for one in defaults)} apply to it.")
        return JobError(error.code, " ".join([error.message, *lost]), error.hint) if lost else error
    manifest = manifest.with_defaults((one.path for one in defaults), folders)
    return manifest.with_warnings([*lost, *unused_keys(given, manifest)])


def _given(document: YamlDocument) -> dict[str, Any] | JobError:
    """Return the values that a document gives, by key; the error if it is no mapping, or a key has another form of value."""
    value = document.value
    if isinstance(value, list):
        place = document.mark(())
        return JobError(
            "manifest-invalid",
            f"The manifest is a list ({place}).",
            "Write each job without the - before it, its keys in the first column, and a line --- between two jobs.",
        )
    if not isinstance(value, dict):
        place = document.mark(())
        known = explain_mistake(document.lines, place.line - 1, place.column - 1, Manifest.model_fields)
        what = f"{known[0]}." if known else f"The manifest must be `key: value` lines ({place})."
        return JobError("manifest-invalid", what, known[1] if known else "Write at least `text:` and `image:`.")
    if "metadata" in value:
        value = {**value, "metadata": yaml_positions.to_core_types(value["metadata"])}
    # A key without a value means its default.
    given = {key: item for key, item in value.items() if item is not None}
    given |= {key: without_word_quotes(given[key]) for key in COMPANIONS if key in given}
    if key := lists_for_one_value({key: given[key] for key in given if key in Manifest.model_fields}, _COLLECTIONS):
        what = f"`{key}` must be one value, not a list or keys of its own ({document.mark((key,))})."
        return JobError("manifest-invalid", what, _hint((key,)))
    return given


def _lost_words(document: YamlDocument) -> list[str]:
    """Sentences about what was written as a value and is a comment to YAML: text after " #", and colours without quotes."""
    found = []
    for path, comment in document.comments.items():
        key, value = ".".join(map(str, path)), document.value
        for step in path:
            value = value[step]
        place = document.mark(path)
        if value is None and len(comment) > 1 and comment[1] not in " #!-":
            found.append(
                f'`{key}` has no value ({place}): {comment} is a comment, since # begins one. Write {key}: "{comment}".'
            )
        elif value is not None and path in _FREE_TEXT:
            found.append(
                f"`{key}` ends before “{comment}” ({place}): # after a blank begins a comment. Put the whole text in quotes."
            )
    return found


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
        place = document.keys.get(path, document.mark(path))
        return f"`{key}` is not a known key ({place}).", _hint_for_unknown(path)
    if error["type"] == "missing":
        return f"`{key}` is missing ({document.mark(path)}).", _hint(path)
    if not path:
        about = "docs/manifest.md lists what each kind of job needs and refuses."
        return f"{_plain_message(error)} ({document.mark(path)}).", about
    value, is_number = error["input"], error["type"] in _NO_NUMBER
    advice = advice_for_value(key, value, is_number=is_number, is_file=key in COMPANIONS)
    return f"`{key}` {_plain_message(error)}, not {_quoted(value)} ({document.mark(path)}).", advice or _hint(path)


def _hint_for_unknown(path: tuple[str | int, ...]) -> str:
    """Say which key was meant, and what it means where its name is another one."""
    if len(path) == 1 and (instead := what_instead(str(path[0]))):
        return instead
    owner = GROUPS.get(str(path[0]), Manifest)
    meant = meant_key(str(path[-1]), owner.model_fields, KEYS_BELOW if owner is Manifest else ())
    if meant is None:
        return f"Known keys: {', '.join(owner.model_fields)}."
    group, _, name = meant.rpartition(".")
    description = (GROUPS[group] if group else owner).model_fields[name].description or ""
    return f"Did you mean `{meant}`? {_first_sentence(description)}".strip()


def _plain_message(error: ErrorDetails) -> str:
    """Return Pydantic's message as the rest of a sentence."""
    if error["type"] == "value_error":
        return str(error["ctx"]["error"]) if "ctx" in error else error["msg"]
    if error["type"] in ("dict_type", "model_type", "model_attributes_type"):
        return "must have keys of its own, indented below it"
    if error["type"] in ("list_type", "tuple_type"):
        return "must be a list"
    if error["type"] == "string_type":
        return "must be a text"
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
    return _first_sentence(field.description or "") if field else ""


def _first_sentence(description: str) -> str:
    """Return what an error says of a key: docs/manifest.md has the rest."""
    return _SENTENCE_END.split(description, maxsplit=1)[0]
