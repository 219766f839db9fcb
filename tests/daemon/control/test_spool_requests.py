"""What people order: by command, by a file in spool/control, by a file beside their own; also while nobody is there."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.control.spool_requests import send_request
from daemon.jobs.iso_time import iso
from daemon.system.permissions import current_user
from tests.conftest import Installation, wait_for
from tests.support.daemon.worker_seam import Gates

SPEECH = {"kind": "speech", "text": "Good morning."}


def record(one: Installation, name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(one.avatar("jobs", "show", name, "--json").stdout)
    return value


def start_paused(one: Installation) -> None:
    one.start()
    one.avatar("pause", "--reason", "the night shift rests")


def stopped_with_two_jobs(installation: Callable[..., Installation]) -> Installation:
    """Return an installation whose daemon is down; `hello` and `other` wait, and nothing will keep them from starting."""
    one = installation()
    start_paused(one)
    for name in ("hello", "other"):
        one.drop(f"{name}.yaml", SPEECH)
        one.reaches(name, "queued")
    one.stop()
    (one.spool / "paused.json").unlink()
    return one


def test_a_pause_has_an_owner_and_a_reason_and_outlives_a_restart(installation: Callable[..., Installation]) -> None:
    # Given a paused queue and a job that was taken in
    one = installation()
    start_paused(one)
    one.drop("hello.yaml", SPEECH)
    one.reaches("hello", "queued")
    # When the daemon is started anew / Then it is still paused, and says by whom and why
    one.kill()
    one.start()
    paused = json.loads(one.avatar("status", "--json").stdout)["paused"]["lanes"]
    assert paused["reason"] == "the night shift rests"
    assert paused["by"]
    assert paused["since"] <= iso(time.time())
    assert one.events("stage started") == []
    # And it goes on when told to
    one.avatar("resume")
    assert one.finished("hello")["state"] == "done"


def test_what_was_ordered_while_nobody_was_there_is_obeyed_before_anything_runs(
    installation: Callable[..., Installation],
) -> None:
    # Given jobs that wait while the daemon is down / When the lanes are paused and one job is cancelled meanwhile
    one = stopped_with_two_jobs(installation)
    send_request(one.spool / "control", "pause", scope="lanes", by="the night shift")
    send_request(one.spool / "control", "cancel", job=one.reaches("other", "queued")["job"])
    # Then it is so from the first moment: nothing was started
    one.start()
    assert json.loads(one.avatar("status", "--json").stdout)["paused"]["lanes"]["by"] == "the night shift"
    assert one.finished("other")["state"] == "cancelled"
    assert one.events("stage started") == []


def test_request_files_put_there_while_nobody_was_there_are_obeyed_before_anything_runs(
    installation: Callable[..., Installation],
) -> None:
    # Given jobs that wait while the daemon is down / When one is held and one cancelled meanwhile, by those without a shell
    one = stopped_with_two_jobs(installation)
    one.drop("hello.hold", b"")
    one.drop("other.cancel", b"")
    # Then it is so from the first moment: nothing was started
    one.start()
    assert one.finished("other")["state"] == "cancelled"
    assert one.reaches("hello", "held")["held"]["by"]
    assert one.events("stage started") == []
    assert [*one.inbox.glob("*.hold"), *one.inbox.glob("*.cancel")] == []


def test_a_pause_with_an_end_ends_by_itself(shared: Installation) -> None:
    before = len(shared.events("resumed"))
    shared.avatar("pause", "--for", "1s")
    shared.drop("patient.yaml", SPEECH)
    assert shared.finished("patient")["state"] == "done"
    wait_for("the end of the pause in the log", lambda: len(shared.events("resumed")) > before)


def test_a_drain_takes_nothing_new_and_finishes_the_rest(shared: Installation) -> None:
    # Given a queue that is being drained / When something is dropped / Then it stays in the inbox, and its people are told why
    shared.avatar("drain", "--reason", "the disk is exchanged")
    shared.drop("late.yaml", SPEECH)
    waiting = shared.reaches("late", "waiting")
    assert "Nothing is taken out of the inbox" in waiting["next"]
    assert "the disk is exchanged" in waiting["next"]
    assert (shared.inbox / "late.yaml").exists()
    # And is taken when the drain is over, under the same id, without a word of it
    shared.avatar("resume")
    done = shared.finished("late")
    assert (done["state"], done["job"], done.get("warnings")) == ("done", waiting["job"], None)


def test_a_retried_job_leaves_another_jobs_name_alone(shared: Installation) -> None:
    # Given a cancelled job, and a job that has its name since
    one = shared
    one.avatar("pause")
    one.drop("again.yaml", SPEECH)
    first = one.reaches("again", "queued")["job"]
    one.avatar("jobs", "cancel", "again")
    one.drop("again.yaml", SPEECH)
    second = one.reaches("again", "queued")["job"]
    assert second != first
    # When the first is tried again / Then each has a status and a result of its own
    one.avatar("jobs", "retry", first)
    one.avatar("resume")
    assert one.finished("again-v2")["job"] == first
    assert one.finished("again")["job"] == second
    assert {path.name for path in one.outbox.glob("again*.wav")} == {"again.wav", "again-v2.wav"}


@pytest.mark.parametrize("by", ["command", "shared folder"])
def test_hold_and_release_and_cancel(shared: Installation, by: str) -> None:
    one, way = shared, by.split()[0]
    first, other, second = f"held-{way}", f"other-{way}", f"second-{way}"
    one.avatar("pause")

    def order(op: str, name: str) -> None:
        if by == "command":
            one.avatar("jobs", op, name)
        else:
            (one.inbox / f"{name}.{op}").touch()

    # Given a waiting job that is held / When the queue goes on / Then it does not start
    one.drop(f"{first}.yaml", SPEECH)
    one.reaches(first, "queued")
    order("hold", first)
    job = one.reaches(first, "held")["job"]
    one.avatar("resume")
    one.drop(f"{other}.yaml", SPEECH)
    one.finished(other)
    assert one.jobs("held") == [job]
    # When it is released, it is done; when it is cancelled, it is not
    order("release", first)
    assert one.finished(first)["state"] == "done"
    one.avatar("pause")
    one.drop(f"{second}.yaml", SPEECH)
    one.reaches(second, "queued")
    order("cancel", second)
    assert one.finished(second)["state"] == "cancelled"
    one.avatar("resume")
    wait_for(
        "the requests to be taken away",
        lambda: not [p for p in one.inbox.iterdir() if p.suffix in (".hold", ".release", ".cancel")],
    )


def test_orders_given_while_the_daemon_is_down_are_obeyed_at_start(installation: Callable[..., Installation]) -> None:
    # Given three waiting jobs and no daemon
    one = installation()
    start_paused(one)
    for name in ("a", "b", "c"):
        one.drop(f"{name}.yaml", SPEECH)
        one.reaches(name, "queued")
    one.stop()
    # When one is cancelled, one held, one made urgent, and the queue resumed
    (one.inbox / "a.cancel").touch()
    one.avatar("jobs", "hold", "b")
    one.avatar("jobs", "priority", "c", "--to", "50")
    one.avatar("resume")
    one.start()
    # Then all of it happens
    assert one.finished("a")["state"] == "cancelled"
    assert one.reaches("b", "held")["held"]["by"]
    assert one.finished("c")["state"] == "done"
    assert [entry["event"] for entry in record(one, "c")["history"]][:2] == ["handed in", "priority"]


def test_a_request_dropped_with_its_manifest_waits_for_it(shared: Installation) -> None:
    shared.avatar("pause")
    (shared.inbox / "together.hold").touch()
    shared.drop("together.yaml", SPEECH)
    assert shared.reaches("together", "held")["held"]["by"] == f"{current_user()} (shared folder)"
    shared.avatar("jobs", "cancel", "together")
    shared.avatar("resume")


def test_priority_goes_first(shared: Installation) -> None:
    one = shared
    one.avatar("pause")
    for name in ("first", "second", "urgent"):
        one.drop(f"{name}.yaml", SPEECH)
        one.reaches(name, "queued")
    one.avatar("jobs", "priority", "urgent", "--to", "10")
    one.avatar("resume")
    jobs = {one.finished(name)["job"]: name for name in ("first", "second", "urgent")}
    # In the first stage: two are checked side by side, and the one that is ready sooner is spoken sooner.
    started = [event["job_id"] for event in one.events("stage started") if event["stage"] == "check"]
    order = [jobs[job] for job in started if job in jobs]
    assert order == ["urgent", "first", "second"]


def test_a_running_job_is_held_after_its_stage(installation: Callable[..., Installation], tmp_path: Path) -> None:
    house = installation()
    gates = Gates(house, tmp_path / "seam")
    gates.shut("tts")
    house.start()
    house.drop("long.yaml", SPEECH)
    gates.reached("tts")
    house.avatar("jobs", "hold", "long", "--reason", "wrong voice")
    gates.open("tts")
    status = house.reaches("long", "held")
    assert status["held"]["reason"] == "wrong voice"
    house.avatar("jobs", "release", "long")
    assert house.finished("long")["state"] == "done"


def test_requests_that_make_no_sense_are_answered_and_harm_nobody(shared: Installation) -> None:
    control = shared.spool / "control"
    wrong = {
        "a": b"{",
        "b": b'{"op": "explode"}',
        "c": b'{"op": "cancel", "job": "../../etc"}',
        "d": b"[1]",
        "e": b'{"op": "priority", "job": 5}',
    }
    for name, data in wrong.items():
        (control / f".{name}").write_bytes(data)
        (control / f".{name}").rename(control / f"{name}.json")
    for name in wrong:
        path = control / f"{name}.answer"
        wait_for("an answer", path.exists)
        assert json.loads(path.read_text())["ok"] is False
    shared.drop("afterwards.yaml", SPEECH)
    assert shared.finished("afterwards")["state"] == "done"
