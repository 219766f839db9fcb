"""Piper voices: a tiny network in the layout of the published ones, and the real voice joe where its package can be had."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from daemon.config import Settings
from daemon.errors import MachineError
from stages.lipsync.visemes import PHONES
from stages.model_files.catalogue import find_damage
from stages.tts import run
from stages.tts.alignment.forced import align_words
from stages.tts.engines.base import Piece, Voice
from stages.tts.engines.piper.engine import PiperVoice
from stages.tts.engines.voices import list_voices
from stages.tts.phonemes.espeak import plain_front_end
from tests.stages.tts.engines.test_voices import chosen
from tests.support.stages.piper_models import HOP, build_piper, tiny_network
from tests.support.stages.sound_jobs import job, sound, timing

pytestmark = pytest.mark.usefixtures("models")

CARD = "# Model card\n\n* Language: de_DE\n\n## Dataset\n\n* License: CC0\n\n## Training\n\nFinetuned from another voice.\n"
GERMAN = "Das ist die Geschichte von dem Mann und der Frau, die nicht auf den Berg wollten."


def piper(models: Path) -> dict[str, Voice]:
    settings = Settings.model_validate({"paths": {"models": str(models)}})
    return {voice.id: voice for voice in list_voices(settings) if voice.engine == "piper"}


@pytest.fixture(scope="module")
def german(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with a German voice, in the folders in which it is published."""
    models = tmp_path_factory.mktemp("german")
    build_piper(models / "piper" / "de" / "medium", "de_DE-thorsten-medium", "de_DE", "de", CARD)
    return models


def test_a_voice_in_the_models_folder_speaks_its_language(german: Path, tmp_path: Path) -> None:
    # Given a German voice; when a German job names no voice
    settings = {
        "paths": {"models": str(german)},
        "stages": {"tts": {"check_speech": False}},
    }  # random weights only hiss
    ctx = job(
        tmp_path / "job", settings, kind="speech", image=None, text="Am 3. März um 14:30 Uhr. Tschüss!", language="de"
    )
    facts = run(ctx)
    # Then that voice says it, with the network's own times and the licence of its model card
    assert (facts["engine"], facts["voice"], facts["method"]) == ("piper", "piper/de_DE-thorsten-medium", "exact")
    assert facts["licence"] == "CC0; Finetuned from another voice"
    assert [word["text"] for word in timing(ctx)["words"]] == ["Am", "3.", "März", "um", "14:30 Uhr.", "Tschüss!"]
    assert sound(ctx.path("speech.wav"))[1] == 22_050
    # And its short name means it
    assert chosen(german, voice="thorsten", language="de").voice.id == "piper/de_DE-thorsten-medium"


def test_times_and_sound_are_the_networks_own_and_follow_the_seed(german: Path) -> None:
    voice = PiperVoice(piper(german)["piper/de_DE-thorsten-medium"], "")
    words = ("Schöne", "Grüße,", "Herr", "Müller:", "heute", "kostet", "es", "12", "€!")
    (said,) = voice.say(Piece(words, "de", 1.0, (3,)))
    phones = said.phones or ()
    # Then the times run on without overlap inside the sound, and lips know every phone
    assert len(said.samples) % HOP == 0
    assert all(a.end <= b.start + 1e-9 for a, b in itertools.pairwise(phones))
    assert 0.0 <= phones[0].start < phones[-1].end <= len(said.samples) / voice.sample_rate + 1e-9
    assert {phone.word for phone in phones} == set(range(len(words))) - {words.index("€!")}
    assert {phone.phone for phone in phones} <= set(PHONES)
    # And the same place sounds the same, bit by bit; another one does not; a faster one is shorter
    (again,) = voice.say(Piece(words, "de", 1.0, (3,)))
    (elsewhere,) = voice.say(Piece(words, "de", 1.0, (4,)))
    (fast,) = voice.say(Piece(words, "de", 2.0, (3,)))
    assert np.array_equal(said.samples, again.samples)
    assert not np.array_equal(said.samples[:HOP], elsewhere.samples[:HOP])
    assert len(fast.samples) < 0.8 * len(said.samples)


