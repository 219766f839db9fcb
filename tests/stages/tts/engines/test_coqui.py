"""Coqui's VITS through the real library, on random weights in the published layout: what it says, and when."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from daemon.config import Settings
from daemon.errors import MachineError
from stages.lipsync.visemes import PHONES
from stages.tts import run
from stages.tts.engines.base import Piece
from stages.tts.engines.coqui.engine import CoquiVoice, load_coqui
from stages.tts.engines.coqui.vits import VitsNetwork
from stages.tts.engines.durations import share_blanks
from stages.tts.engines.voices import list_voices
from stages.tts.phonemes.espeak_alphabet import to_espeak
from stages.tts.phonemes.reading import EnglishFrontEnd
from tests.support.stages.coqui_models import build_vits
from tests.support.stages.sound_jobs import job, sound, timing

pytestmark = pytest.mark.usefixtures("models")

WORDS = ("Hello", "there,", "Dr.", "Smith:", "42", "judges", "see", "birds.")


@pytest.fixture(scope="session")
def vits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with a small model of one speaker and one of two, whose names end in a stray line break."""
    root = tmp_path_factory.mktemp("vits")
    build_vits(root / "coqui" / "ljspeech-vits")
    build_vits(root / "coqui" / "vctk-vits", ("p225\n", "p226"))
    return root


@pytest.fixture(scope="session")
def engine(vits: Path) -> CoquiVoice:
    return load_coqui(vits / "coqui" / "ljspeech-vits", "ljspeech", british=False)


def test_every_phone_has_the_time_the_network_gave_it(vits: Path, engine: CoquiVoice) -> None:
    # Given words with a number, an abbreviation and pauses; when they are said
    (said,) = engine.say(Piece(WORDS, "en", 1.0, (0,)))
    phones = said.phones or ()
    # Then the times run on without overlap to the end of the sound, every word is in them, and lips know every phone
    assert engine.method == "exact"
    assert all(a.end <= b.start + 1e-9 for a, b in itertools.pairwise(phones))
    assert phones[0].start >= 0.0
    assert phones[-1].end <= len(said.samples) / engine.sample_rate + 1e-9
    assert {phone.word for phone in phones} == set(range(len(WORDS)))
    assert {phone.phone for phone in phones} <= set(PHONES)
    # And the same place sounds the same, another one does not
    (again,) = engine.say(Piece(WORDS, "en", 1.0, (0,)))
    (elsewhere,) = engine.say(Piece(WORDS, "en", 1.0, (1,)))
    assert np.array_equal(said.samples, again.samples)
    assert len(said.samples) != len(elsewhere.samples) or not np.array_equal(said.samples, elsewhere.samples)


def test_a_start_of_a_phone_is_where_the_durations_before_it_end(vits: Path) -> None:
    # Given a model's own answer for a few characters
    model = VitsNetwork(vits / "coqui" / "ljspeech-vits")
    chars = ["h", "ə", "l", "ˈ", "o", "ʊ"]
    samples, hops = model.say(chars, None, 1.0, 5)
    # Then the characters' times and the sound are equally long, blanks and all
    assert len(hops) == len(chars)
    assert sum(hops) * model.hop == len(samples)
    # And blanks count half to either side, those at the ends wholly to their neighbour
    assert share_blanks([4, 10, 3, 20, 6]) == [10 + 4 + 1, 20 + 2 + 6]
    assert sum(share_blanks([4, 10, 3, 20, 6])) == 43


def test_speed_is_the_length_of_the_sound(engine: CoquiVoice) -> None:
    (plain,), (fast,) = (list(engine.say(Piece(WORDS, "en", speed, (0,)))) for speed in (1.0, 2.0))
    assert 0.4 < len(fast.samples) / len(plain.samples) < 0.7


def test_our_phonemes_are_spelled_as_espeak_does(vits: Path) -> None:
    # Given words as the front end reads them
    spelled = {word: "".join(char for char, _ in to_espeak(EnglishFrontEnd().read([word]).chars)) for word in
               ("judge", "see", "happy", "bird", "letter", "boat", "my", "food", "hot")}  # fmt: skip
    # Then they are what espeak-ng 1.51 prints for them with -v en-us --ipa
    assert spelled == {"judge": "dʒˈʌdʒ", "see": "sˈiː", "happy": "hˈæpi", "bird": "bˈɜːd", "letter": "lˈɛɾɚ",
                       "boat": "bˈoʊt", "my": "mˈaɪ", "food": "fˈuːd", "hot": "hˈɑːt"}  # fmt: skip
    # And the published models know every character that the front end can write
    model = VitsNetwork(vits / "coqui" / "ljspeech-vits")
    text = "The quick brown fox jumps over a lazy dog; measure each joyful thing, now!"
    chars = EnglishFrontEnd().read(tuple(text.split())).chars
    assert [char for char, _ in to_espeak(chars) if not model.knows(char)] == []


def test_the_catalogue_has_the_voices_that_are_there(vits: Path, tmp_path: Path) -> None:
    # Given both models, one speaker of which is asked for; no program espeak-ng, no path of the training machine is needed
    settings = Settings.model_validate({"paths": {"models": str(vits)}})
    voices = {voice.id: voice for voice in list_voices(settings) if voice.engine == "coqui"}
    assert set(voices) == {"coqui/ljspeech", "coqui/p225", "coqui/p226"}
    assert all(voice.installed and voice.licence == "Apache-2.0" for voice in voices.values())
    # When a job speaks with it
    spoken = {
        "paths": {"models": str(vits)},
        "stages": {"tts": {"check_speech": False}},
    }  # random weights speak no words
    ctx = job(tmp_path / "job", spoken, kind="speech", image=None, text="Good day. It is late.", voice="coqui/p226")
    facts = run(ctx)
    # Then the words have exact times
    assert (facts["engine"], facts["method"], sound(ctx.path("speech.wav"))[1]) == ("coqui", "exact", 22_050)
    assert [word["text"] for word in timing(ctx)["words"]] == ["Good", "day.", "It", "is", "late."]
    # And where nothing was fetched, the voice is known, and what it lacks
    (bare,) = [voice for voice in list_voices(Settings.model_validate({"paths": {"models": str(tmp_path)}}))
               if voice.engine == "coqui"]  # fmt: skip
    assert bare.missing
    assert "model_file.pth" in bare.missing.why
    assert "coqui-ljspeech" in bare.missing.remedy


def test_wrong_files_are_refused(tmp_path: Path) -> None:
    # Given a model whose configuration is of another size, of another model; a file that is cut off; none
    folder = build_vits(tmp_path / "m")
    raw = json.loads((folder / "config.json").read_text())
    good = (folder / "model_file.pth").read_bytes()
    torch.save([1], tmp_path / "list.pth")
    cases = {
        "shape": ({**raw, "model_args": {**raw["model_args"], "hidden_channels": 64}}, good, "model-foreign"),
        "kind": ({**raw, "model": "xtts"}, good, "model-foreign"),
        "cut": (raw, good[: len(good) // 2], "model-damaged"),
        "list": (raw, (tmp_path / "list.pth").read_bytes(), "model-foreign"),
    }
    for config, weights, code in cases.values():
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "model_file.pth").write_bytes(weights)
        with pytest.raises(MachineError) as error:
            VitsNetwork(folder)
        assert error.value.code == code
    (folder / "model_file.pth").unlink()
    with pytest.raises(MachineError) as error:
        VitsNetwork(folder)
    assert error.value.code == "model-missing"
