"""What systemd is told, on a real notification socket, and reading the configuration anew."""

from __future__ import annotations

import array
import os
import signal
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from daemon.config import Settings
from daemon.jobs.record import Job
from daemon.service import Service
from daemon.stopping import MARGIN_S, STOP_S
from daemon.telemetry.journald import JournalSocket, journal_fields
from daemon.workers.worker import START_S
from tests.conftest import FAST, PORTRAIT, Installation, wait_for


class Manager:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self.heard: list[str] = []

    def listen(self) -> list[str]:
        """Every word said so far."""
        try:
            while True:
                self.heard += self._socket.recv(65536).decode().split("\n")
        except BlockingIOError:
            return self.heard

    def wait(self, what: str, after: int = 0) -> int:
        """The place of the first word that starts so."""

        def look() -> int | None:
            return next((i + 1 for i, word in enumerate(self.listen()) if i >= after and word.startswith(what)), None)

        return wait_for(what, look) - 1


@pytest.fixture
def managed(installation: Callable[..., Installation], tmp_path: Path) -> tuple[Installation, Manager]:
    manager = Manager(tmp_path / "notify")
    one = installation()
    one.environment |= {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "400000"}
    one.start()
    return one, manager


def test_systemd_hears_ready_status_watchdog_and_stopping_in_this_order(managed: tuple[Installation, Manager]) -> None:
    # Given a daemon that has put its spool in order
    one, manager = managed
    ready = manager.wait("READY=1")
    assert "STATUS=Putting the spool in order" in manager.heard[:ready]
    assert manager.wait("STATUS=0 waiting; 0 running", ready)
    # When a job runs / Then the line names it, and the watchdog is fed
    one.drop("hello.yaml", {"text": "This is a rather long text. " * 20, "image": "p.png"}, p__png=PORTRAIT)
    manager.wait("STATUS=0 waiting; 1 running: hello (", ready)
    manager.wait("WATCHDOG=1", ready)
    # When it is stopped / Then it says so, with the time that it may take
    at = len(manager.listen())
    one.stop()
    limit_us = int((FAST["lanes"]["drain_s"] + STOP_S + MARGIN_S) * 1e6)
    assert manager.wait("STOPPING=1", at) < manager.wait(f"EXTEND_TIMEOUT_USEC={limit_us}", at)


def test_a_daemon_whose_child_is_dead_silent_no_longer_feeds_the_watchdog(
    tmp_path: Path,
) -> None:
    # Given a child that has a job, and was last heard of long before its lane should have ended it
    service = Service(Settings.parse({"lanes": {"silence_s": 1.0}}, tmp_path / "config.yaml"))
    slot = service.lanes.gpus[0].slots[0]
    slot.worker.last_heard -= START_S + 1
    # Then it counts only while there is a job
    assert service.systemd.is_alive()
    slot.job = Job("job-20260101T000000Z-00000000", "a", "a.yaml")
    assert not service.systemd.is_alive()
    slot.worker.last_heard += 2
    assert service.systemd.is_alive()


def test_sighup_takes_a_good_config_and_keeps_the_old_one_when_it_is_wrong(
    managed: tuple[Installation, Manager],
) -> None:
    one, manager = managed
    assert one.process is not None
    good = yaml.safe_load(one.config.read_text())
    # When the config allows less text, and the signal comes
    one.config.write_text(yaml.safe_dump({**good, "intake": {**good["intake"], "max_text_chars": 10}}))
    at = len(manager.listen())
    one.process.send_signal(signal.SIGHUP)
    # Then systemd sees the reload from its beginning to its end, and the next job feels it
    began = manager.wait("RELOADING=1", at)
    assert manager.heard[began + 1].startswith("MONOTONIC_USEC=")
    manager.wait("READY=1", began)
    one.drop("long.yaml", {"kind": "speech", "text": "Good morning to you."})
    assert one.finished("long")["error"]["code"] == "text-too-long"
    # When it is wrong / Then nothing changes, and the status says why
    one.config.write_text(yaml.safe_dump({**good, "intake": {"max_text_chras": 5}}))
    one.process.send_signal(signal.SIGHUP)
    said = manager.wait("STATUS=0 waiting; 0 running; config not reloaded", began)
    assert "intake.max_text_chras" in manager.heard[said]
    one.drop("short.yaml", {"kind": "speech", "text": "Hello."})
    assert one.finished("short")["state"] == "done"
    one.drop("again.yaml", {"kind": "speech", "text": "Good morning to you."})
    assert one.finished("again")["error"]["code"] == "text-too-long"


def test_the_journal_gets_fields_lines_and_what_is_too_long_for_a_datagram(tmp_path: Path) -> None:
    # Given journald's end of the socket
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
        journald.bind(str(tmp_path / "socket"))
        journal = JournalSocket(str(tmp_path / "socket"))
        # When a line with a job comes / Then its fields can be searched for, and people's own keys get a prefix
        journal.error(event="stage ended", level="error", job_id="job-1", stage="tts", message="Two\nlines.")
        entry = journald.recv(65536)
        assert b"JOB_ID=job-1\n" in entry
        assert b"STAGE=tts\n" in entry
        assert b"PRIORITY=3\n" in entry
        assert b"AVATAR_MESSAGE\n" + struct.pack("<Q", 10) + b"Two\nlines.\n" in entry
        assert entry.count(b"\nMESSAGE=") + entry.startswith(b"MESSAGE") == 1
        # When it is longer than any datagram / Then it comes whole, by a file
        journal.info(event="x" * 4_000_000)
        _, ancillary, _, _ = journald.recvmsg(10, socket.CMSG_SPACE(4))
        fd = array.array("i", ancillary[0][2])[0]
        try:
            assert os.pread(fd, 20, 0) == b"MESSAGE=xxxxxxxxxxxx"
            assert os.fstat(fd).st_size > 4_000_000
        finally:
            os.close(fd)


def test_a_field_never_meets_one_of_the_journals_own() -> None:
    named = journal_fields({"event": "e", "priority": 1, "_pid": 2, "a-b": 3, "none": None})
    assert {"AVATAR_PRIORITY", "AVATAR__PID", "AVATAR_A_B"} <= set(named)
    assert "AVATAR_NONE" not in named
    assert named["PRIORITY"] == "6"
