"""Says in our words what pydantic finds wrong with a value of a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from daemon.errors import escape_unprintable

#: Longest value that is quoted, in characters.
_QUOTED: Final = 60


def _number(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


#: Kind of the error → what is expected, by the bounds in its context.
_EXPECTED: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "int_parsing": lambda at: "a whole number",
    "int_parsing_size": lambda at: "a smaller whole number",
    "int_type": lambda at: "a whole number",
    "int_from_float": lambda at: "a whole number",
    "float_parsing": lambda at: "a number",
    "float_type": lambda at: "a number",
    "finite_number": lambda at: "a finite number",
    "bool_parsing": lambda at: "true or false",
    "bool_type": lambda at: "true or false",
    "string_type": lambda at: "a text",
    "string_unicode": lambda at: "a text in UTF-8",
    "list_type": lambda at: "a list",
    "dict_type": lambda at: "keys with values",
    "model_type": lambda at: "keys with values",
    "model_attributes_type": lambda at: "keys with values",
    "string_too_long": lambda at: f"at most {at['max_length']} characters",
    "string_too_short": lambda at: f"at least {at['min_length']} character{'s' * (at['min_length'] != 1)}",
    "greater_than_equal": lambda at: f"{_number(at['ge'])} or more",
    "less_than_equal": lambda at: f"{_number(at['le'])} or less",
    "greater_than": lambda at: f"more than {_number(at['gt'])}",
    "less_than": lambda at: f"less than {_number(at['lt'])}",
    "literal_error": lambda at: f"one of {str(at['expected']).replace(chr(39), '').replace(' or ', ', ')}",
}


def in_words(error: Mapping[str, Any]) -> str:
    """Return what is wrong with a value, as a part of a sentence. `error`: one of pydantic's `ValidationError.errors()`."""
    kind = str(error["type"])
    if kind == "missing":
        return "it is missing"
    if kind == "extra_forbidden":
        return "there is no such key here"
    if kind == "json_invalid":
        return "it is no JSON"
    expected = _EXPECTED.get(kind)
    if expected is None:
        return "it is not what is expected here"
    given = error.get("input")
    told = f", not {_quoted(given)}" if isinstance(given, str | int | float | bool) else ""
    return f"it must be {expected(error.get('ctx') or {})}{told}"


def _quoted(given: str | float) -> str:
    text = given if isinstance(given, str) else str(given).lower()
    short = text if len(text) <= _QUOTED else f"{text[:_QUOTED]}…"
    return f"“{escape_unprintable(short)}”" if isinstance(given, str) else short
