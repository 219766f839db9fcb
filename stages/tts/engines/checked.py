"""Checks that a voice's sound is speech; retries with another seed, then with the fallback voice, then fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from daemon.errors import AvatarError, ResultError
from stages.tts.engines import plain_sentences
from stages.tts.engines.base import LoadedVoice, Piece, SpokenPart
from stages.tts.engines.speech_check import NOT_FINITE, speech_faults
from stages.tts.engines.wrapped_voice import WrappedVoice

#: Number of tries at a piece before the fallback voice, each with another seed.
USUAL_TRIES = 2
#: Longest quotation of a piece in a message, in characters.
_MAX_QUOTED_CHARS = 60
_MEANT_TO_SOUND_SO = (
    "If the voice is meant to sound like this, whoever runs avatard can set `stages.tts.check_speech: false`."
)


class CheckedVoice(WrappedVoice):
    """Wraps a loaded voice and checks every piece.

    Args:
        engine: the loaded voice.
        voice: its id, for messages.
        strict: fail if no try is speech; if False, keep the sound with a warning. NaN and infinity always fail.
        before: called before each try, to extend the time limit: with the piece, and True before the fallback is loaded.
    """

    def __init__(self, engine: LoadedVoice, voice: str, strict: bool, before: Callable[[Piece, bool], None]) -> None:
        super().__init__(engine)
        self._voice = voice
        self._strict = strict
        self._before_try = before

    def say(self, piece: Piece) -> Iterator[SpokenPart]:
        """Synthesize a piece and check all its parts before returning the first.

        Raises:
            AvatarError: what the voice raises.
            ResultError: `speech-invalid`: no try was speech. The message says whether plain sentences fail too, that is,
                whether the voice is broken on this machine.
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
        """Yield the parts, with a warning where a try failed or the sound was kept in spite of its faults."""
        more: tuple[str, ...] = ()
        if wrong:
            more += (
                f"{_quote(piece)} was synthesized again, because the first sound was not speech ({_list_faults(wrong)}).",
            )
        if found:
            more += (f"The sound of the voice {self._voice} may not be speech ({_list_faults(found)}).",)
        for part in parts:
            yield replace(part, warnings=(*part.warnings, *more))

    def _planned_tries(self, piece: Piece) -> Iterator[tuple[LoadedVoice, Piece]]:
        """Yield voice and piece of each try; loads the fallback only after the others have failed."""
        for number in range(USUAL_TRIES):
            yield self._engine, replace(piece, seed=(*piece.seed, number)) if number else piece
        self._before_try(piece, True)  # the fallback may have to load
        if other := self._engine.fallback_voice():
            yield other, piece

    def _say_once(self, engine: LoadedVoice, piece: Piece) -> tuple[list[SpokenPart], tuple[str, ...]]:
        self._before_try(piece, False)
        try:
            parts = list(engine.say(piece))
        except AvatarError as error:
            if (
                error.code != "speech-invalid"
            ):  # raised by an engine in another Python for NaN, which a WAV file cannot hold
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
                f"The voice {self._voice} does not produce speech on this machine, not even for plain sentences: "
                f"{_list_faults(found)}.",
                "Use another voice, and ask whoever runs avatard to run `avatar doctor`, which tests every engine. "
                + _MEANT_TO_SOUND_SO,
            )
        return ResultError(
            "speech-invalid",
            f"The voice {self._voice} did not produce speech for {_quote(piece)}: {_list_faults(wrong)}.",
            f"Try another voice or other words. {_MEANT_TO_SOUND_SO}",
        )


def _quote(piece: Piece) -> str:
    text = " ".join(piece.words)
    return f"“{text}”" if len(text) <= _MAX_QUOTED_CHARS else f"“{text[:_MAX_QUOTED_CHARS].rstrip()}…”"


def _list_faults(faults: Sequence[str]) -> str:
    return "; ".join(dict.fromkeys(faults))
