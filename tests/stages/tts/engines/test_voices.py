"""Which voice speaks, and why; and what the voices from packages promise."""

from __future__ import annotations

import importlib.util
import sys
import wave
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stages.tts
from daemon.config import Settings
from daemon.errors import AvatarError, ConfigError, JobError, MachineError
from daemon.jobs.manifest import Manifest
from stages.tts.engines.base import Voice
from stages.tts.engines.choose import VoiceChoice, choose_voice
from stages.tts.engines.choose_described import choose_described
from stages.tts.engines.durations import UNIT_SAMPLES
from stages.tts.engines.kokoro import engine as kokoro_engine
from stages.tts.engines.kokoro.engine import KokoroVoice
from stages.tts.engines.registry import ENGINES, engine_missing
from stages.tts.engines.voice_list import list_voice_rows
from stages.tts.engines.voice_words import VoiceWords
from stages.tts.engines.voices import list_voices
from stages.tts.phonemes.reading import EnglishFrontEnd
from tests.support.stages.piper_models import build_piper
from tests.support.stages.sound_jobs import job, sound, timing

TEXT = "Peter paid $1,250 to Dr. Smith. Bob's baby bought balloons!"


def installed(folder: Path) -> Path:
    """A models folder that looks as if kokoro's files were there; enough for choosing, which opens none of them."""
    for path in ("kokoro-v1.0.int8.onnx", "voices/af_bella.bin", "voices/bf_emma.bin", "voices/af_heart.bin"):
        (folder / "kokoro" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "kokoro" / path).touch()
    return folder


def chosen(models: Path, settings: dict[str, Any] | None = None, **manifest: Any) -> VoiceChoice:
    return choose_voice(
        Manifest.model_validate({"text": "Hello.", "image": "a.png", **manifest}),
        Settings.model_validate({"paths": {"models": models}, **(settings or {})}),
    )


CASA = {"engines": {"casa": {"command": ["true"], "voices": {"luz": "es-ES", "bella": "it"}}}}


@pytest.mark.parametrize(
    ("settings", "manifest", "voice", "why"),
    [
        ({}, {}, "hibari/heart", "no download"),
        ({}, {"language": "en-GB"}, "hibari/heart", "no download"),
        ({}, {"voice": "Bella"}, "kokoro/bella", "you asked for"),
        ({}, {"voice": "kokoro/heart"}, "kokoro/heart", "you asked for"),
        ({}, {"voice": "bf_emma"}, "kokoro/emma", "you asked for"),
        ({}, {"voice": "heart"}, "hibari/heart", "kokoro/heart has the same name"),
        ({"stages": {"tts": {"engine": "kokoro"}}}, {"voice": "heart"}, "kokoro/heart", "same name"),
        ({"stages": {"tts": {"engine": "kokoro"}}}, {}, "kokoro/heart", "config.yaml names the engine kokoro"),
        ({"stages": {"tts": {"voice": "kokoro/emma"}}}, {}, "kokoro/emma", "config.yaml makes it the default"),
        ({"stages": {"tts": {"voice": "british female"}}}, {}, "kokoro/emma", "config.yaml makes it the default"),
        ({"stages": {"tts": {"voice": "british female"}}}, {"voice": "female"}, "kokoro/emma", "also fitting"),
        ({"stages": {"tts": {"engine": "kokoro", "voice": "en-GB"}}}, {}, "kokoro/emma", "names the engine kokoro"),
        (CASA, {"language": "es"}, "casa/luz", "hibari/heart does not speak 'es'"),
        (CASA, {"language": "it", "voice": "bella"}, "casa/bella", "kokoro/bella has the same name"),
        ({**CASA, "stages": {"tts": {"engine": "casa"}}}, {"language": "es"}, "casa/luz", "first voice for 'es'"),
    ],
)
def test_the_voice_is_the_one_that_was_meant(
    tmp_path: Path, settings: dict[str, Any], manifest: dict[str, Any], voice: str, why: str
) -> None:
    choice = chosen(installed(tmp_path), settings, **manifest)
    assert choice.voice.id == voice
    assert why in choice.why


