"""Parses manifest files into validated jobs. Errors name the key, line, column, and a correction (`daemon.jobs.mistakes`)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from daemon.errors import JobError
from daemon.jobs import yaml_positions
from daemon.jobs.batch.template import has_placeholder
from daemon.jobs.defaults import FolderDefaults, merge_values
from daemon.jobs.kinds import KINDS
from daemon.jobs.manifest import COMPANIONS, Manifest
from daemon.jobs.manifest_conflicts import Conflict, ConflictsError, kind_conflicts
from daemon.jobs.manifest_values import GROUPS
from daemon.jobs.mistakes.copied_marks import merge_marks
from daemon.jobs.mistakes.document_errors import Mistake, defaults_error, error_of_document, error_with_defaults
from daemon.jobs.mistakes.flow_mistakes import COLLECTIONS
from daemon.jobs.mistakes.key_case import with_small_keys
from daemon.jobs.mistakes.key_lines import FREE_TEXTS
from daemon.jobs.mistakes.key_names import meant_key
from daemon.jobs.mistakes.lost_backslashes import LostBackslashes, lost_backslashes
from daemon.jobs.mistakes.misread_values import escape_mistake, list_mistake, lost_words
from daemon.jobs.mistakes.model_mistakes import conflict_mistake, told_errors, value_mistake
from daemon.jobs.mistakes.named_files import named_files, named_in_lines
from daemon.jobs.mistakes.unknown_keys import kind_of
from daemon.jobs.mistakes.unused_keys import unused_keys
from daemon.jobs.mistakes.unused_words import unused_words
from daemon.jobs.mistakes.value_mistakes import lists_for_one_value, without_word_quotes
from daemon.jobs.mistakes.yaml_mistakes import explain_mistake
from daemon.jobs.yaml_positions import DocumentError, Place, Position, YamlDocument

_PLAIN_TEXT = (
    "Save it as plain text in UTF-8; in Windows' Notepad: Save as, encoding UTF-8; in TextEdit: Make Plain Text."
)
#: How files of programs begin in which people write, in small letters.
_DOCUMENTS = (
    (b"{\\rtf", "an RTF document"), (b"<!doctype", "a web page"), (b"<html", "a web page"), (b"<?xml", "an XML document"),
    (b"pk\x03\x04", "a Word or other office document"), (b"\xd0\xcf\x11\xe0", "a Word or other office document"),
    (b"%pdf", "a PDF document"),
)  # fmt: skip
#: How files of pictures, sounds and videos begin, in small letters.
_MEDIA = (
    (b"\x89png", "a PNG picture"), (b"\xff\xd8\xff", "a JPEG picture"), (b"gif8", "a GIF picture"), (b"bm", "a BMP picture"),
    (b"ii*\0", "a TIFF picture"), (b"mm\0*", "a TIFF picture"), (b"id3", "an MP3 sound"), (b"oggs", "an Ogg or Opus sound"),
    (b"flac", "a FLAC sound"), (b"\x1ae\xdf\xa3", "a WebM or MKV video"),
)  # fmt: skip
#: By the letters 4 to 7, or, after "riff", 8 to 11.
_BOXES = {
    b"ftyp": "an MP4, MOV, M4A or HEIC file", b"wave": "a WAV sound", b"avi ": "an AVI video", b"webp": "a WebP picture",
}  # fmt: skip
_NOT_A_MANIFEST = (
    "A manifest is a plain text file beside it that names it, such as hello.yaml with the lines `image: portrait.png` and "
    "`text: Hello.`; the picture, sound or video has its own ending, such as .png."
)
_MARK_BYTES = max(12, *(len(mark) for mark, _ in _DOCUMENTS))
_KEYS_OF_GROUPS = {name: group.model_fields for name, group in GROUPS.items()}


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

    def mistakes(self) -> list[Mistake]:
        """Return what is wrong with values that the model does not see."""
        return [
            *(list_mistake(key, self.values[key], self.document) for key in self.lists),
            *(escape_mistake(one, self.document) for one in self.escaped),
        ]


def parse_manifest(
    data: bytes,
    max_documents: int = 1000,
    defaults: Sequence[FolderDefaults] = (),
    place: Callable[[tuple[str | int, ...]], str] | None = None,
) -> list[Manifest | JobError]:
    """Parse a manifest file; returns one entry for each document: the manifest, or the error if it is invalid.

    Args:
        max_documents: most documents in it.
        defaults: those of its folder and of the folders above, the nearest last.
        place: for a manifest that nobody wrote as a file: says where the value at a path comes from; it takes the place of line
            and column in messages.

    Raises:
        JobError: the file as a whole is not readable as YAML, is empty, or has too many documents.
    """
    text = decode(data)
    if (count := yaml_positions.count_documents(text)) > max_documents:  # before each is read
        raise JobError(
            "manifest-too-many",
            f"The manifest holds {count} documents; {max_documents} are allowed.",
            "Split the file.",
        )
    documents = [
        document
        for document in yaml_positions.load_documents(text, explain_mistake)
        if isinstance(document, JobError) or document.value is not None
    ]
    if not documents:
        raise JobError("manifest-empty", "The manifest is empty.", "Write at least `text:` and `image:`.")
    if len(documents) > max_documents:  # a line ... ends one, too
        raise JobError(
            "manifest-too-many",
            f"The manifest holds {len(documents)} documents; {max_documents} are allowed.",
            "Split the file.",
        )
    if place is not None:
        documents = [one if isinstance(one, JobError) else yaml_positions.with_places(one, place) for one in documents]
    found = (document if isinstance(document, JobError) else _validate(document, defaults) for document in documents)
    return [_with_names(item) if isinstance(item, DocumentError) else item for item in found]


def parse_values(values: Mapping[str, Any], place: Callable[[tuple[str | int, ...]], str]) -> Manifest | JobError:
    """Check a manifest whose values do not come from a YAML file, such as those of a row of a table.

    Args:
        values: by key, as `load_documents` would return them.
        place: says where the value at a path comes from; it takes the place of line and column in messages.
    """

    def mark(path: tuple[str | int, ...], value: Any) -> Iterator[tuple[tuple[str | int, ...], Position]]:
        yield path, Place(1, 1, place(path))
        below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, item in below:
            yield from mark((*path, key), item)

    marks = dict(mark((), dict(values)))
    return _validate(
        YamlDocument(dict(values), marks, {path: marks[path] for path in marks if path}, {}, [""]), is_row=True
    )


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
    found = _mistakes_of_part(read)
    if "base" in read.values:
        place = read.document.keys.get(("base",), read.document.mark(("base",)))
        found.append(Mistake(place, f"`base` cannot be a default ({place}).", "Write it in the manifests themselves."))
    if found:
        raise error_of_document(found, ())
    if lost := lost_words(read.document):
        raise JobError("manifest-invalid", lost[0], "")
    return read.values


def _mistakes_of_part(read: _Given, unknown: Collection[str] = ()) -> list[Mistake]:
    """Return what is wrong in a part of a manifest. What a kind of job needs, the rest of it may give.

    Args:
        unknown: keys whose values are not known yet.
    """
    left_out = {*read.wrong, *unknown}
    try:
        Manifest.model_validate({key: item for key, item in read.values.items() if key not in left_out})
    except ValidationError as exc:
        errors = told_errors(exc.errors(include_url=False))
        return [*read.mistakes(), *(value_mistake(error, read.document) for error in errors if error["loc"])]
    return read.mistakes()


def check_text(data: bytes) -> None:
    """Check that a file, or the first part of one, can be the text of a manifest.

    Raises:
        JobError: `manifest-not-text`: it is another document, or binary.
    """
    head = data.lstrip()[:_MARK_BYTES].lower()
    if (kind := next((kind for mark, kind in _DOCUMENTS if head.startswith(mark)), None)) is not None:
        raise JobError("manifest-not-text", f"The manifest is {kind}, not plain text.", _PLAIN_TEXT)
    if b"\0" in data and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        if media := _media(data[:_MARK_BYTES].lower()):
            raise JobError("manifest-not-text", f"The manifest is {media}, not plain text.", _NOT_A_MANIFEST)
        raise JobError("manifest-not-text", "The manifest is not a text file.", _PLAIN_TEXT)


def _media(head: bytes) -> str | None:
    """Return what a picture, sound or video is called whose first bytes are these; None for another file."""
    found = next((kind for mark, kind in _MEDIA if head.startswith(mark)), None)
    return found or _BOXES.get(head[8:12] if head.startswith(b"riff") else head[4:8])


def decode(data: bytes) -> str:
    """Return the text of a manifest file.

    Raises:
        JobError: `manifest-not-text`.
    """
    check_text(data)
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise JobError("manifest-not-text", f"The manifest is not UTF-8 text at line {line}.", _PLAIN_TEXT) from exc


def _validate(
    document: YamlDocument, defaults: Sequence[FolderDefaults] = (), *, is_row: bool = False
) -> Manifest | JobError:
    read = _given(document)
    if isinstance(read, JobError):
        return read
    if "base" in read.values:  # its job has had the defaults of its own folder
        defaults = ()
    merged, inherited = read.values, dict[str, str]()
    for one in reversed(defaults):
        before, merged = merged.keys(), merge_values(merged, one.values)
        inherited |= dict.fromkeys(merged.keys() - before, one.path)
    lost = lost_words(read.document)
    errors: Sequence[ErrorDetails] = ()
    try:
        manifest = Manifest.model_validate({key: item for key, item in merged.items() if key not in read.wrong})
    except ValidationError as exc:
        errors = told_errors(exc.errors(include_url=False))
    if errors or read.wrong:
        if told_of := [one.path for one in defaults if one.path]:
            lost.append(f"Defaults of {' and '.join(told_of)} apply to it.")
        mistakes = _mistakes(read, merged, errors)
        error = error_with_defaults(mistakes, lost, inherited)
        told = DocumentError(error.code, error.message, error.hint)
        wrong = {mistake.key for mistake in mistakes if not mistake.is_unknown_key}
        told.named = named_files({key: value for key, value in read.values.items() if key not in wrong})
        told.key = min(mistakes, key=lambda mistake: mistake.order).key
        return told
    if manifest.kind_of_job.makes_jobs:
        return _with_template(read.document, read.values, manifest, defaults)
    if defaults:
        manifest = manifest.with_defaults((one.path for one in defaults), inherited)
    unused = unused_keys(read.values, manifest) if manifest.base is None else []  # known when it is completed
    if manifest.base is None and not is_row:
        unused += unused_words(read.values, manifest)
    warnings = [*read.warnings, *lost, *unused]
    return manifest.with_warnings(warnings) if warnings else manifest


def _with_template(
    document: YamlDocument, written: Mapping[str, Any], manifest: Manifest, defaults: Sequence[FolderDefaults]
) -> Manifest | JobError:
    """Return a batch with the defaults of its folder in its template; the error where a part of the template is wrong."""
    part = YamlDocument(
        document.value.get("template") or {},
        {path[1:]: place for path, place in document.values.items() if path[:1] == ("template",)},
        {path[1:]: place for path, place in document.keys.items() if path[:1] == ("template",) and len(path) > 1},
        {path[1:]: comment for path, comment in document.comments.items() if path[:1] == ("template",)},
        document.lines,
    )
    read = _given(part)
    if isinstance(read, JobError):
        return read
    mistakes = _mistakes_of_part(read, {key for key, value in read.values.items() if has_placeholder(value)})
    if (kind := KINDS.get(str(read.values.get("kind", "")).strip().lower())) is not None and kind.makes_jobs:
        what = f"The template asks for a batch, but a row is one job ({(place := part.mark(('kind',)))})."
        mistakes.append(
            Mistake(place, what, "Write another kind there, such as `kind: speech`, or remove it.", key="kind")
        )
    lost = lost_words(part)
    if mistakes:
        return error_of_document(mistakes, lost)
    if lost:
        return JobError("manifest-invalid", lost[0], "")
    merged, inherited = read.values, dict[str, str]()
    for one in reversed(defaults):
        before, merged = merged.keys(), merge_values(merged, one.values)
        inherited |= dict.fromkeys(merged.keys() - before, one.path)
    whole = manifest.model_copy(update={"template": merged})
    unused = unused_keys(written, manifest)
    return whole.with_defaults((one.path for one in defaults), inherited).with_warnings([*read.warnings, *unused])


def _is_one_job(items: Sequence[object]) -> bool:
    """Return whether a list has a different key in each item, so that together they are one job."""
    keys = [next(iter(item)) for item in items if isinstance(item, dict) and len(item) == 1]
    return len(items) > 1 and len({*keys}) == len(items)


def _given(document: YamlDocument) -> _Given | JobError:
    """Read what a document gives; the error if it is no mapping, names a key twice, or is two versions of one text."""
    value = document.value
    if (conflict := merge_marks(document.lines)) is not None:
        return JobError("manifest-invalid", f"{conflict[0]}.", conflict[1])
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
    given |= {key: without_word_quotes(item) for key, item in given.items() if key not in FREE_TEXTS}
    lists = lists_for_one_value({key: given[key] for key in given if key in Manifest.model_fields}, COLLECTIONS)
    escaped = [one for one in lost_backslashes(document, tuple(COMPANIONS)) if one.key not in lists]
    return _Given(document, given, tuple(lists), tuple(warnings), tuple(escaped))


def _mistakes(read: _Given, values: Mapping[str, Any], errors: Sequence[ErrorDetails]) -> list[Mistake]:
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
            found.append(value_mistake(error, read.document))
    # Beside a wrong key or value the model is not asked what is missing, and would not know what was meant.
    conflicts = _conflicts_of_written(values) if found else conflicts
    return found + [conflict_mistake(conflict, read.document) for conflict in conflicts]


def _conflicts_of_written(given: Mapping[str, Any]) -> list[Conflict]:
    """Return what a kind of job refuses and lacks of the keys as written. One that is called otherwise is not lacking, and of a
    job that takes over what it does not say from another (`base`), nothing is known.
    """
    kind = None if "base" in given else kind_of(given)
    meant = {meant_key(key, Manifest.model_fields) for key in given if key not in Manifest.model_fields}
    return [] if kind is None else list(kind_conflicts(kind, given.__contains__, {*given, *meant}.__contains__))
