"""Reads what a request hands in: a manifest as JSON, as YAML, or as the parts of a multipart body beside its files."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from daemon.doors.http.incoming import MANIFEST, Bounds, MultipartReader, Received, check_room, own_folder
from daemon.doors.http.problems import RequestError
from daemon.doors.plain_values import plain_manifest
from daemon.errors import JobError, MachineError
from daemon.jobs.manifest import COMPANIONS
from daemon.jobs.mistakes.yaml_mistakes import explain_mistake
from daemon.jobs.parse import decode
from daemon.jobs.yaml_positions import count_documents, load_documents

JSON_TYPES: Final = ("application/json",)
YAML_TYPES: Final = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
MULTIPART: Final = "multipart/form-data"
#: What a value of a key that names a file may be: the id of an upload.
UPLOAD: Final = "upload:"
#: Keys of the older system, and ours.
OLDER_KEYS: Final = {
    "voice_profile_id": "voice",
    "voice_profile": "voice",
    "avatar_profile_id": "avatar",
    "avatar_id": "avatar",
    "avatar_image_path": "image",
    "image_path": "image",
    "audio_path": "audio",
    "video_path": "video",
    "input_path": "video",
    "reference_audio": "audio",
    "output_filename": "output",
    "output_path": "output",
    "resolution": "size",
}


class Uploads:
    """Counts the uploads that come in at a time in this process."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.now = 0

    @contextlib.contextmanager
    def one(self) -> Any:
        """Hold a place for one upload.

        Raises:
            MachineError: `too-many-uploads`.
        """
        if self.now >= self._most:
            raise MachineError(
                "too-many-uploads",
                f"As many files come in just now as are taken at a time ({self._most}).",
                "Send it again in a moment.",
            )
        self.now += 1
        try:
            yield
        finally:
            self.now -= 1


@contextlib.asynccontextmanager
async def received(
    request: Request, inbox: Path, bounds: Bounds, uploads: Uploads, *, may_be_empty: bool = False
) -> AsyncIterator[tuple[dict[str, Any], Received]]:
    """Yield the manifest that a request hands in, and its files, which go at the end unless they were moved.

    Args:
        may_be_empty: a request without a body is an empty manifest.

    Raises:
        RequestError: `media-type`, `request-invalid`, `request-slow`, `too-large`.
        JobError: the manifest is no mapping, or no YAML.
        MachineError: `disk-full`, `too-many-uploads`.
    """
    kind = media_type(request)
    length = content_length(request)
    if kind == MULTIPART:
        with uploads.one():
            await run_in_threadpool(check_room, inbox, length, bounds)
            with own_folder(inbox) as folder:
                got = Received(folder)
                await _read_multipart(request, got, bounds, inbox)
                yield await run_in_threadpool(_manifest_of, got), got
        return
    if may_be_empty and not kind and not length and "transfer-encoding" not in request.headers:
        yield {}, Received(inbox)
        return
    if kind not in (*JSON_TYPES, *YAML_TYPES):
        raise RequestError(
            "media-type",
            f"A body of the type {kind or 'none'} is not read here.",
            f"Send {JSON_TYPES[0]}, {YAML_TYPES[0]}, or {MULTIPART} with the files.",
        )
    data = await small_body(request, bounds.manifest_bytes)
    # YAML takes long enough to keep all others waiting who are answered by this loop.
    manifest = _json(data) if kind in JSON_TYPES else await run_in_threadpool(_yaml, data)
    yield manifest, Received(inbox)


