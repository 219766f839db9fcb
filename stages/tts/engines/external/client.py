"""Speaks with an engine that runs as a program (docs/engines.md): sends words, receives WAV files and times.

A program that does not start is the machine's fault and pauses the lane. A later failure may be caused by the text, so the job
is retried with a restarted program and fails after its tries, while other jobs continue.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from daemon.config import Settings
from daemon.errors import AvatarError, JobError, MachineError, UnknownError, first_invalid, shorten
from stages.media.wav import open_wav
from stages.tts.engines import time_limits
from stages.tts.engines.base import Piece, SpokenPart, Voice
from stages.tts.engines.external import probe
from stages.tts.engines.external.process import EngineProcess, EngineProcessError
from stages.tts.engines.external.workdir import WorkDir
from stages.tts.timing import Phone, Samples

VERSION = 1
#: Longest sound of one answer, s, and most answers to one piece.
MAX_SOUND_S, MAX_ANSWERS = 600.0, 1000

_ERROR_CLASSES: dict[str, type[AvatarError]] = {"job": JobError, "machine": MachineError}
_Text = Annotated[str, Field(max_length=500)]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class _ReadyAnswer(_Answer):
    event: Literal["ready"]
    sample_rate: int = Field(ge=8000, le=96_000)
    method: Literal["exact", "aligned"]


class _PhoneAnswer(_Answer):
    phone: str = Field(min_length=1, max_length=8)
    start: float = Field(ge=0)
    end: float
    word: int = Field(ge=0)
    stress: int = Field(0, ge=0, le=2)


class _SpokenAnswer(_Answer):
    event: Literal["spoken"]
    wav: str = Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$")
    phones: list[_PhoneAnswer] | None = Field(None, max_length=20_000)
    warnings: list[_Text] = Field(default_factory=list, max_length=10)


class _ErrorAnswer(_Answer):
    event: Literal["error"]
    fault: Literal["job", "machine", "unknown"] = "unknown"
    code: str = Field("engine-failed", pattern=r"^[a-z]+(-[a-z]+)+$", max_length=60)
    message: _Text
    hint: _Text = ""
    traceback: object = ""

    def to_exception(self) -> AvatarError:
        """Return the error as an exception of this program."""
        error = _ERROR_CLASSES.get(self.fault, UnknownError)(self.code, self.message, self.hint)
        error.traceback = shorten(str(self.traceback or ""))
        return error


class ExternalVoice:
    """A loaded voice of an external engine; starts the program if it does not run.

    Raises:
        MachineError: `engine-broken`: the program does not start.
        JobError: the program reports that the voice cannot be used.
    """

    def __init__(self, voice: Voice, settings: Settings) -> None:
        self._voice = voice
        self._settings = settings
        self._running = _running_engine(voice, settings)
        self.sample_rate: int = self._running.ready.sample_rate
        self.method: Literal["exact", "aligned"] = self._running.ready.method
        self.licence = voice.licence

    def say(self, piece: Piece) -> Iterator[SpokenPart]:
        """Synthesize a piece in the program.

        Raises:
            UnknownError: `engine-failed`: the program ended, exceeded its time, or sent an invalid answer.
            AvatarError: what the program reports.
        """
        running = self._running
        deadline = time.monotonic() + time_limits.say_limit_s(self._voice.engine, piece, self._settings)
        running.program.send(
            {
                "op": "say",
                "voice": _name_for_program(self._voice),
                "language": piece.language,
                "words": piece.words,
                "speed": piece.speed,
                "seed": piece.seed,
                "sounds": dict(piece.sounds),
            }
        )
        ended = False
        try:
            for _ in range(MAX_ANSWERS):
                answer = running.program.receive(deadline)
                ended = answer.get("event") in ("done", "error")
                if answer.get("event") == "done":
                    return
                yield self._read_answer(answer, piece)
            raise running.program.stop_with_error(f"sent more than {MAX_ANSWERS} answers to one piece")
        except EngineProcessError as exc:
            raise UnknownError(
                "engine-failed", str(exc), "The program is restarted; the log contains its output."
            ) from exc
        finally:
            if not ended:  # remaining answers must not be read as answers to the next piece
                running.program.stop()

    def fallback_voice(self) -> ExternalVoice:
        """Restart the program and return this voice."""
        self._running.stop()
        self._running = _running_engine(self._voice, self._settings)
        return self

    def _read_answer(self, answer: dict[str, Any], piece: Piece) -> SpokenPart:
        program = self._running.program
        try:
            if answer.get("event") == "error":
                raise _ErrorAnswer.model_validate(answer).to_exception()
            spoken = _SpokenAnswer.model_validate(answer)
            samples = _read_wav(self._running.folder / spoken.wav, self.sample_rate)
            phones = _checked_phones(spoken.phones, len(samples) / self.sample_rate, len(piece.words))
        except ValidationError as exc:
            raise program.stop_with_error(f"sent an invalid answer: {first_invalid(exc, 'answer')}") from exc
        except (ValueError, OSError) as exc:
            raise program.stop_with_error(f"sent an answer that cannot be used: {exc}") from exc
        return SpokenPart(samples, phones, tuple(spoken.warnings))


def _read_wav(path: Path, rate: int) -> Samples:
    """Read and delete a WAV file of the program: a regular file, 16-bit mono at `rate` Hz, at most `MAX_SOUND_S` long."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(fd, "rb") as file:
        path.unlink()
        info = os.fstat(file.fileno())
        if not stat.S_ISREG(info.st_mode):
            raise ValueError(f"{path.name} is not a regular file")
        if info.st_size > MAX_SOUND_S * rate * 2 + 4096:
            raise ValueError(f"{path.name} contains more than {MAX_SOUND_S:g} s of sound")
        with open_wav(file) as source:
            if (source.channels, source.rate) != (1, rate):
                raise ValueError(f"{path.name} is not 16-bit mono at {rate} Hz")
            return source.read(source.count)


