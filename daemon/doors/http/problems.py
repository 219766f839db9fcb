"""Answers every error in one shape: problem details (RFC 9457) with our code, hint and fault; at /v1/ in OpenAI's shape."""

from __future__ import annotations

import http
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from daemon.doors.submission import NameTakenError
from daemon.doors.value_errors import in_words
from daemon.doors.voice_list import name_voice_list
from daemon.errors import (
    AvatarError,
    ConfigError,
    JobError,
    MachineError,
    UnavailableError,
    UnknownError,
    escape_unprintable,
    from_exception,
    traceback_of,
)
from daemon.jobs.yaml_positions import DocumentError
from daemon.system.permissions import NOT_ALLOWED

log = structlog.get_logger()

#: What keys of our manifest are called in OpenAI's request.
_OPENAI_NAMES: Final = {"text": "input", "format": "response_format"}

_JSON: Final = "application/json"
MEDIA_TYPE: Final = "application/problem+json"
#: Begins the type of a problem; docs/errors.md describes each.
TYPES: Final = "urn:avatard:error:"
#: Status of a code. Others: 422 where the job is at fault, 503 where the machine is, 409 where it cannot be done now. Where the
#: machine is at fault, it is never one of 400 to 499, which blame the request.
STATUS: Final[Mapping[str, int]] = {
    "answer-late": 503,
    "batch-running": 409,
    "batch-unknown": 404,
    "cleared": 410,
    "cross-site": 403,
    "disk-full": 507,
    "file-unknown": 404,
    "headers-too-large": 431,
    "history-unavailable": 503,
    "host-unknown": 421,
    "job-finished": 409,
    "job-not-accepted": 409,
    "job-not-failed": 409,
    "job-not-held": 409,
    "job-unknown": 404,
    "job-waiting": 409,
    "key-blocked": 409,
    "key-busy": 409,
    "key-missing": 401,
    "key-refused": 401,
    "key-reused": 422,
    "limit-reached": 429,
    "media-type": 415,
    "method-unknown": 405,
    "model-unknown": 404,
    "name-taken": 409,
    "not-a-batch": 404,
    "not-allowed": 403,
    "not-ready": 404,
    "page-unknown": 404,
    "pause-held": 409,
    "query-invalid": 422,
    "range-beyond": 416,
    "request-invalid": 400,
    "request-slow": 408,
    "rows-slow": 413,
    "rows-together": 409,
    "too-large": 413,
    "too-many-uploads": 503,
    "upload-unknown": 404,
}
#: What callers are told of errors whose messages name files of the server, which stand in its log: code → message and hint.
_WITHOUT_FOLDERS: Final[Mapping[str, tuple[str, str]]] = {
    "history-unavailable": (
        "The index of jobs cannot be read now.",
        "The daemon makes it again: ask again in a moment. A job whose id is known is found without it.",
    ),
    "inbox-missing": (
        "The folder in which jobs are handed in is not mounted now, so nothing is taken in.",
        "Send it again later; whoever runs the server mounts it. What was taken in is kept.",
    ),
    "keys-unreadable": (
        "The API keys cannot be read, and as long as that is so nobody is let in.",
        "Whoever runs the server finds the file in its log.",
    ),
    "outbox-missing": (
        "The folder of the results is not mounted now, so none of them can be read.",
        "Ask again later; whoever runs the server mounts it. No result is lost.",
    ),
}
#: Status in the log of a request whose client went before it had an answer.
GONE: Final = 499
#: Begins the addresses of OpenAI's door, whose errors have its own shape.
OPENAI: Final = "/v1/"
#: How long a client waits before it asks again, in s, by the status of the answer.
RETRY_AFTER_S: Final = {503: 2, 429: 30, 404: 2}


class RequestError(AvatarError):
    """A fault of the request itself.

    Args:
        errors: parts of the request that are wrong: `pointer` and `detail`.
        headers: more headers of the answer.
    """

    fault = "job"

    def __init__(
        self,
        code: str,
        message: str,
        hint: str = "",
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code, message, hint)
        self.errors = list(errors)
        self.headers = dict(headers or {})


