"""Says where the page is, and whether it can be served here; imports nothing of the server."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

#: Path of the page below the server's address.
PATH: Final = "/ui"
_NEEDS: Final = ("fastapi", "uvicorn", "jinja2", "django_htmx")


def page_address(port: int = 8000) -> str:
    """Return the address of the page on this machine."""
    return f"http://127.0.0.1:{port}{PATH}/"


def is_installed() -> bool:
    """Return whether the packages that serve the page are there."""
    return all(find_spec(name) is not None for name in _NEEDS)