@pytest.mark.parametrize(
    ("settings", "manifest", "code", "says"),
    [
        ({}, {"voice": "bela"}, "voice-unknown", "Did you mean 'bella'?"),
        ({}, {"voice": "Anna"}, "voice-unknown", "no voice profile named"),
        ({}, {"voice": "xtts/Ada"}, "voice-not-installed", "accept_licence: true"),
        ({}, {"voice": "kokoro/ema"}, "voice-unknown", "'kokoro/emma'"),
        ({}, {"voice": "kokoro/adam"}, "voice-not-installed", "avatar models fetch kokoro"),
        ({}, {"voice": "bella", "language": "fr"}, "language-unsupported", "speaks en-US, not 'fr'"),
        (CASA, {"voice": "bella", "language": "es"}, "language-unsupported", "casa/luz"),
        ({}, {"language": "de"}, "language-unsupported", "provide the speech"),
        ({}, {"language": "de"}, "language-unsupported", "avatar models fetch piper/de_DE-thorsten-medium"),
        ({}, {"voice": "piper/nl_NL-mls-medium"}, "voice-not-installed", "avatar models fetch piper/nl_NL-mls-medium"),
        ({"stages": {"tts": {"engine": "kokoro"}}}, {"language": "de"}, "language-unsupported", "kokoro"),
        ({"stages": {"tts": {"voice": "nobody"}}}, {}, "voice-missing", "nobody"),
        ({"stages": {"tts": {"voice": "adam"}}}, {}, "voice-missing", "avatar models fetch kokoro"),
        # Words in config.yaml get the help that a manifest gets
        (
            {"stages": {"tts": {"voice": "male"}}},
            {},
            "voice-missing",
            "kokoro/fenrir is one, but its files are missing.",
        ),
        ({"stages": {"tts": {"voice": "britsh femal"}}}, {}, "voice-missing", "Did you mean 'british female'?"),
        ({"stages": {"tts": {"voice": "deep male"}}}, {}, "voice-missing", "words that are not known: deep"),
    ],
)
def test_a_voice_that_cannot_be_had_is_refused_with_what_to_do(
    tmp_path: Path, settings: dict[str, Any], manifest: dict[str, Any], code: str, says: str
) -> None:
    with pytest.raises(AvatarError) as caught:
        chosen(installed(tmp_path), settings, **manifest)
    assert caught.value.code == code
    assert says in str(caught.value)
    # and whose fault it is follows from who asked
    assert isinstance(caught.value, JobError if manifest else MachineError)


@pytest.mark.parametrize(
    ("manifest", "voice", "why"),
    [
        ({"voice": "female"}, "hibari/heart", "you asked for 'female'; also fitting: kokoro/heart"),
        ({"voice": "British Woman"}, "kokoro/emma", "'British Woman'"),
        ({"voice": "an american female voice"}, "hibari/heart", "american"),
        ({"voice": "en-GB"}, "kokoro/emma", "en-GB"),
        ({"voice": "female", "language": "en-GB"}, "kokoro/emma", "also fitting: hibari/heart"),
        ({"voice": "french-female", "language": "fr"}, "kokoro/siwis", "french"),
        ({"voice": "Deutsch, männlich", "language": "de"}, "piper/de_DE-thorsten-medium", "männlich"),
        ({"voice": "german", "language": "de"}, "piper/de_DE-thorsten-medium", "german"),
    ],
)
def test_a_voice_in_words_is_the_first_that_fits_and_speaks_the_language(
    tmp_path: Path, manifest: dict[str, Any], voice: str, why: str
) -> None:
    models = with_others(installed(tmp_path))
    choice = chosen(models, **manifest)
    assert (choice.voice.id, why in choice.why) == (voice, True), choice.why
    assert chosen(models, **manifest) == choice


def with_others(models: Path) -> Path:
    """Adds a French woman and a German man."""
    (models / "kokoro" / "voices" / "ff_siwis.bin").touch()
    build_piper(models / "piper" / "de", "de_DE-thorsten-medium", "de_DE", "de")
    return models


def test_the_name_of_a_voice_comes_before_words(tmp_path: Path) -> None:
    engines = {"casa": {"command": ["true"], "voices": {"male": "en-US"}}}
    assert chosen(installed(tmp_path), {"engines": engines}, voice="Male").voice.id == "casa/male"
    assert chosen(installed(tmp_path), {"engines": engines}, voice="american female").voice.id == "hibari/heart"


