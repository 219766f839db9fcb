"""Makes the schemas of a job's status, from the same table as docs/status.md."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

from pydantic import WithJsonSchema

from daemon.doors.http.answers import with_links
from daemon.doors.http.jobs.found import waiting_status
from daemon.history.query import STATES
from daemon.outbox.status_fields import STATUS_FIELDS, StatusField

#: Where the description has its schemas.
PLACE: Final = "#/components/schemas/{model}"
#: The status of a job, and an entry of a list of jobs, as types of keys of other answers.
JobStatus = Annotated[dict[str, Any], WithJsonSchema({"$ref": PLACE.format(model="JobStatus")})]
ListedJob = Annotated[dict[str, Any], WithJsonSchema({"$ref": PLACE.format(model="ListedJob")})]

_LISTED: Final = "in lists, if it is known"
#: What answers of the door have beside the keys of a status file.
_MORE: Final = (
    StatusField("job_id", "text", "", "The same as `job`, as the older system called it."),
    StatusField("links", "keys below", "", "Where to go on, as ways from the address of this answer."),
    StatusField("links.self", "text", "with `links`", "The job."),
    StatusField("links.events", "text", "with `links`", "Its events."),
    StatusField("links.cancel", "text", "until it has ended", "What is deleted to cancel it."),
    StatusField("links.result", "text", "once it is done", "Its main result."),
    StatusField("links.rows", "text", "of a batch", "What became of its rows."),
    StatusField("links.report", "text", "of a batch", "Its table with a result beside each row."),
    StatusField("notes", "list of texts", "with a job that was handed in", "What is to be known of it."),
    StatusField("message", "text", "where a change was asked for", "What the daemon says to that."),
    StatusField("priority", "whole number", _LISTED, "Its priority."),
    StatusField("tags", "list of texts", _LISTED, "Its tags."),
    StatusField("audio_s", "number", _LISTED, "Length of its speech, s."),
    StatusField("work_s", "number", _LISTED, "How long its stages ran, s."),
)
_STATUS: Final = "The status of a job; docs/status.md says more."
_ENTRY: Final = (
    "A job of a list. Until the daemon has read its manifest, `job` may be null, and `job_id` and `links` missing."
)
#: Keys of every answer: other ones are missing before the daemon has seen a job, or once its status file is gone.
_ALWAYS: Final = ("name", "state", "stage", "source", "by", "accepted")
#: Keys below others that are missing once the status file is gone.
_OF_FILES: Final = ("error.hint", "error.stage")
_VALUES: Final[Mapping[str, dict[str, Any]]] = {
    "text": {"type": "string"},
    "time": {"type": "string", "format": "date-time"},
    "number": {"type": "number"},
    "number from 0 to 1": {"type": "number", "minimum": 0, "maximum": 1},
    "whole number": {"type": "integer"},
    "whole number by stage": {"type": "object", "additionalProperties": {"type": "integer"}},
    "list of texts": {"type": "array", "items": {"type": "string"}},
    "keys and values": {"type": "object", "additionalProperties": True},
    "keys by stage": {"type": "object", "additionalProperties": True},
}


def job_schemas() -> dict[str, Any]:
    """Return the schemas of a job's status, of an entry of a list of jobs, and of what is below their keys."""
    fields = (*STATUS_FIELDS, *_MORE)
    properties = {field.name: _schema(field) for field in fields if "." not in field.name}
    properties["state"]["enum"] = list(STATES)
    properties["kind"]["type"] = ["string", "null"]  # of the index, where it is not known
    below: dict[str, Any] = {}
    for parent in (field for field in fields if "." not in field.name):
        if parts := [field for field in fields if re.match(rf"{parent.name}(?:\[\])?\.", field.name)]:
            keys = {field.name.rpartition(".")[2]: field for field in parts}
            below[_name(parent)] = _object({key: _schema(field) for key, field in keys.items()}, _required(keys))
            if parts[0].name.startswith(f"{parent.name}.STAGE."):
                properties[parent.name]["additionalProperties"] = _reference(_name(parent))
    listed = {**properties, "job": {**properties["job"], "type": ["string", "null"]}}
    example = with_links(waiting_status("job-20260102T030405Z-0a1b2c3d", "hello.yaml", "anna", "speech"), "./")
    return {
        "JobStatus": _object(properties, ["job", *_ALWAYS, "job_id", "links"], _STATUS) | {"examples": [example]},
        "ListedJob": _object(listed, ["job", *_ALWAYS], _ENTRY),
        **below,
    }


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": PLACE.format(model=name)}


def _required(keys: Mapping[str, StatusField]) -> list[str]:
    return [key for key, field in keys.items() if field.when.startswith("with `") and field.name not in _OF_FILES]


def _object(properties: Mapping[str, Any], required: Iterable[str], words: str = "") -> dict[str, Any]:
    """Return the schema of an object. It may have more keys: there are new ones in later versions."""
    told = {"description": words} if words else {}
    return {"type": "object", **told, "properties": dict(properties), "required": list(required)}


def _schema(field: StatusField) -> dict[str, Any]:
    """Return the schema of the value of one key."""
    kind = field.value.removesuffix(" or `null`")
    if kind == "keys below":
        found = _reference(_name(field))
    elif kind == "list of keys below":
        found = {"type": "array", "items": _reference(_name(field))}
    else:
        found = dict(_VALUES[kind])
    if kind != field.value:
        found["type"] = [found["type"], "null"]
    return {**found, "description": _words(field)}


def _name(field: StatusField) -> str:
    """Return what the schema of that which is below a key is called: `JobError` of `error`, `JobOutput` of each of `outputs`."""
    key = field.name.capitalize()
    return f"Job{key if field.value == 'keys below' else key.removesuffix('s')}"


def _words(field: StatusField) -> str:
    """Return what is said of a key, whose links lead nowhere in a description."""
    text = re.sub(r"\[([^]]*)\]\(#[^)]*\)", r'"\1" in docs/status.md', field.meaning)
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"docs/\1", text)
    return f"{text} When: {field.when}." if field.when and not field.when.startswith("with `") else text
