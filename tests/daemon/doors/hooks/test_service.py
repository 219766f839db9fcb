"""No end of a job is missed and none is told twice without need, whatever is killed; and the daemon itself tells nobody."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest

from daemon.cli.doctor.hook_checks import check_hooks
from daemon.doors.hooks import deliver, ended_jobs
from daemon.doors.hooks.store import Store
from daemon.doors.hooks.trouble import find_troubles
from daemon.errors import AvatarError, UnavailableError
from daemon.jobs.record import Job
from daemon.queue.spool import Spool
from tests.conftest import PATIENCE_S, PORTRAIT, ROOT, Installation, wait_for
from tests.daemon.doors.hooks.conftest import Place
from tests.daemon.doors.hooks.test_webhooks import SECRETS, hook
from tests.support.daemon.commands import run_command
from tests.support.daemon.receiver import Receiver

Make = Callable[..., Receiver]


def start(config: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "daemon.cli", "--config", config, "hooks", "run"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_what_ended_while_nobody_looked_is_told_and_nothing_twice(place: Place, receiver: Make) -> None:
    studio = receiver()
    place.configure(hook(studio.url))
    # Given a job that ended before the hooks ever ran
    place.end("before")
    with place.run():
        place.end("one")
        place.deliveries(1)
    # When jobs end while they are stopped, one of them after it had failed and was told
    two = place.end("two")
    again = place.end("again", "failed")
    with place.run():
        place.deliveries(3)
        fs_path = place.spool.resting("failed") / again
        fs_path.rename(place.spool.tmp / "taken")  # it is started again
        (place.spool.tmp / "taken" / "job.json").unlink()
        (place.spool.tmp / "taken").rmdir()
        place.end("again", "done", job=again)
        place.deliveries(4)
    # And when all is looked at again
    with place.run():
        place.end("last")
        place.deliveries(5)
    # Then each end was told once, in its order of coming
    ids = [one.headers["webhook-id"] for one in studio.received]
    assert len(ids) == len(set(ids)) == 5
    names = [(json.loads(one.body)["data"]["name"], json.loads(one.body)["type"]) for one in studio.received]
    assert sorted(names) == [
        ("again", "job.done"), ("again", "job.failed"), ("last", "job.done"), ("one", "job.done"), ("two", "job.done"),
    ]  # fmt: skip
    assert any(one.startswith(two) for one in ids)


def test_many_ends_are_noted_in_portions_and_none_is_left_out(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given more ends than a look takes, in a folder that has not changed since
    monkeypatch.setattr(ended_jobs, "_AT_ONCE", 2)
    place.configure({"name": "a", "command": ["true"]})
    place.store.path.parent.mkdir()
    place.store.create(0.0)
    jobs = [place.end(f"job{number}") for number in range(5)]
    for number, job in enumerate(jobs):
        os.utime(place.spool.resting("done") / job, (number, number))
    os.utime(place.spool.resting("done"), (1, 1))
    # When it is looked as often as each look says
    ended = ended_jobs.EndedJobs(place.settings(), place.store)
    assert [ended.look() for _ in range(4)] == [True, True, False, False]
    # Then all are told, the first first
    assert [one.job for one in place.store.find()[::-1]] == jobs


def test_one_record_that_is_damaged_or_on_a_bad_sector_keeps_none_of_the_others_from_being_told(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given jobs that ended, the first with a record that says nonsense, the second with one that cannot be read
    place.configure({"name": "a", "command": ["true"]})
    place.store.path.parent.mkdir()
    place.store.create(0.0)
    damaged, unread, good = (place.end(name) for name in ("damaged", "unread", "good"))
    record = place.spool.resting("done") / damaged / "job.json"
    record.write_bytes(record.read_bytes().replace(b'"file"', b'"feil"'))
    load = Spool.load_job

    def load_unless_on_a_bad_sector(spool: Spool, directory: Path) -> Job:
        if directory.name == unread:
            raise OSError(errno.EIO, "Input/output error")
        return load(spool, directory)

    monkeypatch.setattr(Spool, "load_job", load_unless_on_a_bad_sector)
    # When it is looked, then the third is told, and what the disk did is said
    ended = ended_jobs.EndedJobs(place.settings(), place.store)
    with pytest.raises(OSError, match="Input/output"):
        ended.look()
    assert [one.job for one in place.store.find()] == [good]


def test_whoever_notes_an_end_waits_for_another_who_writes(place: Place) -> None:
    place.store.path.parent.mkdir()
    place.store.create(0.0)
    with contextlib.closing(sqlite3.connect(place.store.path)) as other, ThreadPoolExecutor(1) as pool:
        other.execute("BEGIN IMMEDIATE")
        noted = pool.submit(place.store.note_end, "job-1", 0, 0, ())
        wait([noted], timeout=0.05)
        other.rollback()
        noted.result()
    assert place.store.seen() == {"job-1": 0}


@pytest.mark.usefixtures("processes")
def test_killed_after_a_delivery_and_before_it_was_noted_it_delivers_again_under_the_same_id(
    place: Place, receiver: Make
) -> None:
    # Given a receiver that has the message, and has not answered yet
    answer = threading.Event()

    def wait(number: int) -> tuple[int, dict[str, str], bytes]:
        if number == 0:
            answer.wait(PATIENCE_S)
        return 204, {}, b""

    studio = receiver(wait)
    place.configure(hook(studio.url, timeout_s=600))
    process = start(str(place.config))
    try:
        wait_for("the hooks", place.store.exists)
        place.end("hello")
        wait_for("the message", lambda: studio.received)
        # When the process is killed, and another one is started
        process.send_signal(signal.SIGKILL)
        process.wait()
        process = start(str(place.config))
        # Then the message comes again under its id, and is noted as delivered
        place.deliveries(1)
        first, second = studio.received
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        assert first.body == second.body
        # And SIGTERM ends the process as it should
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    finally:
        answer.set()
        process.kill()
        process.wait()


def test_what_was_delivered_and_cannot_be_noted_is_not_sent_again(
    place: Place, receiver: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a disk that is full when the first message is noted, and for a while after
    note, refused = Store.note_attempt, [UnavailableError("hooks-unavailable", "The disk is full.", "")] * 3

    def note_when_there_is_room(store: Store, *values: Any) -> None:
        if refused:
            raise refused.pop()
        note(store, *values)

    monkeypatch.setattr(Store, "note_attempt", note_when_there_is_room)
    studio = receiver()
    place.configure(hook(studio.url))
    with place.run():
        place.end("hello")
        # When there is room again, then it is noted as delivered, and was sent once
        (done,) = place.deliveries(1)
    assert (done.attempts, len(studio.received), refused) == (1, 1, [])


def test_a_receiver_that_hangs_does_not_keep_the_others_waiting(place: Place, receiver: Make) -> None:
    answer = threading.Event()

    def wait(number: int) -> tuple[int, dict[str, str], bytes]:
        answer.wait(PATIENCE_S)
        return 204, {}, b""

    slow, quick = receiver(wait), receiver()
    place.configure(
        {**hook(slow.url, timeout_s=600), "name": "slow"}, {**hook(quick.url), "name": "quick"}, concurrency=2
    )
    with place.run():
        for number in range(6):
            place.end(f"job{number}")
        wait_for("the quick one to have all", lambda: len(quick.received) == 6)
        assert len(slow.received) == 1
        answer.set()
        place.deliveries(12)


def test_several_receivers_that_hang_do_not_keep_one_that_answers_waiting(place: Place, receiver: Make) -> None:
    # Given two that took nothing, and hang from then on, as many as deliveries run at a time
    answer = threading.Event()

    def fail(number: int) -> tuple[int, dict[str, str], bytes]:
        if number:
            answer.wait(PATIENCE_S)
        return 500, {}, b""

    dead, gone, quick = receiver(fail), receiver(fail), receiver()
    place.configure(
        {**hook(dead.url, timeout_s=600), "name": "dead"},
        {**hook(gone.url, timeout_s=600), "name": "gone"},
        {**hook(quick.url), "name": "quick"},
        concurrency=2,
    )
    with place.run():
        # When jobs end, then the third one hears of all
        for number in range(6):
            place.end(f"job{number}")
        wait_for("the quick one to have all", lambda: len(quick.received) == 6)
        answer.set()


def test_status_and_doctor_name_a_hook_that_gets_nothing_through(
    place: Place, receiver: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a receiver out of order, the next attempt hours away, and a secret that everybody can read
    monkeypatch.setattr(deliver, "DELAYS_S", (10**4,))
    (place.root / "secret").write_text(SECRETS[0])
    (place.root / "secret").chmod(0o644)
    place.configure(hook(receiver(lambda number: (503, {}, b"out of order")).url, secret_file="secret"))
    with place.run():
        place.end("hello")
        (trouble,) = wait_for("the trouble", lambda: find_troubles(place.settings()))
        assert (trouble.hook, "out of order" in trouble.message) == ("studio", True)
        found = {(one.what, one.verdict, one.remedy) for one in check_hooks(place.settings())}
    assert {what for what, *_ in found} == {"hook studio"}
    assert ("hook studio", "bad", f"chmod o= {place.root / 'secret'}") in found


def test_only_one_process_runs_the_hooks(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.doors.hooks.run_lock._TRY_S", 0.001)
    from daemon.doors.hooks.run_lock import is_running
    from daemon.doors.hooks.service import HookService

    assert not is_running(place.store.path.parent)
    with place.run():
        assert is_running(place.store.path.parent)
        with pytest.raises(AvatarError, match="run already"):
            HookService(place.settings).run()


def test_the_configuration_is_read_again_and_a_wrong_one_changes_nothing(place: Place, receiver: Make) -> None:
    studio = receiver()
    with place.run() as running:
        place.configure(hook(studio.url))
        running.service.read_again()
        wait_for("a hook", lambda: place.end("hello") and place.store.find())
        place.config.write_text("hooks: {targets: [{name: studio}]}")
        running.service.read_again()
        place.end("second")
        wait_for("more", lambda: any(json.loads(one.body)["data"]["name"] == "second" for one in list(studio.received)))


def test_people_see_what_is_stuck_and_send_it_again(place: Place, receiver: Make) -> None:
    studio = receiver(lambda number: (410 if number == 0 else 204, {}, b""))
    place.configure(hook(f"{studio.url}?token=secret"))

    def avatar(*words: str) -> str:
        done = run_command(("--config", str(place.config), "hooks", *words), place.root)
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    with place.run():
        place.end("hello")
        (dead,) = place.deliveries(1, "dead")
        told = json.loads(avatar("list", "--json"))
        assert told["running"] is True
        assert [(one["name"], one["dead"]) for one in told["hooks"]] == [("studio", 1)]
        assert [(one["number"], one["state"]) for one in told["deliveries"]] == [(dead.number, "dead")]
        assert "secret" not in avatar("list") + avatar("list", "--json") + avatar("show", "hello")
        assert json.loads(json.loads(avatar("show", dead.id, "--json"))[0]["body"])["data"]["name"] == "hello"
        assert find_troubles(place.settings()) == []
        avatar("retry", "--hook", "studio")
        place.deliveries(1)
    # And status and doctor say when the hooks do not run
    told = run_command(("--config", str(place.config), "status"), place.root).stdout
    assert re.search(r"^HOOKS +The hooks do not run", told, re.MULTILINE)
    assert [(one.what, one.verdict) for one in check_hooks(place.settings())] == [("hooks", "note")]
    assert "delivered" in avatar("list", "--state", "delivered")


def test_a_clock_that_was_ahead_when_the_hooks_began_keeps_no_end_from_being_told(
    place: Place, receiver: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given hooks that were set up, and had looked at an older job, while the clock was a year ahead
    studio = receiver()
    place.configure(hook(studio.url))
    place.end("older")
    place.store.path.parent.mkdir()
    place.store.create(time.time() + 365 * 86_400)
    ended = ended_jobs.EndedJobs(place.settings(), place.store)
    ended.look()
    # When the clock is set right, then the next end is told, and the older one is not
    place.end("while they run")
    ended.look()
    assert [one.name for one in place.store.find()] == ["while they run"]
    # And so is one that comes while they are stopped, where it is set right then
    with sqlite3.connect(place.store.path) as db:
        db.execute("UPDATE facts SET value = ? WHERE name = 'since'", (time.time() + 365 * 86_400,))
    place.end("while they are stopped")
    with place.run():
        assert [one.name for one in place.deliveries(2)] == ["while they run", "while they are stopped"]


def test_hooks_that_were_killed_before_they_had_looked_tell_no_older_ends_when_the_clock_is_set_right(
    place: Place, receiver: Make
) -> None:
    place.configure(hook(receiver().url))
    place.end("older")
    place.store.path.parent.mkdir()
    place.store.create(time.time() + 120)
    with place.run():
        wait_for("the older end to be seen", lambda: len(place.store.seen()) == 1)
        place.end("newer")
        assert [one.name for one in place.deliveries(1)] == ["newer"]


def test_what_a_receiver_answers_does_not_control_the_terminal_of_whoever_tries_it(
    place: Place, receiver: Make
) -> None:
    place.configure(hook(receiver(lambda number: (200, {}, b"first\nsecond \x1b[2J\x9b")).url))
    told = run_command(("--config", str(place.config), "hooks", "test", "studio"), place.root).stdout
    assert "first\nsecond \\x1b[2J" in told
    assert "\x1b" not in told


def test_a_kind_of_a_hook_that_there_is_none_of_is_told_wherever_hooks_are_looked_at(place: Place) -> None:
    place.configure({**hook("https://studio.example.com"), "kinds": ["speach", "batch", "video"]})
    told = "`kinds` of the hook studio names 'speach', and there is no such kind of job."
    (trouble,) = [one for one in find_troubles(place.settings()) if one.hook]
    assert (trouble.message, trouble.hint[:24]) == (told, "Did you mean speech? The")
    assert told.rstrip(".") in {one.found for one in check_hooks(place.settings())}
    checked = run_command(("--config", str(place.config), "config", "--check", "--json"), place.root)
    assert any(told in warning for warning in json.loads(checked.stdout)["warnings"])


@pytest.mark.usefixtures("processes")
def test_the_daemon_tells_nobody_and_the_hooks_tell_all_that_it_did(
    installation: Callable[..., Installation], receiver: Make
) -> None:
    # Given a daemon whose configuration names a hook and an allowed host
    studio = receiver()
    callbacks = {"127.0.0.1": {"allow": ["127.0.0.1"], "plain_http": True}}
    one = installation(hooks={"callbacks": callbacks, "targets": [hook(studio.url)]})
    (one.spool / "hooks").mkdir(parents=True)
    Store(one.spool / "hooks").create(time.time())  # as if they had run before
    one.start()
    assert one.process is not None
    # When it does a job, and refuses another one for the host that it names
    one.drop("info.yaml", {"kind": "info", "image": "p.png", "notify": f"{studio.url}/job"}, p__png=PORTRAIT)
    one.drop("wrong.yaml", {"kind": "info", "image": "p.png", "notify": "https://elsewhere.example/"})
    assert one.finished("info")["state"] == "done"
    refused = one.finished("wrong")
    assert refused["error"]["code"] == "notify-not-allowed"
    assert "elsewhere.example" in refused["error"]["message"]
    assert one.stop() == 0
    # Then nobody was called
    assert studio.connections == 0
    # And the hooks tell of both, from records of jobs that the daemon has forgotten about
    process = start(str(one.config))
    try:
        wait_for("three messages", lambda: len(studio.received) >= 3)
    finally:
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    told = {(got.path, json.loads(got.body)["data"]["name"], json.loads(got.body)["type"]) for got in studio.received}
    assert told == {
        ("/in", "info", "job.done"), ("/in/job", "info", "job.done"), ("/in", "wrong", "job.failed"),
    }  # fmt: skip