@pytest.mark.parametrize(
    ("manifest", "code", "says"),
    [
        # Known, and not here: the command that brings one
        (
            {"voice": "male"},
            "voice-not-installed",
            "kokoro/fenrir is one, but its files are missing. Whoever runs avatard can change that: Run `avatar models fetch",
        ),
        # and a voice that works meanwhile
        ({"voice": "male"}, "voice-not-installed", "Until then `voice: heart` can be used (American English, female)."),
        ({"voice": "female", "language": "de"}, "voice-not-installed", "avatar models fetch piper/de_DE-kerstin-low"),
        # Another language than the job's: both steps at once, so that nobody goes in a circle
        ({"voice": "german female"}, "language-unsupported", "Write `language: de` if the text is German"),
        ({"voice": "german female"}, "language-unsupported", "avatar models fetch piper/de_DE-kerstin-low"),
        # Not known at all: what comes near
        ({"voice": "australian man"}, "voice-unknown", "a male voice for Australian English, and none is installed"),
        ({"voice": "australian man"}, "voice-unknown", "These speak English: hibari/heart"),
        (
            {"voice": "turkish woman", "language": "tr"},
            "voice-unknown",
            "these are male or female: piper/tr_TR-dfki-medium",
        ),
        ({"voice": "turkish woman", "language": "tr"}, "voice-unknown", "avatar models fetch piper/tr_TR-dfki-medium"),
        # Misspelt, or with a word that is not known
        ({"voice": "britsh femal"}, "voice-unknown", "Did you mean 'british female'?"),
        ({"voice": "deep male"}, "voice-unknown", "words that are not known: deep"),
    ],
)
def test_words_that_no_voice_fits_name_what_would_bring_one(
    tmp_path: Path, manifest: dict[str, Any], code: str, says: str
) -> None:
    with pytest.raises(JobError) as caught:
        chosen(installed(tmp_path), **manifest)
    assert (caught.value.code, says in str(caught.value)) == (code, True), str(caught.value)


def test_a_persons_voice_is_never_chosen_by_words() -> None:
    person = Voice("xtts", "Anna", ("de",), "female", "CPML", aliases=("voice-1",), is_profile=True)
    model = Voice("xtts", "Ada", ("de",), "female", "CPML")
    manifest = Manifest.model_validate({"text": "a", "image": "a.png", "language": "de", "voice": "german woman"})
    words = VoiceWords("female", "de")
    assert choose_described(words, [person, model], manifest, Settings())[0] == model
    with pytest.raises(JobError) as caught:
        choose_described(words, [person], manifest, Settings())
    assert "Anna" not in str(caught.value)


def test_every_voice_has_a_line_of_its_own(tmp_path: Path) -> None:
    lines = {
        row.id: row.description for row in list_voice_rows(Settings.model_validate({"paths": {"models": tmp_path}}))
    }
    assert all(lines.values())
    assert lines["kokoro/emma"].startswith("British English, female; ")
    assert lines["piper/de_DE-thorsten-medium"].startswith("German, male; quality medium")


@pytest.mark.usefixtures("processes")
def test_packages_are_not_asked_of_this_environment_for_an_engine_that_has_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an environment without coqui-tts
    real = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *more: None if name == "TTS" else real(name, *more))

    def lacking(engines: dict[str, Any]) -> str:
        raw = {"paths": {"models": tmp_path}, "stages": {"tts": {"xtts": {"accept_licence": True}}}, "engines": engines}
        missing = engine_missing(ENGINES["xtts"], Settings.model_validate(raw))
        return missing.why if missing else ""

    # Then its packages are what lacks; but with a Python of its own, which has them, only the model's files are
    assert "coqui-tts, or a package that it needs, is not installed" in lacking({})
    assert "model.pth" in lacking({"xtts": {"python": sys.executable}})