def status_of(error: AvatarError) -> int:
    """Return the HTTP status that says what kind of error it is."""
    known = STATUS.get(error.code)
    if isinstance(error, MachineError | UnavailableError | ConfigError):
        return known if known is not None and known >= 500 else 503
    if known is not None:
        return known
    if isinstance(error, JobError | RequestError):
        return 422
    return (
        500 if isinstance(error, UnknownError) else 409
    )  # what the daemon refuses, as the job is not in the state for it


def answer_error(error: AvatarError, scope: Mapping[str, Any]) -> JSONResponse:
    """Return the answer to a request for an error: in OpenAI's shape at its addresses, else a problem. `scope`: ASGI's."""
    path = str(scope["path"])
    scope.get("state", {})["code"] = error.code  # for the figures and the log
    if path.removeprefix(scope.get("root_path", "")).startswith(OPENAI):
        return _openai_error(error)
    return _problem(error, path)


def _openai_error(error: AvatarError) -> JSONResponse:
    found = status_of(error)
    status = 400 if found == 422 else found  # what OpenAI's clients take for a fault of the request
    errors = _wrong_parts(error)
    wrong = errors[0]["pointer"].rpartition("/")[2] if errors else ""
    message = name_voice_list(" ".join(filter(None, (error.message, error.hint))))
    if (param := _OPENAI_NAMES.get(wrong)) is not None:
        message = message.replace(f"`{wrong}`", f"`{param}`")
    content = {
        "message": message,
        "type": {429: "rate_limit_error"}.get(status, "server_error" if status >= 500 else "invalid_request_error"),
        "param": param or wrong or None,
        "code": error.code,
    }
    return JSONResponse({"error": content}, status, _headers(error, status))


def _problem(error: AvatarError, instance: str) -> JSONResponse:
    status = status_of(error)
    content: dict[str, Any] = {
        "type": f"{TYPES}{error.code}",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": name_voice_list(error.message),
        "code": error.code,
        "hint": name_voice_list(error.hint),
        "fault": "machine" if isinstance(error, ConfigError) else error.fault,
    }
    if instance:
        content["instance"] = escape_unprintable(instance)
    if errors := _wrong_parts(error):
        content["errors"] = errors
    return JSONResponse(content, status, _headers(error, status), media_type=MEDIA_TYPE)


def _wrong_parts(error: AvatarError) -> Sequence[Mapping[str, str]]:
    """Return the parts of the body that an error is about, each as a JSON Pointer with what is wrong there."""
    if isinstance(error, RequestError):
        return error.errors
    if isinstance(error, DocumentError | NameTakenError) and error.key:
        key = escape_unprintable(error.key).replace("~", "~0").replace("/", "~1")
        return [{"pointer": f"#/{key}", "detail": error.message}]
    return []


def _headers(error: AvatarError, status: int) -> dict[str, str]:
    headers = {"Cache-Control": "no-store"}
    if status in (429, 503) or error.code == "not-ready":
        headers["Retry-After"] = str(RETRY_AFTER_S[status])
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="avatard"'
    if isinstance(error, RequestError):
        headers |= error.headers
    return headers


def add_handlers(app: FastAPI) -> None:
    """Have every error of an app answered as a problem, the framework's own included."""
    for kind, answer in _HANDLERS.items():
        app.add_exception_handler(kind, answer)


async def answer_exception(request: Request, exc: Exception) -> Response:
    """Return what such an app answers to a request for which a route raised an exception."""
    answer = next(answer for kind, answer in _HANDLERS.items() if isinstance(exc, kind))
    return await answer(request, exc)


async def _known(request: Request, exc: Exception) -> JSONResponse:
    return answer_error(told_of(exc, request.url.path), request.scope)


async def _gone(request: Request, exc: Exception) -> Response:
    """Answer nobody: the client went while it sent its request."""
    return Response(status_code=GONE)


async def _unexpected(request: Request, exc: Exception) -> JSONResponse:
    return answer_error(told_of(exc, request.url.path), request.scope)


def in_bytes(number: int) -> str:
    """Return a number of bytes in words."""
    return "1 byte" if number == 1 else f"{number} bytes"


