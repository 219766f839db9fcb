"""Mandarin and Japanese: what is read, whose each sound is, and that what is heard is where timing.json says."""

from __future__ import annotations

from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest

import stages.tts
from stages.tts.phonemes import front_end
from stages.tts.phonemes.reading import NO_WORD
from stages.tts.text.sentences import split_text
from stages.tts.text.spoken_words import WordPreparer
from tests.support.stages.phonemes import check_phonemes
from tests.support.stages.sound_jobs import job, sound, timing

pytestmark = pytest.mark.usefixtures("models")


def read(language: str, text: str, lexicon: dict[str, str] | None = None) -> list[tuple[str, str]]:
    """(written word, its phonemes without spaces) of one sentence."""
    (sentence,) = split_text(text, language)
    prepared = WordPreparer(language, lexicon or {}).prepare(sentence.words)
    reading = front_end(language).read(prepared.words, prepared.sounds)
    # No sound is nobody's, and they come in the order of the words
    owners = [owner for char, owner in zip(reading.chars, reading.owners, strict=True) if char != " "]
    assert owners == sorted(owners)
    assert NO_WORD not in owners
    found = dict.fromkeys(range(len(sentence.words)), "")
    for char, owner in zip(reading.chars, reading.owners, strict=True):
        if char != " ":
            found[prepared.owners[owner]] += char
    return [(word, found[at]) for at, word in enumerate(sentence.words)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("行长在银行长大。", [("行长", "xa↗ŋꭧa↓ŋ"), ("在", "ʦai↘"), ("银行", "i↗nxa↗ŋ"), ("长大。", "ꭧa↓ŋta↘.")]),
        ("到2026年3月15日，走。", [("2026年3月15日，", "ɚ↘li↗ŋɚ↘ljou↘njɛ↗nsa→nɥe↘ʂɨ↗u↓ɻɨ↘,")]),
        ("今天14:30到。", [("14:30到。", "ʂɨ↗sɨ↘tjɛ↓npa↘ntau↘.")]),
        ("共1,250元，涨50%。", [("1,250元，", "i→ʨʰjɛ→nɚ↘pai↓u↓ʂɨ↗ɥɛ↗n,"), ("50%。", "pai↓fə→nꭧɨ→u↓ʂɨ↗.")]),
        ("约$3.5亿，买2个。", [("$3.5亿，", "sa→ntjɛ↓nu↓i↘mei↓ɥɛ↗n,"), ("2个。", "lja↓ŋkɤ↘.")]),
        ("零下是-5℃吗？", [("-5℃", "li↗ŋɕja↘u↓tu↘"), ("吗？", "ma?")]),
        ("我用Python看GDP。", [("Python", "pˈIθˌɑn"), ("看", "kʰa↘n"), ("GDP。", "ʤˌidˌipˈi.")]),
        ("臺灣的夜市很有名。", [("夜市", "je↘ʂɨ↘")]),
    ],
)
def test_mandarin_is_read_and_every_sound_is_its_words(text: str, expected: list[tuple[str, str]]) -> None:
    found = read("zh", text)
    assert [pair for pair in expected if pair not in found] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "今日は2026年3月15日です。",
            [("今日は", "kʲoːβa"), ("2026年3月15日です。", "ɲiseɴɲiʥɨːɾokɯneɴsaŋɡaʦɨʥɨːɡoɲiʨidesɨ.")],
        ),
        (
            "３つを1,250円で買った。",
            [("３つを", "mʲiʔʦɨo"), ("1,250円で", "seɴɲiçakɯɡoʥɨːeɴde"), ("買った。", "kaʔta.")],
        ),
        ("三本、14:30に。", [("三本、", "saɴboɴ,"), ("14:30に。", "ʥɨːjoʥisaɴʥɨʔpɯɴɲi.")]),
        ("PythonとNHKと、Google。", [("NHKと、", "enɯeiʨikeito,"), ("Google。", "ɡɯːɡɯɾɯ.")]),
        ("「行こう！」と時々言った。", [("「行こう！」", "“ikoː!”"), ("と", "to"), ("時々", "tokʲidokʲi")]),
        ("ｺｰﾋｰと新聞をちょっと。", [("ｺｰﾋｰと", "koːçiːto"), ("新聞を", "ɕimbɯɴo"), ("ちょっと。", "ʨoʔto.")]),
    ],
)
def test_japanese_is_read_and_every_sound_is_its_words(text: str, expected: list[tuple[str, str]]) -> None:
    found = read("ja", text)
    assert [pair for pair in expected if pair not in found] == []


