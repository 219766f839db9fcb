"""Jobs wait in the lane of the engine that does their stage, so that none that needs no GPU waits for one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.config import Settings
from daemon.jobs.record import Job
from daemon.workers.routes import Routes
from tests.conftest import Installation

#: A voice engine that never gets ready, and ends with the worker.
DEAF = [sys.executable, "-c", "import sys; sys.stdin.read()"]


def settings(root: Path, **stages: dict[str, str]) -> Settings:
    return Settings.parse({"stages": stages}, root / "config.yaml")


def job(stage: str, **manifest: str) -> Job:
    return Job("job-20260101T000000Z-00000000", "a", "a.yaml", stage=stage, manifest={"voice": "default", **manifest})


@pytest.mark.parametrize(
    ("one", "config", "lane"),
    [
        (job("face"), {}, "cpu"),
        (job("tts"), {}, "voice"),
        (job("tts", voice="xtts/anna"), {}, "gpu"),
        (job("tts", voice="Kokoro/heart"), {"tts": {"engine": "xtts"}}, "voice"),
        (job("tts"), {"tts": {"engine": "coqui"}}, "gpu"),
        (job("tts", voice="heart"), {"tts": {"engine": "coqui"}}, "voice"),
        (job("tts", audio="a.wav"), {"tts": {"engine": "coqui"}}, "voice"),
        (job("generate"), {}, "voice"),  # which looks whether the model is there
        (job("generate", voice="xtts/anna"), {"tts": {"engine": "coqui"}}, "voice"),
        (job("lipsync"), {}, "voice"),
        (job("lipsync"), {"lipsync": {"engine": "musetalk"}}, "gpu"),
    ],
)
def test_what_manifest_and_settings_name_decides(
    tmp_path: Path, one: Job, config: dict[str, dict[str, str]], lane: str
) -> None:
    assert Routes(settings(tmp_path, **config)).lane_of(one) == lane


def test_what_a_worker_has_found_out_decides_for_all_that_ask_for_the_same(tmp_path: Path) -> None:
    routes = Routes(settings(tmp_path))
    # Given a voice that turned out to be one of XTTS
    routes.learn(job("tts", voice="anna", language="en"), "tts", "xtts")
    assert routes.lane_of(job("tts", voice="anna", language="en")) == "gpu"
    # Then another voice, and the same voice in another language, are still to be found out
    assert routes.lane_of(job("tts", voice="bert", language="en")) == "voice"
    assert routes.lane_of(job("tts", voice="anna", language="de")) == "voice"
    # And what was found out is not believed for ever
    routes.learn(job("tts", voice="anna", language="en"), "tts", "kokoro")
    assert routes.lane_of(job("tts", voice="anna", language="en")) == "voice"
    routes.learn(job("generate"), "generate", "sdxl")
    assert routes.lane_of(job("generate", voice="heart")) == "gpu"
    # And the check stage finds out engines of later stages, of which nonsense is not believed
    checked = replace(job("check", voice="carl", language="en"), stages=("check", "tts"))
    routes.learn_from(checked, "check", {"engines": {"tts": "xtts", "lipsync": "musetalk", "face": "musetalk"}})
    routes.learn_from(checked, "check", {"engines": "none"})  # type: ignore[typeddict-item]
    assert routes.lane_of(job("tts", voice="carl", language="en")) == "gpu"
    assert routes.lane_of(job("lipsync")) == "voice"  # not a stage of that job
    routes.learn(job("lipsync"), "lipsync", "musetalk")
    routes.forget()
    assert routes.lane_of(job("lipsync")) == "voice"


def test_a_speech_ends_while_a_stage_on_the_gpu_is_held_by_another_job(
    installation: Callable[..., Installation],
) -> None:
    # Given a job that holds the gpu lane; only a worker can find out that its voice is an engine's that may use the GPU
    one = installation(engines={"deaf": {"command": DEAF, "voices": {"wall": "en"}, "start_s": 10**4}})
    one.start()
    one.drop("held.yaml", {"kind": "speech", "text": "Hello.", "voice": "wall"})
    one.reaches("held", "running")
    # When another one is to be spoken / Then it is
    one.drop("a.yaml", {"kind": "speech", "text": "Hello."})
    assert one.finished("a")["state"] == "done"
    held = one.status("held")
    assert held is not None
    assert (held["state"], held["stage"]) == ("running", "tts")
    assert "attempts" not in held
    # And the next that asks for the held voice goes there at once, and waits
    one.drop("next.yaml", {"kind": "speech", "text": "Hello.", "voice": "wall"})
    waiting = one.reaches("next", "queued")
    one.drop("b.yaml", {"kind": "speech", "text": "Hello."})
    assert one.finished("b")["state"] == "done"
    assert one.jobs("tts/ready") == [waiting["job"]]
    one.avatar("jobs", "cancel", waiting["job"])
    one.avatar("jobs", "cancel", held["job"])
    assert one.finished("held")["state"] == "cancelled"
