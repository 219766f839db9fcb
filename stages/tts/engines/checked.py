"""An engine whose sound is checked before it is kept: what is not speech is said again, then in another way, then refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

from daemon.errors import AvatarError, ResultError
from stages.tts.engines import plain_sentences
from stages.tts.engines.base import LoadedVoice, Piece, SpokenPart
from stages.tts.engines.speech_check import NOT_FINITE, speech_faults

#: How often an engine says a piece in the usual way, each time with another seed.
USUAL_TRIES = 2
#: Characters of a piece that are quoted to people.
_MAX_QUOTED_CHARS = 60


class CheckedVoice:
    """An engine that says nothing but speech.

    Args:
        engine: the one that speaks.
        voice: its voice's id, for messages.
        strict: whether to refuse; if not, what is no speech is kept with a warning. What is not finite is always refused.
        before: called before each try, so that it is given time: with the piece, and whether it is said in another way.
    """

    def __init__(self, engine: LoadedVoice, voice: str, strict: bool, before: Callable[[Piece, bool], None]) -> None:
        self._engine = engine
        self._voice = voice
        self._strict = strict
        self._before_try = before

    @property
    def sample_rate(self) -> int:
        return self._engine.sample_rate

    @property
    def method(self) -> Literal["exact", "aligned"]:
        return self._engine.method

    @property
    def licence(self) -> str:
        return self._engine.licence

    def fallback_voice(self) -> LoadedVoice | None:
        """What the engine itself has."""
        return self._engine.fallback_voice()

    def say(self, piece: Piece) -> Iterator[SpokenPart]:
        """Say a piece, all parts of it checked before the first is given.

        Raises:
            AvatarError: what the engine raises.
            ResultError: `speech-invalid`: of this piece no try was speech, of a plain sentence one is.
            ResultError: `speech-invalid`: nor is a plain sentence. The lane goes on: other voices may be right.
        """
        wrong: list[str] = []
        for engine, again in self._planned_tries(piece):
            parts, found = self._say_once(engine, again)
            if not found or (parts and not self._strict and NOT_FINITE not in found):
                yield from self._with_warnings(parts, piece, wrong, found)
                return
            wrong += found
        raise self._refusal(piece, wrong)

    def _with_warnings(
        self, parts: list[SpokenPart], piece: Piece, wrong: Sequence[str], found: Sequence[str]
    ) -> Iterator[SpokenPart]:
        """The parts, with a warning where one is due."""
        more: tuple[str, ...] = ()
        if wrong:
            more += (f"{_quote(piece)} was said again: it was not speech ({_list_faults(wrong)}).",)
        if found:
            more += (f"What the voice {self._voice} says may be no speech ({_list_faults(found)}).",)
        for part in parts:
            yield replace(part, warnings=(*part.warnings, *more))

    def _planned_tries(self, piece: Piece) -> Iterator[tuple[LoadedVoice, Piece]]:
        """Engine and piece of each try; the other way is made only when it is asked for."""
        for number in range(USUAL_TRIES):
            yield self._engine, replace(piece, seed=(*piece.seed, number)) if number else piece
        self._before_try(piece, True)  # the engine may have to load once more
        if other := self._engine.fallback_voice():
            yield other, piece

    def _say_once(self, engine: LoadedVoice, piece: Piece) -> tuple[list[SpokenPart], tuple[str, ...]]:
        self._before_try(piece, False)
        try:
            parts = list(engine.say(piece))
        except AvatarError as error:
            if error.code != "speech-invalid":  # which another Python says of sound that no file can hold
                raise
            return [], (error.message,)
        return parts, speech_faults(parts, engine.sample_rate, piece)

    def _refusal(self, piece: Piece, wrong: list[str]) -> AvatarError:
        if found := [
            fault
            for plain in plain_sentences.pieces_in(piece.language)
            for fault in self._say_once(self._engine, plain)[1]
        ]:
            return ResultError(
                "speech-invalid",
                f"Nothing that the voice {self._voice} says on this machine is speech: {_list_faults(found)}.",
                "Use another voice, and have the operator run `avatar doctor`, which tries every engine. A voice that is meant "
                "to sound so: `stages.tts.check_speech: false`.",
            )
        return ResultError(
            "speech-invalid",
            f"What the voice {self._voice} makes of {_quote(piece)} is not speech: {_list_faults(wrong)}.",
            "Try another voice or other words. A voice that is meant to sound so: `stages.tts.check_speech: false`.",
        )


def _quote(piece: Piece) -> str:
    text = " ".join(piece.words)
    return f"“{text}”" if len(text) <= _MAX_QUOTED_CHARS else f"“{text[:_MAX_QUOTED_CHARS].rstrip()}…”"


def _list_faults(faults: Sequence[str]) -> str:
    return "; ".join(dict.fromkeys(faults))
