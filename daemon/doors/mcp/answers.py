"""What the tools answer: a job as an assistant needs it, and its results as links."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from mcp_types import CallToolResult, ContentBlock, ResourceLink, TextContent
from pydantic import BaseModel, Field

from daemon.doors.mcp.desk import Desk
from daemon.doors.voice_list import with_voice_list
from daemon.jobs.record import FINISHED

#: The tool that lists the voices.
BY_TOOL: Final = "`list_voices`"


class Failure(BaseModel):
    """Why a job failed or was cancelled."""

    code: str = Field(description="Stable; docs/errors.md lists them.")
    message: str
    hint: str = Field("", description="What to do.")
    fault: str = Field("unknown", description="job: what was handed in is wrong; machine: the service is at fault.")


class Output(BaseModel):
    """A finished file."""

    file: str
    url: str
    bytes: int = 0


class JobView(BaseModel):
    """A job."""

    job: str
    name: str = Field(description="What its results are called.")
    state: str = Field(description="waiting, queued, running, held, done, failed or cancelled.")
    progress: float = Field(0.0, description="Finished part, 0 to 1.")
    place: int | None = Field(None, description="Its place in the queue; 1 is next.")
    eta_s: float | None = Field(None, description="Expected seconds until it is done.")
    next: str = Field("", description="What happens next, or what to do.")
    warnings: list[str] = Field(default_factory=list)
    error: Failure | None = None
    results: list[Output] = Field(default_factory=list, description="The main one is the last.")


class JobList(BaseModel):
    """Jobs, the newest first."""

    jobs: list[JobView]


class Verdict(BaseModel):
    """Whether a portrait can be animated."""

    accepted: bool | None = Field(description="null: not known yet, or the picture cannot be read.")
    code: str = Field("", description="Of the refusal; docs/errors.md lists them.")
    message: str = ""
    hint: str = ""
    warnings: list[str] = Field(default_factory=list, description="What may spoil the video.")
    job: str = Field(description="The job that looked; ask get_job while `accepted` is null.")


class Voices(BaseModel):
    """Voices."""

    voices: list[dict[str, Any]]
    languages: list[str] = Field(description="Languages that these voices speak.")


#: The answer of a tool that tells of one job: its content, and the same as a record.
JobAnswer = Annotated[CallToolResult, JobView]


def job_view(desk: Desk, status: Mapping[str, Any]) -> JobView:
    """Return a job from its status."""
    job = str(status["job"])
    status = with_voice_list(status, BY_TOOL)
    failure = status.get("error")
    results = [
        Output(file=str(one["file"]), url=desk.link(job, str(one["file"])), bytes=int(one.get("bytes") or 0))
        for one in (status.get("outputs") or () if status["state"] == "done" else ())
    ]
    return JobView(
        job=job,
        name=str(status.get("name") or ""),
        state=str(status["state"]),
        progress=float(status.get("progress") or 0.0),
        place=status.get("queue_position"),
        eta_s=status.get("eta_s"),
        next=str(status.get("next") or ""),
        warnings=[str(one) for one in status.get("warnings") or ()],
        error=None
        if not failure
        else Failure(**{key: str(failure.get(key) or "") for key in ("code", "message", "hint", "fault")}),
        results=results,
    )


def job_answer(desk: Desk, status: Mapping[str, Any]) -> CallToolResult:
    """Return the answer of a tool: a sentence, links to the results, and the record. A failed job is an error for the tool."""
    view = job_view(desk, status)
    content: list[ContentBlock] = [TextContent(text=_sentence(view))]
    content += [ResourceLink(name=one.file, uri=one.url, size=one.bytes) for one in view.results]
    return CallToolResult(
        content=content, structured_content=view.model_dump(mode="json"), is_error=view.state == "failed"
    )


def _sentence(view: JobView) -> str:
    parts = [f"{view.name or view.job} is {view.state}."]
    if view.error is not None:
        parts += [f"{view.error.code}: {view.error.message}", view.error.hint]
    elif view.state not in FINISHED:
        parts += [f"It is number {view.place} in the queue." if view.place else "", view.next]
        parts += [f"About {view.eta_s:.0f} s are left." if view.eta_s is not None else ""]
        parts += [f"Ask get_job with {view.job}."]
    parts += [f"Warning: {one}" for one in view.warnings]
    return " ".join(part for part in parts if part)
