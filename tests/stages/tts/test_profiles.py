"""Voice profiles: what makes a voice and what does not, kept whole or not at all, and spoken with."""

from __future__ import annotations

import datetime
import os
import stat
import wave
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from daemon.config import Settings
from daemon.errors import AvatarError, JobError
from daemon.system.installation import Missing, how_to_install_extra
from stages.tts import run
from stages.tts.engines.base import Piece
from stages.tts.engines.coqui_library import PINS
from stages.tts.engines.registry import ENGINES, engine_missing
from stages.tts.engines.xtts import speaker_latents, voices
from stages.tts.engines.xtts.engine import load_xtts
from stages.tts.engines.xtts.network import XttsNetwork
from stages.tts.profile_store import Profile, ProfileStore
from stages.tts.profiles.create import ProfileRequest, make_profile
from stages.tts.profiles.quality import measure_quality
from stages.tts.profiles.sample import RATE, decode_sample, make_reference
from tests.support.stages.coqui_models import xtts_settings
from tests.support.stages.sound_jobs import ffmpeg, job, sound

#: A player's scale and a drum, twice a second.
_MUSIC = (
    "aevalsrc='0.2*exp(-3*mod(t,0.5))*sin(2*PI*220*pow(2,floor(mod(2*t,8))*2/12)*t)"
    "+0.3*exp(-40*mod(t,0.5))*(random(0)-0.5)':s=22050:d=12"
)

#: A flute with vibrato and breath, and rests between its phrases; a siren that comes and goes.
_FLUTE = (
    "aevalsrc='lt(mod(t,4),3)*(0.3*sin(2*PI*293*pow(2,floor(mod(2*t,8))*2/12)*t+0.9*sin(2*PI*5.5*t))"
    "+0.2*gt(mod(t,0.5),0.43)*(random(0)-0.5))':s=22050:d=12"
)
_SIREN = "aevalsrc='0.3*lt(mod(t,3),2.5)*sin(2*PI*200*t+250*sin(2*PI*0.4*t))':s=22050:d=12"


def settings(folder: Path, **tts: Any) -> Settings:
    return Settings.model_validate({"paths": {"profiles": str(folder / "profiles")}, "stages": {"tts": tts}})


def profile_request(name: str = "Anna", number: int = 1, **changes: Any) -> ProfileRequest:
    return ProfileRequest(**{"id": f"vp-{number:08x}", "name": name, "language": "en", "consent": "Anna, by letter",
                   "expires": None, "source": "command"} | changes)  # fmt: skip


@pytest.fixture
def anna(recording: Path, tmp_path: Path) -> Profile:
    return make_profile([recording], profile_request(), settings(tmp_path))[0]


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "profiles").glob("*vp-*"))


def test_a_clean_recording_becomes_a_levelled_reference_without_a_word(recording: Path, tmp_path: Path) -> None:
    # Given 15 s of speech; when a profile is made of it
    profile, warnings = make_profile([recording], profile_request(), settings(tmp_path))
    # Then there is its record for people, and a reference of the kind the network wants, levelled and within full scale
    record = yaml.safe_load((profile.folder / "profile.yaml").read_text())
    assert record["name"] == "Anna"
    assert record["consent"] == "Anna, by letter"
    with wave.open(str(profile.reference)) as source:
        assert (source.getnchannels(), source.getsampwidth(), source.getframerate()) == (1, 2, RATE)
    samples, _ = sound(profile.reference)
    found = measure_quality(samples.astype(np.float32), RATE)
    assert found.level_db == pytest.approx(-22.0, abs=1.0)
    assert np.abs(samples).max() < 0.9
    # And what was measured is what is there: one voice of a woman's pitch, quiet pauses, nothing clipped
    assert 8 < found.speech_s < 16
    assert 150 < record["quality"]["pitch_hz"] < 260
    assert record["quality"]["snr_db"] > 30
    assert (warnings, record["quality"]["clipped"], record["quality"]["second_pitch_hz"]) == ((), 0.0, 0.0)