def told_of(exc: Exception, path: str) -> AvatarError:
    """Return what a caller is told of an exception that was not expected; what went wrong within is the log's business.

    Args:
        path: of the request, for the log.
    """
    path = escape_unprintable(path)
    error = from_exception(exc)
    if isinstance(exc, PermissionError) or (isinstance(error, UnavailableError) and error.code == NOT_ALLOWED):
        log.error("not allowed", path=path, error=str(error))  # which names our folders
        return UnavailableError(
            NOT_ALLOWED,
            "This server lacks the right to use a folder of its installation.",
            "Whoever runs the server finds the folder in its log, and by `avatar doctor`.",
        )
    if isinstance(exc, OSError) and isinstance(error, MachineError):
        log.error("the disk failed", path=path, error=error.message)  # which names our folders
        why = "The disk is full." if error.code == "disk-full" else f"{exc.strerror or 'The disk failed'}."
        return MachineError(error.code, why, "Send it again later; whoever runs the server looks at the disk.")
    if isinstance(exc, AvatarError) and exc.code in _WITHOUT_FOLDERS:
        log.error("request failed", path=path, code=exc.code, error=exc.message)
        return MachineError(exc.code, *_WITHOUT_FOLDERS[exc.code])
    if isinstance(exc, AvatarError) or isinstance(error, JobError | MachineError | ConfigError):
        return error
    log.error("request failed", path=path, traceback=traceback_of(exc))
    return UnknownError("internal-error", "The server made an error.", "Whoever runs avatard finds it in the log.")


async def _invalid(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, RequestValidationError)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _JSON and any(tuple(one["loc"]) == ("body",) and one.get("input") is not None for one in exc.errors()):
        refused = RequestError("media-type", f"A body of the type {kind or 'none'} is not read here.", f"Send {_JSON}.")
        return answer_error(refused, request.scope)
    found = [{"pointer": _pointer(one["loc"]), "detail": in_words(one)} for one in exc.errors()]
    first = found[0] if found else {"pointer": "", "detail": "it is not what is expected here"}
    where, *rest = exc.errors()[0]["loc"] if found else ("",)
    name = escape_unprintable(
        next((str(one) for one in reversed(rest) if isinstance(one, str)), "")
    )  # no place in a list
    error = RequestError(
        "query-invalid",
        f"`{name}` in the {where} cannot be used: {first['detail']}."
        if name
        else f"The request cannot be used: {first['detail']}.",
        "Correct the request; /docs describes it.",
        errors=found,
    )
    return answer_error(error, request.scope)


def _pointer(place: Sequence[Any]) -> str:
    """Return where a value is: `#/size` in the body, else `query/limit`."""
    where, *rest = map(str, place)
    tail = "/".join(part.replace("~", "~0").replace("/", "~1") for part in rest)
    return escape_unprintable(f"#/{tail}" if where == "body" else f"{where}/{tail}")


async def _framework(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, HTTPException)
    headers = dict(exc.headers or {})
    path = escape_unprintable(request.url.path)
    if exc.status_code == 404:
        error = RequestError("page-unknown", f"There is nothing at {path}.", "/docs lists what there is.")
    elif exc.status_code == 405:
        allowed = ", ".join(_methods(request)) or headers.get("Allow", "")
        headers["Allow"] = allowed
        error = RequestError(
            "method-unknown", f"{request.method} is not possible at {path}.", f"Use {allowed}.", headers=headers
        )
    elif isinstance(exc.__cause__, RequestError):  # while the framework read a body
        error = exc.__cause__
    elif exc.status_code == 413:
        error = RequestError("too-large", "The request is too large.", "Send less.")
    else:
        error = RequestError("request-invalid", f"{escape_unprintable(str(exc.detail))}.", "Correct the request.")
    return answer_error(error, request.scope)


def _methods(request: Request) -> list[str]:
    """Return every method of a path: the framework names those of one route alone."""
    fitting = [route for route in request.app.state.routes if route.matches(request.scope)[0] is not Match.NONE]
    found = {method for route in fitting if route.path == fitting[0].path for method in route.methods}
    return sorted(found | ({"HEAD"} if "GET" in found else set()))


#: What answers each kind of exception; the first that fits.
_HANDLERS: Final[Mapping[type[Exception], Callable[[Request, Exception], Awaitable[Response]]]] = {
    AvatarError: _known,
    RequestValidationError: _invalid,
    HTTPException: _framework,
    ClientDisconnect: _gone,
    OSError: _unexpected,
    Exception: _unexpected,
}
