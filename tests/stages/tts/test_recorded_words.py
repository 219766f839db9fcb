"""A recording that comes alone: its words are recognised, and only what is really in the sound is shown."""

from __future__ import annotations

import difflib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stages.lipsync
import stages.tts
from daemon.errors import MachineError
from daemon.jobs.record import HEARD
from daemon.system import fs
from stages.context import Context
from stages.transcribe import moonshine
from stages.transcribe.base import Heard, HeardWord
from stages.tts import kept_words, recorded_words
from stages.tts.recorded_words import RecordedWords, keep_confirmed, place_words
from stages.tts.text.sentences import split_text
from stages.tts.timing import UNKNOWN_PHONE, Phone
from tests.support.stages.picture_jobs import track_of
from tests.support.stages.sound_jobs import ffmpeg, job, timing

pytestmark = pytest.mark.usefixtures("models")

TEXT = "The committee will meet again on Thursday morning. Please bring the printed budget, because we must decide."


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """The recording: a voice whose times are known exactly."""
    ctx = job(tmp_path_factory.mktemp("said"), text=TEXT)
    stages.tts.run(ctx)
    return ctx


def bring(folder: Path, recording: Path, settings: dict[str, Any] | None = None, **manifest: Any) -> Context:
    ctx = job(folder, settings, audio="recording.wav", **manifest)
    shutil.copy(recording, ctx.path("source.audio"))
    return ctx


def test_a_recording_alone_gets_words_captions_and_lips(said: Context, tmp_path: Path) -> None:
    # Given a recording, with its text and without
    told = bring(tmp_path / "told", said.path("speech.wav"), text=TEXT)
    alone = bring(tmp_path / "alone", said.path("speech.wav"))
    facts = {ctx.job_dir.name: stages.tts.run(ctx) for ctx in (told, alone)}
    # Then its words are known, but for those that the recogniser mishears, at their times, and the status says who heard them
    assert facts["alone"]["recogniser"] == "moonshine"
    assert "recogniser" not in facts["told"]
    assert facts["alone"]["method"] == "aligned"
    assert alone.warnings == []
    known, heard = ([word["text"].strip(",.").lower() for word in timing(ctx)["words"]] for ctx in (told, alone))
    same = difflib.SequenceMatcher(None, known, heard).get_matching_blocks()
    pairs = [(one.a + step, one.b + step) for one in same for step in range(one.size)]
    assert len(pairs) >= 0.9 * len(known)
    right, found = ([word["start"] for word in timing(ctx)["words"]] for ctx in (told, alone))
    assert np.mean([abs(right[a] - found[b]) for a, b in pairs]) <= 0.03
    # And the lips move as they do with the text: as far within a tenth, and alike
    for ctx in (told, alone):
        stages.lipsync.run(ctx)
    with_text, without = (track_of(ctx).column("jaw") for ctx in (told, alone))
    assert without.std() == pytest.approx(with_text.std(), rel=0.1)
    assert np.corrcoef(with_text, without)[0, 1] > 0.9


