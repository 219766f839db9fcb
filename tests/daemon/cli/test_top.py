"""`avatar top` and `avatar status --json`: the same picture for people and for scripts."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.conftest import PORTRAIT, ROOT, Installation, wait_for
from tests.support.daemon.worker_seam import Gates


def test_the_overview_tells_what_runs_waits_ended_and_is_paused(
    installation: Callable[..., Installation], tmp_path: Path
) -> None:
    # Given a failed job, one in the middle of its way, and one that waits because somebody paused the queue
    house = installation()
    gates = Gates(house, tmp_path / "seam")
    gates.shut("encode")
    house.start()
    house.drop("bad.yaml", {"kind": "speech", "text": "???"})
    house.finished("bad")
    house.drop("long.yaml", {"text": "Hello there.", "image": "p.png", "size": "256x256"}, p__png=PORTRAIT)
    gates.reached("encode")
    house.avatar("pause", "--reason", "new lamps")
    house.drop("waits.yaml", {"kind": "speech", "text": "Hello."})
    wait_for("it to wait", lambda: house.jobs("check/ready"))
    # When a script asks
    now = json.loads(house.avatar("status", "--json").stdout)
    # Then all of it is there
    assert house.process is not None
    assert now["daemon"]["pid"] == house.process.pid
    assert now["paused"]["lanes"]["reason"] == "new lamps"
    assert [(job["name"], job["stage"]) for job in now["running"]] == [("long", "encode")]
    assert 0 < now["running"][0]["progress"] < 1
    assert (now["queues"]["check"]["ready"], now["queues"]["encode"]["active"]) == (1, 1)
    assert now["queues"]["check"]["oldest"] <= now["at"]
    assert [(job["name"], job["code"], job["fault"]) for job in now["ended"]] == [("bad", "text-unspeakable", "job")]
    assert now["disk"]["spool"]["free"] > 0
    # And people see the same
    shown = house.avatar("top", "--once").stdout
    for word in ("new lamps", "long", "encode", "bad", "text-unspeakable (fault: job)", "no GPU"):
        assert word in shown


def test_top_is_live_until_it_is_ended_and_says_when_no_daemon_runs(house: Installation) -> None:
    # Given top on a terminal
    terminal, other = pty.openpty()
    command = [sys.executable, "-m", "daemon.cli", "--config", str(house.config), "top", "--every", "0.1"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command,
        stdin=other,
        stdout=other,
        stderr=other,
        env=environment,
        cwd=house.root,
        # A shell that runs the tests in the background has them, and all that they start, ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    os.close(other)
    seen = b""

    def shows(text: bytes) -> bool:
        nonlocal seen
        seen += os.read(terminal, 65536)
        return text in seen

    try:
        wait_for("the picture", lambda: shows(b"nothing runs"))
        # When a job comes and goes / Then it is seen to end, without being asked again
        house.drop("hello.yaml", {"kind": "speech", "text": "Hello."})
        wait_for("the job", lambda: shows(b"hello"))
        # When the daemon ends / Then it says so
        house.stop()
        wait_for("the end", lambda: shows(b"avatard does not run"))
        process.send_signal(signal.SIGINT)
        # It is read until it has gone (EIO): a picture that nobody takes would hold it up.
        with contextlib.suppress(OSError):
            while os.read(terminal, 65536):
                pass
        assert process.wait() == 0
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
    assert "avatard does not run" in house.avatar("top", "--once", code=69).stdout


def test_a_long_queue_costs_no_reading_of_its_jobs(house: Installation, tmp_path: Path) -> None:
    # Given jobs that wait, whose records nobody could read / Then they are counted all the same, the oldest first
    house.stop()
    ready = house.spool / "check" / "ready"
    for number in range(50):
        (ready / f"job-20260101T000000Z-{number:08x}").mkdir()
    old = time.time() - 3600
    os.utime(ready / "job-20260101T000000Z-00000007", (old, old))
    now = json.loads(house.avatar("status", "--json", code=69).stdout)
    assert now["queues"]["check"]["ready"] == 50
    assert now["queues"]["check"]["oldest"].startswith(time.strftime("%Y-%m-%dT%H:%M", time.gmtime(old)))
    assert now["daemon"] is None