BAD: dict[str, tuple[str, Callable[[Path, Path], object]]] = {
    "music": ("sample-not-speech", lambda _, out: ffmpeg("-f", "lavfi", "-i", _MUSIC, str(out))),
    "a flute": ("sample-not-speech", lambda _, out: ffmpeg("-f", "lavfi", "-i", _FLUTE, str(out))),
    "a siren": ("sample-not-speech", lambda _, out: ffmpeg("-f", "lavfi", "-i", _SIREN, str(out))),
    "a tone": ("sample-not-speech", lambda _, out: ffmpeg("-f", "lavfi", "-i", "sine=d=9", str(out))),
    "hiss": ("sample-not-speech", lambda _, out: ffmpeg("-f", "lavfi", "-i", "anoisesrc=d=9:a=0.2", str(out))),
    "silence": ("audio-silent", lambda _, out: ffmpeg("-f", "lavfi", "-i", "anullsrc=d=9", "-t", "9", str(out))),
    "a second": ("sample-too-short", lambda rec, out: ffmpeg("-ss", "1", "-t", "1", "-i", str(rec), str(out))),
    "16 minutes": ("sample-too-long", lambda _, out: ffmpeg("-f", "lavfi", "-i", "anullsrc=r=8000", "-t", "960",
                                                            "-c:a", "flac", "-f", "flac", str(out))),
    "a text": ("audio-unreadable", lambda _, out: out.write_text("This is no sound. " * 100)),
    "nothing": ("audio-unreadable", lambda _, out: out.write_bytes(b"")),
    "a silent film": ("audio-unreadable", lambda _, out: ffmpeg("-f", "lavfi", "-i", "testsrc=d=1", "-f", "matroska",
                                                                str(out))),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_voice_is_refused_and_nothing_is_kept(case: str, recording: Path, tmp_path: Path) -> None:
    # Given something else than a person speaking
    code, build = BAD[case]
    build(recording, tmp_path / "sample.wav")
    # When a profile is to be made of it, then one clear sentence says why not
    with pytest.raises(JobError) as error:
        make_profile([tmp_path / "sample.wav"], profile_request(), settings(tmp_path))
    assert error.value.code == code
    assert error.value.message.endswith(".")
    assert error.value.hint
    # And the sample is still there, and no part of a profile
    assert (tmp_path / "sample.wav").exists()
    assert kept(tmp_path) == []


FLAWED = {
    "short": ("Only", ["-t", "6"]),
    "noisy": ("noisy", ["-filter_complex", "anoisesrc=r=24000:a=0.05:seed=2[n];[0:a][n]amix=duration=first:normalize=0"]),
    "clipped": ("clipped", ["-af", "volume=18dB"]),
    "two alike": ("another person", ["-filter_complex",
                  "asplit[a][b];[b]asetrate=27600,aresample=24000,atempo=0.87[c];[a][c]concat=v=0:a=1"]),
    "two people": ("two people", ["-filter_complex", "asplit[a][b];[b]asetrate=14500,aresample=24000[c];[a][c]concat=v=0:a=1"]),
}  # fmt: skip


@pytest.mark.parametrize("case", FLAWED)
def test_a_flaw_is_told_but_is_no_reason_to_refuse(case: str, recording: Path, tmp_path: Path) -> None:
    # Given a recording with one flaw
    word, arguments = FLAWED[case]
    ffmpeg("-i", str(recording), *arguments, str(tmp_path / "s.wav"))
    # Then just that one is told
    (warning,) = make_reference([tmp_path / "s.wav"]).warnings
    assert word in warning


def test_the_sound_of_a_film_is_used(recording: Path, tmp_path: Path) -> None:
    # Given a video whose sound is the recording
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=64x64", "-i", str(recording), "-shortest", str(tmp_path / "film.mp4"))
    # Then its reference is as that of the recording itself
    film, plain = make_reference([tmp_path / "film.mp4"]), make_reference([recording])
    assert film.quality.pitch_hz == pytest.approx(plain.quality.pitch_hz, rel=0.03)
    assert film.quality.speech_s == pytest.approx(plain.quality.speech_s, abs=0.5)


def test_of_a_long_recording_the_part_with_the_most_speech_is_used(recording: Path, tmp_path: Path) -> None:
    # Given two words, a minute of nothing, and then four times the tale
    ffmpeg("-i", str(recording), "-filter_complex",
           "[0]asplit=5[x][a][b][c][d];[x]atrim=0:1,apad=pad_dur=60[y];[y][a][b][c][d]concat=n=5:v=0:a=1",
           str(tmp_path / "long.wav"))  # fmt: skip
    # Then 30 s of the end are taken
    found = make_reference([tmp_path / "long.wav"])
    assert len(found.samples) / RATE == pytest.approx(30.0, abs=0.1)
    assert found.quality.speech_s > 20
    # And of several short ones all
    ffmpeg("-t", "5", "-i", str(recording), str(tmp_path / "a.wav"))
    ffmpeg("-ss", "5", "-t", "5", "-i", str(recording), str(tmp_path / "b.wav"))
    both = make_reference([tmp_path / "a.wav", tmp_path / "b.wav"])
    assert both.quality.speech_s > len(decode_sample(tmp_path / "a.wav")) / RATE


def test_a_job_run_again_after_a_crash_makes_one_profile(recording: Path, tmp_path: Path) -> None:
    # Given a job of kind voice
    config = {"paths": {"profiles": str(tmp_path / "profiles")}}
    profile = {"name": "Anna", "consent": "Anna, by letter", "expires": "2999-12-31"}
    ctx = job(tmp_path / "job", config, kind="voice", image=None, audio="anna.wav", profile=profile)
    ctx.path("source.audio").write_bytes(recording.read_bytes())
    # When it runs, and runs again, and a crash left half a profile
    first = run(ctx)
    (tmp_path / "profiles" / ".vp-00000000.abc").mkdir()
    second = run(ctx)
    # Then there is one
    assert first["profile"] == second["profile"]
    assert kept(tmp_path) == [first["profile"]]
    found = ProfileStore(tmp_path / "profiles").find_profile("anna")
    assert (found.expires, found.source) == (datetime.date(2999, 12, 31), ctx.job_id)
    assert ctx.path("profile.json").exists()


@pytest.mark.parametrize("name", ["", "default", "vp-00000001", "a/b", "a" * 61, "a\nb", " a"])
def test_a_name_must_be_a_name(name: str, recording: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError) as error:
        make_profile([recording], profile_request(name), settings(tmp_path))
    assert error.value.code == "profile-name"


def test_a_language_that_no_voice_speaks_is_refused(recording: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match="No voice speaks a language 'xx'") as error:
        make_profile([recording], replace(profile_request(), language="xx"), settings(tmp_path))
    assert (error.value.code, kept(tmp_path)) == ("language-unsupported", [])


def test_a_name_is_given_once(anna: Profile, recording: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match="'Anna' already exists") as error:
        make_profile([recording], profile_request("ANNA", 2), settings(tmp_path))
    assert error.value.code == "profile-name"
    assert kept(tmp_path) == [anna.id]


def test_without_consent_nothing_is_made_or_spoken_where_it_is_required(recording: Path, tmp_path: Path) -> None:
    # Given a profile from before the policy
    profile, _ = make_profile([recording], profile_request(consent=" "), settings(tmp_path))
    # When consent is required, then it is not spoken with, and no other one is made without
    with pytest.raises(JobError) as spoken:
        load_xtts(profile, settings(tmp_path, require_consent=True))
    with pytest.raises(JobError) as made:
        make_profile([recording], profile_request("Eva", 2, consent=""), settings(tmp_path, require_consent=True))
    assert spoken.value.code == made.value.code == "consent-missing"
    ProfileStore(tmp_path).check_usable(profile, require_consent=False)


def test_where_the_folder_is_a_groups_so_is_every_profile(recording: Path, tmp_path: Path) -> None:
    # Given a folder of a group (setgid), and somebody whose files are for themselves alone
    root = tmp_path / "profiles"
    root.mkdir()
    root.chmod(0o2770)
    old = os.umask(0o077)
    try:
        # When they make a profile
        made = make_profile(
            [recording], ProfileRequest("vp-0000000a", "Anna", "en", "", None, "command"), settings(tmp_path)
        )[0]
    finally:
        os.umask(old)
    # Then the group may read it, change it and remove it, and make others
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (root, *root.rglob("*"))}
    assert modes == {
        "profiles": 0o2770, ".lock": 0o660, made.id: 0o2770, "reference.wav": 0o660, "profile.yaml": 0o660,
    }  # fmt: skip