def media_type(request: Request) -> str:
    """Return the type of the body, in small letters and without its options."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def content_length(request: Request) -> int:
    """Return how many bytes the request says that it has; 0 where it does not."""
    text = request.headers.get("content-length", "0")
    return int(text) if text.isdecimal() and len(text) < 19 else 0


async def chunks(request: Request) -> AsyncIterator[bytes]:
    """Yield a body as it comes.

    Raises:
        RequestError: `request-slow`.
    """
    async for chunk in request.stream():
        if chunk:
            yield chunk


async def small_body(request: Request, most: int) -> bytes:
    """Return a whole body.

    Raises:
        RequestError: `too-large`, `request-slow`.
    """
    data = bytearray()
    if content_length(request) > most:
        raise _too_long(most)
    async for chunk in chunks(request):
        data += chunk
        if len(data) > most:
            raise _too_long(most)
    return bytes(data)


def _too_long(most: int) -> RequestError:
    return RequestError(
        "too-large", f"The body has more than {most} bytes.", "Send files as parts of a multipart body."
    )


async def _read_multipart(request: Request, got: Received, bounds: Bounds, inbox: Path) -> None:
    reader = MultipartReader(request.headers["content-type"], got, bounds, inbox)
    try:
        async for chunk in chunks(request):
            await run_in_threadpool(reader.write, chunk)
        await run_in_threadpool(reader.finish)
    finally:
        reader.close()


def _manifest_of(got: Received) -> dict[str, Any]:
    fields = dict(got.fields)
    whole = fields.pop(MANIFEST, None)
    manifest = {} if whole is None else _yaml(whole.encode())  # JSON is YAML
    for key, value in fields.items():
        if key in manifest:
            raise RequestError("request-invalid", f"`{key}` is in `{MANIFEST}`, too.", "Give it once.")
        manifest[key] = value
    return manifest


def _yaml(data: bytes) -> dict[str, Any]:
    text = decode(data)
    count, documents = count_documents(text), []
    if count == 1:  # others are not read
        documents = [
            one for one in load_documents(text, explain_mistake) if isinstance(one, JobError) or one.value is not None
        ]
        count = len(documents)
    if count != 1:
        raise JobError(
            "manifest-invalid", f"The manifest holds {count} documents.", "Hand in one job with each request."
        )
    (document,) = documents
    if isinstance(document, JobError):
        raise document
    return _mapping(document.value)


def _json(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data, object_pairs_hook=once_each, parse_constant=_no_number)
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError) as exc:
        raise RequestError(
            "request-invalid",
            f"The body is no JSON: {_why_no_json(exc)}.",
            'Send an object of JSON, such as {"text": "Hello."}.',
        ) from exc
    return _mapping(value)


def _why_no_json(exc: Exception) -> str:
    """Return what is wrong, in words that are not Python's own where these tell of its settings."""
    if isinstance(exc, RecursionError):
        return "it is nested too deeply"
    if isinstance(exc, UnicodeEncodeError):
        return "it holds half a sign"
    return "a number has too many digits" if "set_int_max_str_digits" in str(exc) else str(exc)


def once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs as a mapping, in time that grows as their number does: it runs where all requests are read.

    Raises:
        ValueError: a key comes twice.
    """
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:80]!r} comes twice")
        found[key] = value
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise JobError("manifest-invalid", "The manifest is no mapping of keys to values.", "See docs/manifest.md.")
    for key in value:
        if not isinstance(key, str):
            raise JobError("manifest-invalid", f"The key {key!r} is no text.", "See docs/manifest.md.")
    return plain_manifest(value)


def older_keys(manifest: dict[str, Any]) -> list[dict[str, str]]:
    """Return a remark on each key that the older system had for one of ours."""
    return [
        {"pointer": f"#/{key}", "detail": f"this is called `{OLDER_KEYS[key]}` here"}
        for key in manifest
        if key in OLDER_KEYS
    ]


def names_uploads(manifest: Mapping[str, Any]) -> bool:
    """Return whether a manifest names uploads, or may do so in the template of a batch."""
    named = (manifest.get(key) for key in COMPANIONS)
    return "template" in manifest or any(isinstance(one, str) and one.startswith(UPLOAD) for one in named)


def take_uploads(manifest: dict[str, Any], find: Callable[[str], Path]) -> dict[str, Path]:
    """Take the uploads out of a manifest that name files. `find` returns the file of an upload's id."""
    found = {}
    for key in COMPANIONS:
        value = manifest.get(key)
        if isinstance(value, str) and value.startswith(UPLOAD):
            found[key] = find(value.removeprefix(UPLOAD))
            del manifest[key]
    return found


def take_all_uploads(manifest: dict[str, Any], find: Callable[[str], Path]) -> dict[str, Path]:
    """As `take_uploads`, and those of the template of a batch, which all rows have. A key that both name is the manifest's."""
    template = manifest.get("template")
    if not isinstance(template, dict):
        return take_uploads(manifest, find)
    manifest["template"] = template = dict(template)
    return take_uploads(template, find) | take_uploads(manifest, find)
