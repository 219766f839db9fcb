"""What a stage says, and where it failed, is in the daemon's log at the default level, by job and stage."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from daemon.config import Settings
from daemon.errors import TEXT_CHARS
from daemon.wire import LEVELS, Result, RunRequest
from daemon.workers.process import WorkerProcess
from tests.conftest import Installation, wait_for
from tests.support.daemon.worker_seam import Gates


def test_the_traceback_of_a_stage_is_in_the_log_and_in_the_jobs_history(
    installation: Callable[..., Installation], tmp_path: Path
) -> None:
    # Given a daemon with the default level, and a stage that says something and then fails as nobody expected
    house = installation(retry={"attempts": 2})
    Gates(house, tmp_path / "seam")
    house.start()
    house.drop("fall.yaml", {"kind": "speech", "text": "Please stumble now."})
    house.drop("wrong.yaml", {"kind": "speech", "text": "???"})
    status, wrong = house.finished("fall"), house.finished("wrong")
    assert status["error"]["code"] == "internal-error"
    about = {"job_id": status["job"], "stage": "tts", "lane": "voice"}
    # Then the log has the traceback of each try, with the job and the stage
    failures = house.events("stage failed unexpectedly")
    assert [{**event, **about, "level": "error"} for event in failures] == failures
    assert len(failures) == 2  # and none of the job whose own fault it is
    for event in failures:
        assert "in trap\n" in event["exception"]
        assert event["exception"].endswith("RuntimeError: fell over a stone")
    # And what the stage said before
    for level, words in (("info", "stages.tts: a stone lies ahead"), ("warning", "UserWarning: the way is slippery")):
        told = [event for event in house.events("worker log") if words in event["text"]]
        assert told
        assert [{**event, **about, "level": level} for event in told] == told
    # And the history has it, and people see it, but not the creators who read the outbox
    record = house.spool / "failed" / status["job"] / "job.json"
    wait_for("the job to rest", record.exists)
    errors = [entry for entry in json.loads(record.read_bytes())["history"] if entry["event"] == "error"]
    assert [entry["traceback"] for entry in errors] == [event["exception"] for event in failures]
    assert failures[-1]["exception"] in house.avatar("jobs", "show", "fall").stdout
    assert "raceback" not in json.dumps({**status, "error": {**status["error"], "hint": ""}})
    assert "traceback" not in json.dumps(json.loads(house.avatar("jobs", "show", "wrong", "--json").stdout)["history"])
    assert wrong["error"]["fault"] == "job"


def told_by_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *messages: dict[str, Any]) -> list[Any]:
    """What the daemon logs when a worker sends these before anything else, and then does its work."""
    lines = [*messages, {"event": "ready"}, {"event": "result", "facts": {}, "warnings": []}]
    (tmp_path / "lines").write_text("".join(json.dumps(line) + "\n" for line in lines))
    worker = tmp_path / "worker"
    worker.write_text(f"#!/bin/sh\ncat '{tmp_path}/lines'\nexec cat >/dev/null\n")
    worker.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(worker))

    async def work() -> None:
        child = WorkerProcess("cpu", Settings(), lambda _: None)
        request = RunRequest(job="j", name="hello", stage="face", dir=tmp_path, manifest={})
        assert await child.run(request, 60.0, lambda _: None) == Result(facts={}, warnings=[])
        await child.stop()

    logs = (
        LogCapture()
    )  # not `capture_logs`, which neither a logger that was used before nor another test's level lets see
    every = structlog.make_filtering_bound_logger(0)
    monkeypatch.setattr("daemon.workers.worker.log", structlog.wrap_logger(None, [logs], wrapper_class=every))
    asyncio.run(work())
    return [line for line in logs.entries if line["event"] == "worker log"]


@pytest.mark.usefixtures("processes")
def test_a_log_message_of_any_form_costs_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = [{"event": "log", "level": level, "text": level, "job": "j", "stage": "face"} for level in LEVELS]
    odd: list[dict[str, Any]] = [
        {"event": "log"},
        {"event": "log", "level": ["loud"], "text": 7},
        {"event": "log", "level": "exception", "text": "\x1b[2J" + "x" * 100_000},
    ]
    told = told_by_a_worker(tmp_path, monkeypatch, *known, *odd)
    assert [line["log_level"] for line in told] == [*LEVELS, "info", "info", "info"]
    assert told[0] == {
        "event": "worker log",
        "log_level": "debug",
        "lane": "cpu",
        "job_id": "j",
        "stage": "face",
        "text": "debug",
    }
    assert "\x1b" not in told[-1]["text"]
    assert len(told[-1]["text"]) < TEXT_CHARS + 100
