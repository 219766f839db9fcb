"""The Python door, on a real daemon."""

from __future__ import annotations

import datetime
import itertools
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from daemon.client import AvatarError, Client, JobError, JobStatus, render
from daemon.config import Settings
from daemon.doors import render as rendering
from daemon.doors import standstill as standing
from daemon.doors.http.app import create_app
from daemon.doors.job_names import check_name
from tests.conftest import PORTRAIT, Installation, wait_for
from tests.support.http_door import serving
from tests.support.machine.people import ANNA

SPEECH = {"kind": "speech", "text": "Hello."}


def test_a_job_is_followed_from_before_the_daemon_starts_to_its_result(
    installation: Callable[..., Installation],
) -> None:
    # Given a client while the daemon is down
    one = installation()
    client = Client(one.config)
    job = client.submit(SPEECH, key="mine")
    assert (job.status.state, job.result) == ("waiting", None)
    with pytest.raises(AvatarError, match="not finished") as late:
        job.wait(timeout=0)
    assert late.value.code == "answer-late"
    # When it starts
    one.start()
    events = list(job.events())
    # Then each change comes once, and the last is the end
    assert [event.is_finished for event in events] == [False] * (len(events) - 1) + [True]
    assert all(a != b for a, b in itertools.pairwise(events))
    result = job.wait()
    assert (result.success, result.error, result.stages_completed[-1]) == (True, None, "deliver")
    assert result.output is not None
    assert result.output.read_bytes()[:4] == b"RIFF"
    assert client.submit(SPEECH, key="mine").id == job.id
    # And it is found by its id, by its name, in the list and in the counts
    assert [client.get(name).id for name in (job.id, job.name)] == [job.id, job.id]
    assert [status.job for status in client.list(state="done", by=job.status.by, limit=5)] == [job.id]
    assert [status.job for status in client.list(state="completed")] == [job.id]
    assert (client.list(state="failed"), client.stats().by_state) == ([], {"done": 1})


def test_jobs_are_searched_by_the_same_words_as_on_the_command_line(shared: Installation) -> None:
    client = Client(shared.config)
    start = time.time()
    metadata = {"tags": ["spring"], "shelf": 3}
    job = client.submit(kind="speech", text="A zebra sings.", name="stripes", metadata=metadata)
    other = client.submit(kind="speech", text="A donkey sings.", metadata={"tags": ["spring", "grey"]})
    assert (job.wait().success, other.wait().success) == (True, True)

    def found(**asked: Any) -> set[str]:
        return {status.job for status in client.list(**asked)} & {job.id, other.id}

    both = {job.id, other.id}
    assert (found(search="ZEBRA sings"), found(search="stripes"), found(search="zebra donkey")) == (
        {job.id},
        {job.id},
        set(),
    )
    assert (found(tag="spring"), found(tag=["spring", "grey"]), found(tag="shelf=3")) == (both, {other.id}, {job.id})
    assert (found(state=["failed", "completed"], kind=["video", "speech"]), found(kind="video")) == (both, set())
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    assert (found(since=start - 1), found(until=later), found(since=later), found(until=start - 1)) == (
        both,
        both,
        set(),
        set(),
    )
    assert found(since=later.replace(tzinfo=None)) == set()


def test_a_job_is_made_again_and_gets_another_place_from_python(shared: Installation) -> None:
    client = Client(shared.config)
    first = client.submit(kind="speech", text="Once.", name="onceonly")
    first.wait()
    # When it is made again, by whichever of its names, with the same key twice
    again = first.rerun(text="Twice.", key="second")
    assert again.wait().success
    assert (again.name, again.status.record["text"], again.status.record["base"]) == ("onceonly-v2", "Twice.", first.id)
    assert client.rerun("onceonly", text="Twice.", key="second").id == again.id
    assert client.rerun(first.id, name="thrice").name == "thrice"
    # And a place in the queue is given, or refused with the reason
    shared.avatar("pause")
    waiting = client.submit(kind="speech", text="Later.")
    wait_for("it to be taken in", lambda: waiting.status.state == "queued")
    assert "has priority 7" in waiting.priority(7)
    shared.avatar("resume")
    waiting.wait()
    with pytest.raises(AvatarError, match="done already"):
        client.priority(first, 1)
    for wrong in (101, True, 1.5):
        with pytest.raises(JobError, match="not a priority"):
            client.priority(first, wrong)  # type: ignore[arg-type]


LOOP: dict[str, Any] = {}
LOOP["head"] = LOOP


