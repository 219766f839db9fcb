"""The disk fills up in the middle of each stage of a real daemon, on a real small filesystem."""

from __future__ import annotations

import functools
import json
import re
import shutil
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from daemon.cli.doctor.folder_checks import check_free_disk
from daemon.config import Settings
from daemon.doors.http.incoming import Bounds, check_room
from daemon.errors import JobError
from stages.worker import classify_error
from tests.conftest import PORTRAIT, Installation, wait_for
from tests.support.daemon.ledger import Ledger, sound
from tests.support.daemon.worker_seam import Gates
from tests.support.machine.disk import Disk

#: Room left to each stage, in KiB: it begins to write and comes to the end of the disk.
ROOM_KB = {"face": 40, "tts": 64, "lipsync": 0, "encode": 24, "deliver": 0}


def metric(house: Installation, name: str, **labels: str) -> float:
    """One sample of the daemon's metrics; 0 where it is not there."""
    port = json.loads((house.spool / "metrics.json").read_bytes())["port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        families = text_string_to_metric_families(answer.read().decode())
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return sum(sample.value for sample in samples if sample.labels == labels)


def disk_full(house: Installation, lane: str) -> float:
    """How often a lane was paused because a disk was full."""
    return metric(house, "avatar_lane_pauses_total", lane=lane, reason="disk-full")


def paused_again(house: Installation, lane: str, before: float, later: list[Path]) -> bool:
    """Return whether a lane has paused once more. `later`: what is there when a job has come to a later stage: the next gate is
    shut, and the job would stand there until the time of its stage is over.
    """
    if disk_full(house, lane) > before:
        return True
    assert not any(gate.exists() for gate in later), "the stage found room on the full disk"
    return False


def pauses(house: Installation, code: str) -> list[str]:
    """The lanes that were paused for this reason, by the log."""
    return [line["lane"] for line in house.events("lane paused") if line["code"] == code]


@pytest.fixture
def small(disk: Callable[[int], Disk], installation: Callable[..., Installation], tmp_path: Path) -> Any:
    """An installation with one folder on a small disk, and gates in front of its stages."""

    def make(
        folder: str, elsewhere: Mapping[str, str] = MappingProxyType({}), **settings: Any
    ) -> tuple[Installation, Disk, Gates]:
        plate = disk(24)
        house = installation(paths={folder: str(plate.root / folder), **elsewhere}, **settings)
        house.knows_faces = False  # what the face stage makes takes room
        setattr(house, folder, plate.root / folder)
        getattr(house, folder).mkdir()
        made.append(house)
        return house, plate, Gates(house, tmp_path / "seam")

    made: list[Installation] = []
    yield make
    for house in made:
        if house.process is not None and house.process.poll() is None:
            house.kill()


def test_a_full_spool_pauses_each_stage_and_charges_nobody(small: Any, tmp_path: Path) -> None:
    # Given a job in front of each stage in turn. The history, whose journal gives back what a stage is to lack, is elsewhere.
    house, plate, gates = small("spool", {"history": str(tmp_path / "history")})
    house.start()
    gates.shut(*ROOM_KB)
    house.drop(
        "hello.yaml", {"audio": "s.wav", "image": "p.png", "size": "256x256"}, p__png=PORTRAIT, s__wav=sound(2.0)
    )
    for number, (stage, room) in enumerate(ROOM_KB.items()):
        later = [gates.folder / f"{name}.reached" for name in list(ROOM_KB)[number + 1 :]]
        gates.reached(stage)
        lane = "voice" if stage in ("tts", "lipsync") else "cpu"
        before = disk_full(house, lane)
        # When the disk fills up there
        plate.fill(room)
        gates.open(stage)
        # Then the lane pauses and says why, in the log, the metrics and the status
        wait_for(f"{stage} to pause the {lane} lane", functools.partial(paused_again, house, lane, before, later))
        assert metric(house, "avatar_lane_paused", lane=lane) == 1
        assert lane in pauses(house, "disk-full")
        told = house.avatar("status").stdout
        assert re.search(rf"{lane} since .*([Dd]isk is full|No space left)", told), told
        # And nothing of it can be seen by those who wait for the result
        assert [path.name for path in house.outbox.glob("[!.]*")] == ["hello.json"]
        # And it goes on by itself when there is room
        plate.free()
    status = house.finished("hello")
    assert status["state"] == "done"
    assert "attempts" not in status
    wait_for("the job to rest", lambda: status["job"] in house.jobs("done"))
    wait_for("the job to rest", lambda: house.jobs("done"))
    record = json.loads((house.spool / "done" / status["job"] / "job.json").read_bytes())
    assert record["attempts"] == dict.fromkeys(("check", *ROOM_KB), 1)
    wait_for("the lanes to go on", lambda: metric(house, "avatar_lane_paused", lane="cpu") == 0)
    assert house.stop() == 0


def test_a_full_outbox_gets_no_half_result(small: Any) -> None:
    # Given a finished video in front of a full outbox
    house, plate, gates = small("outbox")
    house.start()
    gates.shut("deliver")
    house.drop(
        "hello.yaml", {"audio": "s.wav", "image": "p.png", "size": "256x256"}, p__png=PORTRAIT, s__wav=sound(2.0)
    )
    gates.reached("deliver")
    plate.fill(60)
    gates.open("deliver")
    # When it is delivered / Then the lane pauses; what can be seen is nothing, and what cannot be seen is not left behind
    wait_for("the pause", lambda: disk_full(house, "cpu") >= 2)
    wait_for("the parts to go", lambda: {path.suffix for path in house.outbox.iterdir()} <= {".json", ""})
    # And with room it comes, whole
    plate.free()
    status = house.finished("hello")
    assert (status["state"], status.get("attempts")) == ("done", None)
    assert sorted(path.name for path in house.outbox.glob("[!.]*")) == ["hello.jpg", "hello.json", "hello.mp4"]
    assert house.stop() == 0


def test_below_the_reserve_no_new_job_is_taken_while_accepted_ones_go_on(small: Any) -> None:
    # Given an accepted job, and a disk with less room than the reserve
    house, plate, gates = small("spool", intake={"reserve_mb": 8})
    house.start()
    gates.shut("tts")
    ledger = Ledger(house)
    first = ledger.drop("spoken")
    gates.reached("tts")
    plate.fill(4000)
    # When another one is dropped
    second = ledger.drop("spoken")
    wait_for("the reason", lambda: metric(house, "avatar_lane_pauses_total", lane="intake", reason="disk-reserve"))
    gates.open("tts")
    # Then the first is done and the other lies in the inbox, untouched
    assert house.finished(first)["state"] == "done"
    assert house.status(second) is None
    assert (house.inbox / f"{second}.yaml").exists()
    assert metric(house, "avatar_lane_paused", lane="intake") == 1
    # And it is taken when there is room
    plate.free()
    ledger.wait()
    assert house.stop() == 0
    ledger.count()


def test_a_daemon_starts_on_a_full_disk_and_goes_on_when_there_is_room(small: Any) -> None:
    # Given a job that was interrupted in its stage, and a disk that is full when the daemon starts again
    house, plate, gates = small("spool")
    house.start()
    gates.shut("tts")
    ledger = Ledger(house)
    ledger.drop("spoken")
    gates.reached("tts")
    house.kill()
    plate.fill()
    gates.open("tts")
    house.launch()
    # When it has said that there is no room / Then it is still there
    wait_for("the reason", lambda: pauses(house, "disk-full"))
    ledger.drop("spoken")
    assert house.process.poll() is None
    # And goes on by itself when there is room
    plate.free()
    ledger.wait()
    assert house.stop() == 0
    ledger.count()


def test_a_log_that_cannot_be_written_stops_nothing(small: Any) -> None:
    # Given a daemon whose log is on the disk that fills up
    house, plate, gates = small("spool")
    ready = house.log
    house.start()
    house.stop()
    house.log = plate.root / "daemon.log"
    house.start()
    gates.shut("tts")
    ledger = Ledger(house)
    ledger.drop("spoken")
    gates.reached("tts")
    # When that happens in the middle of a stage
    plate.fill()
    gates.open("tts")
    wait_for("the pause", lambda: metric(house, "avatar_lane_paused", lane="voice"))
    # Then the daemon lives, and the job comes through
    plate.free()
    ledger.wait()
    assert house.stop() == 0
    house.log = ready
    ledger.count()


def test_an_error_that_hides_that_the_disk_is_full_is_the_machines_fault(disk: Callable[[int], Disk]) -> None:
    # Given a library that says nothing of the disk
    plate = disk(8)
    (plate.root / "spool").mkdir()
    settings = Settings.parse({"paths": {"spool": str(plate.root / "spool")}}, plate.root / "config.yaml")
    assert classify_error(ValueError("cannot write"), settings).fault == "unknown"
    # When there is no room / Then that was it; and a fault of the job stays one
    plate.fill(100)
    assert (classify_error(ValueError("cannot write"), settings)).code == "disk-full"
    assert classify_error(JobError("image-unreadable", "No picture."), settings).fault == "job"


def test_a_mount_that_tells_no_size_is_not_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given folders on a share whose mount says that it has no bytes at all, as smbnetfs does
    settings = Settings.parse({}, tmp_path / "config.yaml")
    for folder in (settings.paths.spool, settings.paths.outbox):
        folder.mkdir(parents=True)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(total=0, used=0, free=0))
    # Then an unknown fault of a job is no fault of the disk, what is handed in is taken, and the doctor says what it sees
    assert classify_error(ValueError("cannot write"), settings).fault == "unknown"
    check_room(settings.paths.outbox, 1000, Bounds(10**6, 10**6, 10**6, 10**6, settings.paths.spool))
    found = {one.what: (one.verdict, one.found) for one in check_free_disk(settings)}
    assert found["free disk (outbox)"] == ("good", "the filesystem does not tell")
