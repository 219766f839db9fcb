"""The engine `piper`: any Piper voice in the models folder, a small network for each, in about forty languages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from daemon.config import Settings
from daemon.system.installation import Missing, how_to_fetch_models
from stages.tts import phonemes
from stages.tts.engines.base import LoadedVoice, TtsEngine, Voice, primary_language
from stages.tts.engines.piper import model_files, voice_files

_NAME = "piper"
#: Parts the name of a voice and that of one of its speakers.
_SPEAKER = ":"
_NOT_STATED = "stated in its MODEL_CARD"
#: Other tags of the languages of voices.
_SAME_LANGUAGE = {"no": ("nb",)}


def _voices(settings: Settings) -> list[Voice]:
    """Return the voices that are there, then those that are proposed for fetching."""
    # The same front end reads all languages. It is looked for once, since importlib searches every folder.
    readable = _NAME in settings.engines or phonemes.espeak_missing("") is None
    found: list[Voice] = []
    for network in voice_files.find_networks(settings.paths.models):
        if all(voice.model.stem != network.stem for voice in found):
            found += _voices_of(network, readable)
    there = {voice.name for voice in found}
    proposed = (_proposed(name, readable) for name in model_files.PROPOSED if name not in there)
    return [*found, *proposed]


def _voices_of(network: Path, readable: bool) -> Iterator[Voice]:
    """Yield the voice of a network, and one for each of its speakers. `readable`: all languages can be read."""
    name, licence = network.stem, voice_files.read_licence(network)
    try:
        found = voice_files.read_settings(network)
    except (OSError, ValueError) as exc:
        why = f"{voice_files.settings_file(network).name} cannot be used: {exc}"
        remedy = f"Put the settings that were published with {network.name} beside it."
        languages = _languages(name.partition("-")[0].replace("_", "-"))
        yield Voice(_NAME, name, languages, "", licence, network, missing=Missing(why, remedy))
        return
    languages, missing = _languages(found.language), _missing(found.language, readable)
    match = model_files.VOICE_NAME.fullmatch(name)
    yield Voice(
        _NAME, name, languages, model_files.gender_of(match[3]) if match else "", licence, network,
        _aliases(name, found.dataset), missing=missing, about=_about(match),
    )  # fmt: skip
    for speaker in found.speakers if len(found.speakers) > 1 else ():
        yield Voice(_NAME, f"{name}{_SPEAKER}{speaker}", languages, "", licence, network, missing=missing)


def _proposed(name: str, readable: bool) -> Voice:
    """Return a voice that is not there. It has no short name: "anna" may mean somebody's profile."""
    match = model_files.VOICE_NAME.fullmatch(name)
    assert match is not None
    language = f"{match[1]}-{match[2]}"
    fetch = how_to_fetch_models(f"{_NAME}/{name}")
    rules = _missing(language, readable)
    remedy = f"{fetch} {rules.remedy}" if rules else fetch
    return Voice(
        _NAME, name, _languages(language), model_files.gender_of(match[3]), _NOT_STATED,
        missing=Missing("its files are missing", remedy), about=_about(match),
    )  # fmt: skip


def _about(match: re.Match[str] | None) -> str:
    return f"quality {match[4]} of x_low, low, medium and high" if match else ""


def _languages(language: str) -> tuple[str, ...]:
    return (language, *_SAME_LANGUAGE.get(primary_language(language), ()))


def _aliases(name: str, dataset: str) -> tuple[str, ...]:
    return (dataset, f"{_NAME}/{dataset}") if dataset and dataset != name else ()


def _missing(language: str, readable: bool) -> Missing | None:
    """Return what the front end of a language lacks, unless it lacks nothing or a program of its own runs the engine."""
    if readable or primary_language(language) == "en":
        return None
    return phonemes.espeak_missing(language)


def _load(voice: Voice, _: Settings) -> LoadedVoice:
    from stages.tts.engines.piper.engine import PiperVoice

    return PiperVoice(voice, voice.name.partition(_SPEAKER)[2])


ENGINE = TtsEngine(
    _NAME, _voices, _load, packages=("hibari", "onnxruntime"), named_models=model_files.voice_parts,
    no_voices=f"{how_to_fetch_models(f'{_NAME}/NAME')} `avatar voice list` shows names.",
)  # fmt: skip
