"""Parses manifest files into validated jobs. Error messages name the key, line, column, and a correction."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import astuple
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from daemon.config.flow import as_flow
from daemon.errors import JobError
from daemon.jobs import yaml_positions
from daemon.jobs.defaults import FolderDefaults, merge_values
from daemon.jobs.kinds import KINDS, Kind, keys_without_use
from daemon.jobs.manifest import COMPANIONS, GROUPS, KEYS_BELOW, Conflict, ConflictsError, Manifest, kind_conflicts
from daemon.jobs.mistakes.flow_mistakes import COLLECTIONS, mended_line
from daemon.jobs.mistakes.key_case import with_small_keys
from daemon.jobs.mistakes.key_descriptions import describe_key, first_sentence
from daemon.jobs.mistakes.key_lines import FREE_TEXTS
from daemon.jobs.mistakes.key_names import is_other_name, meant_key, what_instead
from daemon.jobs.mistakes.lost_backslashes import LostBackslashes, lost_backslashes
from daemon.jobs.mistakes.named_files import named_files, named_in_lines
from daemon.jobs.mistakes.proposals import allowed_advice, is_allowed, number_range
from daemon.jobs.mistakes.unused_keys import unused_keys
from daemon.jobs.mistakes.value_mistakes import (
    advice_for_list,
    advice_for_value,
    lists_for_one_value,
    without_word_quotes,
)
from daemon.jobs.mistakes.yaml_mistakes import COMMENTS_ELSEWHERE, NO_COMMENTS, explain_mistake, hint_for_text
from daemon.jobs.yaml_positions import DocumentError, Position, YamlDocument

#: Keys whose text may contain a #.
_FREE_TEXT = (("text",), ("title",), ("profile", "name"), ("profile", "consent"))
_PLAIN_TEXT = (
    "Save it as plain text in UTF-8; in Windows' Notepad: Save as, encoding UTF-8; in TextEdit: Make Plain Text."
)
#: How files of programs begin in which people write, in small letters.
_DOCUMENTS = (
    (b"{\\rtf", "an RTF document"), (b"<!doctype", "a web page"), (b"<html", "a web page"), (b"<?xml", "an XML document"),
    (b"pk\x03\x04", "a Word or other office document"), (b"\xd0\xcf\x11\xe0", "a Word or other office document"),
    (b"%pdf", "a PDF document"),
)  # fmt: skip
#: Keys for whose value other tools have words of their own.
_OTHER_WORDS = ("aspect", "size", "captions", "profile.expires")
_KEYS_OF_GROUPS = {name: group.model_fields for name, group in GROUPS.items()}
#: Most mistakes that are told beside the first.
_MOST_TOLD = 8
_NO_NUMBER = ("float_parsing", "int_parsing", "float_type", "int_type", "int_from_float")


class _Mistake(NamedTuple):
    """What is wrong in a document.

    Attributes:
        place: where; None where something is missing.
        message: a sentence that names the place.
        hint: what to do.
        key: the key of the manifest that is wrong; empty where one is missing.
    """

    place: Position | None
    message: str
    hint: str
    is_unknown_key: bool = False
    key: str = ""
    is_empty_text: bool = False

    @property
    def order(self) -> tuple[bool, bool, int, int]:
        """Unknown keys come first, what is missing last, the others by place."""
        return not self.is_unknown_key, self.place is None, *(astuple(self.place) if self.place else (0, 0))


class _Given(NamedTuple):
    """What a document gives.

    Attributes:
        document: with keys in small letters.
        values: by key; a key without a value is left out.
        lists: keys that have a list, or keys of their own, in place of one value.
        warnings: sentences about keys that were read although they are written otherwise.
        escaped: values whose backslashes YAML took for other signs.
    """

    document: YamlDocument
    values: dict[str, Any]
    lists: tuple[str, ...]
    warnings: tuple[str, ...]
    escaped: tuple[LostBackslashes, ...] = ()

    @property
    def wrong(self) -> set[str]:
        """The keys whose values are not for the model: it would not see what is wrong with them."""
        return {*self.lists, *(one.key for one in self.escaped)}

    def mistakes(self) -> list[_Mistake]:
        """Return what is wrong with values that the model does not see."""
        return [
            *(_list_mistake(key, self.values[key], self.document) for key in self.lists),
            *(_escape_mistake(one, self.document) for one in self.escaped),
        ]


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
        for document in yaml_positions.load_documents(text, explain_mistake)
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
    found = (document if isinstance(document, JobError) else _validate(document, defaults) for document in documents)
    return [_with_names(item) if isinstance(item, DocumentError) else item for item in found]


def _with_names(error: DocumentError) -> DocumentError:
    """Find the files that a document names which is no YAML."""
    if error.lines:
        error.named = named_in_lines(error.lines)
    return error


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
        for document in yaml_positions.load_documents(text, explain_mistake)
        if isinstance(document, JobError) or document.value is not None
    ]
    if not documents:
        return {}
    document = documents[0]
    if isinstance(document, JobError):
        raise document
    if len(documents) > 1:
        raise JobError("manifest-invalid", "The file has several documents.", "Write one set of defaults, without ---.")
    read = _given(document)
    if isinstance(read, JobError):
        raise read
    found = read.mistakes()
    if "base" in read.values:
        place = read.document.keys.get(("base",), read.document.mark(("base",)))
        found.append(_Mistake(place, f"`base` cannot be a default ({place}).", "Write it in the manifests themselves."))
    try:
        Manifest.model_validate({key: item for key, item in read.values.items() if key not in read.wrong})
    except ValidationError as exc:
        # What a kind of job needs is for the manifests to give.
        errors = _without_branches(exc.errors(include_url=False))
        found += [_value_mistake(error, read.document) for error in errors if error["loc"]]
    if found:
        raise _error_of_document(found, ())
    if lost := _lost_words(read.document):
        raise JobError("manifest-invalid", lost[0], "")
    return read.values


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
    read = _given(document)
    if isinstance(read, JobError):
        return read
    if "base" in read.values:  # its job has had the defaults of its own folder
        defaults = ()
    merged, inherited = read.values, dict[str, str]()
    for one in reversed(defaults):
        before, merged = merged.keys(), merge_values(merged, one.values)
        inherited |= dict.fromkeys(merged.keys() - before, one.path)
    lost = _lost_words(read.document)
    errors: Sequence[ErrorDetails] = ()
    try:
        manifest = Manifest.model_validate({key: item for key, item in merged.items() if key not in read.wrong})
    except ValidationError as exc:
        errors = _without_branches(exc.errors(include_url=False))
    if errors or read.wrong:
        if defaults:
            lost.append(f"Defaults of {' and '.join(one.path for one in defaults)} apply to it.")
        mistakes = _mistakes(read, merged, errors)
        error = _error_with_defaults(mistakes, lost, inherited)
        told = DocumentError(error.code, error.message, error.hint)
        wrong = {mistake.key for mistake in mistakes if not mistake.is_unknown_key}
        told.named = named_files({key: value for key, value in read.values.items() if key not in wrong})
        return told
    manifest = manifest.with_defaults((one.path for one in defaults), inherited)
    unused = unused_keys(read.values, manifest) if manifest.base is None else []  # known when it is completed
    return manifest.with_warnings([*read.warnings, *lost, *unused])


def _is_one_job(items: Sequence[object]) -> bool:
    """Return whether a list has a different key in each item, so that together they are one job."""
    keys = [next(iter(item)) for item in items if isinstance(item, dict) and len(item) == 1]
    return len(items) > 1 and len({*keys}) == len(items)


def _given(document: YamlDocument) -> _Given | JobError:
    """Read what a document gives; the error if it is no mapping, or names a key twice."""
    value = document.value
    if isinstance(value, list):
        place = document.mark(())
        is_json = document.lines[place.line - 1][place.column - 1 :].startswith("[")
        hint = (
            "Remove the [ and ] around the jobs and the commas between them, and write a line --- between two jobs."
            if is_json
            else "Write the keys of a job without the - before each."
            if _is_one_job(value)
            else "Write each job without the - before it, its keys in the first column, and a line --- between two jobs."
        )
        return JobError("manifest-invalid", f"The manifest is a list ({place}).", hint)
    if not isinstance(value, dict):
        place = document.mark(())
        known = explain_mistake(document.lines, place.line - 1, place.column - 1)
        what = f"{known[0]}." if known else f"The manifest must be `key: value` lines ({place})."
        return JobError("manifest-invalid", what, known[1] if known else "Write at least `text:` and `image:`.")
    try:
        document, warnings = with_small_keys(document, Manifest.model_fields, _KEYS_OF_GROUPS)
    except JobError as exc:
        return exc
    value = document.value
    if "metadata" in value:
        value = {**value, "metadata": yaml_positions.to_core_types(value["metadata"])}
    # A key without a value means its default.
    given = {key: item for key, item in value.items() if item is not None}
    given |= {key: without_word_quotes(given[key]) for key in COMPANIONS if key in given}
    lists = lists_for_one_value({key: given[key] for key in given if key in Manifest.model_fields}, COLLECTIONS)
    escaped = [one for one in lost_backslashes(document, tuple(COMPANIONS)) if one.key not in lists]
    return _Given(document, given, tuple(lists), tuple(warnings), tuple(escaped))


def _mistakes(read: _Given, values: Mapping[str, Any], errors: Sequence[ErrorDetails]) -> list[_Mistake]:
    """Return what is wrong in a document.

    Args:
        values: its values, with those of its folder's defaults.
        errors: what the model found in them.
    """
    found = read.mistakes()
    conflicts: Sequence[Conflict] = ()
    for error in errors:
        cause = error.get("ctx", {}).get("error")
        if isinstance(cause, ConflictsError):
            conflicts = cause.conflicts
        else:
            found.append(_value_mistake(error, read.document))
    # Beside a wrong key or value the model is not asked what is missing, and would not know what was meant.
    conflicts = _conflicts_of_written(values) if found else conflicts
    return found + [_conflict_mistake(conflict, read.document) for conflict in conflicts]


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


def _conflicts_of_written(given: Mapping[str, Any]) -> list[Conflict]:
    """Return what a kind of job refuses and lacks of the keys as written. One that is called otherwise is not lacking."""
    kind = KINDS.get(str(given.get("kind", "video")).strip().lower())
    meant = {meant_key(key, Manifest.model_fields) for key in given if key not in Manifest.model_fields}
    return [] if kind is None else list(kind_conflicts(kind, given.__contains__, {*given, *meant}.__contains__))


def _error_of_document(mistakes: Sequence[_Mistake], lost: Sequence[str]) -> JobError:
    """Combine the mistakes of a document into one error. The first gives the code: unknown keys come before other mistakes.

    Args:
        lost: sentences about words that YAML takes for comments.
    """
    first, *others = sorted(mistakes, key=lambda mistake: mistake.order)
    code = (
        "manifest-unknown-key" if first.is_unknown_key else "text-empty" if first.is_empty_text else "manifest-invalid"
    )
    hints = [first.hint]
    if others:
        hints.append(f"{len(others)} more mistake{'s' if len(others) > 1 else ''}:")
    for mistake in others[:_MOST_TOLD]:
        hints += [mistake.message, mistake.hint if mistake.hint not in hints else ""]
    hints += [f"Further ones ({len(others) - _MOST_TOLD}) are not shown."] if len(others) > _MOST_TOLD else []
    return JobError(code, " ".join([first.message, *lost]), " ".join(filter(None, hints)))


def _error_with_defaults(mistakes: Sequence[_Mistake], lost: Sequence[str], inherited: Mapping[str, str]) -> JobError:
    """Combine the mistakes of a document with defaults into one error: `defaults-wrong` where all are in one file of those.

    Args:
        inherited: the keys that only defaults give: key → file.
    """
    files = {inherited.get(mistake.key) for mistake in mistakes}
    told = [
        one._replace(message=one.message.replace(f"({one.place})", f"(in {inherited[one.key]})"))
        if one.key in inherited
        else one
        for one in mistakes
    ]
    error = _error_of_document(told, lost)
    if len(files) != 1 or (file := files.pop()) is None:
        return error
    keys = ", ".join(f"`{key}`" for key in dict.fromkeys(mistake.key for mistake in mistakes))
    error = defaults_error(file, error)
    return JobError(
        error.code, error.message, f"{error.hint} What a manifest says itself of {keys} goes first.".strip()
    )


def _list_mistake(key: str, value: Any, document: YamlDocument) -> _Mistake:
    place = document.mark((key,))
    what = f"`{key}` must be one value, not a list or keys of its own ({place})."
    line = f'{key}: "{document.lines[place.line - 1][place.column - 1 :].strip()}"'
    if key in FREE_TEXTS and line.count('"') == 2 and line[len(key) + 3] in "[{" and is_allowed(line):
        what = f"`{key}` begins with {line[len(key) + 3]} and is no text for YAML, but a list or keys ({place})."
        others = (
            f" Or: {advice[0].lower()}{advice[1:]}"
            if (advice := advice_for_list(key, value)) and len(value) > 1
            else ""
        )
        return _Mistake(place, what, f"Put the text in quotes: write `{line}`.{others}", key=key)
    return _Mistake(place, what, allowed_advice((key,), advice_for_list(key, value)) or describe_key((key,)))


def _escape_mistake(found: LostBackslashes, document: YamlDocument) -> _Mistake:
    place, path = document.mark((found.key,)), (found.key,)
    advice = advice_for_value(found.key, found.written.replace("\\\\", "\\"), is_number=False, is_file=True)
    return _Mistake(
        place,
        f"{found.what} ({place}).",
        found.hint or allowed_advice(path, advice) or describe_key(path),
        key=found.key,
    )


def _conflict_mistake(conflict: Conflict, document: YamlDocument) -> _Mistake:
    place = document.keys.get(conflict.path, document.mark(conflict.path)) if conflict.path else None
    message = f"{conflict.message} ({place})." if place else f"{conflict.message}."
    return _Mistake(place, message, conflict.hint, key=str(conflict.path[0]) if conflict.path else "")


def _value_mistake(error: ErrorDetails, document: YamlDocument) -> _Mistake:
    path = tuple(error["loc"])
    key, place = ".".join(map(str, path)), document.mark(path)
    if error["type"] == "extra_forbidden":
        place = document.keys.get(path, place)
        hint = _hint_for_unknown(path, error["input"], _unused_keys_of(document.value))
        if line := _decimal_point(path, document.value):
            hint = f"A decimal number is written with a point: write `{line}`."
        elif len(path) == 1 and (group := _group_above(key, document)):
            hint = f"It belongs to `{group}` above it: begin its line with {_indent_in(group, document)} blanks."
        elif len(path) > 1 and not {*str(path[-1])}.isdisjoint("=:;"):
            line = mended_line(str(path[0]), as_flow(document.value.get(path[0], "")))
            hint = f"Write `{line}`." if line else hint
        if len(path) == 1 and not is_other_name(key) and (" " in str(error["input"]) or not hint.startswith("Did")):
            hint = f"{hint_for_text(document.lines, place.line)} {hint}".strip()
        return _Mistake(place, f"`{key}` is not a known key ({place}).", hint, True, str(path[0]))
    if error["type"] == "missing":
        return _Mistake(place, f"`{key}` is missing ({place}).", describe_key(path), key=str(path[0]))
    value, is_number = error["input"], error["type"] in _NO_NUMBER
    advice = allowed_advice(path, advice_for_value(key, value, is_number=is_number, is_file=key in COMPANIONS))
    if key == "format" and (kind := _kind_of(document.value)) is not None and kind.makes_sound:
        advice = f"A job of `kind: {kind.name}` makes wav, mp3, opus or flac."
    if value == "" and error["type"] in ("too_short", "string_too_short"):
        return _Mistake(
            place, f"`{key}` is empty ({place}).", describe_key(path), key=str(path[0]), is_empty_text=key == "text"
        )
    what = _plain_message(error, number_range(path))
    return _Mistake(
        place, f"`{key}` {what}, not {_quoted(value)} ({place}).", advice or describe_key(path), key=str(path[0])
    )


def _without_branches(errors: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Return errors of which those of the alternatives of one value are one, which names everything that is allowed."""
    found: dict[tuple[str | int, ...], ErrorDetails] = {}
    for error in errors:
        path = tuple(step for step in error["loc"] if not str(step).startswith("literal["))
        if len(path) == len(error["loc"]):
            found[*path, len(found)] = error
        elif path in found:
            words = f"{found[path]['ctx']['expected']} or {error['ctx']['expected']}"
            words = words.replace(" or ", ", ", words.count(" or ") - 1)
            found[path] = {**error, "loc": path, "ctx": {"expected": words}, "msg": f"Input should be {words}"}
        else:
            found[path] = {**error, "loc": path}
    return list(found.values())