def test_every_speaker_is_a_voice_and_unusable_voices_say_why(tmp_path: Path) -> None:
    # Given a network of two speakers, one without settings, and one that was trained on letters
    folder = tmp_path / "piper"
    build_piper(folder, "nl_BE-two-low", "nl_BE", "nl", speaker_id_map={"an": 0, "bo": 1})
    build_piper(folder, "pl_PL-bare-low", "pl_PL", "pl").with_name("pl_PL-bare-low.onnx.json").unlink()
    build_piper(folder, "uk_UA-lada-x_low", "uk_UA", "uk", phoneme_type="text")
    found = piper(tmp_path)
    # Then each says what it is
    for name in ("", ":an", ":bo"):
        voice = found[f"piper/nl_BE-two-low{name}"]
        assert (voice.installed, voice.languages) == (True, ("nl-BE",))
    assert found["piper/nl_BE-two-low"].licence.startswith("not stated")
    for name, why in (("pl_PL-bare-low", "onnx.json"), ("uk_UA-lada-x_low", "'text'")):
        missing = found[f"piper/{name}"].missing
        assert missing is not None
        assert why in missing.why


def test_damaged_files_are_told(tmp_path: Path) -> None:
    network = build_piper(tmp_path / "piper", "de_DE-x-low", "de_DE", "de")
    voice = piper(tmp_path)["piper/de_DE-x-low"]
    assert find_damage(network) == ""
    cut, other = tiny_network()[:-9], tiny_network().replace(b"\x04Ceil", b"\x04Sqrt")
    for content, why in ((cut, "truncated"), (other, "rounds its durations")):
        network.write_bytes(content)
        with pytest.raises(MachineError) as caught:
            PiperVoice(voice, "", plain=True)
        assert caught.value.code == "model-damaged"
        assert why in caught.value.message
    network.write_bytes(cut)
    assert "truncated" in find_damage(network)


def test_a_text_of_another_language_is_told_what_brings_a_voice(tmp_path: Path, german: Path) -> None:
    # Given no German voice, and then one; when an English voice reads a German text
    warnings = []
    for models in (tmp_path, german):
        ctx = job(tmp_path / models.name, {"paths": {"models": str(models)}}, kind="speech", image=None, text=GERMAN)
        run(ctx)
        warnings.append(next(warning for warning in ctx.warnings if "German" in warning))
    # Then the command is named only where it helps
    assert "`avatar models fetch piper/de_DE-thorsten-medium`" in warnings[0]
    assert "fetch" not in warnings[1]
    assert all("`language: de`" in warning for warning in warnings)


def test_german_figures_are_read_as_people_say_them() -> None:
    def same(written: str, spoken: str) -> bool:
        read = [plain_front_end("de", "de").read(text.split(), {}).chars.replace(" ", "") for text in (written, spoken)]
        return read[0] == read[1]

    assert same("am 3. Mai um 14:30 Uhr", "am dritten Mai um 14 Uhr 30")
    assert same("am 21.5.2024", "am einundzwanzigsten Mai 2024")
    assert same("z.B. Dr. Müller", "zum Beispiel Doktor Müller")
    assert same("1.250,50 €", "1250 Euro 50")


def test_joe_says_words_when_his_times_say_so(joe_models: Path) -> None:
    # Given a real voice of Piper's
    joe = piper(joe_models)["piper/en_US-joe-medium"]
    assert joe.licence.startswith("CC0; Finetuned from U.S. English lessac voice")
    voice = PiperVoice(joe, "")
    text = "Peter paid twelve dollars for a quick brown fox, and the whole family drove to the seaside."
    words = tuple(text.split())
    (said,) = voice.say(Piece(words, "en", 1.0, (0,)))
    # Then its words start where an aligner finds them in the sound
    starts = [
        {phone.word: phone.start for phone in reversed(phones)}
        for phones in (said.phones or (), align_words(said.samples, voice.sample_rate, words, "en"))
    ]
    late = np.array([starts[0][word] - starts[1][word] for word in starts[1]])
    assert abs(late.mean()) < 0.02
    assert np.abs(late).mean() < 0.035
    # And the fallback says the same durations from the same seed
    other = voice.fallback_voice()
    assert other is not None
    (plain,) = other.say(Piece(words, "en", 1.0, (0,)))
    assert len(plain.samples) == len(said.samples)
