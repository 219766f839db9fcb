"""Jobs that kill, hang or bloat the process that works on them: each is set aside with the reason, and the others go on."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import PATIENCE_S, Installation, wait_for
from tests.support.daemon.worker_seam import Gates

Make = Callable[..., Installation]
#: What a job that is well keeps to, also on a busy machine.
PATIENT: dict[str, Any] = {"timeout": {"base_s": 300.0}, "silence_s": 120.0, "memory_mb": 4000}


def poisoned(make: Make, tmp_path: Path, crashes: int, **lanes: Any) -> Installation:
    """An installation whose workers obey magic words."""
    house = make(retry={"crashes": crashes, "interruptions": 3}, lanes={**PATIENT, **lanes})
    Gates(house, tmp_path / "seam")
    house.start()
    return house


def record(house: Installation, status: dict[str, Any]) -> dict[str, Any]:
    """The record of a failed job."""
    path = house.spool / "failed" / status["job"] / "job.json"
    wait_for("the job to rest", path.exists)
    value: dict[str, Any] = json.loads(path.read_bytes())
    return value


def say(text: str) -> dict[str, Any]:
    return {"kind": "speech", "text": text}


@pytest.mark.parametrize(
    ("word", "end", "last"),
    [("abort", "SIGABRT", "last words before the abort"), ("segfault", "SIGSEGV", "last words before the fault")],
)
def test_a_job_that_crashes_its_process_three_times_is_quarantined_and_the_others_go_on(
    installation: Make, tmp_path: Path, word: str, end: str, last: str
) -> None:
    # Given a job that ends its process, between two that are good
    house = poisoned(installation, tmp_path, crashes=3)
    house.drop("before.yaml", say("Good morning."))
    house.drop("poison.yaml", say(f"Please {word} now."))
    house.drop("after.yaml", say("Good evening."))
    # Then it is tried three times, and set aside as its own fault
    status = house.finished("poison")
    assert (status["state"], status["error"]["code"], status["error"]["stage"]) == ("failed", "quarantined", "tts")
    assert "3 times" in status["error"]["message"]
    assert end in status["error"]["message"]
    # And its record keeps every crash, with the last lines of the log
    crashes = [note for note in record(house, status)["history"] if note["event"] == "crash"]
    assert [note["code"] for note in crashes] == ["worker-crashed"] * 3
    assert all(any(last in line for line in note["log"]) for note in crashes)
    if word == "abort":  # what was logged, too
        assert all(any("logged before the abort" in line for line in note["log"]) for note in crashes)
    # And the others are done, each at its first try
    for name in ("before", "after"):
        assert house.finished(name)["state"] == "done"
        assert "attempts" not in house.finished(name)
    # And a person can have it tried again
    house.avatar("jobs", "retry", status["job"])
    wait_for("a fourth crash", lambda: len(house.events("worker died")) > 3)


@pytest.mark.parametrize(
    ("word", "lanes", "code"),
    [
        ("forever", {"timeout": {"base_s": 3.0, "per_audio_s": 0.0}}, "stage-timeout"),
        ("silent", {"silence_s": 3.0, "heartbeat_s": 0.2}, "worker-hung"),
        ("balloon", {"memory_mb": 800}, "worker-memory"),
    ],
)
def test_a_worker_that_hangs_or_bloats_is_ended_and_the_others_go_on(
    installation: Make, tmp_path: Path, word: str, lanes: dict[str, Any], code: str
) -> None:
    # Given a daemon that forgives no crash / When a job hangs, stops or fills the memory of its worker
    house = poisoned(installation, tmp_path, crashes=1, **lanes)
    house.drop("poison.yaml", say(f"Please be {word} now."))
    # Then its worker is ended for that reason, and the job is set aside
    status = house.finished("poison")
    assert status["error"]["code"] == "quarantined"
    assert [note["code"] for note in record(house, status)["history"] if note["event"] == "crash"] == [code]
    # And the others go on, with the time that they need on a busy machine
    settings = yaml.safe_load(house.config.read_text())
    house.config.write_text(yaml.safe_dump({**settings, "lanes": {**settings["lanes"], **PATIENT}}))
    assert house.process is not None
    house.process.send_signal(signal.SIGHUP)
    wait_for("the reload", lambda: house.events("config reloaded"))
    house.drop("good.yaml", say("Good evening."))
    assert house.finished("good")["state"] == "done"


def test_a_job_during_which_the_daemon_dies_again_and_again_is_quarantined(installation: Make, tmp_path: Path) -> None:
    # Given a job that takes the whole daemon with it
    house = poisoned(installation, tmp_path, crashes=3)
    house.drop("poison.yaml", say("A regicide happens."))
    assert house.process is not None
    for _ in range(3):
        assert house.process.wait(PATIENCE_S) == -signal.SIGKILL
        # When it is started again
        house.launch()
    # Then the third start sets the job aside, and the daemon lives on
    status = house.finished("poison")
    assert status["error"]["code"] == "quarantined"
    notes = [note["event"] for note in record(house, status)["history"]]
    assert notes.count("interrupted") == 3
    house.drop("good.yaml", say("Long live the daemon."))
    assert house.finished("good")["state"] == "done"


def test_a_gpu_that_disappears_costs_no_job_a_try_and_the_work_goes_on_in_a_fresh_process(
    installation: Make, tmp_path: Path
) -> None:
    # Given a job during which CUDA ends for the process that works on it, once
    house = installation(lanes={**PATIENT, "pause_s": 0.5})
    gates = Gates(house, tmp_path / "seam")
    house.start()
    house.drop("speech.yaml", say("The GPU is unplugged."))
    # Then the job is done, and it was not charged a try
    status = house.finished("speech")
    assert status["state"] == "done"
    assert "attempts" not in status
    # And the lane was paused for that reason, said so, and went on
    pauses = [event for event in house.events("lane paused") if event["lane"] == "voice"]
    assert [event["code"] for event in pauses] == ["gpu-lost"]
    assert [event["lane"] for event in house.events("lane resumed")] == ["voice"]
    # And the process that lost it is gone
    assert not Path(f"/proc/{(gates.folder / 'unplugged').read_text()}").exists()