def test_an_expired_profile_is_not_spoken_with(anna: Profile, tmp_path: Path) -> None:
    # Given profiles whose last day is today, and was yesterday
    today = datetime.date.today()  # noqa: DTZ011
    store = ProfileStore(tmp_path / "profiles")
    last = store.save_profile(Profile(**{**vars(anna), "expires": today}), anna.reference.read_bytes())
    store.check_usable(last, require_consent=True)
    over = store.save_profile(
        Profile(**{**vars(anna), "expires": today - datetime.timedelta(1)}), anna.reference.read_bytes()
    )
    with pytest.raises(JobError) as error:
        store.check_usable(over, require_consent=True)
    assert error.value.code == "profile-expired"


def test_a_removed_profile_is_gone_and_said_to_be(anna: Profile, network: XttsNetwork, tmp_path: Path) -> None:
    # Given a job that found its profile before it was removed, and one that looks for it after
    store = ProfileStore(tmp_path / "profiles")
    store.remove_profile(anna)
    for attempt in (
        lambda: speaker_latents.latents_of_profile(anna, network, "0" * 64),
        lambda: store.find_profile(anna.id),
    ):
        with pytest.raises(JobError) as error:
            attempt()
        assert error.value.code == "profile-unknown"
    # Then nothing of the recording is left
    assert kept(tmp_path) == []