def _hint_for_unknown(path: tuple[str | int, ...], value: Any, unused: Collection[str] = ()) -> str:
    """Say which key was meant, and what it means where its name is another one."""
    if str(path[-1]).startswith(COMMENTS_ELSEWHERE):
        return NO_COMMENTS
    if len(path) == 1 and (instead := what_instead(str(path[0]))):
        return instead
    owner = GROUPS.get(str(path[0]), Manifest)
    meant = meant_key(str(path[-1]), owner.model_fields, *((KEYS_BELOW, unused) if owner is Manifest else ()))
    if meant is None:
        return f"Known keys: {', '.join(owner.model_fields)}."
    group, _, name = meant.rpartition(".")
    description = (GROUPS[group] if group else owner).model_fields[name].description or ""
    where = f"It stands below `{group}:`, indented." if group and len(path) == 1 else ""
    # The value may be another tool's, too: both are told at once.
    advice = advice_for_value(meant, value, is_number=False, is_file=False) if meant in _OTHER_WORDS else None
    advice = allowed_advice(tuple(meant.split(".")), advice)
    return " ".join(filter(None, (f"Did you mean `{meant}`?", where, first_sentence(description), advice)))


def _kind_of(value: Any) -> Kind | None:
    return KINDS.get(str(value.get("kind", "video")).strip().casefold())


