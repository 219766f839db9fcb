"""The routes of the older system: each makes one kind of job, or lists what jobs use."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from daemon.doors.http.answers import Calling, TheDoor, cached, may_answer
from daemon.doors.http.description.answers import Avatar, Avatars, Voices
from daemon.doors.http.handing_in import answer, make_job
from daemon.doors.http.profile_owners import SeenProfiles
from daemon.doors.http.route_jobs import MAKES_JOB, Wait, body, kept
from daemon.jobs.companions import PICTURE_ENDINGS

router = APIRouter()


@router.get(
    "/voice/profiles",
    tags=["voice"],
    summary="The voices there are",
    responses={**may_answer(304), 200: {"model": Voices}},
)
def voice_profiles(request: Request, door: TheDoor, caller: Calling) -> Response:
    """List the voices as the service published them, built in and cloned, that jobs of this caller can name."""
    return cached(request, {"voices": [], **SeenProfiles(door.settings, caller).voices})


@router.get(
    "/avatar/profiles",
    tags=["avatar"],
    summary="The avatars there are",
    responses={**may_answer(304), 200: {"model": Avatars}},
)
def avatar_profiles(request: Request, door: TheDoor, caller: Calling) -> Response:
    """List the avatar profiles that jobs of this caller can name."""
    shown: list[Avatar] = [
        {"id": one.id, "name": one.name, "defaults": dict(one.defaults), "expired": one.expired}
        for one in SeenProfiles(door.settings, caller).avatars
    ]
    return cached(request, Avatars(avatars=shown))


@router.get("/video/info", status_code=202, tags=["video"], summary="What is in an upload", responses=MAKES_JOB)
async def upload_info(
    request: Request,
    door: TheDoor,
    caller: Calling,
    upload: Annotated[str, Query(max_length=40, description="Id of an upload.")],
    wait: Wait = None,
) -> Response:
    """Say what is in a file that was uploaded before: a job of `kind: info`, as POST /video/info makes one."""
    path = await run_in_threadpool(kept(door).find, upload, caller)
    manifest, key = {"kind": "info"}, "image" if path.suffix.lower() in PICTURE_ENDINGS else "video"
    done = await run_in_threadpool(lambda: door.jobs.hand_in(manifest, {key: path}, caller, take=False))
    return await answer(request, door, caller, done, wait)


def _add(path: str, kind: str, example: dict[str, Any], summary: str, doc: str) -> None:
    async def route(request: Request, door: TheDoor, caller: Calling, wait: Wait = None) -> Response:
        return await make_job(request, door, caller, kept(door), {"kind": kind}, wait)

    route.__doc__, route.__name__ = doc, f"post{path.replace('/', '_')}"
    router.post(
        path,
        status_code=202,
        tags=[path.split("/")[1]],
        summary=summary,
        openapi_extra=body(kind, example),
        responses=MAKES_JOB,
    )(route)


_FILE = "upload:up-0123456789abcdef"
_WHO = {"name": "Anna", "consent": "Anna agreed by letter"}
_add(
    "/voice/clone", "voice", {"audio": _FILE, "profile": _WHO}, "Keep a voice",
    "Make a voice profile from the recording in `audio`.",
)  # fmt: skip
_add(
    "/voice/synthesize", "speech", {"text": "Good morning."}, "Speak a text",
    "Speak `text` with `voice`; the result is a sound file.",
)  # fmt: skip
_add(
    "/avatar/generate", "avatar", {"image": _FILE, "profile": _WHO}, "Make an avatar",
    "Make an avatar profile from `image`, or from `prompt`.",
)  # fmt: skip
_add(
    "/avatar/detect", "detect", {"image": _FILE}, "Look at a portrait",
    "Say which faces are in `image`, and whether they can be animated.",
)  # fmt: skip
_add(
    "/video/lipsync", "lipsync", {"image": _FILE, "audio": _FILE}, "Move a portrait",
    "Move the portrait in `image` by the recording in `audio`.",
)  # fmt: skip
_add(
    "/video/encode", "encode", {"video": _FILE}, "Give a video another form",
    "Change size, format, sound or captions of `video`.",
)  # fmt: skip
_add(
    "/video/info", "info", {"video": _FILE}, "What is in a file",
    "Say what is in the media file `video` or `audio`.",
)  # fmt: skip
