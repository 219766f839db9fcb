"""Describes what `PATCH /jobs/JOB` changes of a job, and says it as one request to the daemon."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


def _without_defaults(schema: dict[str, Any]) -> None:
    """Say of no key which value it has where it is not given: programs that are made of the description would send that."""
    for one in schema["properties"].values():
        one.pop("default", None)
    schema["anyOf"] = [{"required": ["held"]}, {"required": ["priority"]}]


class Change(BaseModel):
    """What is to be changed of a job; what is not given stays."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra=_without_defaults)

    held: bool = Field(False, description="true: hold it back; false: let it go on.")
    reason: str = Field("", max_length=400, description="Why it is held; people see it in the status.")
    priority: int = Field(0, ge=-100, le=100, description="Higher goes first.")

    def as_request(self) -> tuple[str, dict[str, Any]]:
        """Return the operation and its data. Both changes are one request, so that both are done or neither."""
        given = self.model_fields_set
        wanted: dict[str, Any] = {key: getattr(self, key) for key in ("held", "priority") if key in given}
        if self.held:
            wanted["reason"] = self.reason
        op = "change" if {"held", "priority"} <= given else "priority" if "priority" in given else None
        return op or ("hold" if self.held else "release"), wanted
