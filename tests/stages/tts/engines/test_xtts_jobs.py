"""XTTS in the tts stage: chosen by a profile's name, alone when asked for, resumed sentence by sentence."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from daemon.config import Settings
from daemon.errors import AvatarError
from daemon.jobs.manifest import Manifest
from stages.tts import run
from stages.tts.engines.base import Piece, SpokenPart
from stages.tts.engines.cache import CachedVoice
from stages.tts.engines.choose import choose_voice
from stages.tts.engines.hibari.engine import load_hibari
from stages.tts.engines.voices import list_voices
from stages.tts.engines.xtts.network import XttsNetwork
from stages.tts.profile_store import ProfileStore
from stages.tts.profiles.create import ProfileRequest, make_profile
from stages.tts.text.sentences import split_text
from stages.tts.text.short_sentences import join_short_sentences
from tests.support.stages.coqui_models import xtts_settings
from tests.support.stages.sound_jobs import job, sound, timing


def house(models: Path, folder: Path, **options: Any) -> Settings:
    """An installation with XTTS's files and folders of its own."""
    return xtts_settings(models, {"profiles": str(folder / "profiles"), "cache": str(folder / "cache")}, **options)


def anna(recording: Path, settings: Settings) -> str:
    return make_profile(
        [recording], ProfileRequest("vp-0000000a", "Anna", "de", "by letter", None, "command"), settings
    )[0].id


def wants(voice: str, language: str = "en") -> Manifest:
    return Manifest(kind="speech", text="Hello.", voice=voice, language=language)


def failure(manifest: Manifest, settings: Settings) -> AvatarError:
    with pytest.raises(AvatarError) as error:
        choose_voice(manifest, settings)
    return error.value


def test_a_profile_is_spoken_with_when_it_is_asked_for_and_never_else(
    published_xtts: Path, recording: Path, tmp_path: Path
) -> None:
    # Given a German profile beside XTTS's own voices
    settings = house(published_xtts, tmp_path)
    profile = anna(recording, settings)
    # When it is asked for by name or id, in any language of XTTS, then it is taken
    for asked in (wants("anna"), wants(profile, "zh-CN"), wants("xtts/Anna", "de-AT")):
        assert choose_voice(asked, settings).voice.aliases == (profile,)
    # But nobody is given it unasked: not for the default, not for a language that only XTTS speaks
    assert choose_voice(wants("default"), settings).engine == "hibari"
    assert choose_voice(wants("default", "de"), settings).voice.id == "xtts/Ada"
    # And no profile is named like another voice
    with pytest.raises(AvatarError, match="A voice named 'Heart' already exists"):
        make_profile([recording], ProfileRequest("vp-0000000b", "Heart", "en", "", None, "command"), settings)


def test_what_a_profile_lacks_fails_its_job_and_not_the_others(
    published_xtts: Path, recording: Path, tmp_path: Path
) -> None:
    # Given a profile where nobody accepted XTTS's licence, and where its files are missing
    settings = house(published_xtts, tmp_path)
    profile = anna(recording, settings)
    shut = failure(wants("Anna"), house(published_xtts, tmp_path, accept_licence=False))
    bare = failure(wants("Anna"), house(tmp_path, tmp_path))
    # Then the job fails, which is its own matter, and its status says what to do
    assert (shut.code, shut.fault) == (bare.code, bare.fault) == ("voice-not-installed", "job")
    assert "non-commercial" in shut.message
    assert "avatar models fetch xtts" in bare.hint
    # And one that was removed while a job waited for it is said to be gone
    store = ProfileStore(settings.paths.profiles)
    store.remove_profile(store.find_profile(profile))
    assert failure(wants(profile), settings).code == "profile-unknown"


