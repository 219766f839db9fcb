"""What could not be made is refused by the first stage, in the words of the stage that would have found it later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import stages.check
import stages.face
import stages.tts
from daemon.errors import JobError
from stages.context import Context
from tests.support.stages.picture_jobs import drawn
from tests.support.stages.picture_jobs import job as picture_job
from tests.support.stages.sound_jobs import ffmpeg, job


def refused(ctx: Context, run: Any) -> tuple[str, str, str]:
    with pytest.raises(JobError) as caught:
        run(ctx)
    return caught.value.code, caught.value.message, caught.value.hint


@pytest.mark.parametrize(
    ("code", "manifest"),
    [
        ("text-unspeakable", {"text": "?!"}),
        ("text-not-english", {"text": "Добрый день, дорогие друзья."}),
        ("voice-unknown", {"text": "Hello.", "voice": "nobody-has-this"}),
        ("profile-unknown", {"text": "Hello.", "voice": "vp-00000000"}),
        ("audio-too-long", {"text": "word " * 50}),
    ],
)
def test_a_text_or_voice_is_refused_as_the_voice_would_refuse_it(
    tmp_path: Path, code: str, manifest: dict[str, Any]
) -> None:
    ctx = job(tmp_path, {"stages": {"tts": {"max_audio_s": 10}}}, **manifest)
    found = refused(ctx, stages.check.run)
    assert found[0] == code
    assert found == refused(ctx, stages.tts.run)


@pytest.mark.parametrize(
    ("code", "profile", "limits"),
    [
        ("profile-name", {"name": "a/b", "consent": "by letter"}, {}),
        ("consent-missing", {"name": "Mia"}, {"require_consent": True}),
    ],
)
def test_a_profile_that_may_not_be_made_is_refused_before_it_waits_for_its_turn(
    tmp_path: Path, code: str, profile: dict[str, Any], limits: dict[str, Any]
) -> None:
    picture = picture_job(tmp_path / "a", drawn(400), limits, kind="avatar", profile=profile)
    found = refused(picture, stages.check.run)
    assert found[0] == code
    assert found == refused(picture, stages.face.run)
    given = {"image": None, "audio": "mia.wav", "profile": profile}
    recording = job(tmp_path / "v", {"stages": {"tts": limits}}, kind="voice", **given)
    found = refused(recording, stages.check.run)
    assert found[0] == code
    assert found == refused(recording, stages.tts.run)


SUN = "The north wind and the sun were disputing which was the stronger. A traveller came along. They agreed. "


@pytest.mark.parametrize(
    ("duration", "says"), [("0:05", "The text takes at least about 12."), ("2:00", "The text takes at most about 24.")]
)
def test_a_duration_that_no_voice_can_keep_to_is_refused_at_once(tmp_path: Path, duration: str, says: str) -> None:
    manifest: dict[str, Any] = {"kind": "speech", "image": None, "text": SUN * 2, "duration": duration}
    code, message, hint = refused(job(tmp_path, **manifest), stages.check.run)
    assert code == "duration-unreachable"
    assert message.startswith(says)
    assert "about" in hint


@pytest.mark.parametrize(
    ("manifest", "fits"),
    [
        # What is near the limits is left to be measured: from two thirds of the estimate to twice as much
        ({"text": SUN * 2, "duration": 10}, True),
        ({"text": SUN * 2, "duration": 25}, True),
        # Figures, symbols and abbreviations are spoken longer than they are written
        ({"text": "In 1987, 4,321,987 people paid $99.99 to the NATO.", "duration": 14}, True),
        ({"text": "In this year, many a person paid a lot to the band.", "duration": 14}, False),
        # Marked pauses stay as they are
        ({"text": "Hello. [pause 10s] Dear friends.", "duration": 13}, True),
        # A lexicon may say anything
        ({"text": "Hello ACME.", "duration": 20, "lexicon": {"ACME": "a company that makes everything " * 4}}, True),
        ({"text": SUN * 2, "duration": 7, "speed": 1.6}, True),
    ],
)
def test_a_duration_that_may_be_reached_is_left_to_be_measured(
    tmp_path: Path, manifest: dict[str, Any], fits: bool
) -> None:
    ctx = job(tmp_path, kind="speech", image=None, **manifest)
    if fits:
        assert stages.check.run(ctx)["voice"]
    else:
        assert refused(ctx, stages.check.run)[0] == "duration-unreachable"


@pytest.mark.usefixtures("processes")
def test_a_recording_that_is_none_or_too_long_is_refused(tmp_path: Path) -> None:
    for name, content, code in (
        ("text", b"These are words.", "audio-unreadable"),
        ("nothing", b"", "audio-empty"),
        ("playlist", b"#EXTM3U\n/etc/hostname\n", "audio-unreadable"),
    ):
        ctx = job(tmp_path / name, audio="a.wav")
        ctx.source("audio").write_bytes(content)
        assert refused(ctx, stages.check.run)[0] == code
    ctx = job(tmp_path / "long", {"stages": {"tts": {"max_audio_s": 2}}}, audio="a.wav")
    ffmpeg("-f", "lavfi", "-i", "sine=f=200:d=3", "-f", "wav", str(ctx.source("audio")))
    assert refused(ctx, stages.check.run)[0] == "audio-too-long"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"%PDF-1.7 of a portrait", "a PDF document"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"PK\x03\x04" + bytes(60), "office document"),
        (b"\0\0\0\x18ftypheic" + bytes(64), "HEIC"),
        (b"\0\0\0\x18ftypmp42" + bytes(64), "an MP4 video"),
        (b"ID3" + bytes(64), "an MP3"),
        (b"", "is empty"),
    ],
)
def test_a_file_that_is_no_picture_is_refused_before_the_job_waits_for_its_turn(
    tmp_path: Path, content: bytes, says: str
) -> None:
    ctx = picture_job(tmp_path / "job", content, text="Hello.")
    told = refused(ctx, stages.check.run)
    assert says in told[1]
    # And the stage that would have decoded it says the same
    assert told == refused(ctx, stages.face.run)
    # And so is what is to stand behind the person
    ctx = picture_job(tmp_path / "behind", drawn(), text="Hello.", background="b.png")
    ctx.source("background").write_bytes(content)
    assert refused(ctx, stages.check.run) == (told[0], f"background: {told[1]}", told[2])


@pytest.mark.usefixtures("processes")
def test_what_is_found_is_told_at_once(tmp_path: Path) -> None:
    text = job(tmp_path / "text", kind="speech", text="Hello there, dear friends.")
    facts = stages.check.run(text)
    assert facts["engines"] == {"tts": "hibari"}
    assert (facts["voice"], facts["why"]) == ("hibari/heart", stages.check.run(text)["why"])
    assert 1.0 < facts["speech_s"] < 4.0
    sound = job(tmp_path / "sound", kind="speech", audio="a.wav")
    ffmpeg("-f", "lavfi", "-i", "sine=f=200:d=1.5", "-f", "wav", str(sound.source("audio")))
    assert stages.check.run(sound) == {"speech_s": 1.5}
    # And so is what the stage that speaks would warn of, hours later where the queue is long
    other = job(tmp_path / "other", kind="speech", text="Das Wetter ist schön und wir gehen in den Park.")
    stages.check.run(other)
    assert "seems to be German" in " ".join(other.warnings)
    # And nothing is left in the job's folder
    assert [path.name for path in sound.job_dir.iterdir()] == ["source.audio"]


def test_a_voice_that_the_machine_lacks_pauses_no_lane_but_its_own(tmp_path: Path) -> None:
    ctx = job(tmp_path, {"stages": {"tts": {"voice": "nobody"}}}, kind="speech", text="Hello.")
    assert set(stages.check.run(ctx)) == {"speech_s"}  # tts finds `voice-missing`, and pauses the lane of the voices


def test_no_avatar_is_made_with_a_voice_that_there_is_not(tmp_path: Path) -> None:
    assert stages.check.run(picture_job(tmp_path, drawn(), kind="avatar")) == {}
    assert stages.check.run(picture_job(tmp_path, drawn(), kind="avatar", voice="heart"))["voice"] == "hibari/heart"
    assert refused(job(tmp_path, kind="avatar", voice="nobody-has-this"), stages.check.run)[0] == "voice-unknown"
