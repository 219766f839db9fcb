"""Says in plain words what is wrong with a value in the address of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from daemon.doors.http.problems import RequestError

#: Kind of mistake, as pydantic calls it → what the value must be. Its `ctx` holds the limit.
_WANTED: Final = {
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller number",
    "greater_than_equal": "{ge} or more",
    "less_than_equal": "{le} or less",
    "string_too_long": "at most {max_length} characters long",
    "literal_error": "{expected}",
}


def query_error(errors: Sequence[Mapping[str, Any]]) -> RequestError:
    """Return the error of an address whose values are not possible. `errors`: what the framework found."""
    first = errors[0]
    name = str(first["loc"][-1])[:40]
    given = str(first.get("input", ""))[:40]
    kind = str(first["type"])
    if kind == "string_pattern_mismatch":
        choices = str(first["ctx"]["pattern"]).strip("^$()").split("|")
        wanted = f"{', '.join(choices[:-1])} or {choices[-1]}"
    else:
        wanted = _WANTED.get(kind, "another value").format(**first.get("ctx", {}))
    return RequestError(
        "query-invalid",
        f"`{name}` in the address of this page is {given!r}, and must be {wanted}.",
        "Correct the address, or go to the list of jobs.",
    )
