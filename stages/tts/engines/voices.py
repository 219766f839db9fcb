"""The voices of this installation: what each engine has, and whether it can be used. Loads no engine and no model."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from daemon.config import Settings
from daemon.system.installation import fetch_models
from stages.model_files import catalogue as models
from stages.tts import phonemes
from stages.tts.engines.coqui import library
from stages.tts.engines.external import probe
from stages.tts.engines.kokoro import model_files
from stages.tts.engines.xtts import voices as xtts


@dataclass(frozen=True)
class Voice:
    """One voice of one engine.

    Attributes:
        engine: its name in config.yaml and manifests.
        name: the voice's own name; several engines may have one of the same name.
        languages: BCP 47 tags of what it speaks, its own first.
        gender: "female", "male", or empty where it is not known.
        licence: of what it says.
        model: its file, where it has one of its own.
        aliases: other names it is found by, such as the id of a voice profile.
        own: it is a person's, and only spoken with when it is asked for.
        lacking: why it cannot be used here; empty where it can.
        remedy: what to do about that.
    """

    engine: str
    name: str
    languages: tuple[str, ...]
    gender: str
    licence: str
    model: Path = Path()
    aliases: tuple[str, ...] = ()
    own: bool = False
    lacking: str = ""
    remedy: str = ""

    @property
    def id(self) -> str:
        """The name that no other voice has."""
        return f"{self.engine}/{self.name}"

    @property
    def installed(self) -> bool:
        return not self.lacking

    @property
    def british(self) -> bool:
        return self.languages[0] == "en-GB"

    def speaks(self, language: str) -> bool:
        """Whether it speaks a language, in whatever regional form."""
        return primary(language) in map(primary, self.languages)

    def is_called(self, wanted: str) -> bool:
        """Whether a manifest means this voice; `wanted` is in lower case."""
        return wanted in (name.casefold() for name in (self.name, self.id, *self.aliases))


def primary(language: str) -> str:
    """The language of a tag without its region: "en" for "en-GB"."""
    return language.casefold().partition("-")[0]


@cache
def _assets() -> Path | None:
    spec = importlib.util.find_spec("hibari")  # does not run the package
    return Path(spec.origin).parent / "assets" if spec and spec.origin else None


def lexicon_file(name: str) -> Path:
    """A data file of hibari's package, such as vocab.json.

    Raises:
        FileNotFoundError: the package is not installed.
    """
    assets = _assets()
    if assets is None:
        raise FileNotFoundError("hibari-tts is not installed")
    return assets / name


def _hibari(_: Settings) -> list[Voice]:
    """The voices in the package. Those its registry only knows how to download are not offered."""
    assets = _assets()
    if assets is None:
        return []
    entries: dict[str, dict[str, Any]] = json.loads((assets / "voices.json").read_text(encoding="utf-8"))
    return [
        Voice("hibari", name, (entry["language"],), entry["gender"], "Apache-2.0", assets / entry["file"])
        for name, entry in entries.items()
        if entry.get("bundled")
    ]


def _kokoro(settings: Settings) -> list[Voice]:
    """One of English goes by its short name, and so does another whose short name nobody else has."""
    shorts = Counter(map(model_files.short, model_files.VOICES))
    found = []
    for full in model_files.VOICES:
        short, language = model_files.short(full), model_files.language(full)
        name = short if shorts[short] == 1 or primary(language) == "en" else full
        found.append(
            Voice(
                "kokoro",
                name,
                (language,),
                model_files.gender(full),
                model_files.LICENCE,
                settings.paths.models / model_files.voice_file(full),
                tuple(alias for one in (full, short) for alias in (one, f"kokoro/{one}")),
                False,
                *_unread(settings, full),
            )
        )
    return found


def _unread(settings: Settings, full: str) -> tuple[str, str]:
    """Why a voice of kokoro's cannot speak here, and what to do about it; two empty strings where it can."""
    root = settings.paths.models
    if not all((root / file).is_file() for file in (model_files.NETWORK, model_files.voice_file(full))):
        return "its files are not there", fetch_models("kokoro")
    if "kokoro" in settings.engines:  # a program of its own has its own packages
        return "", ""
    return phonemes.lacking(model_files.language(full))


def _coqui(settings: Settings) -> list[Voice]:
    """The woman of LJSpeech, and the speakers of VCTK as far as their names are there."""
    folders = ("coqui/ljspeech-vits", "coqui/vctk-vits")
    states = {folder: _vits(settings, folder) for folder in folders}  # once, not for each of a hundred voices
    return [
        Voice(
            "coqui",
            name,
            (language,),
            gender,
            "Apache-2.0",
            settings.paths.models / folder,
            (),
            False,
            *states[folder],
        )
        for folder, name, language, gender in _coqui_voices(
            settings.paths.models / "coqui" / "vctk-vits" / "speaker_ids.json"
        )
    ]


def _coqui_voices(names: Path) -> list[tuple[str, str, str, str]]:
    """(folder, voice, language, gender) of each. VCTK's people are from all over; their names say nothing of them."""
    found = [("coqui/ljspeech-vits", "ljspeech", "en-US", "female")]
    try:
        numbers = json.loads(names.read_bytes())
        return found + [("coqui/vctk-vits", str(name).strip(), "en-GB", "") for name in numbers if str(name).strip()]
    except (OSError, ValueError, TypeError):
        return found


def _vits(settings: Settings, folder: str) -> tuple[str, str]:
    """Why a VITS model cannot speak here, and what to do about it; two empty strings where it can."""
    name = "coqui-vctk" if "vctk" in folder else "coqui-ljspeech"
    for look in models.survey(name, settings.paths.models):
        if not look.usable:
            return f"{look.file.path}: {look.why or 'it is not there'}", fetch_models(name)
    return ("", "") if "coqui" in settings.engines else library.lacking()  # a Python of its own: see below


def _external(settings: Settings) -> list[Voice]:
    """Voices of the engines that config.yaml names under `engines` with a command of their own."""
    return [
        Voice(name, voice, (language,), "", engine.licence)
        for name, engine in settings.engines.items()
        for voice, language in engine.voices.items()
    ]


def _xtts(settings: Settings) -> list[Voice]:
    """The voices that come with XTTS, and the profiles, which it speaks with in any of its languages."""
    lacking, remedy = xtts.lacking(settings)
    built_in = [
        Voice("xtts", name, xtts.LANGUAGES, "", xtts.LICENCE, lacking=lacking, remedy=remedy)
        for name in xtts.built_in(settings)
    ]
    return built_in + [
        Voice("xtts", profile.name, (profile.language, *xtts.LANGUAGES), "", xtts.LICENCE, profile.folder,
              (profile.id,), True, lacking, remedy)
        for profile in xtts.profiles(settings)
    ]  # fmt: skip


#: Where voices come from. Of two of the same name the first is taken, unless config.yaml prefers an engine.
SOURCES: tuple[Callable[[Settings], list[Voice]], ...] = (_hibari, _kokoro, _coqui, _xtts, _external)


def catalogue(settings: Settings) -> list[Voice]:
    """All voices that are known, installed or not."""
    return [_where_it_runs(voice, settings) for source in SOURCES for voice in source(settings)]


def _where_it_runs(voice: Voice, settings: Settings) -> Voice:
    """A voice whose engine has a Python of its own can be used where that one has what it needs."""
    program = settings.engines.get(voice.engine)
    if program is None or not program.python or not voice.installed:
        return voice
    lacking, remedy = probe.lacking(voice.engine, program)
    return replace(voice, lacking=lacking, remedy=remedy or voice.remedy)
