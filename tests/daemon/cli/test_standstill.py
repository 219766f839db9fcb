"""Whoever waits for a job hears why nothing happens with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.client import Client
from daemon.doors import standstill as standing
from daemon.doors.standstill import standstill
from daemon.queue.lock import SpoolLock
from tests.conftest import ROOT, Installation

COMMON = ("Hello.", "--set", "kind=speech", "--timeout", "60")
WAITING = {
    "submit": ("submit", *COMMON, "--wait"),
    "pipeline": ("pipeline", "run", *COMMON, "--avatar", "nobody", "--json"),
}


def wait_by(one: Installation, command: tuple[str, ...]) -> subprocess.Popen[str]:
    """Start a command that waits for its job."""
    return subprocess.Popen(
        [sys.executable, "-m", "daemon.cli", "--config", str(one.config), *command],
        cwd=one.root,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("command", WAITING)
def test_who_waits_for_a_job_of_a_paused_service_hears_who_paused_it_and_what_ends_that(
    installation: Callable[..., Installation], command: str
) -> None:
    # Given a service that is paused
    one = installation()
    one.start()
    one.avatar("pause", "--reason", "the fans are loud")
    # When somebody waits for a job
    waiting = wait_by(one, WAITING[command])
    assert waiting.stderr is not None
    # Then it is said by whom it was paused, why, and what ends that; and when it has ended the job is made
    told = next((line for line in waiting.stderr if "paused by" in line), "nothing")
    assert "the fans are loud" in told
    assert "avatar resume" in told
    job = next(iter(Client(one.config).list(state="queued")))
    assert Client(one.config).get(job.job).status.standstill in told
    one.avatar("resume")
    _, rest = waiting.communicate()
    assert (waiting.returncode, "paused by" in rest) == (0, False)
    assert Client(one.config).get(job.job).status.standstill == ""


@pytest.mark.parametrize("command", WAITING)
def test_who_waits_for_a_service_that_starts_anew_gets_the_result(
    installation: Callable[..., Installation], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    # Given somebody who waits for a job of a paused service
    one = installation()
    one.start()
    one.avatar("pause")
    waiting = wait_by(one, WAITING[command])
    assert waiting.stderr is not None
    next((line for line in waiting.stderr if "paused by" in line), "")
    # When the service is gone for a moment / Then that is said, and the job is waited for
    one.stop()
    assert "The daemon does not run" in next((line for line in waiting.stderr if "not run" in line), "nothing")
    one.start()
    one.avatar("resume")
    waiting.communicate()
    assert waiting.returncode == 0
    # But where it does not come back, the wait ends with its own exit code, and says that the job is kept
    one.stop()
    monkeypatch.setattr(standing, "ABSENT_S", 0.0)
    told = one.avatar(*WAITING["submit"], code=69).stderr
    assert "it keeps the job job-" in told


def test_each_reason_of_a_standstill_is_told_to_those_whom_it_keeps(tmp_path: Path) -> None:
    # Given a spool that no daemon holds
    absent = standstill(tmp_path, "running")
    assert "The daemon does not run" in absent
    assert "Start it with" in absent
    # And one whose daemon runs, whose inbox is stopped, and one lane of which a fault has stopped
    lock = SpoolLock(tmp_path / "lock")
    lock.acquire()
    pause = {"by": "anna", "reason": "new disks", "since": 0.0, "until": None}
    fault = {"code": "gpu-lost", "message": "The GPU is gone.", "hint": "Start the machine anew."}
    (tmp_path / "paused.json").write_text(json.dumps({"intake": pause}))
    (tmp_path / "state.json").write_text(json.dumps({"paused_lanes": {"gpu": fault}}))
    # Then who is in the inbox hears of the one, who waits in a queue of the other, and who runs of nothing
    assert "new disks" in standstill(tmp_path, "waiting")
    assert standstill(tmp_path, "queued") == "The lane gpu stands still: The GPU is gone. Start the machine anew."
    assert standstill(tmp_path, "running") == standstill(tmp_path, "done") == ""
    assert standstill(tmp_path, "held", "Anna holds it.") == "Anna holds it."
    # And a pause that is over is none
    (tmp_path / "paused.json").write_text(json.dumps({"intake": {**pause, "until": 1.0}}))
    assert standstill(tmp_path, "waiting") == ""
    lock.release()
