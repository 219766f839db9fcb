"""Setting the wall clock, back or forward, delays nothing and ends no wait."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from daemon.jobs.record import Job, new_job_id
from daemon.queue.pauses import Pause, Pauses
from daemon.queue.ready_queue import ReadyQueue
from daemon.queue.steady_clock import SteadyClock
from tests.support.daemon.intake import DETECT, Room

DAY_S = 86_400.0
PATIENCE_S = 100.0
BOTH = pytest.mark.parametrize("step_s", [-DAY_S, DAY_S])


class Clocks:
    """A monotonic and a wall clock in the test's hand."""

    steady, wall = 1000.0, 1.8e9

    def advance(self, seconds: float) -> None:
        self.steady, self.wall = self.steady + seconds, self.wall + seconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    one = Clocks()
    monkeypatch.setattr(time, "time", lambda: one.wall)
    monkeypatch.setattr(time, "monotonic", lambda: one.steady)
    return one


def queued(clocks: Clocks, **times: float) -> Job:
    return Job(new_job_id(), "n", "n.yaml", stage="tts", accepted=clocks.wall, since=clocks.wall, **times)  # type: ignore[arg-type]


@BOTH
def test_a_delayed_job_comes_up_when_its_delay_is_over(clocks: Clocks, step_s: float) -> None:
    ready_queue = ReadyQueue(SteadyClock(lambda: clocks.steady, lambda: clocks.wall), longest_delay_s=lambda: 600.0)
    ready_queue.add(queued(clocks, not_before=clocks.wall + 30.0))
    clocks.wall += step_s
    assert ready_queue.head("tts", clocks.steady + 29.0) is None
    assert ready_queue.head("tts", clocks.steady + 30.0) is not None
    # And one whose delay was written down before the step, and is read after it, waits at most as long as delays can be
    ready_queue.add(late := queued(clocks, not_before=clocks.wall - step_s + 30.0))
    assert ready_queue.next_due() is not None or step_s > 0
    head = ready_queue.head("tts", clocks.steady + 600.0)
    assert head is not None
    ready_queue.remove(head.id)
    last = ready_queue.head("tts", clocks.steady + 600.0)
    assert last is not None
    assert {head.id, last.id} >= {late.id}


@BOTH
def test_a_delay_is_no_longer_over_a_restart_than_it_was_when_it_was_given(clocks: Clocks, step_s: float) -> None:
    # Given a job that goes on after 15 s, as its record says, and a clock that is set before the daemon starts again
    job = queued(clocks, not_before=clocks.wall + 15.0)
    clocks.wall += step_s
    # When its record is read / Then it waits for no more than that, however long other delays can be
    ready_queue = ReadyQueue(SteadyClock(lambda: clocks.steady, lambda: clocks.wall), longest_delay_s=lambda: 900.0)
    ready_queue.add(job)
    assert ready_queue.head("tts", clocks.steady + 15.0) is not None


def test_a_wait_for_the_rest_of_a_file_is_not_cut_short_by_the_delays_of_retries(
    tmp_path: Path,
) -> None:
    service = Room(tmp_path, companion_wait_s=PATIENCE_S).service
    settings = service.settings
    settings.retry = settings.retry.model_copy(update={"max_delay_s": 0.0})
    settings.lanes = settings.lanes.model_copy(update={"pause_s": 0.0})
    service.ready_queue.add(
        Job(new_job_id(), "n", "n.yaml", stage="tts", accepted=time.time(), not_before=time.time() + PATIENCE_S)
    )
    assert service.ready_queue.head("tts", time.monotonic() + PATIENCE_S / 2) is None


@BOTH
def test_a_job_that_waits_longer_stays_ahead_of_one_that_comes_after_the_step(clocks: Clocks, step_s: float) -> None:
    ready_queue = ReadyQueue(SteadyClock(lambda: clocks.steady, lambda: clocks.wall))
    ready_queue.add(first := queued(clocks))
    clocks.advance(5.0)
    clocks.wall += step_s
    ready_queue.add(queued(clocks))
    ready_queue.add(first)  # as after a change of its priority
    head = ready_queue.head("tts", clocks.steady)
    assert head is not None
    assert head.id == first.id


@BOTH
def test_a_pause_lasts_as_long_as_it_was_ordered_for(clocks: Clocks, tmp_path: Path, step_s: float) -> None:
    pauses = Pauses(tmp_path / "paused.json")
    pauses.begin("lanes", Pause("me", "", clocks.wall, clocks.wall + 60.0))
    clocks.wall += step_s
    clocks.advance(59.0)
    assert pauses.active("lanes") is not None
    # Also over a restart: at most so long
    assert Pauses(tmp_path / "paused.json")._ends["lanes"] <= clocks.steady + 60.0
    clocks.advance(1.0)
    assert pauses.active("lanes") is None
    assert pauses.expire() == ["lanes"]


@BOTH
def test_a_manifest_waits_for_its_files_as_long_as_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step_s: float
) -> None:
    # Given a waiting manifest / When the clock is set, before and after a restart of the daemon
    room = Room(tmp_path, companion_wait_s=PATIENCE_S)
    room.put("a.yaml", DETECT)
    room.settle()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + step_s)
    assert room.look(PATIENCE_S / 2) == []
    again = Room(tmp_path, companion_wait_s=PATIENCE_S)
    again.now = room.now
    again.look()
    again.look(PATIENCE_S * 0.4)
    assert state(again) == "waiting"
    # Then it fails when its time is over, not before and not a day later
    again.look(PATIENCE_S * 0.2)
    assert state(again) == "failed"


def test_a_wait_that_began_before_a_reboot_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room(tmp_path, companion_wait_s=PATIENCE_S)
    room.put("a.yaml", DETECT)
    room.settle()
    room.look(PATIENCE_S * 0.9)
    other = tmp_path / "boot_id"
    other.write_text("another boot\n")
    monkeypatch.setattr("daemon.intake.waiting_manifests.BOOT_ID", other)
    again = Room(tmp_path, companion_wait_s=PATIENCE_S)
    again.now = 10**6
    again.look()
    again.look(PATIENCE_S * 0.9)
    assert state(again) == "waiting"


def state(room: Room) -> str:
    return str(json.loads((room.outbox / "a.json").read_bytes())["state"])


def test_the_clock_follows_a_step_but_not_the_slow_corrections(clocks: Clocks) -> None:
    steady = SteadyClock(lambda: clocks.steady, lambda: clocks.wall)
    before = steady.of_past(clocks.wall - 10.0)
    clocks.wall += 0.4
    assert steady.of_past(clocks.wall - 10.4) == before
    clocks.wall += DAY_S
    assert steady.of_past(clocks.wall - 10.0) == pytest.approx(clocks.steady - 10.0)
