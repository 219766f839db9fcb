"""A Whisper network from a folder: the published layout is read, and what it is not sure of is not believed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import stages.tts
from daemon.config import Settings
from daemon.errors import MachineError
from daemon.system.installation import Missing
from stages.transcribe import whisper
from stages.transcribe.base import RATE
from stages.transcribe.registry import choose_recogniser
from tests.support.stages.sound_jobs import ffmpeg, job, timing
from tests.support.stages.whisper_model import make_whisper_folder

pytestmark = pytest.mark.usefixtures("models")

NOISE = np.random.default_rng(7).normal(0, 0.1, 3 * RATE // 10).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_whisper_folder(tmp_path_factory.mktemp("models") / "whisper")


def settings_for(folder: Path) -> Settings:
    return Settings.model_validate({"stages": {"tts": {"whisper_model": str(folder)}}})


def test_the_published_layout_is_read_and_words_have_times(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_for(folder)
    assert choose_recogniser(settings, "de-DE") is whisper.RECOGNISER
    with whisper.RECOGNISER.load(settings) as loaded:
        # What this network writes has little probability, so nothing was said
        assert loaded.hear(NOISE, "").text == ""
        # And where that is believed, its words lie in the sound
        monkeypatch.setattr(whisper, "_MIN_LOG_PROBABILITY", -1e3)
        heard = loaded.hear(NOISE, "de")
        assert heard.language == "de"
        # And a tag that it does not know is found out
        assert loaded.hear(NOISE, "fil").language in loaded._model.supported_languages  # type: ignore[attr-defined]
    assert (heard.text, [word.text.strip() for word in heard.words]) == ("ab cd", ["ab", "cd"])
    assert all(0.0 <= word.start <= word.end <= 0.4 for word in heard.words)


def test_its_words_stand_where_the_sounds_of_a_language_cannot_be_searched(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whisper, "_MIN_LOG_PROBABILITY", -1e3)
    made = tmp_path / "noise.wav"
    ffmpeg("-f", "lavfi", "-i", "anoisesrc=duration=0.5:amplitude=0.1", str(made))
    ctx = job(tmp_path / "job", {"stages": {"tts": {"whisper_model": str(folder)}}}, audio="a.wav", language="de")
    made.rename(ctx.path("source.audio"))
    facts = stages.tts.run(ctx)
    assert (facts["recogniser"], facts["method"]) == ("whisper", "energy")
    assert timing(ctx)["language"] == "de"
    assert timing(ctx)["words"]


def test_a_damaged_network_is_told_by_its_folder(folder: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(folder, tmp_path / "whisper")
    (damaged / "model.bin").write_bytes(b"not a network")
    with pytest.raises(MachineError) as caught, whisper.RECOGNISER.load(settings_for(damaged)):
        pass
    assert caught.value.code == "recogniser-unusable"
    assert str(damaged) in caught.value.message
    (damaged / "tokenizer.json").unlink()  # it would be looked for on the network
    missing = choose_recogniser(settings_for(damaged), "en")
    assert isinstance(missing, Missing)
    assert "tokenizer.json is missing" in missing.why


def test_a_network_of_english_alone_is_asked_for_nothing_else(folder: Path, tmp_path: Path) -> None:
    english = shutil.copytree(folder, tmp_path / "whisper.en")
    tokens = json.loads((english / "vocabulary.json").read_bytes())
    (english / "vocabulary.json").write_text(json.dumps(tokens[:51_864]))
    assert choose_recogniser(settings_for(english), "en-GB") is whisper.RECOGNISER
    missing = choose_recogniser(settings_for(english), "de")
    assert isinstance(missing, Missing)
    assert "knows no 'de'" in missing.why