@pytest.mark.parametrize(
    ("manifest", "keys", "told"),
    [
        (SPEECH, {"name": 123}, "The name 123 is no text"),
        (SPEECH, {"key": 7}, "`key` is not a printable text"),
        (["kind", "speech"], {}, "no mapping of keys to values, but Python's list"),
        (None, {"text": "Hello.", "image": b"\x89PNG"}, "`image` has a value that a manifest cannot hold"),
        (SPEECH, {"title": object()}, "`title` has a value that a manifest cannot hold"),
        (SPEECH | {"motion": LOOP}, {}, "`motion` is nested too deeply"),
        (SPEECH | {"metadata": {"rate": [float("nan")]}}, {}, "`metadata` has a number that is none"),
    ],
)
def test_what_no_manifest_can_hold_is_refused_with_a_sentence(
    installation: Callable[..., Installation], manifest: Any, keys: dict[str, Any], told: str
) -> None:
    one = installation()
    with pytest.raises(JobError, match=told) as caught:
        Client(one.config).submit(manifest, **keys)
    assert (caught.value.code, bool(caught.value.hint)) == ("manifest-invalid", True)
    assert not list(one.inbox.iterdir())


def test_a_file_that_nobody_brings_is_refused_at_once(
    installation: Callable[..., Installation], foreground: Path
) -> None:
    # Given a portrait that is neither at the path nor in the inbox / Then nothing waits for it
    one = installation()
    for hand_in in (
        lambda: Client(one.config).submit(text="Hello.", image="absent.png"),
        lambda: Client(one.config).submit({"text": "Hello.", "image": "absent.png"}, key="mine"),
        lambda: render("Hello.", "absent.png", one.root / "a.mp4", config=one.config),
    ):
        with pytest.raises(JobError, match=r"absent\.png") as caught:
            hand_in()
        assert caught.value.code == "file-missing"
    assert not list(one.inbox.glob("*.yaml"))
    # And one that lies in the inbox, in other capitals too, can be named
    (one.inbox / "Anna.PNG").write_bytes(b"picture")
    assert Client(one.config).submit(text="Hello.", image="anna.png").status.state == "waiting"


def test_the_name_that_is_proposed_in_place_of_a_wrong_one_can_be_used() -> None:
    for wrong in ("CON", "_defaults", "nul.txt", "", ".hidden", "a/b", "~$word", "a" * 300, "#x"):
        with pytest.raises(JobError) as caught:
            check_name(wrong)
        proposed = re.fullmatch(r"Use '(.+)', for example\.", caught.value.hint or "")
        assert proposed, caught.value.hint
        assert check_name(proposed[1]) == proposed[1]


def test_values_of_python_are_read_as_a_manifest_has_them(installation: Callable[..., Installation]) -> None:
    one = installation()
    job = Client(one.config).submit(SPEECH | {"output": Path("hello")}, speed=np.float64(1.1), seed=np.int64(7))
    written = yaml.safe_load((one.inbox / job.manifest).read_text())
    assert (written["output"], written["speed"], written["seed"]) == ("hello", 1.1, 7)


def test_a_job_that_fails_says_why_and_what_is_wrong_at_once_is_refused_at_once(shared: Installation) -> None:
    client = Client(shared.config)
    (shared.root / "empty.png").write_bytes(b"no picture")
    result = client.submit(text="Hello.", image=shared.root / "empty.png").wait()
    assert (result.success, result.output) == (False, None)
    assert result.error is not None
    assert (result.error.fault, bool(result.error.code), bool(result.error.hint)) == ("job", True, True)
    with pytest.raises(JobError, match="txt"):
        client.submit(kind="speech", txt="Hello.")
    for wrong in (
        {"state": "faild"},
        {"state": ["done", ""]},
        {"limit": -1},
        {"since": float("nan")},
        {"until": 1e300},
    ):
        with pytest.raises(AvatarError) as query:
            client.list(**wrong)
        assert query.value.code == "query-invalid"
    with pytest.raises(AvatarError) as unknown:
        client.get("job-20260101T000000Z-00000000")
    assert unknown.value.code == "job-unknown"


def test_a_manifest_file_brings_its_files_and_jobs_are_held_released_and_cancelled(shared: Installation) -> None:
    client = Client(Settings.load(shared.config).paths)
    shared.avatar("pause")
    (shared.root / "mine.yaml").write_text("kind: speech\ntext: 007\n")
    job = client.submit(shared.root / "mine.yaml", name="mine", speed=1.2)
    next(status for status in job.events() if status.state == "queued")
    # It is read as the daemon reads it
    (taken,) = (folder / "manifest.yaml" for folder in shared.spool.glob(f"*/ready/{job.id}*"))
    assert yaml.safe_load(taken.read_bytes()) == {"kind": "speech", "text": "007", "speed": 1.2}
    job.hold("later")
    assert next(status for status in job.events() if status.state == "held")
    job.release()
    job.cancel()
    assert job.wait().state == "cancelled"
    shared.avatar("resume")


