"""The routes of OpenAI's speech door. What they are asked for is made by a job, so it has an owner, limits and a history."""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, Final

import anyio
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from daemon.doors.http.answers import Calling, Door, TheDoor, cached, described, to_root
from daemon.doors.http.body import JSON_TYPES, media_type, small_body
from daemon.doors.http.callers import Caller
from daemon.doors.http.description.answers import SpeechModel, SpeechModels, SpeechVoices, TimedSpeech
from daemon.doors.http.description.job_schemas import PLACE
from daemon.doors.http.events import HEADERS, wait_for_end
from daemon.doors.http.handing_in import idempotency_key
from daemon.doors.http.openai.live import BrokenSpeechError, LiveFile, encoded, samples
from daemon.doors.http.openai.sound import TYPES, Sound, open_sound, read_words
from daemon.doors.http.openai.speech_request import MAX_BODY_BYTES, SpeechForm, SpeechRequest, read_request, to_manifest
from daemon.doors.http.openai.voices import VoiceNames
from daemon.doors.http.problems import RequestError, told_of
from daemon.doors.http.profile_owners import SeenProfiles
from daemon.doors.http.results import OpenFileResponse, chosen_output
from daemon.errors import AvatarError, MachineError, stated_error
from daemon.jobs.record import FINISHED

router = APIRouter(tags=["openai"])
#: Longest time that a client is kept waiting for the speech, s.
ANSWER_S: Final = 300.0
# OpenAI counts tokens; nothing here is counted by them.
_DONE: Final = (
    b'data: {"type": "speech.audio.done", "usage": {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}}\n\n'
)
_ERROR: Final = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string", "description": "Stable; docs/errors.md lists them."},
            },
        }
    },
}

_OWN_SOUND: Final = re.compile(r"(?:^|(?<=\. ))[^.]*`audio`[^.]*\.(?: |$)")


def speech_schemas() -> dict[str, Any]:
    """Return the schemas of the body of a request for speech, of what is below it, and of errors."""
    request = SpeechRequest.model_json_schema(ref_template=PLACE)
    return {**request.pop("$defs"), "SpeechRequest": request, "SpeechError": _ERROR}


def _may_answer(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the description of the errors of a route, which have OpenAI's shape."""
    error = {"$ref": PLACE.format(model="SpeechError")}
    return described({400, 401, 403, 405, 408, 421, 431, 500, 503, *statuses}, "application/json", error)


def _voices(door: Door, caller: Caller) -> VoiceNames:
    return VoiceNames(SeenProfiles(door.settings, caller).voices, door.settings.server.voices)


@router.get(
    "/v1/models",
    summary="The models, as OpenAI's clients list them",
    responses={**_may_answer(304), 200: {"model": SpeechModels}},
)
def models(request: Request, door: TheDoor, caller: Calling) -> Response:
    """List OpenAI's names, which leave the engine to the voice, and the voice engines that are here."""
    told = SpeechModels(object="list", data=[_model(name) for name in _voices(door, caller).models])
    return cached(request, told)


@router.get("/v1/models/{model}", summary="One model", responses={**_may_answer(304, 404), 200: {"model": SpeechModel}})
def model(request: Request, model: str, door: TheDoor, caller: Calling) -> Response:
    """Say that there is such a model."""
    names = _voices(door, caller)
    if model not in names.models:
        raise RequestError(
            "model-unknown", f"There is no model {model[:80]!r}.", f"Use one of {', '.join(names.models)}."
        )
    return cached(request, _model(model))


def _model(name: str) -> SpeechModel:
    return {"id": name, "object": "model", "created": 0, "owned_by": "avatard"}


@router.get(
    "/v1/audio/voices",
    summary="The voices that can be used",
    responses={**_may_answer(304), 200: {"model": SpeechVoices}},
)
def voices(request: Request, door: TheDoor, caller: Calling) -> Response:
    """List the voices in both forms that clients know: `data` with objects, and `voices` with names."""
    listed = _voices(door, caller).listed
    return cached(request, SpeechVoices(object="list", data=listed, voices=[one["id"] for one in listed]))


@router.post(
    "/v1/audio/speech",
    summary="Speak a text, as OpenAI's clients ask for it",
    response_class=Response,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": PLACE.format(model="SpeechRequest")}}},
        }
    },
    responses={
        **_may_answer(404, 409, 410, 413, 415, 429, 507),
        200: {
            "description": "The sound; with `stream_format: sse` events, with `?timestamps=true` JSON.",
            "content": {
                **{kind: {"schema": {"type": "string", "format": "binary"}} for kind in TYPES.values()},
                "text/event-stream": {"schema": {"type": "string"}},
            },
            "model": TimedSpeech,
        },
    },
)
async def speech(
    request: Request,
    door: TheDoor,
    caller: Calling,
    timestamps: Annotated[
        bool, Query(description="Answer with JSON: `audio` (Base64), and `timestamps` of the words in seconds.")
    ] = False,
) -> Response:
    """Speak `input`: a job of `kind: speech` and high priority, whose id is in the header X-Avatard-Job."""
    if (kind := media_type(request)) not in JSON_TYPES:
        raise RequestError(
            "media-type", f"A body of the type {kind or 'none'} is not read here.", f"Send {JSON_TYPES[0]}."
        )
    wanted = read_request(await small_body(request, MAX_BODY_BYTES))
    manifest = to_manifest(wanted, await run_in_threadpool(_voices, door, caller), caller.limits.priority)
    key = idempotency_key(request)
    if not await run_in_threadpool(door.jobs.may_run):
        raise MachineError("daemon-absent", "The daemon does not run, so nothing is spoken now.", "Try again later.")
    done = await run_in_threadpool(lambda: door.jobs.hand_in(manifest, {}, caller, key=key))
    paths = door.jobs.paths
    headers = {"X-Avatard-Job": done.job, "Location": f"{to_root(request)}jobs/{done.job}", "Cache-Control": "no-store"}
    live = LiveFile(paths.outbox, done.job) if manifest.get("stream") and not timestamps else None
    if done.again:
        headers["Idempotency-Replayed"] = "true"
    status = await _ended(request, door, caller, done.job, live, comes_back=bool(key))
    if live is not None and status["state"] not in FINISHED:
        pieces = _spoken(request, door, caller, done.job, live, wanted.response_format, comes_back=bool(key))
        if wanted.stream_format == "sse":
            return StreamingResponse(_live_events(pieces), headers=headers | HEADERS, media_type="text/event-stream")
        headers["X-Accel-Buffering"] = "no"
        return StreamingResponse(pieces, headers=headers, media_type=TYPES[wanted.response_format])
    output = chosen_output(paths, status, None)
    words = await run_in_threadpool(read_words, paths, status["outputs"][0]) if timestamps else None
    sound = await run_in_threadpool(open_sound, paths, output, wanted.response_format)
    if words is not None:
        return StreamingResponse(_as_json(sound, words), headers=headers, media_type="application/json")
    if wanted.stream_format == "sse":
        return StreamingResponse(_as_events(sound), headers=headers | HEADERS, media_type="text/event-stream")
    return OpenFileResponse(sound.fd, headers=headers, media_type=TYPES[sound.form])


