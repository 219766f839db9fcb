"""Serves /docs (Swagger UI) and /redoc, with the scripts of an installed package: no other server is asked for anything."""

from __future__ import annotations

from functools import cache
from importlib.metadata import files
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from daemon.doors.http.problems import RequestError
from daemon.doors.http.results import RangedFileResponse

#: The package that carries the scripts, and those of its files that are served.
PACKAGE: Final = "fastapi-offline"
ASSETS: Final = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "redoc.standalone.js": "text/javascript",
}
_START: Final = {
    "docs": 'SwaggerUIBundle({url: "openapi.json", dom_id: "#api", deepLinking: true, persistAuthorization: false});',
    "redoc": 'Redoc.init("openapi.json", {disableSearch: false}, document.getElementById("api"));',
}
_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>avatard: {title}</title>{css}</head>
<body><main id="api"></main>
<script src="docs-assets/{script}"></script><script src="docs-assets/{page}.js"></script></body></html>
"""
#: Both write styles into the page by themselves; ReDoc searches in a worker of its own.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
    "connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

router = APIRouter(include_in_schema=False)


@router.get("/docs")
def swagger() -> Response:
    """Serve the page on which requests can be tried."""
    css = '<link rel="stylesheet" href="docs-assets/swagger-ui.css">'
    return _page("docs", "requests to try", "swagger-ui-bundle.js", css)


@router.get("/redoc")
def redoc() -> Response:
    """Serve the page to read."""
    return _page("redoc", "the HTTP API", "redoc.standalone.js", "")


@router.get("/docs-assets/{name}")
def asset(name: str) -> Response:
    """Serve a script or style of these pages."""
    page = name.removesuffix(".js")
    if page in _START:
        return Response(_START[page], media_type="text/javascript")
    path = _assets().get(name)
    if path is None:
        raise RequestError("page-unknown", f"There is no {name[:40]} here.", "/docs lists what there is.")
    return RangedFileResponse(path, media_type=ASSETS[name], headers={"Cache-Control": "public, max-age=86400"})


def _page(page: str, title: str, script: str, css: str) -> HTMLResponse:
    html = _PAGE.format(page=page, title=title, script=script, css=css)
    return HTMLResponse(html, headers={"Content-Security-Policy": _POLICY})


@cache
def _assets() -> dict[str, Path]:
    found = files(PACKAGE) or []
    return {path.name: Path(str(path.locate())) for path in found if path.name in ASSETS}