def _unused_keys_of(value: Any) -> list[str]:
    """Return the keys that do nothing in the kind of job that a document asks for, or are refused in it."""
    kind = _kind_of(value)
    return [*keys_without_use(kind), *(keys[0] for keys, _ in kind.refuses if len(keys) == 1)] if kind else []


def _decimal_point(path: tuple[str | int, ...], value: Any) -> str | None:
    """Return the line that is meant where a number in braces has a comma, so that the rest of it is a key: `{head: 0,5}`."""
    for step in path[:-1]:
        value = value[int(step)] if isinstance(value, list) else value.get(step, {})
    keys = list(value) if isinstance(value, dict) else []
    if not str(path[-1]).isdecimal() or path[-1] not in keys[1:]:
        return None
    before = keys[keys.index(path[-1]) - 1]
    return f"{before}: {value[before]}.{path[-1]}" if str(value[before]).isdecimal() else None


def _group_above(key: str, document: YamlDocument) -> str | None:
    """Return the group whose keys end in a line that is not indented, if `key` is one of them."""
    keys = list(document.value)
    for above in reversed(keys[: keys.index(key)] if key in keys else []):
        if above in GROUPS:
            begins_below = document.value[above] is None or document.mark((above,)).line > document.keys[above,].line
            return above if begins_below and key in GROUPS[above].model_fields else None
        if above in Manifest.model_fields:
            return None
    return None


