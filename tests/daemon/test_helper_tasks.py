"""An error in one of the daemon's tasks ends neither the daemon nor that task for good."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.config import Settings
from daemon.config.settings import Heartbeat
from daemon.service import Service
from daemon.system.disk_thread import DiskThread

#: Only ends a test that hangs, in s.
PATIENCE_S = 120.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    raw = {
        "paths": {name: name for name in ("inbox", "outbox", "spool", "cache")},
        "intake": {"scan_s": 0.1},
        "lanes": {"preload": False, "drain_s": 0},
        "metrics": {"enabled": False, "textfile": "metrics.prom"},
    }
    settings = Settings.parse(raw, tmp_path / "config.yaml")
    for folder in (settings.paths.inbox, settings.paths.outbox):
        folder.mkdir()
    return settings


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.system.keep_running.FIRST_S", 0.01)
    monkeypatch.setattr("daemon.workers.lane.AFTER_BUG_S", 0.01)
    monkeypatch.setattr("daemon.loops.STUCK_LOOK_S", 0.01)


def fail_twice(times: list[str]) -> Callable[..., Any]:
    """A function that fails at its first two calls."""

    def fail(*args: Any, **more: Any) -> Any:
        times.append("called")
        if len(times) <= 2:
            raise RuntimeError("Set changed size during iteration")

    return fail


FAILING = {
    "queue positions": "daemon.queue.ready_queue.ReadyQueue.front",
    "pauses": "daemon.queue.pauses.Pauses.expire",
    "systemd": "daemon.telemetry.systemd.SystemdReporter.is_alive",
    "heartbeat": "daemon.telemetry.canary.Canary._may_send",
    "voices": "daemon.outbox.voice_list.VoiceList._refresh",
    "metrics file": "daemon.telemetry.endpoints.write_metrics_file",
    "watches": "daemon.loops.Loops._check_watches",
    "next look": "daemon.loops.Loops._until_next_look",
    "claims": "daemon.intake.admission.Admission.resume",
    "lane": "daemon.workers.lane.Lane._next_ticket",
}


@pytest.mark.parametrize("name", FAILING)
@pytest.mark.usefixtures("processes")
def test_a_task_that_fails_is_done_again_and_ends_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    # Given a daemon in which something fails that nobody expects to fail
    monkeypatch.setenv("NOTIFY_SOCKET", "@nobody")
    monkeypatch.setenv("WATCHDOG_USEC", "40000")
    settings.heartbeat = Heartbeat(every_s=1e-9)
    monkeypatch.setattr("daemon.outbox.voice_list.FIRST_S", 0.0 if name == "voices" else PATIENCE_S)
    times: list[str] = []
    fail = fail_twice(times)
    monkeypatch.setattr(FAILING[name], fail)
    service = Service(settings)

    async def live() -> None:
        running = asyncio.create_task(service.run())
        # When it has failed / Then it is tried again
        async with asyncio.timeout(PATIENCE_S):
            while len(times) < 3 and not running.done():
                service.state_machine.changed.notify()
                await asyncio.sleep(0.01)
        service.stop()
        # And the daemon ends well when it is told to
        await running

    asyncio.run(live())
    assert len(times) >= 3


async def fail_later(*args: Any) -> None:
    raise RuntimeError("Set changed size during iteration")


def fail_at_once(*args: Any) -> None:
    raise RuntimeError("Set changed size during iteration")


@pytest.mark.parametrize(
    ("broken", "fail"),
    [
        ("daemon.workers.lane.Lane.drain", fail_later),
        ("watchdog.observers.api.BaseObserver.on_thread_stop", fail_at_once),
    ],
)
def test_an_error_at_the_end_does_not_change_how_the_daemon_ends(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, broken: str, fail: Callable[..., Any]
) -> None:
    monkeypatch.setattr(broken, fail)
    service = Service(settings)
    asyncio.run(service.run(ready=service.stop))


def test_a_thread_that_cannot_be_started_fails_its_call_and_no_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a machine at its limit of threads
    disk, calls = DiskThread("test"), list[str]()

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as limited:
        limited.setattr(threading.Thread, "start", refuse)
        with pytest.raises(OSError, match="thread"):
            asyncio.run(disk.run(calls.append, "first"))
    # When there is room / Then calls are made again, and the refused one is not
    asyncio.run(asyncio.wait_for(disk.run(calls.append, "second"), PATIENCE_S))
    assert calls == ["second"]
