"""What is too old or too much goes, and nothing else; a spool out of order is set right."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from daemon.retention import DAY_S, Thing, results, surplus
from tests.conftest import Installation

SPEECH = {"kind": "speech", "text": "Good morning."}


def thing(name: str, age_days: float, size: int) -> Thing:
    return Thing((Path(name),), 1e9 - age_days * DAY_S, size)


def names(things: list[Thing]) -> list[str]:
    return [thing.paths[0].name for thing in things]


def test_the_too_old_go_and_then_the_oldest_until_the_rest_fits() -> None:
    things = [
        thing("new", 1, 400_000),
        thing("old", 40, 100_000),
        thing("middle", 10, 400_000),
        thing("late", 5, 400_000),
    ]
    assert names(surplus(things, 1e9, 30, 1)) == ["old", "middle"]
    assert names(surplus(things, 1e9, 0, 0)) == []
    assert names(surplus(things, 1e9, 7, 0)) == ["old", "middle"]


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


def test_only_finished_results_of_ours_count_in_the_outbox(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        json.dumps({"state": "done", "outputs": [{"file": "a.mp4"}, {"file": "../../etc/passwd"}]})
    )
    (tmp_path / "a.mp4").write_bytes(b"x" * 10)
    (tmp_path / "b.json").write_text(json.dumps({"state": "running"}))
    (tmp_path / "theirs.json").write_text("[]")
    (tmp_path / "holiday.mp4").write_bytes(b"x")
    assert [sorted(p.name for p in found.paths) for found in results(tmp_path)] == [["a.json", "a.mp4"]]


def test_spool_check_finds_and_repairs(installation: Callable[..., Installation]) -> None:
    # Given a spool in which a record is torn, a copy of a job stands about, and a crash left litter
    one = installation()
    one.start()
    one.avatar("pause")
    for name in ("a", "b"):
        one.drop(f"{name}.yaml", SPEECH)
    jobs = {name: one.reaches(name, "queued")["job"] for name in ("a", "b")}
    one.stop()
    ready = one.spool / "tts" / "ready"
    (ready / jobs["a"] / "job.json").write_text('{"schema": 1, "id"')
    copy = one.spool / "face" / "ready" / jobs["b"]
    copy.mkdir()
    (copy / "job.json").write_bytes((ready / jobs["b"] / "job.json").read_bytes())
    (one.spool / "tmp" / "job-20260101T000000Z-00000000").mkdir()
    (one.outbox / "b.json").unlink()
    # When it is checked dry / Then all is told and nothing changed
    told = json.loads(one.avatar("spool", "check", "--dry-run", "--json", code=1).stdout)
    assert len(told) == 4
    assert copy.exists()
    # When it is repaired / Then nothing is left to tell, and the sound job runs
    one.avatar("spool", "check")
    assert "in order" in one.avatar("spool", "check").stdout
    assert one.jobs("failed") == [jobs["a"]]
    one.start()
    one.avatar("resume")
    assert one.finished("b")["state"] == "done"
    # And a spool in use is not repaired under the daemon's hands
    assert "spool" in one.avatar("spool", "check", code=75).stderr
