"""Says who looks at a page: by the session of an API key, or, on this machine alone and without any key, whoever it is."""

from __future__ import annotations

import time
from typing import Annotated, Final
from urllib.parse import parse_qs

from fastapi import Depends, Request, Response

from daemon.doors.http.answers import Door, door_of
from daemon.doors.http.body import small_body
from daemon.doors.http.callers import Caller
from daemon.doors.http.problems import RequestError
from daemon.doors.page.pages import back, page, page_router
from daemon.doors.page.sessions import COOKIE, LASTS_S, Sessions

router = page_router()
_FORM_BYTES: Final = 200_000
_FIELDS: Final = 2000


def sessions(door: Door) -> Sessions:
    """Return the sessions."""
    return Sessions(door.jobs.paths.inbox, time.time)


def page_caller(request: Request) -> Caller:
    """Return who looks at a page.

    Raises:
        RequestError: `key-missing`: nobody is signed in.
        ConfigError: `keys-unreadable`.
    """
    door = door_of(request)
    found: Caller | None = Caller()
    if door.callers.wanted():
        key = sessions(door).key_of(request.cookies.get(COOKIE, ""))
        found = None if key is None else door.callers.of_key(key, time.monotonic())
    if found is None:
        raise RequestError("key-missing", "You are not signed in.", "Sign in with your API key.")
    request.state.caller, request.state.page_caller = found.name, found
    return found


Looking = Annotated[Caller, Depends(page_caller)]


async def form_of(request: Request) -> dict[str, list[str]]:
    """Return the fields of a small form that has no files.

    Raises:
        RequestError: `too-large`, `request-invalid`.
    """
    body = (await small_body(request, _FORM_BYTES)).decode("utf-8", "replace")
    try:
        return parse_qs(body, keep_blank_values=True, max_num_fields=_FIELDS)
    except ValueError as exc:
        raise RequestError(
            "too-large", f"The form has more than {_FIELDS} fields.", "Go back, and mark fewer at once."
        ) from exc


@router.get("/login")
def login_page(request: Request) -> Response:
    """Show where one signs in."""
    return page(request, "login.html", next=_place(request.query_params.get("next", "")), error=None)


@router.post("/login")
async def login(request: Request) -> Response:
    """Begin a session with an API key."""
    form = {name: values[-1] for name, values in (await form_of(request)).items()}
    door, place = door_of(request), _place(form.get("next", ""))
    try:
        caller = door.callers.find(None, form.get("key", "").strip() or None, time.monotonic())
    except RequestError as exc:
        return page(request, "login.html", 401, next=place, error=exc)
    answer = back(request, place)
    if caller.key_id:
        # No path: the browser takes the page's own folder, which this process does not know behind a proxy.
        answer.set_cookie(
            COOKIE, sessions(door).begin(caller.key_id), max_age=int(LASTS_S), path=None, httponly=True,
            samesite="strict", secure=_came_by_https(request),
        )  # fmt: skip
    return answer


@router.post("/logout")
def logout(request: Request) -> Response:
    """End the session."""
    sessions(door_of(request)).end(request.cookies.get(COOKIE, ""))
    answer = page(request, "signed_out.html")
    answer.delete_cookie(COOKIE, path=None, httponly=True, samesite="strict")  # type: ignore[arg-type]
    return answer


#: A proxy that calls from these is on this machine, and says what is true.
_OWN_ADDRESSES: Final = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


def _came_by_https(request: Request) -> bool:
    """Return whether the browser shows the page by https: it says so itself, or a proxy on this machine does."""
    is_near = request.client is None or request.client.host in _OWN_ADDRESSES  # no client: a Unix socket
    proto = request.headers.get("x-forwarded-proto", "").split(",")[0].strip().lower()
    return (
        request.url.scheme == "https"
        or request.headers.get("origin", "").lower().startswith("https://")
        or (proto == "https" and is_near)
    )


def _place(wanted: str) -> str:
    """Return where somebody wanted to go, from the page's root; never another site."""
    return wanted if wanted and wanted[0].isalnum() and ":" not in wanted and "\\" not in wanted else ""
