"""The seven tools, for any desk."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Final, cast

from anyio import current_time, sleep, to_thread
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ToolError
from mcp.server.mcpserver.tools import Tool
from mcp_types import CallToolResult, ToolAnnotations
from pydantic import Field

from daemon import __version__
from daemon.doors.mcp.answers import BY_TOOL, JobAnswer, JobList, Verdict, Voices, job_answer, job_view
from daemon.doors.mcp.arguments import StrictServer
from daemon.doors.mcp.desk import Desk, files_of
from daemon.doors.reports import read_report
from daemon.doors.voice_list import name_voice_list, published_voices
from daemon.errors import AvatarError
from daemon.jobs.record import FINISHED

#: Longest time that a tool waits for a job, s: assistants end calls that take much longer.
MAX_WAIT_S: Final = 30.0
_PORTRAIT_S: Final = 20.0
_LOOK_S: Final = 0.1
_ABOUT: Final = (
    "Makes talking-head videos of a portrait and a text or recording. Every tool that makes something hands in a job, which is "
    "kept and goes on when this conversation ends: ask get_job for it later. Nothing is lost when a job fails; its error says "
    "what is wrong, whose fault it is and what to do."
)
_LOOKS: Final = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_MAKES: Final = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False
)
_ENDS: Final = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)

File = Annotated[str, Field(description="A file: its path, `upload:ID` of the HTTP server, or a data URI up to 4 MiB.")]
Seconds = Annotated[float, Field(ge=0, le=MAX_WAIT_S, description="How long to wait for the end, in seconds.")]
JobName = Annotated[str, Field(description="Id of a job, or the name of its results.")]


class _ToolServer(StrictServer):
    """Serves the tools. `desk_of`: the desk of whoever sends a request."""

    def __init__(self, desk_of: Callable[[Context[Any, Any]], Desk]) -> None:
        super().__init__("avatard", version=__version__, instructions=_ABOUT, log_level="WARNING", tools=list(_tools()))
        self.desk_of = desk_of


def build_server(desk_of: Callable[[Context[Any, Any]], Desk]) -> MCPServer[Any]:
    """Return the server of the tools. `desk_of`: the desk of whoever sends a request."""
    server = _ToolServer(desk_of)

    @server.resource("avatard://jobs/{job}", mime_type="application/json", title="The status of a job")
    async def job_status(job: str, ctx: Context[Any, Any]) -> str:
        """The status of a job, as a record."""
        desk = _desk_of(ctx)
        try:
            with _told(desk):
                return job_view(desk, await to_thread.run_sync(desk.status, job)).model_dump_json()
        except ToolError as exc:
            raise ResourceError(str(exc)) from exc

    return server


def _desk_of(ctx: Context[Any, Any]) -> Desk:
    return cast(_ToolServer, ctx.mcp_server).desk_of(ctx)


@functools.cache
def _tools() -> tuple[Tool, ...]:
    """Return the tools. They are made once for all servers of this process, as the schemas of their arguments take time."""
    tools: list[Tool] = []

    def tool(title: str, annotations: ToolAnnotations) -> Callable[[Callable[..., Any]], None]:
        return lambda function: tools.append(Tool.from_function(function, title=title, annotations=annotations))

    @tool("Make a video", _MAKES)
    async def make_video(
        ctx: Context[Any, Any],
        text: Annotated[str, Field(description="What is said; leave it out where `audio` is given.")] = "",
        audio: File = "",
        portrait: File = "",
        avatar: Annotated[str, Field(description="Name of an avatar profile, in place of a portrait.")] = "",
        voice: Annotated[str, Field(description="A voice of list_voices, or words such as `british female`.")] = "",
        captions: Annotated[str, Field(description="srt, vtt, burn, or nothing.")] = "",
        name: Annotated[str, Field(description="What the results are called.")] = "",
        wait_s: Seconds = 0,
    ) -> JobAnswer:
        """Have a portrait say a text, or move it by a recording. Returns the job, which may still wait or run."""
        if not (portrait or avatar) or not (text or audio):
            raise ToolError("request-invalid: make_video needs `portrait` or `avatar`, and `text` or `audio`.")
        keys = {"text": text, "avatar": avatar, "voice": voice, "captions": captions}
        return await _made(_desk_of(ctx), keys, {"image": portrait, "audio": audio}, name, wait_s)

    @tool("Speak a text", _MAKES)
    async def speak(
        ctx: Context[Any, Any],
        text: Annotated[str, Field(min_length=1, description="What is said.")],
        voice: Annotated[str, Field(description="A voice of list_voices, or words such as `british female`.")] = "",
        name: Annotated[str, Field(description="What the results are called.")] = "",
        wait_s: Seconds = 20,
    ) -> JobAnswer:
        """Speak a text; the result is a sound file with the times of its words beside it."""
        return await _made(_desk_of(ctx), {"kind": "speech", "text": text, "voice": voice}, {}, name, wait_s)

    @tool("Check a portrait", _MAKES)
    async def check_portrait(ctx: Context[Any, Any], portrait: Annotated[File, Field(min_length=1)]) -> Verdict:
        """Say whether a picture can be animated, and what may spoil the video."""
        desk = _desk_of(ctx)
        status = await _ended(desk, {"kind": "detect"}, {"image": portrait}, "", _PORTRAIT_S)
        error = status.get("error")
        if error:
            return Verdict(
                accepted=None,
                job=status["job"],
                **{key: str(error.get(key) or "") for key in ("code", "message", "hint")},
            )
        with _told(desk):
            report = await to_thread.run_sync(read_report, desk.outbox, status, ".face.json")
        verdict = report.get("verdict") or {}
        return Verdict(
            accepted=verdict.get("accepted"),
            code=str(verdict.get("code") or ""),
            message=str(verdict.get("message") or ""),
            hint=str(verdict.get("hint") or ""),
            warnings=[str(one) for one in status.get("warnings") or ()],
            job=status["job"],
        )

    @tool("Look at a job", _LOOKS)
    async def get_job(ctx: Context[Any, Any], job: JobName, wait_s: Seconds = 0) -> JobAnswer:
        """Say how far a job is, why it failed, or where its results are."""
        desk = _desk_of(ctx)
        with _told(desk):
            return job_answer(desk, await _waited(desk, job, wait_s))

    @tool("List jobs", _LOOKS)
    async def list_jobs(
        ctx: Context[Any, Any],
        state: Annotated[
            str, Field(description="waiting, queued, running, held, done, failed, cancelled; empty: all.")
        ] = "",
        query: Annotated[str, Field(description="Words of the name, text or file.")] = "",
        limit: Annotated[int, Field(ge=1, le=100)] = 20,
    ) -> JobList:
        """List jobs, the newest first."""
        desk = _desk_of(ctx)
        with _told(desk):
            found = await to_thread.run_sync(desk.find, state, query, limit)
        return JobList(jobs=[job_view(desk, one) for one in found])

    @tool("Cancel a job", _ENDS)
    async def cancel_job(ctx: Context[Any, Any], job: JobName) -> str:
        """Cancel a job that waits or runs. Its files stay, so that it can be started again."""
        desk = _desk_of(ctx)
        with _told(desk):
            return await to_thread.run_sync(desk.cancel, job)

    @tool("List voices", _LOOKS)
    async def list_voices(
        ctx: Context[Any, Any],
        language: Annotated[str, Field(description="Only voices of this language, such as `de` or `en-GB`.")] = "",
    ) -> Voices:
        """List the voices, with their languages and descriptions."""
        desk = _desk_of(ctx)
        with _told(desk):
            listed = (await to_thread.run_sync(published_voices, desk.outbox)).get("voices") or []
        wanted = language.strip().lower()
        shown = [one for one in listed if _speaks(one, wanted)]
        return Voices(voices=shown, languages=sorted({tongue for one in shown for tongue in _tongues(one)}))

    return tuple(tools)


async def _made(desk: Desk, keys: dict[str, str], files: dict[str, str], name: str, wait_s: float) -> CallToolResult:
    return job_answer(desk, await _ended(desk, keys, files, name, wait_s))


async def _ended(
    desk: Desk, keys: dict[str, str], files: dict[str, str], name: str, wait_s: float
) -> Mapping[str, Any]:
    """Hand in a job, and return its status at its end or after so many seconds."""

    def hand_in() -> str:
        with files_of(desk, {key: value for key, value in files.items() if value}) as paths:
            return desk.submit({key: value for key, value in keys.items() if value}, paths, name or None)

    with _told(desk):
        job = await to_thread.run_sync(hand_in)  # not abandoned: a job must not be handed in behind the caller's back
    try:
        with _told(desk):
            return await _waited(desk, job, wait_s)
    except ToolError as exc:
        raise ToolError(f"{job} was handed in and is made, but cannot be looked at now: {exc}") from exc


async def _waited(desk: Desk, job: str, seconds: float) -> Mapping[str, Any]:
    """Return the status of a job at its end, or after so many seconds. It holds no thread meanwhile: many may wait."""
    end = current_time() + seconds
    while True:
        status = await to_thread.run_sync(desk.status, job)
        left = end - current_time()
        if status["state"] in FINISHED or left <= 0:
            return status
        await sleep(min(_LOOK_S, left))


@contextlib.contextmanager
def _told(desk: Desk) -> Iterator[None]:
    """Tell the assistant what is wrong, in our words."""
    try:
        yield
    except (AvatarError, OSError) as exc:
        error = desk.told(exc)
        hint = "list_jobs lists those there are." if error.code == "job-unknown" else error.hint
        raise ToolError(name_voice_list(f"{error.code}: {error.message} {hint}".strip(), BY_TOOL)) from exc


def _tongues(voice: dict[str, Any]) -> list[str]:
    return [str(one) for one in voice.get("languages") or ([voice["language"]] if voice.get("language") else [])]


def _speaks(voice: dict[str, Any], wanted: str) -> bool:
    return not wanted or any(one.lower() == wanted or one.lower().startswith(f"{wanted}-") for one in _tongues(voice))
