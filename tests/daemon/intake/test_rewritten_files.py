"""A file that is written to after it was copied is copied again before its job is delivered: with a real daemon."""

from __future__ import annotations

import json
import shutil
import subprocess
import wave
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.media.ffmpeg import ffmpeg_path
from tests.conftest import Installation, wait_for
from tests.support.daemon.ledger import sound
from tests.support.daemon.worker_seam import Gates


def halves(seconds: float) -> tuple[bytes, bytes]:
    whole = sound(seconds)
    return whole[: len(whole) // 2], whole[len(whole) // 2 :]


@pytest.fixture
def polling(installation: Callable[..., Installation]) -> Installation:
    """A daemon that is told of nothing, as on a network mount."""
    return installation(intake={"watch": "poll", "poll_s": 0.1})


def test_a_sound_that_was_taken_in_the_middle_is_copied_again_and_delivered_whole(
    polling: Installation, tmp_path: Path
) -> None:
    # Given a narration of which only the first half has come when it has stood still for long enough
    first, second = halves(4.0)
    gates = Gates(polling, tmp_path / "seam")
    gates.shut("tts")
    polling.start()
    polling.drop("a.yaml", {"kind": "speech", "audio": "a.wav"}, a__wav=first)
    gates.reached("tts")
    # When the rest comes while the job is worked on
    with (polling.inbox / "a.wav").open("ab") as file:
        file.write(second)
    gates.open("tts")
    # Then the job begins anew with all of it
    status = polling.finished("a")
    assert status["state"] == "done"
    with wave.open(str(polling.outbox / "a.wav")) as result:
        assert result.getnframes() / result.getframerate() == pytest.approx(4.0, abs=0.05)
    record = polling.spool / "done" / status["job"] / "job.json"
    wait_for("the job to rest", record.exists)
    job = json.loads(record.read_bytes())
    assert "copied again" in [entry["event"] for entry in job["history"]]
    assert polling.stop() == 0


@pytest.mark.parametrize("ending", ["mp3", "wav"], ids=["would be delivered", "would fail"])
def test_a_job_waits_while_a_client_has_opened_its_file_again(
    installation: Callable[..., Installation], tmp_path: Path, ending: str
) -> None:
    # Given the first half of a narration, whose client closed it and opens it again while the job is worked on
    whole = sound(4.0) if ending == "wav" else _mp3(tmp_path, sound(4.0))
    half = len(whole) // 2
    one = installation()
    gates = Gates(one, tmp_path / "seam")
    gates.shut("tts")
    one.start()
    one.drop("a.yaml", {"kind": "speech", "audio": f"a.{ending}"}, **{f"a__{ending}": whole[:half]})
    gates.reached("tts")
    with (one.inbox / f"a.{ending}").open("r+b") as file:
        file.seek(half)
        file.write(whole[half : half + half // 2])
        file.flush()
        # When the result is ready, or the sound found to end early / Then the job waits
        gates.open("tts")
        wait_for(
            "the job to wait", lambda: one.events("job waits for the rest of a file") or one.events("job finished")
        )
        assert one.events("job finished") == []
        file.write(whole[half + half // 2 :])
    # And has all of it in the end
    status = one.finished("a")
    assert (status["state"], status.get("warnings", [])) == ("done", [])
    with wave.open(str(one.outbox / "a.wav")) as result:
        assert result.getnframes() / result.getframerate() == pytest.approx(4.0, abs=0.15)
    assert one.stop() == 0


def _mp3(folder: Path, wav: bytes) -> bytes:
    """An MP3 file that does not say how long it is, so that nothing in it tells that its end is missing."""
    (folder / "a.wav").write_bytes(wav)
    options = ["-write_xing", "0", "-id3v2_version", "0", "-b:a", "64k"]
    command = [ffmpeg_path(), "-v", "error", "-i", str(folder / "a.wav"), *options, str(folder / "a.mp3")]
    subprocess.run(command, check=True)
    return (folder / "a.mp3").read_bytes()


def test_a_picture_that_was_exchanged_meanwhile_changes_no_job(polling: Installation, tmp_path: Path) -> None:
    # Given a job whose sound is written over by another one while it is worked on
    gates = Gates(polling, tmp_path / "seam")
    gates.shut("tts")
    polling.start()
    polling.drop("a.yaml", {"kind": "speech", "audio": "a.wav"}, a__wav=sound(1.0))
    gates.reached("tts")
    (polling.inbox / "a.wav").write_bytes(sound(3.0))
    gates.open("tts")
    # Then it has the one of its time
    assert polling.finished("a")["state"] == "done"
    with wave.open(str(polling.outbox / "a.wav")) as result:
        assert result.getnframes() / result.getframerate() == pytest.approx(1.0, abs=0.05)
    assert polling.stop() == 0


def test_a_sound_that_ends_early_is_refused_unless_it_has_lain_there_long(
    installation: Callable[..., Installation],
) -> None:
    # Given the first half of a recording
    first, _ = halves(4.0)
    one = installation()
    one.start()
    one.drop("a.yaml", {"kind": "speech", "audio": "a.wav"}, a__wav=first)
    error = one.finished("a")["error"]
    assert (error["code"], error["fault"]) == ("audio-truncated", "job")
    assert one.stop() == 0
    # When it has lain still for as long as a manifest waits for its files / Then it is used, with a warning
    patient = installation(intake={"companion_wait_s": 0.5})
    shutil.copy(one.inbox / "a.wav", patient.inbox / "b.wav")
    patient.start()
    wait_for("a look at the inbox", lambda: (patient.inbox / ".claimed").exists())
    patient.drop("wait.yaml", {"kind": "speech", "audio": "missing.wav"})
    assert patient.finished("wait")["error"]["code"] == "file-missing"  # so long has b.wav been there, too
    patient.drop("b.yaml", {"kind": "speech", "audio": "b.wav"})
    status = patient.finished("b")
    assert status["state"] == "done", status
    assert any("ends early" in warning for warning in status["warnings"])
    assert patient.stop() == 0
