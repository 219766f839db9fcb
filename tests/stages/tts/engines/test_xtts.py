"""XTTS through the real library: random weights in the published layout, and what the guards make of what they say."""

from __future__ import annotations

import json
import os
import pickle
import posix
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from daemon.config import Settings
from daemon.errors import AvatarError, UnknownError
from stages.tts.engines.base import Piece, SpokenPart
from stages.tts.engines.xtts import checksum, quality_check, text_chunks, voices
from stages.tts.engines.xtts.checkpoint import read_speakers
from stages.tts.engines.xtts.engine import XttsVoice, load_network
from stages.tts.engines.xtts.network import REFERENCE_RATE, XttsNetwork
from stages.tts.text.spoken_length import expected_length
from tests.support.stages.coqui_models import sha256, xtts_settings

HELLO = Piece(("Hello", "there,", "my", "good", "friend."), "en", 1.0, (0,))
#: Seconds of one code of sound: 1024 samples at 22.05 kHz. Source: the model's configuration
CODE_S = 1024 / 22_050


@pytest.fixture
def models(published_xtts: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    (tmp_path / "models").mkdir()
    shutil.copytree(published_xtts / "xtts", tmp_path / "models" / "xtts")
    return tmp_path / "models"


@pytest.fixture
def voice(network: XttsNetwork) -> XttsVoice:
    return XttsVoice(network, network.condition(hum()), attempts=3)


def hum(seconds: float = 6.0) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Something with a pitch and pauses, in place of a person."""
    at = np.arange(round(seconds * REFERENCE_RATE)) / REFERENCE_RATE
    return np.asarray(0.2 * np.sin(2 * np.pi * 130 * at) * (np.sin(2 * np.pi * 3 * at) > 0), np.float32)


def spoken(engine: XttsVoice, piece: Piece) -> SpokenPart:
    (only,) = engine.say(piece)
    return only


def refusal(where: Settings) -> str:
    with pytest.raises(AvatarError) as error:
        load_network(where)
    assert error.value.hint
    return error.value.code


def test_the_same_words_at_the_same_place_sound_the_same(voice: XttsVoice) -> None:
    # Given a voice; when a sentence is said twice, and at another place
    first, again, elsewhere = (spoken(voice, piece) for piece in (HELLO, HELLO, Piece(HELLO.words, "en", 1.0, (9,))))
    # Then it is mono sound at 24 kHz, equal bit by bit, another one elsewhere, and it must be aligned
    assert voice.sample_rate == 24_000
    assert np.array_equal(first.samples, again.samples)
    assert len(first.samples) != len(elsewhere.samples) or not np.array_equal(first.samples, elsewhere.samples)
    assert 0.3 < len(first.samples) / 24_000 < 6
    assert first.phones is None


@pytest.mark.parametrize("words", [("—",), ("🎉", "!!!"), ("...",), ("“”",)])
def test_signs_alone_are_not_given_to_the_network(voice: XttsVoice, words: tuple[str, ...]) -> None:
    # Given text without a letter, for which the network invents speech; then nothing is said
    assert list(voice.say(Piece(words, "en", 1.0, (0,)))) == []


@pytest.mark.parametrize(
    ("language", "text"),
    [("en-GB", "It costs $20."), ("zh", "今天是2026年。"), ("ja", "今日は良い天気です。"), ("ko", "안녕하세요."),
     ("hi", "नमस्ते दोस्त।"), ("ar", "مرحبا بالعالم."), ("ru", "Привет, мир."), ("cs", "Dobrý den, 12 lidí.")],
)  # fmt: skip
def test_every_kind_of_script_is_read(network: XttsNetwork, language: str, text: str) -> None:
    # Given a language of the model; when its tokenizer spells a text, then it is letters, with numbers written out
    name = text_chunks.model_language(language)
    spelled = network.spelled(text_chunks.network_text(text.split()), name)
    assert text_chunks.has_letters(spelled)
    assert not any(char in "12" for char in spelled if language not in ("zh",))
    assert network.fits(text, name)


def test_an_unknown_language_is_named_with_those_there_are() -> None:
    with pytest.raises(AvatarError, match=r"does not speak the language 'sv'.*zh-cn"):
        text_chunks.model_language("sv")


def test_a_text_without_a_full_stop_is_cut_where_the_network_can_hold_it(network: XttsNetwork) -> None:
    # Given 5,000 characters without a full stop, and 500 without a blank
    long = text_chunks.network_text(
        ["word" + str(number % 7) + ("," if number % 9 == 0 else "") for number in range(800)]
    )
    for text, language in ((long, "en"), ("好" * 500, "zh-cn")):
        # When it is cut
        parts = list(text_chunks.split_to_fit(text, lambda part, name=language: network.fits(part, name)))  # type: ignore[misc]
        # Then nothing is lost, every portion fits, and none is a crumb
        assert "".join("".join(parts).split()) == "".join(text.split())
        assert all(network.fits(part, language) for part in parts)
        assert min(map(len, parts)) > max(map(len, parts)) / 4


def test_a_portion_never_exceeds_the_tokens_of_the_network(network: XttsNetwork) -> None:
    # Given numbers, of which few characters are many tokens once written out
    text = text_chunks.network_text(["777777777777"] * 18)
    assert len(text) < 250
    # Then the text is cut although its characters are few, and the library, which asserts its limit, takes every portion
    assert not network.fits(text, "en")
    for part in text_chunks.split_to_fit(text, lambda part: network.fits(part, "en")):
        assert len(network.model.tokenizer.encode(part.lower(), lang="en")) < 400


def test_a_sentence_that_never_ends_is_tried_again_and_told(network: XttsNetwork, voice: XttsVoice) -> None:
    # Given a network that is stopped after 3 codes of sound, 0.14 s, long before the sentence can be over
    limit = network.model.gpt.max_gen_mel_tokens
    network.model.gpt.max_gen_mel_tokens = 3
    try:
        # When it speaks
        said = spoken(voice, HELLO)
    finally:
        network.model.gpt.max_gen_mel_tokens = limit
    # Then what there is is given, with a warning that names sentence, tries and reasons
    assert 0 < len(said.samples) <= 24_000 * (3 * CODE_S + 0.2)
    (warning,) = said.warnings
    assert "Hello there, my good friend." in warning
    assert "3 times" in warning
    assert "did not end by itself" in warning


def test_the_first_good_take_is_kept_and_not_spoken_of(network: XttsNetwork, voice: XttsVoice) -> None:
    # Given takes of which the first is too short and the second is right
    tone = (0.1 * np.sin(np.arange(48_000) / 20)).astype(np.float32)
    takes = iter([(tone[:3000], False), (tone, False)])
    fake = FakeTakes(network, takes)
    mended = XttsVoice(fake, network.condition(hum()), attempts=3)
    # Then the second is used, without a word; it was another try, not the same once more
    said = spoken(mended, HELLO)
    assert len(set(fake.seeds)) == len(fake.seeds) == 2
    assert len(said.samples) / 24_000 == pytest.approx(2.0, abs=0.02)
    assert said.warnings == ()
    # And a take with two faults is better than silence, which has one
    endless = np.tile(tone, 20)
    least = XttsVoice(
        FakeTakes(network, iter([(tone * 0, False), (endless, True), (tone * 0, False)])), voice._voice, attempts=3
    )
    assert len(spoken(least, HELLO).samples)
    # And where every take is silent, that is an error and not a silent video
    silent = XttsVoice(FakeTakes(network, iter([(tone * 0, False)] * 3)), network.condition(hum()), attempts=3)
    with pytest.raises(UnknownError, match="produced no sound"):
        list(silent.say(HELLO))


class FakeTakes(XttsNetwork):
    """The real network's tokenizer, with takes whose faults are known."""

    def __init__(self, real: XttsNetwork, takes: Iterator[tuple[Any, bool]]) -> None:
        self.__dict__.update(real.__dict__)
        self._takes = takes
        self.seeds: list[int] = []

    def say(self, text: str, language: str, voice: Any, speed: float, seed: int, most_s: float) -> tuple[Any, bool]:
        self.seeds.append(seed)
        return next(self._takes)


def test_words_after_the_end_are_cut_off() -> None:
    # Given a sentence of 1.5 s, a gap of half a second, and 6 s that nobody wrote
    rate, noise = 24_000, np.random.default_rng(1).normal(0, 0.1, 24_000 * 8).astype(np.float32)
    noise[int(1.5 * rate) : 2 * rate] = 0.0
    expected = expected_length("hello there my good friend", "en", 1.0)
    # When it is judged
    take = quality_check.judge_attempt(noise, rate, expected, at_limit=False)
    # Then what follows the gap is gone, and that is told
    assert len(take.samples) / rate == pytest.approx(1.58, abs=0.03)
    assert take.faults == ("sound after the text was cut off",)
    # And silence after the last word goes without a word
    quiet = np.concatenate([noise[: int(1.5 * rate)], np.zeros(rate, np.float32)])
    take = quality_check.judge_attempt(quiet, rate, expected, at_limit=False)
    assert len(take.samples) / rate == pytest.approx(1.58, abs=0.03)
    assert take.faults == ()


def test_loading_changes_nothing_in_the_model_folder(models: Path) -> None:
    # Given a folder that nobody may write to
    before = {path.name: (sha256(path), path.stat().st_mtime_ns) for path in (models / "xtts").iterdir()}
    where = xtts_settings(models, {"cache": str(models.parent / "cache")})
    for path in (*(models / "xtts").iterdir(), models / "xtts"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    # When the model, which holds objects as the published one does, is loaded
    load_network(where)
    # Then every file is as it was, and none was added
    assert {path.name: (sha256(path), path.stat().st_mtime_ns) for path in (models / "xtts").iterdir()} == before


def test_files_that_are_not_right_are_refused_by_name(models: Path) -> None:
    model = models / "xtts" / "model.pth"
    # Given no consent to the licence; no trust in this file; a file that changed since it was trusted
    trusted = xtts_settings(models)
    assert refusal(xtts_settings(models, accept_licence=False)) == "licence-not-accepted"
    assert refusal(xtts_settings(models, model_sha256="")) == "model-altered"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    assert refusal(trusted) == "model-altered"
    # Given a file that is cut off; another vocabulary; none at all
    model.write_bytes(data[: len(data) // 2])
    assert refusal(xtts_settings(models)) == "model-damaged"
    model.unlink()
    assert refusal(xtts_settings(models)) == "model-missing"


def test_code_in_a_model_file_is_not_run(models: Path, tmp_path: Path) -> None:
    # Given a model file that would run a program when it is unpickled
    class Trap:
        def __reduce__(self) -> Any:
            return posix.system, (f"touch {tmp_path / 'sprung'}",)

    path = models / "xtts" / "model.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"model": Trap()}, protocol=2))
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    # Then it is refused, even where its hash is trusted, and nothing ran
    assert refusal(xtts_settings(models)) == "model-foreign"
    assert not (tmp_path / "sprung").exists()
    torch.save({"config": 1, "weights": torch.zeros(1)}, path)
    assert refusal(xtts_settings(models)) == "model-foreign"


def test_a_network_of_another_shape_is_refused(models: Path) -> None:
    # Given a configuration of another size, and one of another model
    path = models / "xtts" / "config.json"
    raw = json.loads(path.read_text())
    raw["model_args"]["gpt_layers"] = 3
    path.write_text(json.dumps(raw))
    assert refusal(xtts_settings(models)) == "model-foreign"
    path.write_text(json.dumps({**raw, "model": "vits"}))
    assert refusal(xtts_settings(models, attempts=2)) == "model-foreign"


def test_the_hash_is_read_once_and_again_when_the_file_changes(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a file whose hash was noted
    model = models / "xtts" / "model.pth"
    digest = sha256(model)
    assert checksum.checked_sha256(model, digest, models / "cache") == digest
    monkeypatch.setattr("stages.tts.engines.xtts.checksum.sha256_of", lambda _: "0" * 64)
    # Then it is not read a second time; but it is once it was touched
    assert checksum.checked_sha256(model, digest, models / "cache") == digest
    os.utime(model, ns=(1, 1))
    with pytest.raises(AvatarError):
        checksum.checked_sha256(model, digest, models / "cache")


def test_the_library_speaks_alike_with_and_without_its_cache_of_keys(network: XttsNetwork) -> None:
    # Given the pinned pair of coqui-tts and transformers, since other pairs speak no words, without an error
    inner, voice = network.model, network.condition(hum())
    tokens = torch.IntTensor(inner.tokenizer.encode("hello there", lang="en"))[None]
    limit, codes, steps = inner.gpt.max_gen_mel_tokens, {}, {True: 0, False: 0}
    inner.gpt.max_gen_mel_tokens = 12
    try:
        # When the likeliest codes are made with and without the cache
        for cached in (True, False):

            def look(_: Any, __: Any, given: dict[str, Any], cached: bool = cached) -> None:
                steps[cached] += given["input_ids"].shape[1]

            watch = inner.gpt.gpt_inference.register_forward_pre_hook(look, with_kwargs=True)
            made = inner.gpt.generate(voice.gpt, tokens, do_sample=False, num_beams=1, use_cache=cached)
            codes[cached] = made[0].tolist()
            watch.remove()
    finally:
        inner.gpt.max_gen_mel_tokens = limit
    # Then they are the same codes, and the cache did spare work
    assert codes[True] == codes[False]
    assert len(codes[True]) > 2
    assert steps[True] < steps[False]


def test_the_voices_that_come_with_the_model_can_be_read(published_xtts: Path) -> None:
    assert voices.model_voice_names(xtts_settings(published_xtts)) == ["Ada", "Bo"]
    found = read_speakers(published_xtts / "xtts" / "speakers_xtts.pth")
    assert {name: set(entry) for name, entry in found.items()} == {
        name: {"gpt_cond_latent", "speaker_embedding"} for name in ("Ada", "Bo")
    }


def test_a_damaged_file_of_voices_has_none_and_is_not_unpickled(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given the file with one byte of its list of names damaged, which may make an unpickler ask for gigabytes
    path = models / "xtts" / "speakers_xtts.pth"
    whole = path.read_bytes()
    at = whole.index(b"Ada")
    read: list[Any] = []
    monkeypatch.setattr(voices, "_NamesUnpickler", read.append)
    path.write_bytes(whole[:at] + b"E" + whole[at + 1 :])
    # When its names are asked for, then there are none, as where it is cut off or empty, and nothing was unpickled
    assert voices.model_voice_names(xtts_settings(models)) == []
    for content in (whole[: len(whole) // 2], b"", b"PK\x03\x04"):
        path.write_bytes(content)
        assert voices.model_voice_names(xtts_settings(models)) == []
    assert read == []
