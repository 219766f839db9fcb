"""Runs a built-in engine as a program under another virtual environment's Python (`stages.tts.engines.external.bootstrap`).

Answers the requests of `stages.tts.engines.external.client`, and is a complete example of the protocol in docs/engines.md.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import IO, Any

import numpy as np

from daemon.config import Settings
from daemon.errors import AvatarError, JobError, UnknownError, from_exception, traceback_of
from stages.media.wav import open_wav_writer, to_pcm
from stages.tts.engines.base import LoadedVoice, Piece
from stages.tts.engines.choose import VoiceChoice, load_voice
from stages.tts.engines.speech_check import NOT_FINITE
from stages.tts.engines.voice_hints import all_voices
from stages.tts.engines.voices import list_voices


def _load_named_voice(name: str, voice: str, settings: Settings) -> LoadedVoice:
    for one in list_voices(settings):
        if one.engine == name and voice in (one.name, *one.aliases):
            return load_voice(VoiceChoice(one, ""), settings)
    raise JobError(
        "voice-unknown",
        f"The voice '{voice}' does not exist any more.",
        f"{all_voices(settings)} lists those there are.",
    )


def _say_piece(engine: LoadedVoice, request: dict[str, Any], number: int) -> list[dict[str, Any]]:
    piece = Piece(
        words=tuple(request["words"]),
        language=str(request["language"]),
        speed=float(request["speed"]),
        seed=tuple(map(int, request["seed"])),
        sounds={int(index): str(sound) for index, sound in request["sounds"].items()},
    )
    answers: list[dict[str, Any]] = []
    for part, spoken in enumerate(engine.say(piece)):
        if not np.isfinite(spoken.samples).all():  # a WAV file cannot represent it
            raise UnknownError("speech-invalid", NOT_FINITE, "")
        name = f"{number}-{part}.wav"
        with open_wav_writer(Path(name), engine.sample_rate, len(spoken.samples)) as sink:
            sink.writeframes(to_pcm(spoken.samples))
        phones = None if spoken.phones is None else [vars(phone) for phone in spoken.phones]
        answers.append({"event": "spoken", "wav": name, "phones": phones, "warnings": spoken.warnings})
    return [*answers, {"event": "done"}]


def _error_answer(error: AvatarError) -> dict[str, Any]:
    text = {key: str(value)[:500] for key, value in error.to_dict().items()}
    return {"event": "error", "fault": error.fault, **text, "traceback": error.traceback}


def serve_requests(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests, one JSON object per line, until the input ends.

    Loads a voice only when a request names another one than before, so a profile that is removed or expires while it
    speaks is used to the end of the text.
    """
    settings, name = Settings(), ""
    kept: tuple[str, LoadedVoice] | None = None
    for number, line in enumerate(requests):
        request = json.loads(line)
        said: list[dict[str, Any]]
        try:
            voice = str(request["voice"])
            if request["op"] == "init":
                settings, name = Settings.model_validate(request["settings"]), str(request["engine"])
            if kept is None or kept[0] != voice:
                kept = voice, _load_named_voice(name, voice, settings)
            engine = kept[1]
            if request["op"] == "init":
                said = [{"event": "ready", "sample_rate": engine.sample_rate, "method": engine.method}]
            else:
                said = _say_piece(engine, request, number)
        except Exception as exc:
            traceback.print_exc()  # the client quotes stderr if the program does not start
            error = from_exception(exc)
            error.traceback = traceback_of(exc)
            said = [_error_answer(error)]
        for answer in said:
            answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


def main() -> None:
    """Answer the requests on stdin, until it is closed."""
    # Libraries print to stdout, so answers get their own file descriptor and stdout becomes stderr.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve_requests(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
