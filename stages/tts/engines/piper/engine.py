"""Speaks with a Piper voice: words → phonemes → sound and durations → phones."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from daemon.errors import MachineError
from stages.tts.engines.base import Piece, SpokenPart, Voice, primary_language
from stages.tts.engines.durations import Utterance, phones_of, spelled_utterance
from stages.tts.engines.onnx import split_runs
from stages.tts.engines.piper.network import MAX_PHONEMES, PiperNetwork
from stages.tts.engines.piper.voice_files import END, PAD, START, VoiceSettings, read_settings, settings_file
from stages.tts.phonemes import ESPEAK_SOUNDS
from stages.tts.phonemes.espeak import plain_front_end
from stages.tts.phonemes.espeak_alphabet import to_espeak
from stages.tts.phonemes.reading import EnglishFrontEnd

MAX_THREADS = 4  # more are not faster
_HINT = "Fetch or copy the voice again: the network NAME.onnx and its settings NAME.onnx.json belong together."
#: Signs of the front ends → signs that the networks were trained with; empty where they have none.
_SIGNS = {"—": ",", "…": ".", "“": "", "”": "", '"': "", "(": "", ")": ""}
_MARKS = frozenset(".,;:!?")


class PiperVoice:
    """A loaded Piper voice.

    Args:
        voice: a voice of this engine.
        speaker: name of the speaker, where the network has several; empty for the first.
        plain: run the network with one thread and without graph optimisation.

    Raises:
        MachineError: `model-missing`, `model-damaged`.
    """

    method: Literal["exact"] = "exact"

    def __init__(self, voice: Voice, speaker: str, *, plain: bool = False) -> None:
        self._voice, self._speaker, self._is_plain = voice, speaker, plain
        self._settings = _read_settings(voice.model)
        self._number = self._settings.speakers.get(speaker, 0)
        self._network = (_plain_network if plain else _network)(voice.model)
        self.sample_rate, self.licence = self._settings.sample_rate, voice.licence
        language = voice.languages[0]
        self._is_english = primary_language(language) == "en"
        self._front_end = (
            EnglishFrontEnd(voice.british)
            if self._is_english
            else plain_front_end(self._settings.espeak_voice, language)
        )

    def say(self, piece: Piece) -> Iterator[SpokenPart]:
        """Synthesize a piece, with the network's own times. Deterministic: the same piece gives the same sound."""
        reading = self._front_end.read(piece.words, piece.sounds)
        runs = split_runs(list(zip(reading.chars, reading.owners, strict=True)), MAX_PHONEMES)
        for number, run in enumerate(runs):
            utterance = self._utter(run, piece.speed, (*piece.seed, number))
            if utterance is not None:
                phones = [replace(one, phone=ESPEAK_SOUNDS.get(one.phone, one.phone)) for one in phones_of(utterance)]
                yield SpokenPart(utterance.samples, tuple(phones))

    def fallback_voice(self) -> PiperVoice | None:
        """Return the voice with one thread and without graph optimisation; None if it is that already."""
        return None if self._is_plain else PiperVoice(self._voice, self._speaker, plain=True)

    def _utter(self, run: list[tuple[str, int]], speed: float, seed: tuple[int, ...]) -> Utterance | None:
        """Synthesize (character, word) pairs; None where the network knows none of them."""
        spelled = self._spell("".join(char for char, _ in run))
        if not spelled:
            return None
        ids, owners = self._number_symbols(spelled)
        try:
            samples, counts = self._network.say(ids, self._number, speed, seed)
        except ValueError as exc:
            raise _damaged(self._voice.model, str(exc)) from exc
        units = [0] * (len(spelled) + 2)
        for owner, count in zip(owners, counts.tolist(), strict=True):
            units[owner] += count
        before, own, after = units[0], units[1:-1], units[-1]
        return spelled_utterance(
            run, spelled, _with_spaces_moved(own, spelled), samples, self.sample_rate, len(samples) // sum(units),
            (before, after),
        )  # fmt: skip

    def _spell(self, chars: str) -> list[tuple[str, int]]:
        """Return the symbols of the network for the front end's characters, each with the index of its character."""
        letters = to_espeak(chars) if self._is_english else [(char, at) for at, char in enumerate(chars)]
        found: list[tuple[str, int]] = []
        for letter, at in letters:
            for symbol in unicodedata.normalize("NFD", _SIGNS.get(letter, letter)):
                if symbol in _MARKS and found and found[-1][0] == " ":
                    found.pop()
                if symbol in self._settings.ids:
                    found.append((symbol, at))
        return found

    def _number_symbols(self, spelled: list[tuple[str, int]]) -> tuple[list[int], list[int]]:
        """Return the numbers of symbols as the network expects them, each with its place in (start, *spelled, end).

        The pad after a symbol counts to that symbol, and the pad after the start to the first one.
        """
        known = self._settings.ids
        pad = known[PAD]
        ids, owners = [*known[START], *pad], [0] * len(known[START]) + [1] * len(pad)
        for place, (symbol, _) in enumerate(spelled, 1):
            own = (*known[symbol], *pad)
            ids += own
            owners += [place] * len(own)
        ids += known[END]
        return ids, owners + [len(spelled) + 1] * len(known[END])


def _with_spaces_moved(units: list[int], spelled: list[tuple[str, int]]) -> list[int]:
    """Give the time of a space between words to the sound after it, except in a pause.

    The networks begin the next word there: measured against an aligner, words start 39 ms late otherwise.
    """
    moved = list(units)
    for place in range(1, len(spelled) - 1):
        if spelled[place][0] == " " and spelled[place - 1][0] not in _MARKS:
            moved[place + 1] += moved[place]
            moved[place] = 0
    return moved


@lru_cache(maxsize=1)
def _network(path: Path) -> PiperNetwork:
    """Load a network once and keep it for later jobs in this process."""
    return _load_network(path, min(MAX_THREADS, len(os.sched_getaffinity(0))), plain=False)


@lru_cache(maxsize=1)
def _plain_network(path: Path) -> PiperNetwork:
    """Load a network without graph optimisation once and keep it."""
    return _load_network(path, 1, plain=True)


def _load_network(path: Path, threads: int, *, plain: bool) -> PiperNetwork:
    settings = _read_settings(path)
    try:
        return PiperNetwork(path.read_bytes(), settings, threads, plain=plain)
    except FileNotFoundError as exc:
        raise _missing(path) from exc
    except Exception as exc:  # see `open_session`
        raise _damaged(path, str(exc)) from exc


def _read_settings(network: Path) -> VoiceSettings:
    try:
        return read_settings(network)
    except FileNotFoundError as exc:
        raise _missing(settings_file(network)) from exc
    except (OSError, ValueError) as exc:
        raise _damaged(settings_file(network), str(exc)) from exc


def _missing(path: Path) -> MachineError:
    return MachineError("model-missing", f"{path} does not exist.", _HINT)


def _damaged(path: Path, why: str) -> MachineError:
    return MachineError("model-damaged", f"{path} cannot be used: {why.rstrip('.')}.", _HINT)
