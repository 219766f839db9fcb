"""What is too old or too much goes, and nothing else; a spool out of order is set right."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.cli.spool_check import SpoolCheck
from daemon.config import Settings
from daemon.control.spool_requests import ANSWER_S
from daemon.jobs.record import Held
from daemon.outbox import looks
from daemon.outbox.outbox import Outbox
from daemon.queue.retention import DAY_S, Clearable, Retention, finished_results, run_retention, select_surplus
from daemon.queue.spool import Spool
from daemon.service import Service
from daemon.system import fs
from daemon.system.file_calls import Ops
from tests.conftest import Installation
from tests.support.daemon.intake import Room
from tests.support.daemon.lane import until

SPEECH = {"kind": "speech", "text": "Good morning."}


def item(name: str, age_days: float, size: int) -> Clearable:
    return Clearable((Path(name),), 1e9 - age_days * DAY_S, size)


def names(items: list[Clearable]) -> list[str]:
    return [item.paths[0].name for item in items]


def test_the_too_old_go_and_then_the_oldest_until_the_rest_fits() -> None:
    items = [
        item("new", 1, 400_000),
        item("old", 40, 100_000),
        item("middle", 10, 400_000),
        item("late", 5, 400_000),
    ]
    assert names(select_surplus(items, 1e9, 30, 1)) == ["old", "middle"]
    assert names(select_surplus(items, 1e9, 0, 0)) == []
    assert names(select_surplus(items, 1e9, 7, 0)) == ["old", "middle"]


def test_old_jobs_are_cleared_at_start_and_young_ones_stay(installation: Callable[..., Installation]) -> None:
    # Given a done job that is old, a failed one that is old, and young ones
    one = installation(retention={"done_days": 1, "failed_days": 1})
    one.start()
    for name in ("old", "young"):
        one.drop(f"{name}.yaml", SPEECH)
        one.drop(f"{name}-bad.yaml", "txt: a")
    found = {name: one.finished(name)["job"] for name in ("old", "young", "old-bad", "young-bad")}
    one.stop()
    for folder, name in (("done", "old"), ("failed", "old-bad")):
        os.utime(one.spool / folder / found[name], (time.time() - 2 * DAY_S,) * 2)
    # When the daemon starts / Then the old ones go; results in the outbox stay, as nobody asked for more
    one.start()
    one.drop("after.yaml", SPEECH)
    one.finished("after")
    assert found["young"] in one.jobs("done")
    assert one.jobs("failed") == [found["young-bad"]]
    assert found["old"] not in one.jobs("done")
    assert (one.outbox / "old.wav").exists()


def test_a_manifest_that_came_back_goes_with_its_status_and_nothing_outside_does(tmp_path: Path) -> None:
    outbox, outside = tmp_path / "outbox", tmp_path / "outside.yaml"
    (outbox / "b-x").mkdir(parents=True)
    for path in (outbox / "a.yaml", outbox / "c.yaml", outbox / "d.yaml", outside):
        path.touch()
    ended = (("a", "failed", "1"), ("b", "failed", "x/../../outside"), ("c", "done", "2"), ("d", "cancelled", "3"))
    for name, state, job in ended:
        (outbox / f"{name}.json").write_text(json.dumps({"job": job, "state": state}))
    found = sorted(sorted(one.results) for one in finished_results(outbox))
    assert found == [["a.json", "a.yaml"], ["b.json"], ["c.json"], ["d.json", "d.yaml"]]


def test_an_old_answer_goes_and_a_text_of_the_user_stays(tmp_path: Path) -> None:
    # Given two answers to requests, and a text that somebody put there, of which one answer is young
    settings = Settings.parse({"retention": {"outbox_days": 1}}, tmp_path / "config.yaml")
    spool, root = Spool(settings.paths.spool), settings.paths.outbox
    spool.create()
    root.mkdir(exist_ok=True)
    Outbox(root).publish_notes([("anna/old.cancel", "There is no such job."), ("young.cancel", "Nor this.")])
    (root / "notes.txt").write_text("Mine.\n")
    for file in ("anna/old.cancel.txt", "notes.txt"):
        os.utime(root / file, (time.time() - 2 * DAY_S,) * 2)
    assert Retention(settings, spool).clear() == 1
    assert {path.name for path in root.rglob("*.txt")} == {"notes.txt", "young.cancel.txt"}


def test_a_look_of_the_page_goes_after_a_day_and_what_people_call_so_stays(tmp_path: Path) -> None:
    # Given two looks of the page of which one is young, and an old result of people with such a name
    settings = Settings.parse({}, tmp_path / "config.yaml")
    spool, root = Spool(settings.paths.spool), settings.paths.outbox
    spool.create()
    root.mkdir(exist_ok=True)
    for number, (name, marked) in enumerate((("old", True), ("young", True), ("theirs", False))):
        job, stem = f"job-20260102T030405Z-0000000{number}", f"{looks.PREFIX}{name}"
        status = {
            "job": job,
            "state": "done",
            "outputs": [{"file": f"{stem}.wav"}],
            **(looks.marked() if marked else {}),
        }
        (root / f"{stem}.json").write_text(json.dumps(status))
        (root / f"{stem}.wav").touch()
        (spool.root / "done" / job).mkdir()
        if name != "young":
            os.utime(root / f"{stem}.json", (time.time() - 2 * DAY_S,) * 2)
    # When what is too old goes
    Retention(settings, spool).clear()
    # Then it is the old look, with its folder in the spool
    left = {path.name.removeprefix(looks.PREFIX) for path in root.iterdir()}
    assert left == {"young.json", "young.wav", "theirs.json", "theirs.wav"}
    assert sorted(path.name[-1] for path in (spool.root / "done").iterdir()) == ["1", "2"]


def test_a_reload_applies_new_limits_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a retention that has found nothing to do and would sleep for a day
    path = tmp_path / "config.yaml"
    path.write_text("retention: {every_s: 86400}")
    service = Service(Settings.load(path), path)
    service._make_folders()
    old, cleared = service.outbox.root / "old.json", list[int]()
    clear = Retention.clear

    def noted(self: Retention) -> int:
        cleared.append(clear(self))
        return cleared[-1]

    monkeypatch.setattr(Retention, "clear", noted)

    async def until_removed() -> None:
        loop = run_retention(service.settings, service.spool, service.events, service._reloaded)
        running = asyncio.create_task(loop)
        await until(lambda: bool(cleared))
        old.write_text(json.dumps({"job": "1", "state": "done"}))
        os.utime(old, (time.time() - 2 * DAY_S,) * 2)
        # When the file is read again with a limit of a day / Then what is older goes
        path.write_text("retention: {every_s: 86400, outbox_days: 1}")
        service._reload()
        await until(lambda: not old.exists())
        running.cancel()

    asyncio.run(until_removed())


def test_results_in_folders_go_as_others_do_and_nothing_behind_a_link_does(tmp_path: Path) -> None:
    settings = Settings.parse({"retention": {"outbox_days": 1}}, tmp_path / "config.yaml")
    outbox, outside = settings.paths.outbox, tmp_path / "outside"
    spool = Spool(settings.paths.spool)
    spool.create()
    for folder in (outbox / "anna" / "films", outbox / "ben", outside):
        folder.mkdir(parents=True)
        status = folder / "hello.json"
        place = folder.relative_to(outbox).as_posix() if folder != outside else "link"
        status.write_text(json.dumps({"state": "done", "outputs": [{"file": f"{place}/hello.mp4"}]}))
        (folder / "hello.mp4").touch()
        (folder / "holiday.mp4").touch()
        if folder.name != "ben":
            os.utime(status, (time.time() - 2 * DAY_S,) * 2)
    (outbox / "link").symlink_to(outside)
    assert Retention(settings, spool).clear() == 1
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*") if "spool" not in path.parts}
    assert left == {
        "outbox/anna/films/holiday.mp4",
        *(
            f"{folder}/{file}"
            for folder in ("outbox/ben", "outside")
            for file in ("hello.json", "hello.mp4", "holiday.mp4")
        ),
    }


def test_what_cannot_be_removed_keeps_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given more old results than one pass removes, in a folder from which only their owner may remove them, and a newer one
    class Sticky(Ops):
        def unlink(self, path: Path) -> None:
            if path.name.startswith("stuck"):
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(path))
            super().unlink(path)

    monkeypatch.setattr(fs, "OPS", Sticky())
    monkeypatch.setattr("daemon.queue.retention.BATCH", 2)
    raw = {"paths": {name: name for name in ("outbox", "spool", "cache")}, "retention": {"outbox_days": 1}}
    settings = Settings.parse(raw, tmp_path / "config.yaml")
    spool, outbox = Spool(settings.paths.spool), settings.paths.outbox
    spool.create()
    outbox.mkdir()
    for age_days, name in ((9, "stuck1"), (8, "stuck2"), (7, "stuck3"), (5, "old")):
        (outbox / f"{name}.json").write_text(json.dumps({"state": "done"}))
        os.utime(outbox / f"{name}.json", (time.time() - age_days * DAY_S,) * 2)
    assert Retention(settings, spool).clear() == 1
    assert sorted(path.name for path in outbox.iterdir()) == ["stuck1.json", "stuck2.json", "stuck3.json"]


def test_only_finished_results_of_ours_count_in_the_outbox(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        json.dumps({"state": "done", "outputs": [{"file": "a.mp4"}, {"file": "../../etc/passwd"}]})
    )
    (tmp_path / "a.mp4").write_bytes(b"x" * 10)
    (tmp_path / "b.json").write_text(json.dumps({"state": "running"}))
    (tmp_path / "theirs.json").write_text("[]")
    (tmp_path / "holiday.mp4").write_bytes(b"x")
    # Nor what people put there so that whoever reads it waits for ever, fails, or reads elsewhere
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "link.json").symlink_to("a.json")
    assert [sorted(found.results) for found in finished_results(tmp_path)] == [["a.json", "a.mp4"]]


def test_spool_check_finds_and_repairs(installation: Callable[..., Installation]) -> None:
    # Given a spool in which a record is torn, a job is there twice, and a crash left files over
    one = installation()
    one.start()
    one.avatar("pause")
    for name in ("a", "b"):
        one.drop(f"{name}.yaml", SPEECH)
    jobs = {name: one.reaches(name, "queued")["job"] for name in ("a", "b")}
    one.stop()
    ready = one.spool / "tts" / "ready"
    for job in jobs.values():  # as if they had been checked
        record = json.loads((one.spool / "check" / "ready" / job / "job.json").read_bytes())
        (one.spool / "check" / "ready" / job / "job.json").write_text(json.dumps({**record, "stage": "tts"}))
        (one.spool / "check" / "ready" / job).rename(ready / job)
    (ready / jobs["a"] / "job.json").write_text('{"schema": 1, "id"')
    copy = one.spool / "face" / "ready" / jobs["b"]
    copy.mkdir()
    (copy / "job.json").write_bytes((ready / jobs["b"] / "job.json").read_bytes())
    (one.spool / "tmp" / "job-20260101T000000Z-00000000").mkdir()
    (one.outbox / "b.json").unlink()
    # And an empty claim, a request and a note that nobody finished writing
    leftovers = [one.inbox / ".claimed" / "job-20260101T000000Z-00000000"]
    leftovers[0].mkdir()
    for folder, name in (("control", ".1.json.tmp"), ("waiting", ".job-1.json.tmp"), (".", ".paused.json.tmp")):
        leftovers.append(one.spool / folder / name)
        leftovers[-1].write_text("{")
    # When it is checked dry / Then all is told, and nothing changed (whether the index disagrees, its own tests ask)
    told = json.loads(one.avatar("spool", "check", "--dry-run", "--json", code=1).stdout)
    assert len([one for one in told if "index" not in one["what"]]) == 8
    assert copy.exists()
    # When it is repaired / Then nothing is left to tell, and the sound job runs
    one.avatar("spool", "check")
    assert [path for path in leftovers if path.exists()] == []
    assert "in order" in one.avatar("spool", "check").stdout
    assert one.jobs("failed") == [jobs["a"]]
    one.start()
    one.avatar("resume")
    assert one.finished("b")["state"] == "done"
    # And a spool in use is not repaired under the daemon's hands
    assert "spool" in one.avatar("spool", "check", code=75).stderr


def test_one_repair_that_fails_keeps_no_other_from_it(installation: Callable[..., Installation]) -> None:
    # Given a leftover folder that cannot be removed, and one after it that can
    one = installation()
    one.start()
    one.stop()
    stuck, removable = one.spool / "tmp" / "a", one.spool / "tmp" / "b"
    stuck.mkdir()
    (stuck / "file").touch()
    removable.mkdir()
    if subprocess.run(["chattr", "+i", str(stuck)], capture_output=True, check=False).returncode:
        pytest.skip("no folder can be made immutable here")
    try:
        told = one.avatar("spool", "check", code=1).stdout
    finally:
        subprocess.run(["chattr", "-i", str(stuck)], check=True)
    # Then that is told, with the exit code of what is left to a person
    assert "a: left by a crash; failed" in told
    assert "2 found, 1 repaired" in told
    assert not removable.exists()
    one.avatar("spool", "check")


def test_spool_check_brings_jobs_to_where_their_records_say_they_are_held_or_not(tmp_path: Path) -> None:
    # Given a power cut after the record of a hold, and of a release, and before the job's move
    room = Room(tmp_path)
    for name in ("kept", "released", "copied"):
        room.put(f"{name}.yaml")
    kept, released, copied = sorted(room.settle(), key=lambda job: ("kept", "released", "copied").index(job.name))
    hold: Held = {"by": "anna", "reason": "", "since": 1.0}
    kept.held = hold
    room.spool.save_job(kept, room.spool.ready("check") / kept.id)
    released.state = "held"
    room.spool.move_job(released, room.spool.ready("check") / released.id)
    # And a finished job of which a backup brought an earlier state back
    done = room.spool.root / "done" / copied.id
    shutil.copytree(room.spool.ready("check") / copied.id, done)
    # When it is repaired
    for problem in list(SpoolCheck(room.settings).problems()):
        assert problem.repair is not None, problem
        problem.repair()
    # Then each is where it should be, once, and its status says so
    places = {
        path.parent.relative_to(room.spool.root).as_posix() for path in room.spool.root.rglob("job-*") if path.is_dir()
    }
    assert places == {"held", "check/ready", "done"}
    assert [path.name for path in room.spool.job_folders(room.spool.root / "held")] == [kept.id]
    assert [path.name for path in room.spool.job_folders(room.spool.ready("check"))] == [released.id]
    assert json.loads((room.outbox / "kept.json").read_bytes())["state"] == "held"
    assert list(SpoolCheck(room.settings).problems()) == []


def test_a_request_nobody_finished_writing_is_cleared_when_it_is_old(tmp_path: Path) -> None:
    room = Room(tmp_path)
    old, young = (room.spool.control / f".{name}.json.tmp" for name in ("old", "young"))
    for path in (old, young):
        path.write_text("{")
    os.utime(old, (time.time() - 2 * ANSWER_S,) * 2)
    asyncio.run(room.service.loops.spool_requests.answer_all())
    assert (old.exists(), young.exists()) == (False, True)
