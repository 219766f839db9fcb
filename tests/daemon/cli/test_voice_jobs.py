"""Voice profiles as people make them: by a file in the inbox of a real daemon, and by command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Installation, wait_for


def test_a_recording_dropped_in_the_inbox_becomes_a_voice(house: Installation, recording: Path) -> None:
    # Given a recording and a manifest beside it, whose name the voice gets
    house.drop("anna.yaml", {"kind": "voice", "audio": "anna.wav", "profile": {"consent": "by letter"}},
               anna__wav=recording)  # fmt: skip
    # When the job is done
    status = house.finished("anna")
    # Then its result tells of the profile, which is there, and the recording stays in the inbox
    assert status["state"] == "done", status
    record = json.loads((house.outbox / "anna.voice.json").read_bytes())
    assert (record["name"], record["consent"]) == ("anna", "by letter")
    shown = json.loads(house.avatar("voice", "show", "ANNA", "--json").stdout)
    assert shown["id"] == record["id"]
    assert (house.inbox / "anna.wav").exists()
    # And a spool with profiles in it is in order
    house.stop()
    assert house.avatar("spool", "check").returncode == 0


def test_what_is_no_voice_fails_in_the_status(house: Installation) -> None:
    # Given a text with a sound's name, and a manifest that has both text and recording
    house.drop("eva.yaml", {"kind": "voice", "audio": "eva.wav"}, eva__wav=b"no sound at all")
    house.drop("both.yaml", {"kind": "voice", "audio": "eva.wav", "text": "Hello."})
    house.drop("stray.yaml", {"text": "Hello.", "kind": "speech", "profile": {"name": "Eva"}})
    # Then each status says so, and no profile was made
    codes = {name: house.finished(name)["error"]["code"] for name in ("eva", "both", "stray")}
    assert codes == {"eva": "audio-unreadable", "both": "manifest-invalid", "stray": "manifest-invalid"}
    assert not list((house.spool / "profiles").glob("vp-*"))


def test_a_voice_is_made_shown_and_removed_by_command(
    installation: Callable[..., Installation], recording: Path
) -> None:
    # Given an installation whose daemon does not run, and which requires consent
    house = installation(stages={"tts": {"require_consent": True}})
    refused = house.avatar("voice", "clone", "Anna", str(recording), code=1)
    assert "consent" in refused.stderr
    # What a manifest may not say, a command may not either; and a file that is no sound is named
    for name in ("notes.wav", "notes.m4a"):
        (house.root / name).write_text("no sound")
    for arguments, says in (
        ((str(recording), "--language", "english!"), "`language`"),
        ((str(recording), "--consent", "x" * 501), "`profile.consent`"),
        (("notes.wav", "--consent", "by letter"), "notes.wav is a text file, not a sound file"),
        (("notes.m4a", "--consent", "by letter"), "notes.m4a is a text file, not a sound file"),
    ):
        assert says in house.avatar("voice", "clone", "Anna", *arguments, code=1).stderr
    # When a profile is made, then it is told; and gone when it is removed
    made = json.loads(
        house.avatar("voice", "clone", "Anna", str(recording), "--consent", "by letter", "--expires", "2999-01-01",
                     "--json").stdout
    )  # fmt: skip
    assert (made["expires"], made["warnings"]) == ("2999-01-01", [])
    assert "by letter" in house.avatar("voice", "show", made["id"]).stdout
    assert "removed" in house.avatar("voice", "remove", "anna").stdout
    assert "profile" in house.avatar("voice", "show", "Anna", code=1).stderr


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_daemon_that_dies_while_a_voice_is_made_makes_it_once(
    installation: Callable[..., Installation], recording: Path, moment: str
) -> None:
    # Given a daemon that is killed when the job was just taken in, or when the profile was just made
    house = installation()
    house.start()
    house.drop("anna.yaml", {"kind": "voice", "audio": "anna.wav"}, anna__wav=recording)
    profiles = house.spool / "profiles"
    wait_for("the job", lambda: house.all_jobs() if moment == "before" else list(profiles.glob("vp-*")))
    house.kill()
    # When it is started again
    house.start()
    # Then there is one profile, and the job is done
    assert house.finished("anna")["state"] == "done"
    assert len(list(profiles.glob("vp-*"))) == 1
    assert not list(profiles.glob(".vp-*"))
