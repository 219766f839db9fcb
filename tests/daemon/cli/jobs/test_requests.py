"""Requests of the commands about jobs: who asked is named, an answer can be relied on, and none is lost on its way."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.cli.commands import jobs
from daemon.cli.common import Shell
from daemon.control.spool_requests import send_request
from daemon.errors import AvatarError
from daemon.events import Subscriber
from daemon.jobs.record import Job
from daemon.jobs.stages import Stage
from daemon.system import fs
from daemon.system.file_calls import Ops
from daemon.system.permissions import user_name
from tests.conftest import Installation, wait_for
from tests.support.daemon.intake import DETECT, SPEECH, Room
from tests.support.daemon.worker_seam import Gates


def test_whoever_cancels_is_named(installation: Callable[..., Installation], monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a job in the queue, one in a stage, one whose manifest waits, and one that is cancelled by a file in the inbox
    one = installation()
    gates = Gates(one, one.root / "seam")
    gates.shut("tts")
    one.start()
    one.drop("runs.yaml", SPEECH)
    one.reaches("runs", "running")
    for name in ("queued", "filed"):
        one.drop(f"{name}.yaml", SPEECH)
        one.reaches(name, "queued")
    one.drop("waits.yaml", DETECT)
    one.reaches("waits", "waiting")
    # When anna cancels three by command
    monkeypatch.setenv("LOGNAME", "anna")
    one.avatar("jobs", "cancel", "runs", "queued", "waits")
    (one.inbox / "filed.cancel").touch()
    # Then status and history of each name who did it, and for a file its owner
    by_file = f"{user_name(os.getuid())} (shared folder)"
    for name, who in (("runs", "anna"), ("queued", "anna"), ("waits", "anna"), ("filed", by_file)):
        ended = one.finished(name)
        assert ended["error"]["message"].startswith(f"{who} cancelled the ")
        wait_for("the job to rest, which its status comes before", (one.spool / "failed" / ended["job"]).is_dir)
        shown = json.loads(one.avatar("jobs", "show", name, "--json").stdout)
        assert [entry["by"] for entry in shown["history"] if entry["event"] == "cancelled"] == [who]
        assert shown["history"][-1]["at"].endswith("Z")  # a time as in the status


def test_a_cancel_that_was_answered_outlives_a_kill(installation: Callable[..., Installation], tmp_path: Path) -> None:
    # Given a job in a stage that does not end, cancelled as soon as it runs
    one = installation()
    gates = Gates(one, tmp_path / "seam")
    gates.shut("tts")
    one.start()
    one.drop("long.yaml", SPEECH)
    job = one.reaches("long", "running")["job"]
    answer = send_request(one.spool / "control", "cancel", job=job)
    # When the daemon is killed in the moment it has answered
    wait_for("the answer", answer.exists)
    one.kill()
    # Then the job rests, and the next start has nothing to do again
    assert json.loads(answer.read_bytes())["ok"], answer.read_text()
    assert one.jobs("failed") == [job]
    assert not answer.with_suffix(".json").exists()


def test_a_request_is_durably_gone_before_it_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given every change to the folder of requests, in its order
    room = Room(tmp_path)
    calls: list[str] = []

    class Watched(Ops):
        def rename(self, source: Path, target: Path) -> None:
            calls.append(f"name {target.suffix}")
            super().rename(source, target)

        def unlink(self, path: Path) -> None:
            calls.append(f"unlink {path.suffix}")
            super().unlink(path)

        def sync_dir(self, path: Path) -> None:
            calls.append(f"flush {path.name}")
            super().sync_dir(path)

    send_request(room.spool.control, "pause", by="anna")
    monkeypatch.setattr(fs, "OPS", Watched())
    asyncio.run(room.service.loops.spool_requests.answer_all())
    # Then the pause is on disk first, then the request is gone, then there is an answer
    assert calls == ["name .json", "flush spool", "unlink .json", "flush control", "name .answer"]


def test_a_pause_of_somebody_else_is_not_replaced_unasked(
    shared: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def paused() -> dict[str, Any]:
        pause: dict[str, Any] = json.loads(shared.avatar("status", "--json").stdout)["paused"]["lanes"]
        return pause

    monkeypatch.setenv("LOGNAME", "anna")
    shared.avatar("pause", "--reason", "the disk is being exchanged")
    # When somebody else pauses as well / Then they are told who did, and why
    monkeypatch.setenv("LOGNAME", "bert")
    told = shared.avatar("pause", "--for", "1h", code=1).stderr
    assert "by anna" in told
    assert "the disk is being exchanged" in told
    assert (paused()["by"], paused()["until"]) == ("anna", None)
    # And who insists, or owns it, replaces it
    assert "replaces the pause by anna, which had no end" in shared.avatar("pause", "--for", "1h", "--force").stdout
    assert paused()["by"] == "bert"
    shared.avatar("pause", "--reason", "longer")
    assert (paused()["reason"], paused()["until"]) == ("longer", None)
    # A number alone is no time, and the answer says how long
    assert "Write 2s for seconds, 2m for minutes" in shared.avatar("pause", "--for", "2", code=2).stderr
    assert "paused for 90 s, until" in shared.avatar("pause", "--for", "90s").stdout
    assert "paused by bert" in shared.avatar("resume").stdout


@pytest.mark.usefixtures("processes")
def test_a_cancel_reaches_a_worker_that_is_only_just_being_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a stage that never ends, and somebody who cancels in the moment its process is asked for
    room = Room(tmp_path)
    gates = Gates(Installation(tmp_path), tmp_path / "seam")
    gates.shut("check")
    for key, value in (("PYTHONPATH", str(tmp_path / "seam")), ("TEST_GATES", str(gates.folder))):
        monkeypatch.setenv(key, value)
    room.put("hello.yaml")
    (job,) = room.settle()
    lane = room.service.lanes.cpu
    answers: list[asyncio.Task[str]] = []

    class Impatient(Subscriber):
        def stage_started(self, job: Job, stage: Stage, wait_s: float) -> None:
            assert not any(slot.worker.alive for slot in lane.slots)
            answers.append(
                asyncio.create_task(
                    room.service.loops.spool_requests._operations.run_request({"op": "cancel", "job": job.id})
                )
            )

    async def live() -> str:
        room.service.events.add(Impatient())
        lane.start()
        while not answers:
            await asyncio.sleep(0.01)
        try:
            return await answers[0]
        finally:
            await lane.drain(0)

    # Then it is ended all the same, and the job is cancelled
    assert "is cancelled" in asyncio.run(live())
    assert room.spool.load_job(room.spool.root / "failed" / job.id).state == "cancelled"


def test_a_request_follows_a_manifest_that_is_taken_in_between_look_and_answer(
    installation: Callable[..., Installation], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a manifest that has become a job when the daemon is asked about it
    asked: list[dict[str, str]] = []

    def ask(shell: Shell, op: str, **target: str) -> dict[str, Any]:
        asked.append(target)
        if "manifest" in target:
            raise AvatarError("file-missing", "hello.yaml is not there.")
        return {"ok": True, "message": "It ends."}

    targets = iter([{"manifest": "hello.yaml"}, {"job": "job-1"}])
    monkeypatch.setattr(jobs, "_target", lambda *about: next(targets))
    monkeypatch.setattr(Shell, "ask", ask)
    # Then the job is asked for
    assert "It ends." in installation().avatar("jobs", "cancel", "job-1").stdout
    assert asked == [{"manifest": "hello.yaml"}, {"job": "job-1"}]
