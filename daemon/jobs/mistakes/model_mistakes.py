"""What the model of a manifest finds in its values, as sentences with a place and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic_core import ErrorDetails

from daemon.config.flow import as_flow
from daemon.jobs.manifest import COMPANIONS
from daemon.jobs.manifest_conflicts import Conflict
from daemon.jobs.manifest_values import GROUPS
from daemon.jobs.mistakes.document_errors import Mistake
from daemon.jobs.mistakes.key_descriptions import describe_key
from daemon.jobs.mistakes.key_names import meant_key
from daemon.jobs.mistakes.proposals import allowed_advice, number_limits, number_range
from daemon.jobs.mistakes.unknown_keys import kind_of, unknown_key_mistake
from daemon.jobs.mistakes.value_mistakes import advice_for_value
from daemon.jobs.mistakes.values.nearest_allowed import nearest_allowed
from daemon.jobs.mistakes.values.rough_values import advice_for_expressions
from daemon.jobs.yaml_positions import YamlDocument

_NO_NUMBER = ("float_parsing", "int_parsing", "int_parsing_size", "float_type", "int_type", "int_from_float")


def told_errors(errors: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Return the errors of the model of which people are told, each mistake once."""
    return _without_meant(_without_branches(errors))


def _without_branches(errors: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Return errors of which those of the alternatives of one value are one, which names everything that is allowed."""
    found: dict[tuple[str | int, ...], ErrorDetails] = {}
    for error in errors:
        path = tuple(step for step in error["loc"] if not str(step).startswith("literal["))
        if len(path) == len(error["loc"]):
            found[*path, len(found)] = error
        elif path in found:
            words = f"{found[path]['ctx']['expected']} or {error['ctx']['expected']}"
            words = words.replace(" or ", ", ", words.count(" or ") - 1)
            found[path] = {**error, "loc": path, "ctx": {"expected": words}, "msg": f"Input should be {words}"}
        else:
            found[path] = {**error, "loc": path}
    return list(found.values())


def _without_meant(errors: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Return errors without those about a missing key of a group that an unknown key stands for: they are one mistake."""
    unknown = [error for error in errors if error["type"] == "extra_forbidden"]
    meant = {
        (*path[:-1], meant_key(str(path[-1]), GROUPS[str(path[0])].model_fields))
        for error in unknown
        if len(path := error["loc"]) > 1 and str(path[0]) in GROUPS
    }
    whole = {error["loc"][:-1] for error in unknown if _is_whole_expression(error)}
    outside = {error["loc"][0] for error in unknown if len(error["loc"]) == 1}  # not indented as far as their group
    return [
        error
        for error in errors
        if error["type"] != "missing"
        or not (error["loc"] in meant or error["loc"][:-1] in whole or error["loc"][-1] in outside)
    ]


def _is_whole_expression(error: ErrorDetails) -> bool:
    """Return whether an unknown key is an expression, and its value the moment of it: `smile: 3`."""
    path = error["loc"]
    return path[0] == "expressions" and len(path) > 2 and advice_for_expressions({path[-1]: error["input"]}) is not None


def value_mistake(error: ErrorDetails, document: YamlDocument) -> Mistake:
    """Return the mistake that the model's error about one value or key is."""
    path = tuple(error["loc"])
    key, place = ".".join(map(str, path)), document.mark(path)
    if error["type"] == "extra_forbidden":
        return unknown_key_mistake(path, error["input"], document)
    if error["type"] == "missing":
        return Mistake(place, f"`{key}` is missing ({place}).", _usual_advice(path, "", None), key=str(path[0]))
    value, is_number = error["input"], error["type"] in _NO_NUMBER
    advice = allowed_advice(path, advice_for_value(key, value, is_number=is_number, is_file=key in COMPANIONS))
    if key == "format" and (kind := kind_of(document.value)) is not None and kind.makes_sound:
        advice = f"A job of `kind: {kind.name}` makes wav, mp3, opus or flac."
    if value == "" and error["type"] in ("too_short", "string_too_short"):
        return Mistake(
            place, f"`{key}` is empty ({place}).", describe_key(path), key=str(path[0]), is_empty_text=key == "text"
        )
    limits = number_limits(path)
    what = _plain_message(error, number_range(limits))
    if "must " in what:
        message = f"`{key}` {what}, not {_quoted(value)} ({place})."
    else:  # a sentence of its own, which names the part of the value that is wrong
        message = f"`{key}`{' ' if what.startswith(('has ', 'is ')) else ': '}{what} ({place})."
    return Mistake(place, message, advice or _usual_advice(path, value, limits), key=str(path[0]))


def _usual_advice(path: tuple[str | int, ...], value: Any, limits: tuple[float, float] | None) -> str:
    """Return what a key is for, and a value that may be written. `path`: to its value; `limits`: of a number."""
    key = ".".join(str(step) for step in path if isinstance(step, str))
    return " ".join(filter(None, (describe_key(path), allowed_advice(path, nearest_allowed(key, value, limits)))))


def conflict_mistake(conflict: Conflict, document: YamlDocument) -> Mistake:
    """Return the mistake of keys that do not go together, or of one that is lacking or has no value."""
    if (empty := next((key for key in conflict.needs if (key,) in document.keys), None)) is not None:
        mark, remedy = document.keys[empty,], conflict.message.partition(": ")[2]
        message = f"`{empty}` has no value ({mark}): {remedy}."
        return Mistake(mark, message, conflict.hint, key=empty, is_empty_text=empty == "text")
    place = document.keys.get(conflict.path, document.mark(conflict.path)) if conflict.path else None
    message = f"{conflict.message} ({place})." if place else f"{conflict.message}."
    return Mistake(place, message, conflict.hint, key=str(conflict.path[0]) if conflict.path else "")


def _plain_message(error: ErrorDetails, limits: str) -> str:
    """Return Pydantic's message as the rest of a sentence. `limits`: of a number, as "from 0 to 2"."""
    if limits and error["type"] in ("greater_than_equal", "less_than_equal"):
        return f"must be {limits}"
    if error["type"] == "value_error":
        return str(error["ctx"]["error"]) if "ctx" in error else error["msg"]
    if error["type"] in ("dict_type", "model_type", "model_attributes_type"):
        return "must have keys of its own, indented below it"
    if error["type"] in ("list_type", "tuple_type"):
        return "must be a list"
    if error["type"].startswith("date_"):
        return "must be a day, such as 2026-12-31"
    if error["type"] in ("bool_parsing", "bool_type"):
        return "must be true or false"
    if error["type"] == "string_type":
        return "must be a text"
    text = (
        error["msg"]
        .replace("Input should be", "must be")
        .replace("String should", "must")
        .replace("Input should", "must")
    )
    text = (
        text.split(", unable to parse")[0]
        .replace("a valid number", "a number")
        .replace("a valid integer", "a whole number")
        .replace("Unable to parse input string as an integer, exceeded maximum size", "must be a whole number")
    )
    return f"{text} {limits}".rstrip() if error["type"] in _NO_NUMBER else text


def _quoted(value: Any) -> str:
    """Return a value of a manifest as it was written, for a message."""
    text = as_flow(value)
    return f"{text[:60]}…" if len(text) > 60 else f"“{text}”" if text else "nothing"