def _indent_in(group: str, document: YamlDocument) -> int:
    """Return the number of blanks before the keys of a group; 2 where it has none yet."""
    columns = [place.column for path, place in document.keys.items() if path[0] == group and len(path) > 1]
    return max(2, columns[-1] - 1 if columns else 2)


def _plain_message(error: ErrorDetails, limits: str) -> str:
    """Return Pydantic's message as the rest of a sentence. `limits`: of a number, as "from 0 to 2"."""
    if limits and error["type"] in ("greater_than_equal", "less_than_equal"):
        return f"must be {limits}"
    if error["type"] == "value_error":
        return str(error["ctx"]["error"]) if "ctx" in error else error["msg"]
    if error["type"] in ("dict_type", "model_type", "model_attributes_type"):
        return "must have keys of its own, indented below it"
    if error["type"] in ("list_type", "tuple_type"):
        return "must be a list"
    if error["type"].startswith("date_"):
        return "must be a day, such as 2026-12-31"
    if error["type"] == "string_type":
        return "must be a text"
    text = (
        error["msg"]
        .replace("Input should be", "must be")
        .replace("String should", "must")
        .replace("Input should", "must")
    )
    text = (
        text.split(", unable to parse")[0]
        .replace("a valid number", "a number")
        .replace("a valid integer", "a whole number")
    )
    return f"{text} {limits}".rstrip() if error["type"] in _NO_NUMBER else text


def _quoted(value: Any) -> str:
    """Return a value of a manifest as it was written, for a message."""
    text = as_flow(value)
    return f"{text[:60]}…" if len(text) > 60 else f"“{text}”" if text else "nothing"