async def _spoken(
    request: Request, door: Door, caller: Caller, job: str, live: LiveFile, form: SpeechForm, *, comes_back: bool
) -> AsyncIterator[bytes]:
    """Yield a speech while it is spoken. Its job is cancelled where the client goes before the end, unless it
    `comes_back`, and where its key is revoked.
    """
    from stages.tts.sound_file import generated_tags

    revoked = False

    def look() -> dict[str, Any]:
        nonlocal revoked
        try:
            return door.status(job, caller)
        except (AvatarError, OSError) as exc:
            revoked |= isinstance(exc, RequestError)
            raise told_of(exc, request.url.path) from exc

    whole = False
    try:
        async with door.speaking:
            found = samples(live, look)
            tags = generated_tags(None, door.settings.stages.tts.label)
            async for piece in encoded(found, live.rate, form, tags):
                yield piece
        whole = True
    finally:
        live.close()
        if revoked or not (whole or comes_back):
            with anyio.CancelScope(shield=True):  # the answer itself is cancelled by now
                await run_in_threadpool(_give_up, door, caller, job)


async def _ended(
    request: Request, door: Door, caller: Caller, job: str, live: LiveFile | None, *, comes_back: bool
) -> dict[str, Any]:
    """Return the status of a job that is done, or of one whose speech can be heard already. Nobody wants it any more when the
    client has gone or its key was revoked: it is cancelled then.

    Args:
        live: the file in which its speech can be heard; None: only the whole is wanted.
        comes_back: the client has a key with which it asks for the same speech again, which goes on.

    Raises:
        AvatarError: why it failed; `answer-late`; `key-refused`.
        ClientDisconnect: the client has gone.
    """
    try:
        begun = live.open if live is not None else lambda: False
        status = await wait_for_end(lambda: door.status(job, caller), ANSWER_S, request.is_disconnected, begun)
    except (ClientDisconnect, RequestError) as exc:  # its API key was revoked
        if not (comes_back and isinstance(exc, ClientDisconnect)):
            await run_in_threadpool(_give_up, door, caller, job)
        raise
    if status["state"] not in FINISHED and live is not None and live.rate:
        return status
    if status["state"] not in FINISHED:
        if not comes_back:
            await run_in_threadpool(_give_up, door, caller, job)
        raise MachineError(
            "answer-late", f"The speech was not ready within {ANSWER_S:g} s.", "Try again later, or use POST /jobs."
        )
    error = status.get("error")
    if isinstance(error, dict):
        raise stated_error(error.get("fault"), {**error, "hint": _without_sound(error.get("hint"))})
    return status


def _without_sound(hint: object) -> object:
    """Return a hint without the sentences that propose a recording in place of the voice, which this door does not take."""
    return _OWN_SOUND.sub("", hint).strip() if isinstance(hint, str) else hint


def _give_up(door: Door, caller: Caller, job: str) -> None:
    with contextlib.suppress(AvatarError, OSError):  # it may have ended meanwhile
        door.jobs.ask("cancel", job, caller)


def _as_json(sound: Sound, words: list[dict[str, Any]]) -> Iterator[bytes]:
    """Yield `{"format", "timestamps", "audio"}`, of which the sound is never whole in memory."""
    begun = json.dumps({"format": sound.form, "timestamps": words}).encode()
    yield begun[:-1] + b', "audio": "'
    yield from sound.pieces()
    yield b'"}'


async def _live_events(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        async for piece in pieces:
            yield _delta(base64.b64encode(piece))
    except BrokenSpeechError as exc:
        error = {
            "type": "error",
            "error": {"message": exc.message, "type": "server_error", "param": None, "code": exc.code},
        }
        yield f"data: {json.dumps(error)}\n\n".encode()
        return
    yield _DONE


def _delta(piece: bytes) -> bytes:
    return b'data: {"type":"speech.audio.delta","audio":"' + piece + b'"}\n\n'


def _as_events(sound: Sound) -> Iterator[bytes]:
    yield from map(_delta, sound.pieces())
    yield _DONE
