"""The power goes while the real daemon works on a real filesystem: ext4 on a loop file, stopped by FS_IOC_SHUTDOWN.

AVATAR_CUTS sets how many cuts come at random moments, AVATAR_SEED which.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.system import fs
from tests.conftest import PATIENCE_S, Installation, wait_for
from tests.support.daemon.ledger import Ledger
from tests.support.endurance import repeats
from tests.support.machine.disk import Disk

CUTS, ACKNOWLEDGED = repeats("AVATAR_CUTS", 2, 12), repeats("AVATAR_ACKNOWLEDGED", 1, 4)
#: Further cuts where none met a job at work.
MORE = 10
SEED = int(os.environ.get("AVATAR_SEED", "1"))
FORGIVING: dict[str, Any] = {
    "retry": {"crashes": 10**6, "attempts": 10**6, "interruptions": 10**6, "first_delay_s": 0.01, "max_delay_s": 0.05},
    "intake": {"settle_s": 0.05, "scan_s": 0.5},
    "lanes": {"cpu": {"processes": 2}},
}
#: Where a job is when the power goes; "" is any time.
MOMENTS = ("inbox/.claimed", "spool/tmp", "spool/tts/active", "spool/encode/active", "spool/deliver/active", "")


class Plugged:
    """An installation whose folders are all on one disk that can lose its power; its log is elsewhere."""

    def __init__(self, disk: Disk, folder: Path) -> None:
        self.disk = disk
        self.house = Installation(disk.root, **FORGIVING)
        self.house.log = folder / "daemon.log"
        fs.replace_bytes(self.house.config, self.house.config.read_bytes())  # flushed
        self.house.start()

    def cut(self) -> None:
        """The power goes, and comes back; the daemon is down."""
        self.disk.cut()
        self.house.kill()
        self.disk.unmount()
        self.disk.mount()


@pytest.fixture
def plugged(disk: Callable[[int], Disk], tmp_path: Path) -> Any:
    one = Plugged(disk(64), tmp_path)
    yield one
    if one.house.process is not None and one.house.process.poll() is None:
        one.house.kill()


def test_what_was_acknowledged_survives_a_power_cut_in_the_same_moment(plugged: Plugged) -> None:
    # Given a sender who flushes nothing, neither a text nor files, on a disk whose journal has just been written
    house = plugged.house
    ledger = Ledger(house)
    for what in ("spoken", "film") * ACKNOWLEDGED:
        name = ledger.drop(what, durable=False)
        # When the power goes in the moment the job is seen to be accepted
        watch(house, name)
        plugged.cut()
        # Then the job is in the spool (its status was seen, but the disk may not have had it yet)
        assert len(house.all_jobs()) == len(ledger.dropped)
        house.start()
    # And all of them come to their end, whole, once
    ledger.wait()
    assert house.stop() == 0
    ledger.count()


def watch(house: Installation, name: str) -> None:
    """Wait for the acknowledgement, closely: the power is to go right after it."""
    path = house.outbox / f"{name}.json"
    deadline = time.monotonic() + PATIENCE_S
    while not path.exists():
        assert time.monotonic() < deadline, "no acknowledgement came"


def test_a_power_cut_at_any_moment_loses_tears_and_doubles_nothing(plugged: Plugged) -> None:
    # Given jobs dropped over time on a disk that loses its power again and again
    house, chance = plugged.house, random.Random(SEED)
    ledger = Ledger(house)
    menu = itertools.cycle(("brought", "film", "spoken", "brought"))
    for number in range(CUTS + MORE):
        if number >= CUTS and house.events("recovered"):
            break
        for _ in range(3):
            ledger.drop(next(menu))
        # When it goes while jobs are in the middle of a stage or a hop
        wait_for_moment(house.root, chance)
        plugged.cut()
        # Then no file of the outbox and no record is torn (what was being built in `tmp` is a leftover)
        records = [path for path in house.spool.rglob("job.json") if path.parent.parent.name != "tmp"]
        for path in (*house.outbox.glob("[!.]*.json"), *records):
            assert isinstance(json.loads(path.read_bytes()), (dict, list)), path
        house.start()
    # And every job is done, once, whole
    ledger.wait()
    assert house.stop() == 0
    ledger.count()
    assert len(house.events("recovered")) > 0, "no cut met a job at work: the test proves nothing"


def wait_for_moment(root: Path, chance: random.Random) -> None:
    moment = chance.choice(MOMENTS)
    if moment:
        wait_for(f"a job in {moment}", lambda: any((root / moment).iterdir()) or idle(root))
    time.sleep(chance.choice((0.0, 0.001, 0.005, 0.02, 0.3)))


def idle(root: Path) -> bool:
    """Whether everything is done already: the moment will not come."""
    busy = [path for state in ("ready", "active") for path in root.glob(f"spool/*/{state}/job-*")]
    return not busy and not any((root / "inbox").glob("*.yaml"))