def test_a_lexicon_knows_a_name_inside_a_run() -> None:
    # Given names that no blank parts from the words around them
    lexicon = {"avatard": "AV-uh-tar-dee", "小鳥遊": "たかなし", "乐": "/ɥe↘/"}
    # Then each is said as the lexicon says, and what is beside it as ever
    assert read("ja", "これはavatardです。", lexicon)[-1][1].startswith("ˈævʌtɑɹdi")
    assert read("ja", "小鳥遊さんが来た。", lexicon)[0] == ("小鳥遊さんが", "takanaɕisaɴɡa")
    assert read("zh", "他姓乐。", lexicon)[-1] == ("姓乐。", "ɕi↘ŋɥe↘.")


KANA = (
    "アイウエオカキクケコガギグゲゴサシスセソザジズゼゾタチツテトダヂヅデドナニヌネノハヒフ"
    "ヘホバビブベボパピプペポマミムメモヤユヨラリルレロワヲンヴ"
)
#: The first level of GB 2312: the 3,755 characters that are in everyday use.
HAN = [bytes((row, cell)).decode("gb2312", "ignore") for row in range(0xB0, 0xD8) for cell in range(0xA1, 0xFF)]


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("zh", ["".join(HAN[at : at + 40]) for at in range(0, len(HAN), 40)]),
        (
            "ja",
            [
                first + small
                for first, small in product(KANA, ["", "ャ", "ュ", "ョ", "ァ", "ィ", "ェ", "ォ", "ー", "ッカ"])
            ],
        ),
    ],
)
def test_the_network_and_the_mouth_know_every_sound(language: str, words: list[str]) -> None:
    # Given every character in everyday use, or every pair of kana
    readings = [front_end(language).read([word], {}) for word in words]
    # Then none is silent, each phoneme is in the network's alphabet, and each phone has a mouth
    assert all(reading.chars for reading in readings)
    check_phonemes(language, (reading.chars for reading in readings))


@pytest.mark.parametrize(
    ("language", "voice", "text", "lips"),
    [
        ("zh", "xiaobei", "爸爸跑步，妈妈买了20个苹果。", "p"),
        ("ja", "alpha", "パパはピアノを弾き、ママは20分パンを焼いた。", "p"),
    ],
)
def test_it_is_said_when_its_times_say_so(
    kokoro_models: Path, tmp_path: Path, language: str, voice: str, text: str, lips: str
) -> None:
    # Given a sentence full of P in a language without blanks
    ctx = job(tmp_path, {"paths": {"models": kokoro_models}}, text=text, voice=voice, language=language)
    stages.tts.run(ctx)
    # Then its words are those that were written, one after another inside the sound, and none is long
    found = timing(ctx)
    samples, rate = sound(ctx.path("speech.wav"))
    words = found["words"]
    assert "".join(word["text"] for word in words) == found["sentences"][0]["text"] == text
    assert all(a["end"] <= b["start"] + 1e-6 for a, b in pairwise(words))
    assert max(word["end"] - word["start"] for word in words) < 2.0
    assert found["phones"][-1]["end"] <= found["duration"] == len(samples) / rate
    # And where the lips close the sound is silent, while open vowels are loud
    step = rate // 200
    level = 10 * np.log10(np.maximum((samples[: len(samples) // step * step].reshape(-1, step) ** 2).mean(1), 1e-9))
    parts = [(one["phone"], level[round(one["start"] * 200) : round(one["end"] * 200)]) for one in found["phones"]]
    shut = np.median([part.min() for phone, part in parts if phone == lips])
    loud = np.median([np.median(part) for phone, part in parts if phone == "a"])
    assert shut < loud - 15