def test_words_are_not_sought_again_in_the_same_sound(
    said: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a recording whose words were found
    first = bring(tmp_path / "first", said.path("speech.wav"), text=TEXT)
    before = stages.tts.run(first)
    sought: list[str] = []

    def find_words(ctx: Context, seconds: float) -> RecordedWords:
        sought.append(ctx.job_dir.name)
        return recorded_words.find_words(ctx, seconds)

    monkeypatch.setattr(kept_words, "find_words", find_words)

    def based(name: str, sound: Path | None = None, **manifest: Any) -> Context:
        ctx = bring(tmp_path / name, sound or said.path("speech.wav"), **manifest)
        fs.link_path(first.path(HEARD), ctx.path(HEARD))
        return ctx

    # When a job that is based on it differs in other things
    again = based("again", text=TEXT, captions="srt", title="Again")
    facts = stages.tts.run(again)
    # Then the words are the same, to the last digit, and the status says so
    assert sought == []
    assert facts == {**before, "words_kept": True}
    assert timing(again) == timing(first)
    # But of other words, another sound, or a damaged record they are sought, and the first job keeps its own
    ffmpeg("-i", str(said.path("speech.wav")), "-af", "volume=0.5", str(tmp_path / "quiet.wav"))
    kept = first.path(HEARD).read_bytes()
    damaged = based("damaged", text=TEXT)
    damaged.path(HEARD).unlink()  # else the first job's would be damaged, too
    damaged.path(HEARD).write_bytes(kept.replace(b'"more"', b'"less"'))
    for ctx in (based("words", text=TEXT[:50]), based("sound", tmp_path / "quiet.wav", text=TEXT), damaged):
        assert "words_kept" not in stages.tts.run(ctx)
        assert sought.pop() == ctx.job_dir.name
    assert first.path(HEARD).read_bytes() == kept


def test_what_is_not_in_the_sound_is_not_shown(tmp_path: Path, said: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a recogniser that writes a plausible sentence over speech that is another
    class Dreamer:
        def hear(self, samples: Any, language: str) -> Heard:
            return Heard("Thank you very much for watching this video until the end.", "en")

    monkeypatch.setattr("stages.transcribe.moonshine._Moonshine", lambda _: Dreamer())
    ctx = bring(tmp_path, said.path("speech.wav"))
    facts = stages.tts.run(ctx)
    # Then its words are not shown, the mouth follows the loudness, and the person is told
    assert (facts["words"], facts["method"]) == (0, "energy")
    assert "not found in its sound" in ctx.warnings[0]


def test_one_sentence_that_was_not_said_goes_alone() -> None:
    sentences = tuple(split_text("Good morning. Thanks for watching. We begin.", "en"))
    phones = tuple(
        Phone("ə" if word in {0, 1, 5, 6} else UNKNOWN_PHONE, word, word + 0.5, word, 0) for word in range(7)
    )
    kept = keep_confirmed(RecordedWords(sentences, phones, "en", "moonshine"))
    assert [one.text for one in kept.sentences] == ["Good morning.", "We begin."]
    assert [(phone.word, phone.start) for phone in kept.phones] == [(0, 0), (1, 1), (2, 5), (3, 6)]


def test_music_gets_no_words(tmp_path: Path) -> None:
    tune = tmp_path / "tune.wav"
    ffmpeg("-f", "lavfi", "-i", "sine=330:duration=4", "-f", "lavfi", "-i", "sine=415:duration=4",
           "-filter_complex", "amix,tremolo=3", str(tune))  # fmt: skip
    ctx = bring(tmp_path / "job", tune)
    assert stages.tts.run(ctx)["words"] == 0
    assert timing(ctx)["words"] == []
    assert ctx.warnings


@pytest.mark.parametrize(
    ("settings", "manifest", "warning"),
    [
        ({}, {"language": "de"}, "knows no 'de' here"),
        ({"whisper_model": "nowhere"}, {}, "config.json is missing"),
        ({"transcribe": False}, {}, ""),
    ],
)
def test_without_a_recogniser_the_sound_moves_the_mouth_and_the_status_says_so(
    said: Context, tmp_path: Path, settings: dict[str, Any], manifest: dict[str, Any], warning: str
) -> None:
    if "whisper_model" in settings:
        settings = {"whisper_model": str(tmp_path / "nowhere")}
    ctx = bring(tmp_path / "job", said.path("speech.wav"), {"stages": {"tts": settings}}, **manifest)
    assert stages.tts.run(ctx)["method"] == "energy"
    assert (warning in " ".join(ctx.warnings)) if warning else ctx.warnings == []


def test_a_recogniser_that_fails_does_not_fail_the_job(
    said: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an installation whose recogniser carries no network
    monkeypatch.setattr("moonshine_voice.get_assets_path", lambda: str(tmp_path))
    ctx = bring(tmp_path / "job", said.path("speech.wav"))
    # Then the job goes on without its words
    assert stages.tts.run(ctx)["method"] == "energy"
    assert "has no network" in ctx.warnings[0]
    with pytest.raises(MachineError), moonshine.RECOGNISER.load(ctx.settings):
        pass

    # And so where it fails in a way that nobody foresaw
    class Broken:
        def hear(self, samples: Any, language: str) -> Heard:
            raise IndexError("list index out of range")

    monkeypatch.undo()
    monkeypatch.setattr("stages.transcribe.moonshine._Moonshine", lambda _: Broken())
    ctx = bring(tmp_path / "job2", said.path("speech.wav"))
    assert stages.tts.run(ctx)["method"] == "energy"
    assert "recogniser moonshine failed" in ctx.warnings[0]


def test_the_recognisers_times_are_kept_where_sounds_cannot_be_searched() -> None:
    # Given words as a recogniser cuts them, and the same text cut into words for captions
    heard = [
        HeardWord(" Guten", 0.1, 0.5),
        HeardWord(" Tag", 0.5, 0.5),
        HeardWord(",", 0.5, 0.52),
        HeardWord("今日は", 1.0, 1.6),
    ]
    sentences = split_text("Guten Tag, 今日は", "de")
    phones = place_words(sentences, heard)
    words = [word for one in sentences for word in one.words]
    assert words[:2] == ["Guten", "Tag,"]
    assert [(phones[0].start, phones[0].end), (phones[1].start, phones[1].end)] == [(0.1, 0.5), (0.5, 0.52)]
    assert [phones[2].start, phones[-1].end] == pytest.approx([1.0, 1.6])
    # And a text that is not what was heard gets none
    assert place_words(split_text("Guten Morgen", "de"), heard) == ()
    assert {phone.phone for phone in phones} == {UNKNOWN_PHONE}
