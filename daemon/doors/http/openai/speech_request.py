"""Reads the body of a request for speech, and says what it is as a manifest."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from daemon.doors.http.openai.voices import VoiceNames
from daemon.doors.http.problems import RequestError
from daemon.doors.value_errors import in_words

#: Longest text, in characters.
MAX_CHARS: Final = 4096
#: Most bytes of a body: each character may be written as two escapes of six signs, and `instructions` may be as long.
MAX_BODY_BYTES: Final = 2 * 12 * MAX_CHARS + 4096
#: Highest priority that a request asks for: somebody listens.
PRIORITY: Final = 10
#: A longer text is sent while it is spoken, in characters; a shorter one is whole as soon.
LIVE_CHARS: Final = 150
SpeechForm = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]


class VoiceId(BaseModel):
    """A voice by its id."""

    id: Annotated[str, Field(min_length=1, max_length=200)]


class SpeechRequest(BaseModel):
    """The body of POST /v1/audio/speech. Keys that other servers have are ignored, as `instructions` is."""

    model_config = ConfigDict(extra="ignore", strict=True)

    model: Annotated[str, Field(min_length=1, max_length=200, examples=["tts-1"])]
    input: Annotated[
        str, Field(min_length=1, max_length=MAX_CHARS, description="The text.", examples=["Good morning."])
    ]
    voice: Annotated[
        Annotated[str, Field(min_length=1, max_length=200)] | VoiceId,
        Field(description="A voice of ours, one of OpenAI's names, or one of `server.voices`.", examples=["alloy"]),
    ] = "default"
    instructions: Annotated[str | None, Field(description="Ignored.")] = None
    response_format: SpeechForm = "mp3"
    speed: Annotated[float, Field(ge=0.5, le=2.0)] = 1.0
    stream_format: Literal["audio", "sse"] = "audio"
    language: Annotated[
        str | None, Field(max_length=35, description="Of the text, such as de; ours, not OpenAI's.")
    ] = None


def read_request(data: bytes) -> SpeechRequest:
    """Return what a body asks for.

    Raises:
        RequestError: `request-invalid`, with a remark on each part that is wrong.
    """
    try:
        value = json.loads(data)
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError) as exc:
        why = "it holds half a sign" if isinstance(exc, UnicodeEncodeError) else str(exc) or "it is nested too deeply"
        raise RequestError(
            "request-invalid", f"The body is no JSON: {why}.", "Send an object of JSON; /docs describes the request."
        ) from exc
    try:
        return SpeechRequest.model_validate(value)
    except ValidationError as exc:
        # A voice may be of two forms, and each says what is wrong; the key is what counts.
        found = [
            {"pointer": f"#/{one['loc'][0]}" if one["loc"] else "", "detail": in_words(one)}
            for one in exc.errors(include_url=False)
        ]
        where = found[0]["pointer"].removeprefix("#/")
        raise RequestError(
            "request-invalid",
            f"{f'`{where}`' if where else 'The body'} cannot be used: {found[0]['detail']}.",
            "Correct it; /docs describes the request.",
            errors=found,
        ) from exc


def to_manifest(wanted: SpeechRequest, voices: VoiceNames, highest: int | None) -> dict[str, Any]:
    """Return the manifest of the job that speaks what is wanted.

    Args:
        highest: the highest priority of the caller; None: any.

    Raises:
        RequestError: `model-unknown`.
    """
    voice = wanted.voice if isinstance(wanted.voice, str) else wanted.voice.id
    manifest = {
        "kind": "speech",
        "text": wanted.input,
        "voice": voices.ours(voice, wanted.model),
        "speed": wanted.speed,
        # The daemon makes these two itself; they are made here of the plain one.
        "format": "wav" if wanted.response_format in ("aac", "pcm") else wanted.response_format,
        "priority": PRIORITY if highest is None else min(PRIORITY, highest),
    }
    if len(wanted.input) > LIVE_CHARS:
        manifest["stream"] = True
    return manifest if wanted.language is None else {**manifest, "language": wanted.language}
