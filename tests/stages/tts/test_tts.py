"""The tts stage: what it promises about words, times, sound and bad text."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import stages.tts
from daemon.config import Settings
from daemon.jobs.record import SPOKEN
from stages.context import Context
from stages.tts.engines.base import Piece, SpokenPart
from stages.tts.engines.durations import UNIT_SAMPLES, phones_of
from stages.tts.engines.hibari.engine import HibariVoice, load_hibari
from stages.tts.engines.voices import list_voices
from stages.tts.phonemes.reading import EnglishFrontEnd
from stages.tts.text.sentences import split_text
from stages.tts.text.spoken_words import WordPreparer
from stages.tts.timing import timed_words
from stages.tts.track import SpeechTrack
from tests.support.endurance import repeats
from tests.support.stages.sound_jobs import job, meter, refused, sound, timing

pytestmark = pytest.mark.usefixtures("models")
TEXT = "Peter Piper paid $1,250.50 to Dr. Smith at 7:30 pm. Bob's baby bought big blue balloons!\n\nWhy? Nobody knows."


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Context:
    ctx = job(tmp_path_factory.mktemp("said"), text=TEXT)
    stages.tts.run(ctx)
    return ctx


def heart() -> HibariVoice:
    return load_hibari(next(voice for voice in list_voices(Settings()) if voice.id == "hibari/heart"))


def test_durations_add_up_to_the_sound_exactly() -> None:
    # Given a voice and a sentence longer than the network takes at once
    voice = heart()
    reading = EnglishFrontEnd().read(("The tide turns, and the boats turn with it " * 20).split())
    # When it is said
    utterances = list(voice.utter(reading, 1.0, (1,)))
    # Then it is cut, and each part's durations times 600 samples are its sound
    assert len(utterances) > 1
    for utterance in utterances:
        assert sum(utterance.units) * UNIT_SAMPLES == len(utterance.samples)
        assert len(utterance.chars) <= 402


def test_words_are_those_the_person_wrote(said: Context) -> None:
    # Given a text with an amount, a time and an abbreviation, which are spoken as several words
    words = timing(said)["words"]
    # Then each is still one word of the captions, and together they are the text
    assert [word["text"] for word in words] == TEXT.split()
    spoken = {word["text"]: word["end"] - word["start"] for word in words}
    assert spoken["$1,250.50"] > 2.0
    assert spoken["7:30"] > 0.4
    assert spoken["Dr."] < 0.8


def test_times_are_ordered_and_inside_the_sound(said: Context) -> None:
    # Given the timing of a text
    facts = timing(said)
    samples, rate = sound(said.path("speech.wav"))
    # Then it is as long as the sound, and phones, words and sentences follow one another without overlap
    assert facts["duration"] == len(samples) / rate
    assert facts["sample_rate"] == rate
    for name in ("phones", "words", "sentences"):
        entries = facts[name]
        assert all(entry["start"] < entry["end"] for entry in entries), name
        assert all(a["end"] <= b["start"] + 1e-6 for a, b in pairwise(entries)), name
        assert entries[-1]["end"] <= facts["duration"]
    for phone in facts["phones"]:
        word = facts["words"][phone["word"]]
        sentence = facts["sentences"][word["sentence"]]
        assert word["start"] <= phone["start"] < phone["end"] <= word["end"]
        assert sentence["start"] <= word["start"] < word["end"] <= sentence["end"]
    assert len(facts["sentences"]) == 4


def test_phones_stand_where_the_sound_has_them(said: Context) -> None:
    # Given the level of every 5 ms of the speech
    samples, rate = sound(said.path("speech.wav"))
    step = rate // 200
    level = 10 * np.log10(np.maximum((samples[: len(samples) // step * step].reshape(-1, step) ** 2).mean(1), 1e-9))

    def levels(symbols: str) -> list[float]:
        return [
            float(level[round(p["start"] * 200) : round(p["end"] * 200)].min())
            for p in timing(said)["phones"]
            if p["phone"] in symbols
        ]

    # Then lips that close for P and B silence the sound, and open vowels are loud
    assert np.median(levels("pb")) < np.median(levels("ɑæAIO")) - 12


def test_stress_and_vowels_are_told(said: Context) -> None:
    # Given "Piper"
    facts = timing(said)
    phones = [p for p in facts["phones"] if p["word"] == 1]
    # Then its phones come with the stress of the vowel
    assert [(p["phone"], p["stress"]) for p in phones] == [("p", 0), ("I", 1), ("p", 0), ("ə", 0), ("ɹ", 0)]


def test_pauses_are_the_asked_ones_and_silent(said: Context) -> None:
    # Given the gaps between sentences, before the first and after the last
    facts, tts = timing(said), said.settings.stages.tts
    samples, rate = sound(said.path("speech.wav"))
    ends = [sentence["end"] for sentence in facts["sentences"]]
    starts = [sentence["start"] for sentence in facts["sentences"]]
    # Then they have the lengths of the settings (with the little room each utterance keeps), and nothing sounds in them
    slack = 0.15
    assert tts.lead_s <= starts[0] <= tts.lead_s + slack
    assert tts.tail_s <= facts["duration"] - ends[-1] <= tts.tail_s + slack
    assert tts.sentence_pause_s <= starts[1] - ends[0] <= tts.sentence_pause_s + slack
    assert tts.paragraph_pause_s <= starts[2] - ends[1] <= tts.paragraph_pause_s + slack
    for begin, end in [(0.0, starts[0]), *zip(ends, [*starts[1:], facts["duration"]], strict=True)]:
        middle = samples[round((begin + 0.08) * rate) : round((end - 0.08) * rate)]
        assert np.abs(middle).max() < 0.003


@pytest.mark.parametrize("text", ["[pause 2s]\n\nHello.", "[pause 2s] 🎉!\n\nHello there.", "[pause 2s] Hello."])
def test_a_pause_before_the_first_word_is_kept(tmp_path: Path, text: str) -> None:
    # Given a pause in a paragraph of its own, beside what cannot be said, or before the first word / Then it is silent
    ctx = job(tmp_path, text=text)
    stages.tts.run(ctx)
    assert 1.95 < timing(ctx)["words"][0]["start"] < 2.3


def test_level_is_even_and_nothing_clips_or_clicks(said: Context) -> None:
    # Given the speech
    samples, rate = sound(said.path("speech.wav"))
    # Then an independent meter finds the loudness and the room above the peaks that are asked for
    loudness, peak = meter(said.path("speech.wav"))
    assert abs(loudness + 16) <= 0.3
    assert peak <= -1.0
    # And where sound meets an inserted pause (zeros for 10 ms and more) there is no step
    zero = np.flatnonzero(np.diff(np.concatenate([[False], samples == 0.0, [False]]).astype(int)))
    pauses = [(first, last) for first, last in zero.reshape(-1, 2) if last - first >= rate // 100]
    assert len(pauses) >= 5
    for first, last in pauses:
        assert np.abs(samples[max(0, first - 24) : first]).max(initial=0.0) < 0.01
        assert np.abs(samples[last : last + 24]).max(initial=0.0) < 0.01
    assert rate == 24_000


def test_same_text_gives_the_same_bytes(said: Context, tmp_path: Path) -> None:
    # Given a text that was said
    # When it is said again in another job
    again = job(tmp_path, text=TEXT)
    stages.tts.run(again)
    # Then sound and timing are the same, byte for byte
    for name in ("speech.wav", "timing.json"):
        assert again.path(name).read_bytes() == said.path(name).read_bytes()


def test_speed_changes_the_pace(said: Context, tmp_path: Path) -> None:
    fast = job(tmp_path, text=TEXT, speed=2.0)
    stages.tts.run(fast)
    assert timing(fast)["duration"] < 0.75 * timing(said)["duration"]


def test_a_long_text_is_said_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given 2,000 characters without a full stop, and a record of what is held at once
    text = ("and so the river goes on to the sea and never asks why it must go " * 80)[:2000]
    held: list[int] = []
    add = SpeechTrack.append_sound

    def recorded(track: SpeechTrack, samples: Any) -> None:
        held.append(len(samples))
        add(track, samples)

    monkeypatch.setattr(SpeechTrack, "append_sound", recorded)
    parts: list[float] = []
    ctx = job(tmp_path, text=text)
    # When it is said
    facts = stages.tts.run(Context(ctx.job_id, ctx.name, ctx.job_dir, ctx.manifest, ctx.settings, parts.append))
    # Then no piece is longer than a long sentence, progress is told on the way, and every word has its time
    assert max(held) < 40 * 24_000
    assert sum(held) > 80 * 24_000
    assert facts["words"] == len(text.split())
    assert parts == sorted(parts)
    assert parts[-1] == 1.0


_BITS = (
    "hello world's 7:30 pm $1,250.50 Rs 500 5 km — – 😀 👩‍🚀 Привет … Dr. Smith 3/14/2026 & 1/2 #1 C++ e.g. U.S. café ½ ²"
    " [x](/y/) {a} <b> http://a.b/c?d=e& x@y.com \\N 'tis \"quoted\" -5 100% 50¢ IV 10°C ... !!! - _ ' π 日本 ⑦ Ⅳ 𝓐𝓑 ７"
    " 123456789012345678901234567890123456789012345 99:99 w/ St. Paul 2024-01-02 $5 million ¥3k = a/b \u200b \u0301"
    " $5–10 (555) 123-4567 1 1/2 10–12 May him[1] 1,5 kg 9am–5pm 5'10\" 3:2 10M 1.0"
)


@settings(max_examples=repeats("AVATAR_FUZZ", 15, 40))
@given(st.lists(st.sampled_from(re.split(" ", _BITS)), min_size=1, max_size=25), st.sampled_from([" ", "\n", ".\n\n"]))
@example(["it", "日本", "\u200b", "went"], " ")
@example(["日本", "日本"], " ")
def test_no_word_is_lost_whatever_is_written(bits: list[str], join: str) -> None:
    # Given any mixture of words, figures, signs and scripts
    text = join.join(bits)
    sentences = split_text(text)
    assert _in_japanese(" ".join(sentence.text for sentence in sentences)) == _in_japanese(" ".join(text.split()))
    # When the phones of its sentences are gathered
    reader, voice, preparer = EnglishFrontEnd(), heart(), WordPreparer("en")
    phones, first, at = [], 0, 0.0
    for sentence in sentences:
        prepared = preparer.prepare(sentence.words)
        for utterance in voice.utter(reader.read(prepared.words), 1.0, (0,)):
            found = [replace(phone, word=prepared.owners[phone.word]) for phone in phones_of(utterance)]
            assert all(a.end <= b.start + 1e-9 and a.word <= b.word for a, b in pairwise(found))
            assert all(0 <= phone.start < phone.end for phone in found)
            phones += [type(p)(p.phone, p.start + at, p.end + at, p.word + first, p.stress) for p in found]
            at += len(utterance.samples) / 24_000
        first += len(sentence.words)
    # Then the words are the whole text, in order, each with a time of its own
    if phones:
        _, words, _ = timed_words(sentences, phones)
        assert _in_japanese(" ".join(word.text for word in words)) == _in_japanese(" ".join(text.split()))
        assert all(word.start < word.end for word in words)
        assert all(a.end <= b.start + 1e-9 for a, b in pairwise(words))


def _in_japanese(text: str) -> str:
    """The text without the blanks between Japanese words, which a text in that script may lose."""
    return text.replace("日本 日本", "日本日本").replace("日本 日本", "日本日本")


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("Dr. Smith met Mr. J. K. Jones. They talked.", ["Dr.", "They"]),
        ("He left at 5 p.m. Nobody saw. See fig. 3 e.g. there.", ["He", "Nobody", "See"]),
        ('"Really?" she asked. "Yes." He went.', ['"Really?"', '"Yes."', "He"]),
        ("A line that was wrapped by\nan editor. Next.", ["A", "Next."]),
        ("Title\nA first line of some length here\nand more", ["Title", "A"]),
        ("Buy:\n- milk\n- bread", ["Buy:", "-", "-"]),
        ("1. Mix it. 2. Bake it.", ["1.", "2."]),
    ],
)
def test_sentences_end_where_a_reader_ends_them(text: str, starts: list[str]) -> None:
    assert [sentence.words[0] for sentence in split_text(text)] == starts


@pytest.mark.parametrize(
    ("manifest", "code", "named"),
    [
        ({"text": " \n\t "}, "text-empty", "empty"),
        ({"text": "?! … *** 🎉"}, "text-unspeakable", "letters or digits"),
        ({"text": "Привет, как дела?"}, "text-not-english", "Cyrillic"),
        ({"text": "これは日本語の文章です"}, "text-not-english", "Japanese"),
        ({"text": "你好，世界"}, "text-not-english", "Chinese"),
        ({"text": "a" * 60_001}, "text-too-long", "60,001"),
        ({"text": "Hello.", "voice": "hart"}, "voice-unknown", "hart"),
        ({"text": "Hello.", "voice": "emma"}, "voice-not-installed", "emma"),
        ({"text": "Guten Tag.", "language": "de"}, "language-unsupported", "de"),
    ],
)
def test_what_cannot_be_said_is_refused_with_its_reason(
    tmp_path: Path, manifest: dict[str, Any], code: str, named: str
) -> None:
    error = refused(job(tmp_path, **manifest))
    assert error.code == code
    assert named in error.message


def test_a_misspelt_voice_is_answered_with_the_nearest(tmp_path: Path) -> None:
    assert "'heart'" in refused(job(tmp_path, text="Hello.", voice="hart")).hint


def test_speech_past_the_limit_is_refused(tmp_path: Path) -> None:
    ctx = job(tmp_path, {"stages": {"tts": {"max_audio_s": 2}}}, text="This takes quite a lot longer than two seconds.")
    assert refused(ctx).code == "audio-too-long"


def test_foreign_words_and_emoji_are_spoken_around_with_a_warning(tmp_path: Path) -> None:
    # Given an English text with a Russian word and an emoji
    ctx = job(tmp_path, text="My friend Иван is here 🎉 today.")
    # When it is said
    stages.tts.run(ctx)
    # Then the rest is spoken, the words are kept for the captions, and the person is told
    assert " ".join(word["text"] for word in timing(ctx)["words"]) == "My friend Иван is here 🎉 today."
    assert len(ctx.warnings) == 1
    assert "Cyrillic" in ctx.warnings[0]
    assert "emoji" in ctx.warnings[0]


def test_the_check_needs_no_model_code() -> None:
    code = (
        "import sys, stages.tts, stages.tts.checks as c; from daemon.config.settings import Settings;"
        "from daemon.jobs.manifest import Manifest; c.check_request(Manifest(text='Hi.', image='a.png'), Settings());"
        "bad = {'numpy', 'onnxruntime', 'hibari', 'cv2', 'mediapipe'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("word", ["aB", "'a", "a-", "7:30", "($", "= "])
def test_text_made_to_be_slow_is_only_odd(word: str) -> None:
    # Given 5,000 characters without the shape of language, which would keep greedy patterns busy for hours
    words = (word * 5000)[:5000].split()
    # Then they are read (a hang would run into the test's time limit)
    assert EnglishFrontEnd().read(WordPreparer("en").prepare(words[:100]).words).chars


def test_a_text_goes_on_where_it_was_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a daemon that ends while the last sentence of a text is spoken
    whole, cut = (job(tmp_path / name, text=TEXT) for name in ("whole", "cut"))
    stages.tts.run(whole)
    said: list[str] = []
    say = HibariVoice.say

    def counted(self: HibariVoice, piece: Piece) -> Iterator[SpokenPart]:
        if "knows." in piece.words and "knows." not in said:
            said.append("knows.")
            raise KeyboardInterrupt
        said.append(piece.words[0])
        return say(self, piece)

    monkeypatch.setattr(HibariVoice, "say", counted)
    with pytest.raises(KeyboardInterrupt):
        stages.tts.run(cut)
    before = said[:-1]
    assert before
    # When it starts again / Then no sentence is spoken twice, and the speech is the same, bit by bit
    said[:] = ["knows."]
    stages.tts.run(cut)
    assert not set(before) & set(said)
    for name in ("speech.wav", "timing.json"):
        assert cut.path(name).read_bytes() == whole.path(name).read_bytes()


def test_only_new_sentences_are_spoken_and_the_others_are_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = job(tmp_path / "first", text="The first one. The second one. The third one.")
    assert stages.tts.run(first)["spoken"] == "3 of 3 sentences new"
    # Given a job that has what the first one said, with a sentence before and one in the middle that are new
    again = job(tmp_path / "again", text="A new beginning! The first one. Another second one. The third one.")
    shutil.copytree(first.path("said"), again.path("said"))
    said: list[str] = []
    say = HibariVoice.say

    def noted(self: HibariVoice, piece: Piece) -> Iterator[SpokenPart]:
        said.append(" ".join(piece.words))
        return say(self, piece)

    monkeypatch.setattr(HibariVoice, "say", noted)
    assert stages.tts.run(again)["spoken"] == "2 of 4 sentences new"
    assert said == ["A new beginning!", "Another second one."]
    # And it is what it would be without the first one, bit by bit
    alone = job(tmp_path / "alone", text=again.manifest.text)
    stages.tts.run(alone)
    for name in ("speech.wav", "timing.json"):
        assert alone.path(name).read_bytes() == again.path(name).read_bytes()
    # And at another speed nothing is taken over
    other = job(tmp_path / "other", text=again.manifest.text, speed=1.1)
    shutil.copytree(first.path("said"), other.path("said"))
    assert stages.tts.run(other)["spoken"] == "4 of 4 sentences new"
    assert len(list(other.path("said").iterdir())) == 4


def test_a_sentence_that_another_job_has_said_is_not_spoken_again(tmp_path: Path) -> None:
    # Given two jobs of one installation, such as two rows of a batch
    (tmp_path / "cache").mkdir()
    settings = {"paths": {"cache": str(tmp_path / "cache")}}
    stages.tts.run(job(tmp_path / "one", settings, text="Welcome to the course. Hello Anna."))
    second = job(tmp_path / "two", settings, text="Hello Ben. Welcome to the course.")
    # Then the second one speaks only what is new, and sounds as if it were alone, bit by bit
    assert stages.tts.run(second)["spoken"] == "1 of 2 sentences new"
    alone = job(tmp_path / "alone", text=second.manifest.text)
    stages.tts.run(alone)
    for name in ("speech.wav", "timing.json"):
        assert alone.path(name).read_bytes() == second.path(name).read_bytes()
    # And what was damaged in the cache, or stands there under another one's name, is spoken again, and mended
    shared = sorted((tmp_path / "cache" / SPOKEN).iterdir())
    assert len(shared) == 3
    contents = [path.read_bytes() for path in shared]
    for path, content in zip(shared, [contents[1], contents[0], contents[2][:-9]], strict=True):
        path.unlink()
        path.write_bytes(content)
    third = job(tmp_path / "three", settings, text="Hello Anna. Hello Ben. Welcome to the course.")
    assert stages.tts.run(third)["spoken"] == "3 of 3 sentences new"
    assert [path.read_bytes() for path in shared] == contents
