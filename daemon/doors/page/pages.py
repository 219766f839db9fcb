"""Renders the pages, and answers errors as pages. Every address in them is relative, so that any path before `/ui` works."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from daemon import __version__
from daemon.doors.http.answers import door_of
from daemon.doors.http.problems import RequestError, status_of, told_of
from daemon.doors.http.results import RangedFileResponse
from daemon.doors.page import shown
from daemon.doors.page.query_words import query_error
from daemon.doors.page.seals import Seals
from daemon.errors import AvatarError

HERE: Final = Path(__file__).parent
PATH: Final = "/ui"
#: htmx comes from this package, of which only these files are used; it is never imported.
PACKAGE: Final = "django-htmx"
SCRIPTS: Final = ("htmx-4.min.js", "hx-sse-4.min.js")
#: Both are served as one script of this name: htmx looks at the page a moment after it is there itself, and passes over what
#: belongs to an extension that comes later, as on a slow line.
_LIVE: Final = "live.js"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {"Content-Security-Policy": POLICY, "Referrer-Policy": "same-origin", "Cache-Control": "no-store"}
#: Query of a page that says a sentence about what was just done, and its seal.
SAID: Final = "said"
SEAL: Final = "seal"
_ASSET_HEADERS: Final = {"Cache-Control": "public, max-age=3600"}


@cache
def environment() -> Environment:
    """Return what renders the templates."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= shown.FILTERS
    made.globals |= {"version": __version__}
    return made


def to_ui(request: Request) -> str:
    """Return the way from the path of a request to the page's root, such as `../`."""
    path = str(request.scope["path"]).removeprefix(request.scope.get("root_path", ""))
    return "../" * (path.count("/") - 2) or "./"


def render(request: Request, template: str, *, at: str | None = None, **values: Any) -> str:
    """Render a template. It has `ui` and `api`, the ways to the page's root and to the server's, and `me`, the caller.

    Args:
        at: the way to the page's root from the page that shows this, where that has another address than the request.
    """
    ui = to_ui(request) if at is None else at
    common = {"ui": ui, "api": f"{ui}../", "me": getattr(request.state, "page_caller", None), "said": ""}
    return environment().get_template(template).render({**common, **values})


def page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Answer with a page."""
    return HTMLResponse(render(request, template, **{"said": _said(request), **values}), status, HEADERS)


def back(request: Request, place: str, said: str = "") -> RedirectResponse:
    """Answer a form: lead to another page, which says a sentence. `place`: from the page's root, such as `jobs`."""
    seal = _seals(request).seal(_who(request), said) if said else ""
    query = f"{'&' if '?' in place else '?'}{urlencode({SAID: said, SEAL: seal}, quote_via=quote)}" if seal else ""
    return RedirectResponse(f"{to_ui(request)}{place}{query}", 303, {"Cache-Control": "no-store"})


def _said(request: Request) -> str:
    """Return the sentence that the form before left for this page; empty for what this server did not say to this caller."""
    text, seal = (request.query_params.get(name, "") for name in (SAID, SEAL))
    return text if text and seal and _seals(request).is_ours(_who(request), text, seal) else ""


def _seals(request: Request) -> Seals:
    return Seals(door_of(request).jobs.paths.inbox)


def _who(request: Request) -> str:
    caller = getattr(request.state, "page_caller", None)
    return "" if caller is None else str(caller.key_id or "")


class PageRoute(APIRoute):
    """A route whose errors are pages. Whoever is not signed in is led to the sign-in and back."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers requests."""
        answer = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await answer(request)
            except RequestValidationError as exc:
                return error_page(request, query_error(exc.errors()))
            except AvatarError as exc:
                return error_page(request, exc)
            except (HTTPException, ClientDisconnect):
                raise
            except Exception as exc:
                return error_page(request, told_of(exc, request.url.path))

        return handle


def error_page(request: Request, error: AvatarError) -> Response:
    """Return the page of an error."""
    request.scope.setdefault("state", {})["code"] = error.code
    if error.code in ("key-missing", "key-refused") and not request.url.path.endswith("/login"):
        if request.method == "GET":
            wanted = request.url.path.partition(f"{PATH}/")[2] + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(f"{to_ui(request)}login?next={quote(wanted)}", 303, {"Cache-Control": "no-store"})
        return page(request, "signed_out.html", 401)
    return page(request, "error.html", status_of(error), error=error)


def page_router() -> APIRouter:
    """Return a router of pages."""
    return APIRouter(prefix=PATH, include_in_schema=False, route_class=PageRoute)


router = page_router()


@router.get("/static/{name}")
def asset(name: str) -> Response:
    """Serve a script or style of the pages."""
    if name == _LIVE:
        return Response(_live_script(), media_type="text/javascript", headers=_ASSET_HEADERS)
    path = _own_assets().get(name)
    if path is None:
        raise RequestError("page-unknown", f"There is no {name[:40]} here.", "Go to the list of jobs.")
    kind = "text/css" if name.endswith(".css") else "image/svg+xml" if name.endswith(".svg") else "text/javascript"
    return RangedFileResponse(path, media_type=kind, headers=_ASSET_HEADERS)


@cache
def _own_assets() -> dict[str, Path]:
    return {path.name: path for path in (HERE / "static").iterdir() if path.is_file()}


@cache
def _live_script() -> bytes:
    """Return htmx and its extension for streams; empty without the package that carries them: pages are whole, and not live."""
    try:
        carried = {path.name: Path(str(path.locate())) for path in files(PACKAGE) or [] if path.name in SCRIPTS}
    except PackageNotFoundError:
        return b""
    return b";\n".join(carried[name].read_bytes() for name in SCRIPTS)


#: Answers whatever no other page does; it comes last.
unknown = page_router()


@unknown.get("/{rest:path}")
def nothing(rest: str) -> Response:
    """Say that there is no such page.

    Raises:
        RequestError: `page-unknown`.
    """
    raise RequestError("page-unknown", "There is no such page.", "Go to the list of jobs.")