def test_whoever_may_not_use_the_spool_asks_by_a_file_in_the_inbox(
    shared: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared.avatar("pause")
    client = Client(shared.config)
    job = client.submit(SPEECH)
    next(status for status in job.events() if status.state == "queued")
    monkeypatch.setattr("daemon.doors.client.client.access_error", lambda folder: PermissionError(13, "no", str(ANNA)))
    job.cancel()
    assert job.wait().state == "cancelled"
    shared.avatar("resume")


@pytest.mark.parametrize("door", ["client", "http"])
def test_a_row_of_a_batch_of_the_client_starts_again_without_the_right_to_use_the_spool(
    shared: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, door: str
) -> None:
    # Given a batch that the client hands in, with the files that its rows name, one of which is no picture
    (tmp_path / f"{door}.csv").write_text("name,picture\ngood,good.png\nbad,bad.png\n")
    (tmp_path / "good.png").write_bytes(PORTRAIT.read_bytes())
    (tmp_path / "bad.png").write_bytes(b"no picture")
    template = {"kind": "info", "image": "{{picture}}", "output": "{{name}}"}
    (tmp_path / "t.yaml").write_text(yaml.safe_dump({"kind": "batch", "rows": f"{door}.csv", "template": template}))
    client = Client(shared.config)
    batch = client.submit(tmp_path / "t.yaml", name=door)
    assert batch.wait().success
    first = shared.finished(door)
    assert (first["batch"]["done"], first["batch"]["failed"]) == (1, 1)
    # When somebody starts the failed row again who may write into the inbox alone
    row = client.get(f"{door}/bad")
    for module in ("client.client", "http.jobs"):
        monkeypatch.setattr(f"daemon.doors.{module}.access_error", lambda folder: PermissionError(13, "no", str(ANNA)))
    if door == "client":
        assert "client/bad.retry lies in the inbox" in row.retry()
    else:
        with serving(create_app(Settings.load(shared.config))) as caller:
            told = caller.post(f"/jobs/{row.id}/retry")
        assert (told.status, "will be seen to" in told.json["message"]) == (202, True)
    # Then it runs, its batch ends again, and nothing of the request is left in the inbox
    wait_for("the batch to end again", lambda: shared.finished(door)["finished"] != first["finished"])
    assert [job["name"] for job in shared.events("job finished")].count(f"{door}/bad") == 2
    wait_for("the folder of the request to go", lambda: not (shared.inbox / door).exists())


def test_a_row_that_a_batch_of_the_report_made_since_is_found_and_not_started_again(
    shared: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a row that failed, and that a batch of the report has made, whose job has its name
    (tmp_path / "made.csv").write_text("name,picture\nbad,bad.png\n")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    template = {"kind": "info", "image": "{{picture}}", "output": "{{name}}"}
    (tmp_path / "t.yaml").write_text(yaml.safe_dump({"kind": "batch", "rows": "made.csv", "template": template}))
    client = Client(shared.config)
    assert not client.submit(tmp_path / "t.yaml", name="made").wait().success
    row = client.get("made/bad")
    (shared.inbox / "bad.png").write_bytes(PORTRAIT.read_bytes())
    (shared.inbox / "made.report.csv").write_bytes((shared.outbox / "made.report.csv").read_bytes())
    assert shared.finished("made-v2")["state"] == "done"
    assert client.get("made/bad").id != row.id
    # When it is to be started again by its id / Then the answer is that of the daemon, as by HTTP
    assert client.get(row.id).status.state == "failed"
    with pytest.raises(AvatarError, match="made-v2, a batch of its report, has made it since") as refused:
        client.get(row.id).retry()
    assert refused.value.code == "job-not-failed"
    # And no file asks for the other job by their name
    for module in ("client.client", "http.jobs"):
        monkeypatch.setattr(f"daemon.doors.{module}.access_error", lambda folder: PermissionError(13, "no", str(ANNA)))
    with pytest.raises(AvatarError, match="would mean job-") as no_file:
        client.get(row.id).retry()
    assert no_file.value.code == "not-allowed"
    with serving(create_app(Settings.load(shared.config))) as caller:
        assert caller.post(f"/jobs/{row.id}/retry").json["code"] == "not-allowed"
    assert not list(shared.inbox.rglob("*.retry"))
    # And one that is done, and whose results were taken away, is none any more: it would be a success without an output
    made = client.get("made/bad")
    for path in (shared.outbox / "made").glob("bad.*"):
        path.unlink()
    with pytest.raises(AvatarError) as gone:
        client.get(made.id)
    assert gone.value.code == "job-unknown"


class InterruptError(Exception):
    """Somebody presses Ctrl-C."""


def test_a_foreground_run_that_was_interrupted_goes_on_and_leaves_only_its_result(
    foreground: Path, tmp_path: Path
) -> None:
    seen: list[JobStatus] = []

    def interrupt(status: JobStatus) -> None:
        seen.append(status)
        if "tts" in status.stages:
            raise InterruptError

    with pytest.raises(InterruptError):
        render("Hello.", None, tmp_path / "a.wav", kind="speech", progress=interrupt)
    assert not rendering._RUNNING
    assert not (tmp_path / "a.wav").exists()
    first = seen[-1]
    again: list[JobStatus] = []
    result = render("Hello.", None, tmp_path / "a.wav", kind="speech", progress=again.append)
    assert (result.success, result.output) == (True, tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes()[:4] == b"RIFF"
    # It is the same job, and the stage that was finished did not run again
    assert {status.job for status in again} == {first.job}
    assert all("tts" in status.stages for status in again)
    assert [path for path in foreground.iterdir() if path.is_dir()] == []


def test_a_foreground_run_hands_in_where_a_daemon_runs(shared: Installation, foreground: Path) -> None:
    done: list[object] = []
    before = Client(shared.config).stats().by_state.get("done", 0)
    thread = threading.Thread(
        target=lambda: done.append(render("Hi.", None, shared.root / "b.flac", kind="speech", config=shared.config))
    )
    thread.start()
    thread.join()
    assert (shared.root / "b.flac").read_bytes()[:4] == b"fLaC"  # as its ending says
    assert Client(shared.config).stats().by_state["done"] == before + 1
    assert not foreground.exists()


def test_whoever_waits_hears_that_the_service_has_ended_or_goes_on_and_no_source_is_replaced(
    installation: Callable[..., Installation], foreground: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a service that starts nothing
    one = installation()
    one.start()
    one.avatar("pause")
    args: dict[str, Any] = {"kind": "speech", "config": one.config}
    # When the time is over / Then it is told that the service goes on: another call makes another job
    with pytest.raises(AvatarError) as late:
        render("Hello.", None, tmp_path / "a.wav", timeout=0, **args)
    assert (late.value.code, "goes on" in (late.value.hint or "")) == ("answer-late", True)
    # When it ends and does not come back
    monkeypatch.setattr(standing, "ABSENT_S", 0)

    def end(status: JobStatus) -> None:
        one.stop()

    with pytest.raises(AvatarError) as absent:
        render("Hello.", None, tmp_path / "a.wav", progress=end, timeout=60, **args)
    assert absent.value.code == "daemon-absent"
    # And what a job is made from is not replaced by its result
    (tmp_path / "own.wav").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        render(None, None, tmp_path / "own.wav", audio=tmp_path / "own.wav", **args)
    assert (tmp_path / "own.wav").read_bytes() == b"mine"


def test_a_foreground_run_that_cannot_be_is_told_so(foreground: Path, tmp_path: Path) -> None:
    for out, quality in (("a.wav", "splendid"), ("a.mp4", "draft")):
        with pytest.raises(JobError):
            render("Hello.", None, tmp_path / out, kind="speech", quality=quality)
    (tmp_path / "no.png").write_bytes(b"no picture")
    states: list[str] = []
    result = render(
        "Hello.", tmp_path / "no.png", tmp_path / "a.mp4", progress=lambda status: states.append(status.state)
    )
    assert (result.success, result.error is not None, (tmp_path / "a.mp4").exists()) == (False, True, False)
    # And no rest of the picture is waited for, as in an inbox that others write into
    assert states.count("queued") <= 1


def test_a_table_is_a_batch_of_its_rows_from_python_too(installation: Callable[..., Installation]) -> None:
    one = installation()
    (one.root / "a.csv").write_text("kind,audio,name\nspeech,b.wav,Anna\n")
    (one.root / "b.wav").write_bytes(b"sound")
    client = Client(one.config)
    with pytest.raises(JobError, match=r"The column “name” of .* is no key of a manifest"):
        client.submit(one.root / "a.csv")
    (one.root / "a.csv").write_text("kind,audio\nspeech,b.wav\n")
    client.submit(one.root / "a.csv", limit=1)
    assert (one.inbox / "b.wav").read_bytes() == b"sound"
    (manifest,) = one.inbox.glob("*.yaml")
    assert "kind: batch" in manifest.read_text()
