"""The engine `kokoro`: Kokoro-82M, one network with many voices in nine languages."""

from __future__ import annotations

from collections import Counter

from daemon.config import Settings
from daemon.system.installation import Missing, how_to_fetch_models
from stages.tts import phonemes
from stages.tts.engines.base import LoadedVoice, TtsEngine, Voice, primary_language
from stages.tts.engines.kokoro import model_files, voice_facts


def _voices(settings: Settings) -> list[Voice]:
    """Return all voices, those of one language by their grades.

    English voices, and others with a unique short name, are listed by their short name.
    """
    packages = {
        # A program of its own has its own packages. Looked for once in each language, since importlib searches every folder.
        language: None if "kokoro" in settings.engines else phonemes.front_end_missing(language)
        for language in set(map(model_files.language_of, model_files.VOICES))
    }
    shorts = Counter(map(model_files.short_name, model_files.VOICES))
    found = []
    for full in sorted(model_files.VOICES, key=lambda name: (name[0], voice_facts.grade_rank(name))):
        short, language = model_files.short_name(full), model_files.language_of(full)
        name = short if shorts[short] == 1 or primary_language(language) == "en" else full
        found.append(
            Voice(
                "kokoro",
                name,
                (language,),
                model_files.gender_of(full),
                model_files.LICENCE,
                settings.paths.models / model_files.voice_file(full),
                tuple(alias for one in (full, short) for alias in (one, f"kokoro/{one}")),
                missing=_missing(settings, full, packages[language]),
                about=voice_facts.about_voice(full),
            )
        )
    return found


def _missing(settings: Settings, full: str, packages: Missing | None) -> Missing | None:
    """Return what a voice lacks: its files, or `packages`, which the front end of its language lacks."""
    root = settings.paths.models
    if all((root / file).is_file() for file in (model_files.NETWORK, model_files.voice_file(full))):
        return packages
    fetch = how_to_fetch_models("kokoro")
    return Missing("its files are missing", f"{fetch} {packages.remedy}" if packages else fetch)


def _load(voice: Voice, settings: Settings) -> LoadedVoice:
    from stages.tts.engines.kokoro.engine import KokoroVoice

    return KokoroVoice(voice, settings.paths.models)


ENGINE = TtsEngine("kokoro", _voices, _load, packages=("hibari", "onnxruntime"), models={"kokoro": model_files.PARTS})