def _checked_phones(phones: list[_PhoneAnswer] | None, seconds: float, words: int) -> tuple[Phone, ...] | None:
    """Convert phones of an answer; they must be in order, inside the sound, and belong to words of the piece.

    Raises:
        ValueError: they do not.
    """
    if phones is None:
        return None
    found: list[Phone] = []
    for sound in phones:
        before = found[-1] if found else None
        if sound.word >= words:
            raise ValueError(f"a phone belongs to word {sound.word}, but the piece has {words} words")
        if not sound.start < sound.end <= seconds + 0.05:
            raise ValueError(
                f"a phone lasts from {sound.start:g} to {sound.end:g} s, but the sound from 0 to {seconds:g} s"
            )
        if before is not None and (sound.start < before.end - 1e-3 or sound.word < before.word):
            raise ValueError(f"the phone at {sound.start:g} s is out of order")
        start = max(sound.start, before.end) if before else sound.start
        found.append(Phone(sound.phone, start, max(sound.end, start + 1e-4), sound.word, sound.stress))
    return tuple(found)


class _RunningEngine:
    """A running engine program, its working folder, and its ready message."""

    def __init__(self, voice: Voice, settings: Settings) -> None:
        self.engine = engine = settings.engines[voice.engine]
        self._work_dir = WorkDir(settings.paths.cache / "engines", voice.engine)
        self.folder = self._work_dir.path
        hello: dict[str, Any] = {
            "op": "init",
            "version": VERSION,
            "engine": voice.engine,
            "voice": _name_for_program(voice),
        }
        if engine.python:
            hello["settings"] = _settings_for(settings)
        try:
            self.program = EngineProcess(voice.engine, probe.engine_command(engine), self.folder)
            self.program.send(hello)
            self.ready = self._receive_ready(time.monotonic() + time_limits.start_limit_s(voice.engine, settings))
        except EngineProcessError as exc:
            self._work_dir.close()
            hint = f"Run it by hand: {shlex.join(probe.engine_command(engine))}; see docs/engines.md."
            raise MachineError("engine-broken", str(exc), hint) from exc

    def _receive_ready(self, deadline: float) -> _ReadyAnswer:
        answer = self.program.receive(deadline)
        if answer.get("event") == "error":
            with contextlib.suppress(ValidationError):
                error = _ErrorAnswer.model_validate(answer)
                if error.fault == "job":  # such as an expired voice profile; other voices may work
                    self.stop()
                    raise error.to_exception()
                raise self.program.stop_with_error(f"does not start: {error.message}")
        try:
            return _ReadyAnswer.model_validate(answer)
        except ValidationError as exc:
            raise self.program.stop_with_error(f"did not send a valid ready message: {exc.errors()[0]['msg']}") from exc

    def stop(self) -> None:
        self.program.stop()
        self._work_dir.close()


def _settings_for(settings: Settings) -> dict[str, Any]:
    """Return the settings for a built-in engine in another Python, without the entries of other engines."""
    raw = settings.model_copy(update={"engines": {}}).model_dump(mode="json")
    raw["stages"]["tts"]["engine"] = "auto"
    return raw


def _name_for_program(voice: Voice) -> str:
    """Return a profile's id, because another profile may have its name by now; else the voice's name."""
    return voice.aliases[0] if voice.is_profile else voice.name


#: Engine name → its running program.
_engines: dict[str, _RunningEngine] = {}


def _running_engine(voice: Voice, settings: Settings) -> _RunningEngine:
    found = _engines.get(voice.engine)
    if found is None or not found.program.alive or found.engine != settings.engines[voice.engine]:
        if found is not None:
            found.stop()
        _engines.pop(voice.engine, None)
        found = _engines[voice.engine] = _RunningEngine(voice, settings)
    return found


def stop_engines() -> list[str]:
    """End the programs of all external engines, which may hold a GPU; they are started again when needed. Returns their names."""
    stopped = sorted(_engines)
    for name in stopped:
        _engines.pop(name).stop()
    return stopped
