"""A real daemon loads its stages and the default voice before the first job, which then needs no new process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec

import psutil
import pytest

from daemon.config import Settings
from daemon.jobs.stages import BY_NAME, STAGES
from stages.preload import MODULES
from tests.conftest import Installation, wait_for

pytestmark = pytest.mark.usefixtures("models")


def test_the_first_job_finds_its_worker_loaded(installation: Callable[..., Installation]) -> None:
    one = installation(lanes={"preload": True, "idle_s": 0.01})
    one.start()
    wait_for("all stages to be loaded", lambda: len(one.events("preloaded")) == len(STAGES))
    lanes = {stage: BY_NAME[stage].lanes[0] for stage in STAGES}
    assert {(event["lane"], event["stage"]) for event in one.events("preloaded")} == {
        (lane, stage) for stage, lane in lanes.items()
    }
    before = workers(one)
    one.drop("a.yaml", {"kind": "speech", "text": "Hello."})
    assert one.finished("a")["state"] == "done"
    # Then no process came, and none has gone although it is idle
    assert len(before) == 2
    assert workers(one) == before
    assert one.events("preload failed") == []
    assert one.stop() == 0


def test_a_voice_that_cannot_be_loaded_is_told_once_and_fails_nothing(
    installation: Callable[..., Installation],
) -> None:
    one = installation(lanes={"preload": True}, stages={"tts": {"voice": "nobody"}})
    one.start()
    wait_for("the other stages to be loaded", lambda: len(one.events("preloaded")) == len(STAGES) - 1)
    (told,) = one.events("preload failed")
    assert (told["lane"], told["stage"], told["code"]) == ("voice", "tts", "voice-missing")
    assert "avatar doctor" in told["next"]
    assert one.events("lane paused") == []
    assert one.stop() == 0


def test_a_voice_of_the_gpu_lane_is_not_loaded_in_another() -> None:
    settings = Settings.model_validate(
        {
            "stages": {"tts": {"voice": "wall", "engine": "deaf"}},
            "engines": {"deaf": {"command": [sys.executable, "-c", "raise SystemExit"], "voices": {"wall": "en"}}},
        }
    )
    lines = [{"op": "init", "settings": settings.model_dump(mode="json")}, {"op": "preload", "stage": "tts"}]
    done = subprocess.run(
        [sys.executable, "-m", "stages.worker", "--lane", "voice"],
        input="".join(json.dumps(line) + "\n" for line in lines), capture_output=True, text=True, check=True,
    )  # fmt: skip
    (told,) = [message for message in map(json.loads, done.stdout.splitlines()) if message["event"] == "preloaded"]
    assert told["code"] == ""


def test_the_modules_that_are_loaded_exist() -> None:
    assert all(find_spec(module) for modules in MODULES.values() for module in modules)


def workers(one: Installation) -> set[int]:
    """Process ids of a daemon's workers: its children that lead a process group of their own."""
    assert one.process is not None
    return {child.pid for child in psutil.Process(one.process.pid).children() if os.getpgid(child.pid) == child.pid}