class Teller:
    """An engine that counts what it says, and dies at a word."""

    sample_rate = 24_000
    method: Literal["aligned"] = "aligned"
    licence = "none"

    def __init__(self, dies_at: str = "") -> None:
        self.said: list[str] = []
        self._dies_at = dies_at

    def say(self, piece: Piece) -> Iterator[SpokenPart]:
        if self._dies_at in piece.words:
            raise RuntimeError("the process is gone")
        self.said.append(" ".join(piece.words))
        yield SpokenPart(np.full(100, len(self.said), np.float32), None, ("Listen to it.",))

    def fallback_voice(self) -> None:
        pass


@pytest.mark.parametrize("half", [0, 4, 100])
def test_after_a_crash_only_what_was_not_said_is_said(tmp_path: Path, half: int) -> None:
    # Given three sentences, of which the third ends the process
    pieces = [Piece((word,), "en", 1.0, (number,)) for number, word in enumerate(("One.", "Two.", "Three."))]
    first = CachedVoice(Teller("Three."), tmp_path / "said", ["anna"])
    before = [part for piece in pieces[:2] for part in first.say(piece)]
    with pytest.raises(RuntimeError):
        list(first.say(pieces[2]))
    # When a new process says them, and one piece was damaged
    piece = next(iter((tmp_path / "said").iterdir()))
    piece.write_bytes(piece.read_bytes()[:half])
    teller = Teller()
    second = CachedVoice(teller, tmp_path / "said", ["anna"])
    after = [part for piece in pieces for part in second.say(piece)]
    # Then the whole one is as it was, warnings and all, and two are said
    assert len(teller.said) == 2
    assert sum(np.array_equal(a.samples, b.samples) for a, b in zip(before, after, strict=False)) >= 1
    assert [part.warnings for part in after] == [("Listen to it.",)] * 3
    # And another voice, speed or seed is another piece
    other = Teller()
    list(CachedVoice(other, tmp_path / "said", ["eva"]).say(pieces[0]))
    list(CachedVoice(other, tmp_path / "said", ["anna"]).say(Piece(("One.",), "en", 1.5, (0,))))
    assert len(other.said) == 2
    # And what is not said any more is forgotten, and what is no speech is said again
    third = CachedVoice(teller, tmp_path / "said", ["anna"], lambda parts, piece: piece != pieces[1])
    list(third.say(pieces[0]))
    list(third.say(pieces[1]))
    assert third.synthesized == 1
    third.finish()
    assert len(list((tmp_path / "said").iterdir())) == 2