def test_an_engine_that_is_not_there_pauses_the_lane_not_the_job(tmp_path: Path) -> None:
    with pytest.raises(MachineError) as caught:
        chosen(tmp_path, {"stages": {"tts": {"engine": "kokoro"}}})
    assert caught.value.code == "voice-missing"
    assert "avatar models fetch kokoro" in caught.value.hint


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({"stages": {"tts": {"engine": "kokkoro"}}}, "did you mean kokoro"),
        ({"engines": {"casa": {"voices": {"luz": "es"}}}}, "either `command` or `python`"),
        ({"engines": {"hibari": {"command": ["x"], "voices": {"a": "en"}}}}, "no built-in engine's name"),
        ({"engines": {"casa": {"command": ["x"]}}}, "voices is missing"),
        ({"engines": {"casa": {"python": "/usr/bin/python3"}}}, "use `command`"),
    ],
)
def test_an_engine_in_the_config_that_cannot_be_is_named(tmp_path: Path, raw: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.parse(raw, tmp_path / "config.yaml")
    assert says in str(caught.value)


def test_there_are_two_women_and_two_men_of_each_accent() -> None:
    kinds = [(v.languages[0], v.gender) for v in list_voices(Settings()) if v.engine == "kokoro"]
    assert all(kinds.count((accent, gender)) >= 2 for accent in ("en-US", "en-GB") for gender in ("female", "male"))
    known = [voice.id for voice in list_voices(Settings())]
    assert len(set(known)) == len(known)
    assert all(voice.licence for voice in list_voices(Settings()))


@pytest.mark.parametrize("name", ["kokoro/bella", "kokoro/george"])
def test_kokoro_says_words_when_its_times_say_so(kokoro_models: Path, tmp_path: Path, name: str) -> None:
    # Given a text said by an American woman or an Englishman
    ctx = job(tmp_path, {"paths": {"models": kokoro_models}}, text=TEXT, voice=name)
    facts = stages.tts.run(ctx)
    # Then the words are those that were written, and every time lies inside its sound, in order
    found = timing(ctx)
    samples, rate = sound(ctx.path("speech.wav"))
    assert [word["text"] for word in found["words"]] == TEXT.split()
    assert (found["method"], facts["licence"], facts["voice"]) == ("exact", "Apache-2.0", name)
    assert found["duration"] == len(samples) / rate
    assert all(a["end"] <= b["start"] + 1e-6 for a, b in pairwise(found["phones"]))
    # And lips that close for P and B silence the sound, while open vowels are loud
    step = rate // 200
    level = 10 * np.log10(np.maximum((samples[: len(samples) // step * step].reshape(-1, step) ** 2).mean(1), 1e-9))

    def median(symbols: str) -> float:
        phones = [p for p in found["phones"] if p["phone"] in symbols]
        return float(np.median([level[round(p["start"] * 200) : round(p["end"] * 200)].min() for p in phones]))

    assert median("pb") < median("ɑæAIOɒQ") - 10


def test_kokoros_durations_add_up_to_its_sound(kokoro_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a sentence of more phonemes than the network is given at once (fewer here: it takes a second for each second said)
    monkeypatch.setattr(kokoro_engine, "MAX_PHONEMES", 30)
    settings = Settings.model_validate({"paths": {"models": kokoro_models}})
    voice = next(voice for voice in list_voices(settings) if voice.id == "kokoro/bella")
    reading = EnglishFrontEnd().read(["The", "tide", "turns,", "and", "the", "boats", "turn", "with", "it"])
    parts = list(KokoroVoice(voice, kokoro_models).utter(reading, 1.0))
    assert len(parts) > 1
    for part in parts:
        assert sum(part.units) * UNIT_SAMPLES == len(part.samples)


def test_kokoro_gives_the_same_bytes_again(kokoro_models: Path, tmp_path: Path) -> None:
    made = []
    for number in range(2):
        ctx = job(tmp_path / str(number), {"paths": {"models": kokoro_models}}, text="Good morning.", voice="adam")
        stages.tts.run(ctx)
        made.append(ctx.path("speech.wav").read_bytes())
    assert made[0] == made[1]
    with wave.open(str(ctx.path("speech.wav"))) as source:
        assert source.getframerate() == 24_000


def test_an_altered_voice_is_not_spoken_with(kokoro_models: Path, tmp_path: Path) -> None:
    # Given a voice's file that was cut off, beside the real network
    models = tmp_path / "models"
    (models / "kokoro" / "voices").mkdir(parents=True)
    (models / "kokoro" / "kokoro-v1.0.int8.onnx").symlink_to(kokoro_models / "kokoro" / "kokoro-v1.0.int8.onnx")
    (models / "kokoro" / "voices" / "am_adam.bin").write_bytes(b"half")
    ctx = job(tmp_path / "job", {"paths": {"models": models}}, text="Good morning.", voice="adam")
    with pytest.raises(MachineError) as caught:
        stages.tts.run(ctx)
    assert caught.value.code == "model-damaged"
    assert "am_adam.bin" in caught.value.message
