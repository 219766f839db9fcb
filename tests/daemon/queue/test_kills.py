"""SIGKILL at random moments of the daemon, of its workers and of ffmpeg, over a run of real jobs with a ledger.

AVATAR_KILLS sets how many kills there are, AVATAR_SEED which ones (as far as a seed can say: the moments are the machine's).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Installation
from tests.support.daemon.ledger import Ledger
from tests.support.endurance import repeats

KILLS = repeats("AVATAR_KILLS", 8, 200)
SEED = int(os.environ.get("AVATAR_SEED", "1"))
#: Short jobs under way that there are to be at each kill; more are dropped when there are fewer.
BUSY = 4
SHORT = ("brought", "spoken", "brought", "brought")
#: One of these is dropped every so many kills, and the daemon is left in peace until its ffmpeg runs: kills in a row would
#: never let such a job get so far.
LONG, EVERY = ("film", "detect", "video"), 30
ENCODED = ("film", "video")
#: Pauses before a kill, in s: most come before anything has got far, some let a stage or a job end.
PAUSES_S = (0.0, 0.03, 0.1, 0.3, 0.6)
#: What is there for a moment only. Half of the kills are aimed at such a moment, some a little later, in s: the steps between
#: a stage and the next folder are that short.
MOMENTS = (
    *("inbox/.claimed/*", "spool/tmp/*", "spool/tts/active/*", "spool/encode/active/*"),
    *("outbox/.*.part", "spool/deliver/active/*/delivery.json", "spool/deliver/active/*/deliver.done.json"),
)
LATE_S = (0.0, 0.0005, 0.001, 0.002, 0.005)
#: How long a kill waits for its moment, or for an ffmpeg, in s.
AIM_S, HUNT_S = 0.4, 120.0
#: Further kills where one of the victims was not killed so far, or no kill met a job at work.
MORE = 20


class Reaper:
    """Kills by seeded chance, and keeps count of what it killed."""

    def __init__(self, house: Installation) -> None:
        self.house = house
        self.chance = random.Random(SEED)
        self.killed: Counter[str] = Counter()
        self.met: Counter[str] = Counter()

    def strike(self) -> None:
        """Wait for a random time or moment, then kill the daemon or a worker; a dead daemon is started again at once."""
        if self.chance.random() < 0.6:
            moment = self.chance.choice(MOMENTS)
            self._await(lambda: self._there(moment), AIM_S)
            time.sleep(self.chance.choice(LATE_S))
        else:
            time.sleep(self.chance.choice(PAUSES_S) * self.chance.uniform(0.5, 1.5))
        victim = self.chance.choice(("daemon", "worker"))
        if victim == "worker":  # on a busy machine a new daemon takes its time to start one
            self._await(lambda: bool(self._family("worker")), HUNT_S)
        self._kill(victim)

    def hunt(self) -> None:
        """Kill an ffmpeg that encodes, as soon as there is one."""
        self._await(lambda: self._there("spool/encode/active/*") and bool(self._family("ffmpeg")), HUNT_S)
        time.sleep(self.chance.uniform(0.0, 0.2))
        self._kill("ffmpeg")

    def _kill(self, victim: str) -> None:
        self.met.update(path.parent.parent.name for path in self.house.spool.glob("*/active/job-*"))
        if victim == "daemon" or not self._kill_child(victim):
            victim = "daemon"
            self.house.kill()
            self.house.launch()
        self.killed[victim] += 1

    def _await(self, happened: Callable[[], bool], patience_s: float) -> None:
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline and not happened():
            time.sleep(0.0005)

    def _there(self, moment: str) -> bool:
        return any(True for _ in self.house.root.glob(moment))

    def _family(self, kind: str) -> list[int]:
        """The workers of the daemon, or what they have started."""
        assert self.house.process is not None
        workers = children(self.house.process.pid)
        return workers if kind == "worker" else [child for worker in workers for child in children(worker)]

    def _kill_child(self, victim: str) -> bool:
        """Kill a worker, or an ffmpeg; False where there is none."""
        with contextlib.suppress(ProcessLookupError, IndexError):
            os.kill(self.chance.choice(self._family(victim)), signal.SIGKILL)
            return True
        return False


def children(pid: int) -> list[int]:
    """The processes a process has started, by any of its threads."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            found += [int(word) for word in task.read_text().split()]
    return found


def under_way(house: Installation) -> int:
    """Jobs in the inbox and on the way through the short stages."""
    # Not below spool/tmp, whose folders vanish while they are looked into.
    stages = [path for stage in ("tts", "deliver") for path in house.spool.glob(f"{stage}/*/job-*")]
    return len(list(house.inbox.glob("*.yaml"))) + len(stages)


@pytest.mark.timeout(1200 + 15 * KILLS)
def test_hundreds_of_kills_lose_nothing_and_double_nothing(installation: Callable[..., Installation]) -> None:
    # Given a daemon that forgives every kill, and jobs dropped over time
    house = installation(
        retry={"crashes": 10**6, "attempts": 10**6, "interruptions": 10**6, "first_delay_s": 0.01, "max_delay_s": 0.05},
        intake={"settle_s": 0.05, "scan_s": 0.5},
        lanes={"cpu": {"processes": 2}},
    )
    house.launch()
    ledger, reaper, short, long = Ledger(house), Reaper(house), itertools.cycle(SHORT), itertools.cycle(LONG)
    # When it and what it starts are killed again and again
    for number in range(KILLS):
        while under_way(house) < BUSY:
            ledger.drop(next(short))
        if number % EVERY == 0 and ledger.drop(next(long)).startswith(ENCODED):
            reaper.hunt()
        else:
            reaper.strike()
    more = 0
    while not (reaper.killed.keys() >= {"daemon", "worker", "ffmpeg"} and house.events("recovered")) and more < MORE:
        more += 1
        if not reaper.killed["ffmpeg"]:  # its job was done before the kill came
            ledger.drop("film")
            reaper.hunt()
        else:
            ledger.drop(next(short))
            reaper.strike()
    print(f"killed {dict(reaper.killed)} at work on {dict(reaper.met)}; {len(ledger.dropped)} jobs")
    # Then every job is done, once, whole, and nothing lies about
    ledger.wait()
    assert house.stop() == 0
    ledger.count()
    assert sum(reaper.killed.values()) == KILLS + more
    assert min(reaper.killed[victim] for victim in ("daemon", "worker", "ffmpeg")) > 0
    assert len(house.events("recovered")) > 0, "no kill met a job at work: the test proves nothing"
