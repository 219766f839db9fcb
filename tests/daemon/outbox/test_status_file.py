"""What people read beside their results, in each state of a job."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from daemon.errors import AvatarError, JobError, MachineError
from daemon.jobs.facts import JobFacts, SourceFile
from daemon.jobs.iso_time import iso
from daemon.jobs.kinds import KINDS
from daemon.jobs.record import FINISHED, Job, State
from daemon.jobs.waits import AWAITED
from daemon.outbox import status_file
from daemon.outbox.estimator import Estimator
from daemon.outbox.outbox import Outbox
from daemon.outbox.status_file import NEXT, StatusWriter, Turn, status_of
from daemon.queue.pauses import Pause
from tests.support.daemon.queue import Unflushed

#: Keys that every status has; programs rely on them.
ALWAYS = {
    "schema", "job", "name", "state", "stage", "progress", "eta_s", "queue_position", "source", "document",
    "by", "accepted", "updated", "finished", "next", "kind",
}  # fmt: skip
UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
NO_FACE = {"code": "no-face", "message": "No face.", "hint": "Use another picture.", "fault": "job", "stage": "face"}


def job(state: State = "running", **fields: Any) -> Job:
    record: dict[str, Any] = {
        "id": "job-20260101T000000Z-00000001",
        "name": "hello",
        "source": "letters/hello.yaml",
        "document": 2,
        "stages": KINDS["speech"].stages,
        "stage": "tts",
        "accepted": 1767225600.25,
        "manifest": {"kind": "speech", "text": "Hello."},
    }
    return Job(**{**record, "state": state, **fields})


class Desk:
    """A status writer on an outbox of its own."""

    def __init__(self, root: Path, ops: Unflushed) -> None:
        self.ops = ops
        self.outbox = Outbox(root)
        self.estimator = Estimator()
        self.writer = StatusWriter(self.outbox, self.estimator)

    def read(self, name: str = "hello") -> dict[str, Any]:
        status = self.outbox.read_status(name)
        assert status is not None
        return status


@pytest.fixture
def desk(memory: Path, ops: Unflushed) -> Desk:
    return Desk(memory, ops)


@pytest.mark.parametrize("state", NEXT)
def test_every_state_says_whose_job_it_is_and_what_comes_next(state: State) -> None:
    status = status_of(job(state))
    assert set(status) == ALWAYS | ({"text"} if state in FINISHED else set())  # and nothing that is empty
    assert (status["schema"], status["state"]) == (1, state)
    assert status["next"].startswith(NEXT[state].removesuffix("."))
    assert (status["source"], status["document"], status["stage"]) == ("letters/hello.yaml", 2, "tts")
    assert status["accepted"] == "2026-01-01T00:00:00.250Z"
    assert UTC.fullmatch(status["updated"])
    assert status["finished"] is None


def test_a_waiting_job_names_the_files_it_waits_for() -> None:
    one = job("waiting", stage=None, facts=JobFacts(missing=["portrait.png"]))
    assert status_of(one)["waiting_for"] == ["portrait.png"]
    one.state = "queued"
    assert "waiting_for" not in status_of(one)


def test_a_queued_job_has_its_place_and_counts_those_before_it(desk: Desk) -> None:
    one = job("queued")
    desk.writer.queue_position(one, Turn(1, 0.0))
    first = desk.read()
    assert (first["queue_position"], first["progress"]) == (1, round(desk.estimator.progress(one, 0.0), 3))
    assert first["eta_s"] == round(sum(desk.estimator.stage_s(one, stage) for stage in one.stages[1:]), 1)
    desk.writer.queue_position(one, Turn(11, 70.0))
    late = desk.read()
    assert late["queue_position"] == 11
    assert late["eta_s"] == pytest.approx(first["eta_s"] + 70.0, abs=0.1)


def test_a_delayed_job_says_when_it_is_tried_again() -> None:
    due = time.time() + 1000.0
    assert status_of(job("queued", not_before=due))["next"] == f"It is retried after {iso(due)}."
    assert status_of(job("queued", not_before=1.0))["next"] == NEXT["queued"]


@pytest.mark.parametrize(
    ("state", "error", "says"),
    [
        (
            "failed",
            JobError("rows-wrong", "2 of 3 rows are wrong."),
            "Mend people.csv, and put it into the inbox again.",
        ),
        ("failed", JobError("rows-done", "No row is left.", "Wait."), "Nothing is to be mended in people.csv. Wait."),
        ("failed", MachineError("disk-full", "No room.", "Make some."), "Run `avatar jobs retry` to try it again, or "),
        ("cancelled", JobError("cancelled", "By anna."), "Drop it again if you still want it, or "),
    ],
)
def test_a_table_is_to_be_mended_only_where_it_is_wrong(state: State, error: AvatarError, says: str) -> None:
    one = job(state, source="people.csv")
    one.set_error(error, "check")
    assert status_of(one)["next"].startswith(says)


def test_a_job_that_comes_while_the_queue_is_paused_says_by_whom_and_why(desk: Desk) -> None:
    # Given a pause / Then a queued job does not say that it starts by itself
    desk.writer.queue_paused("lanes", Pause("ann", "new lamps", 0.0))
    desk.writer.job_changed(job("queued"))
    said = desk.read()["next"]
    assert said.startswith(
        "The queue was paused by ann at 1970-01-01T00:00:00.000Z: new lamps. It starts when somebody ends"
    )
    # And with an end it names the end, also for one that would be retried earlier
    desk.writer.queue_paused("lanes", Pause("ann", "", 0.0, 60.0))
    desk.writer.job_changed(job("queued", not_before=1.0))
    assert desk.read()["next"].endswith("no reason given. It starts at 1970-01-01T00:01:00.000Z.")
    # And it says what it always says for a job that runs on, for a pause of the intake alone, and after the pause
    desk.writer.job_changed(job("running"))
    assert desk.read()["next"] == NEXT["running"]
    desk.writer.queue_resumed("lanes")
    desk.writer.queue_paused("intake", Pause("ann", "", 0.0))
    desk.writer.job_changed(job("queued"))
    assert desk.read()["next"] == NEXT["queued"]


def test_a_running_job_says_how_far_it_is_and_how_long_it_takes(desk: Desk) -> None:
    one = job(attempts={"tts": 2, "deliver": 1})
    desk.writer.stage_progress(one, "tts", 0.5)
    status = desk.read()
    assert 0 < status["progress"] < 1
    assert status["progress"] == round(desk.estimator.progress(one, 0.5), 3)
    assert status["eta_s"] == round(desk.estimator.eta_s(one, 0.5) or 0.0, 1)
    assert status["attempts"] == {"tts": 2}  # what was tried again


def test_progress_is_not_written_more_often_than_a_share_can_bear(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = job(), job(id="job-20260101T000000Z-00000002", name="other")
    monkeypatch.setattr(status_file, "WRITE_S", 3600.0)
    monkeypatch.setattr(desk.writer, "_written_at", {one.id: time.monotonic()})
    # When progress of a job comes right after it was written / Then it is not written, but that of others is
    desk.writer.stage_progress(one, "tts", 0.5)
    assert desk.outbox.read_status("hello") is None
    monkeypatch.setattr(status_file, "WRITE_S", 0.0)
    desk.writer.stage_progress(other, "tts", 0.5)
    assert desk.read("other")["progress"] > 0
    # And what happens to it is
    desk.writer.job_changed(one)
    assert desk.read()["progress"] == round(desk.estimator.progress(one, 0.0), 3)


def test_a_job_that_waits_for_the_rest_of_a_file_names_it() -> None:
    one = job("queued", stage="deliver", history=[{"at": 1.0, "event": AWAITED, "files": ["s.wav"]}], not_before=9e9)
    status = status_of(one, eta_s=3.0)
    assert status["next"] == "It waits for the rest of s.wav. Close the program that writes it."
    assert status["eta_s"] is None


def test_a_held_job_says_who_holds_it_and_why() -> None:
    held = {"by": "ann", "reason": "wrong voice", "since": 1.0}
    status = status_of(job("held", held=held))
    assert (status["held"], status["eta_s"]) == ({**held, "since": "1970-01-01T00:00:01.000Z"}, None)


def test_a_finished_job_names_its_results_and_what_the_stages_found(desk: Desk) -> None:
    outputs = [{"file": "hello.wav", "bytes": 5, "sha256": "00"}]
    stages: dict[str, Any] = {"tts": {"audio_s": 2.0, "voice": "heart"}, "deliver": {"outputs": outputs}}
    facts = JobFacts(stages, {"x": SourceFile("x.wav", None, 1.0)})
    one = job(
        "done",
        stage="deliver",
        finished=1767225601.0,
        outputs={"outputs": outputs},
        facts=facts,
        warnings=["The text is short."],
        timings={"tts": {"wait": 0.00012, "run": 1.23456}},
        manifest={"kind": "speech", "text": "Hello.", "metadata": {"ticket": 7}},
    )
    desk.writer.before_finish(one)
    status = desk.read()
    assert (status["state"], status["progress"], status["eta_s"]) == ("done", 1.0, None)
    assert status["finished"] == "2026-01-01T00:00:01.000Z"
    assert (status["outputs"], status["warnings"]) == (outputs, ["The text is short."])
    assert status["stages"] == {"tts": {"audio_s": 2.0, "voice": "heart"}}  # nothing of the spool's own
    assert status["timings"] == {"tts": {"wait": 0.0, "run": 1.235}}
    assert status["metadata"] == {"ticket": 7}
    assert "error" not in status


def test_a_failed_job_says_what_failed_who_can_help_and_how(desk: Desk) -> None:
    desk.writer.before_finish(job("failed", error=NO_FACE))
    status = desk.read()
    assert status["error"] == NO_FACE
    assert status["next"] == NEXT["failed"]
    # And where its files are not to blame, nobody is sent to change them
    for fault in ("machine", "unknown"):
        told = status_of(job("failed", error={**NO_FACE, "fault": fault}))["next"]
        assert "avatar jobs retry" in told
        assert "hello.retry into the folder letters of the inbox" in told


def test_the_last_word_is_durable_and_the_others_need_not_be(desk: Desk) -> None:
    desk.writer.job_changed(job("queued"))
    assert ("sync_dir", desk.outbox.root) not in desk.ops.calls
    desk.writer.before_finish(job("done"))
    assert desk.ops.calls[-1] == ("sync_dir", desk.outbox.root)


def test_an_outbox_that_is_away_holds_up_the_end_and_nothing_else(desk: Desk) -> None:
    desk.outbox.root.rmdir()
    desk.writer.job_changed(job())
    desk.writer.stage_progress(job(), "tts", 0.5)
    with pytest.raises(MachineError) as raised:
        desk.writer.before_finish(job("done"))
    assert raised.value.code == "outbox-unusable"
    desk.outbox.root.mkdir()


def test_a_folder_in_a_status_files_place_holds_up_nobody(desk: Desk) -> None:
    (desk.outbox.root / "hello.json").mkdir()
    desk.writer.before_finish(job("done"))
    # Then it is told under a name of its own, and where people foresee that one, the job ends without being told
    assert desk.read(f"hello-{job().id}")["state"] == "done"
    (desk.outbox.root / f"hello-{job().id}.json").unlink()
    (desk.outbox.root / f"hello-{job().id}.json").mkdir()
    desk.writer.before_finish(job("done"))


def test_times_are_utc_to_the_millisecond() -> None:
    assert iso(None) is None
    assert iso(0.0) == "1970-01-01T00:00:00.000Z"
    assert iso(1767225599.9999) == "2025-12-31T23:59:59.999Z"