def test_short_sentences_are_said_with_their_neighbours(
    published_xtts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a text with sentences of one word, which the network does not end, beside a marked pause and a paragraph's end,
    # and in the place of random weights a voice whose words can be found
    text = "Yes. No. We met at 7:30 in 1990. Good. [pause 1s] Fine. That is all.\n\nReally?"
    said: list[str] = []
    heart = load_hibari(next(voice for voice in list_voices(Settings()) if voice.id == "hibari/heart"))

    def heard(network: XttsNetwork, text: str, *rest: Any) -> Any:
        said.append(text)
        spoken = heart.say(Piece(tuple(text.split()), "en", 1.0, (0,)))
        return np.concatenate([part.samples for part in spoken]), False

    monkeypatch.setattr(XttsNetwork, "say", heard)
    # When XTTS speaks
    raw = house(published_xtts, tmp_path, attempts=1).model_dump(mode="json")
    ctx = job(tmp_path / "job", raw, kind="speech", image=None, text=text, voice="xtts/Ada")
    run(ctx)
    # Then they are said together, but not over the pause or the paragraph's end; and figures are words
    assert said == ["Yes. No. We met at seven thirty in nineteen ninety. Good.", "Fine. That is all.", "Really?"]
    # And the sentences of the captions are those that were written
    assert [one["text"] for one in timing(ctx)["sentences"]] == [
        "Yes.", "No.", "We met at 7:30 in 1990.", "Good.", "Fine.", "That is all.", "Really?",
    ]  # fmt: skip
    words = {word["text"]: word for word in timing(ctx)["words"]}
    assert words["Fine."]["start"] - words["Good."]["end"] > 0.95
    assert words["7:30"]["end"] - words["7:30"]["start"] > 0.4


def test_only_short_sentences_are_joined_and_none_becomes_too_long() -> None:
    long = "This sentence has more than enough letters. "
    # Given an engine that says anything, and one that needs fifteen letters
    assert [one.text for one in join_short_sentences(split_text(f"Yes. No. {long}"), 0)] == [
        "Yes.",
        "No.",
        long.strip(),
    ]
    assert [one.text for one in join_short_sentences(split_text(long * 3), 15)] == [long.strip()] * 3
    # And where no blanks part words, none comes between the sentences
    assert [one.text for one in join_short_sentences(split_text("好。是的。今天我们去公园。", "zh"), 15)] == [
        "好。是的。今天我们去公园。"
    ]
    # Then the last of a paragraph goes with the one before it, unless that would be too long to be said at once
    assert [one.text for one in join_short_sentences(split_text(f"{long}Yes."), 15)] == [f"{long}Yes."]
    assert len(join_short_sentences(split_text(f"Yes. {'Word ' * 56}end. Yes."), 15)) == 3


def test_a_job_speaks_with_a_profile(published_xtts: Path, recording: Path, tmp_path: Path) -> None:
    # Given a profile
    settings = house(published_xtts, tmp_path, attempts=1)
    anna(recording, settings)
    # When a job speaks with it
    raw = settings.model_dump(mode="json")
    ctx = job(
        tmp_path / "job", raw, kind="speech", image=None, text="Hello there, my friend. Good day to you.", voice="Anna"
    )
    facts = run(ctx)
    # Then there is speech at XTTS's own rate, every word has a time, and the licence is told
    samples, rate = sound(ctx.path("speech.wav"))
    assert rate == 24_000
    assert np.abs(samples).max() < 0.9
    assert [word["text"] for word in timing(ctx)["words"]] == [
        "Hello",
        "there,",
        "my",
        "friend.",
        "Good",
        "day",
        "to",
        "you.",
    ]
    assert (facts["engine"], facts["voice"]) == ("xtts", "xtts/Anna")
    assert facts["method"] in ("aligned", "energy")  # what random weights say is no speech, and may be found to be none
    assert "non-commercial" in facts["licence"]
    assert list(ctx.path("said").iterdir())  # for a job that is based on it


@pytest.mark.parametrize(
    ("language", "text", "given"),
    [
        ("zh", "大家好，欢迎你们。我们去“公园”吧！", ["大家好,欢迎你们。", "我们去公园吧!"]),
        ("ja", "今日は、いい天気です。公園に 行こう。", ["今日は、いい天気です。", "公園に行こう。"]),
    ],
)
def test_text_without_blanks_is_said_by_the_sentence(
    published_xtts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, language: str, text: str, given: list[str]
) -> None:
    # Given two sentences in one run of characters
    settings = house(published_xtts, tmp_path)
    heard: list[str] = []
    say = XttsNetwork.say

    def listening(self: XttsNetwork, portion: str, *rest: Any) -> Any:
        heard.append(portion)
        return say(self, portion, *rest)

    monkeypatch.setattr(XttsNetwork, "say", listening)
    raw = settings.model_dump(mode="json")
    ctx = job(tmp_path / "job", raw, kind="speech", image=None, text=text, voice="Ada", language=language)
    run(ctx)
    # Then the network gets each by itself, without blanks between their words
    assert list(dict.fromkeys(heard)) == given
    # And every word has a time in its order, though its sounds are not known
    found = timing(ctx)
    assert found["method"] == "energy"
    assert "".join(word["text"] for word in found["words"]) == text.replace(" ", "")
    assert len(found["sentences"]) == 2
    assert all(a["end"] <= b["start"] + 1e-6 for a, b in pairwise(found["words"]))