def test_what_the_network_makes_of_a_voice_is_kept_for_that_network(anna: Profile, network: XttsNetwork) -> None:
    # Given a profile that was spoken with
    first = speaker_latents.latents_of_profile(anna, network, "a" * 64)
    anna.reference.rename(anna.folder / "away.wav")
    # When it is spoken with again, then the reference is not looked at
    again = speaker_latents.latents_of_profile(anna, network, "a" * 64)
    assert np.array_equal(first.gpt.numpy(), again.gpt.numpy())
    assert np.array_equal(first.speaker.numpy(), again.speaker.numpy())
    # But it is for another model file; and what is damaged is made anew
    with pytest.raises(JobError):
        speaker_latents.latents_of_profile(anna, network, "b" * 64)
    (anna.folder / "away.wav").rename(anna.reference)
    next(anna.folder.glob("latents-*")).write_bytes(b"half")
    assert np.array_equal(first.gpt.numpy(), speaker_latents.latents_of_profile(anna, network, "a" * 64).gpt.numpy())


def test_a_profile_and_a_voice_of_the_model_speak(anna: Profile, published_xtts: Path) -> None:
    # Given XTTS's files
    where = xtts_settings(published_xtts)
    assert engine_missing(ENGINES["xtts"], where) is None
    assert voices.model_voice_names(where) == ["Ada", "Bo"]
    # When a sentence is said by a profile and by a voice that came with the model
    piece = Piece(("Hello", "there,", "my", "good", "friend."), "en", 1.0, (0,))
    said = [next(iter(load_xtts(voice, where).say(piece))) for voice in (anna, "ada")]
    # Then both are heard, and are not the same
    assert all(np.abs(spoken.samples).max() > 0.003 for spoken in said)
    assert len(said[0].samples) != len(said[1].samples) or not np.array_equal(said[0].samples, said[1].samples)


def lacking(settings: Settings) -> Missing:
    found = engine_missing(ENGINES["xtts"], settings)
    assert found
    return found


def test_what_xtts_lacks_is_said_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an installation that nobody has prepared for XTTS
    where = xtts_settings(tmp_path, accept_licence=False)
    assert "non-commercial" in lacking(where).why
    # Then, once the licence is accepted, it is the file; a profile is no reason to load anything
    missing = lacking(xtts_settings(tmp_path))
    assert "model.pth" in missing.why
    assert "avatar models fetch xtts" in missing.remedy
    with pytest.raises(AvatarError) as error:
        load_xtts("Ada", xtts_settings(tmp_path))
    assert error.value.code == "model-missing"
    # And before the file the packages, whose versions belong together
    monkeypatch.setitem(PINS, "transformers", "4.46.3")
    missing = lacking(xtts_settings(tmp_path))
    assert "4.46.3 is what the engine was proven with" in missing.why
    assert missing.remedy == how_to_install_extra("xtts")
    # Also where the module is there, but of another package
    monkeypatch.setitem(PINS, "a-package-of-another-name", "1.0")
    monkeypatch.delitem(PINS, "transformers")
    assert "is installed as something else" in lacking(xtts_settings(tmp_path)).why
