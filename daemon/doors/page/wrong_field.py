"""Says which field of a form an error is about, so that the page can lead to it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from typing import Final

from daemon.doors.http.problems import RequestError
from daemon.errors import AvatarError
from daemon.jobs.yaml_positions import DocumentError

#: First word of a code → the key of a manifest that such errors are about.
_BY_CODE: Final = {
    "text": "text",
    "voice": "voice",
    "audio": "audio",
    "image": "image",
    "face": "image",
    "rows": "rows",
    "name": "name",
}
#: Where something stands in a manifest or a request, at the end of a message.
_PLACE: Final = re.compile(r" \((?:line \d+, column \d+|in the request)\)")


def wrong_field(error: AvatarError | None, fields: Set[str], asked_as: Mapping[str, str]) -> str:
    """Return the id of the field that an error is about; empty where it is about none of them.

    Args:
        fields: the ids of the form's fields.
        asked_as: key of a manifest → the field that asks for it, where that is called otherwise.
    """
    if error is None:
        return ""
    key = error.key if isinstance(error, DocumentError) else ""
    if isinstance(error, RequestError) and error.errors:
        key = error.errors[0]["pointer"].removeprefix("#/").partition("/")[0]
    key = key or _BY_CODE.get(error.code.partition("-")[0], "")
    key = asked_as.get(key, key)
    return key if key in fields else ""


def as_of_a_form(error: AvatarError) -> RequestError:
    """Return an error without places in a manifest or a request: a form has none."""
    return RequestError(error.code, _PLACE.sub("", error.message), error.hint)


def about(error: AvatarError, field: str) -> RequestError:
    """Return an error that says which field it is about."""
    return RequestError(
        error.code, error.message, error.hint, errors=[{"pointer": f"#/{field}", "detail": error.message}]
    )
