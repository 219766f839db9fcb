"""The installed service when something is wrong: processes that die or hang, a bad configuration, missing rights, a stop."""

from __future__ import annotations

import pytest

from tests.conftest import wait_for
from tests.support.machine.nspawn import Machine
from tests.support.machine.service import (
    CONFIG,
    LONG,
    LOOK_S,
    children,
    drop,
    finished,
    in_stage,
)

pytestmark = [pytest.mark.usefixtures("processes"), pytest.mark.timeout(2400)]


def test_a_killed_daemon_is_started_again_and_finishes_the_job(machine: Machine) -> None:
    before = int(machine.property("NRestarts"))
    drop(machine, "killed", LONG)
    in_stage(machine, "killed", "encode")
    machine.run("systemctl", "kill", "--signal=KILL", "--kill-who=main", "avatard")
    assert finished(machine, "killed")["state"] == "done"
    assert int(machine.property("NRestarts")) == before + 1


def test_a_child_that_hangs_is_ended_and_its_job_tried_again(machine: Machine) -> None:
    # Given a daemon that waits less long for a silent worker (on a busy machine one that works may be as silent), and a job in
    # its encode stage
    config = machine.path(CONFIG)
    good = config.read_text()
    config.write_text(good.replace("lanes: {", "lanes: {silence_s: 20, "))
    machine.run("systemctl", "restart", "avatard")
    try:
        drop(machine, "hung", LONG)
        in_stage(machine, "hung", "encode")
        # When all workers stand still, heartbeat and all
        machine.run("kill", "-STOP", *children(machine))
        # Then the lane ends them, and the job comes through by another one; the daemon itself was never in doubt
        restarts = machine.property("NRestarts")
        done = finished(machine, "hung")
        assert done["state"] == "done"
        assert done["attempts"]["encode"] >= 2
        assert machine.property("NRestarts") == restarts
    finally:
        config.write_text(good)
        machine.run("systemctl", "restart", "avatard")


def test_a_daemon_that_hangs_is_ended_by_the_watchdog(machine: Machine) -> None:
    # Given a shorter watchdog than the unit's
    machine.path("/run/systemd/system/avatard.service.d").mkdir(parents=True, exist_ok=True)
    short = machine.path("/run/systemd/system/avatard.service.d/test.conf")
    short.write_text("[Service]\nWatchdogSec=2\nTimeoutAbortSec=1\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "avatard")
    try:
        # When the daemon stands still / Then systemd ends it and starts it again
        before = int(machine.property("NRestarts"))
        machine.run("kill", "-STOP", machine.property("MainPID"))
        wait_for("the watchdog", lambda: int(machine.property("NRestarts")) > before, every_s=LOOK_S)
        wait_for("a new daemon", lambda: machine.property("ActiveState") == "active", every_s=LOOK_S)
        assert "Watchdog timeout" in machine.run("journalctl", "--unit=avatard", "--no-pager").stdout
        drop(machine, "after-watchdog", kind="speech")
        assert finished(machine, "after-watchdog")["state"] == "done"
    finally:
        short.unlink()
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "restart", "avatard")


def test_reload_takes_a_good_config_and_refuses_a_bad_one(machine: Machine) -> None:
    config, pid = machine.path(CONFIG), machine.property("MainPID")
    good = config.read_text()
    try:
        # When a good one is loaded / Then it is in force
        config.write_text(
            good.replace("reserve_mb: 1", "reserve_mb: 1, max_text_chars: 20")
            + "heartbeat: {every_s: 60}\n"  # the first one comes at once
        )
        machine.run("systemctl", "reload", "avatard")
        asked = ("journalctl", "--no-pager", "--output=cat", "AVATAR_NAME=avatard-heartbeat")
        wait_for("a heartbeat", lambda: "job finished" in machine.run(*asked).stdout, every_s=LOOK_S)
        assert "state=done" in machine.run(*asked).stdout
        drop(machine, "too-long", "This has more than twenty characters.")
        assert finished(machine, "too-long")["error"]["code"] == "text-too-long"
        # When a bad one is / Then `systemctl reload` fails, the journal and the status say why, and the old one works on
        config.write_text(good.replace("drain_s", "drian_s"))
        assert machine.run("systemctl", "reload", "avatard", check=False).returncode != 0
        assert wait_for("the reason", lambda: "lanes.drian_s" in machine.property("StatusText"), every_s=LOOK_S)
        assert "lanes.drian_s" in machine.run("journalctl", "--unit=avatard", "--lines=20", "--no-pager").stdout
        assert machine.property("MainPID") == pid
        drop(machine, "short", "Hello.", kind="speech")
        assert finished(machine, "short")["state"] == "done"
        # When systemd is asked to start with it / Then it says so once, and does not try again and again
        restarts = machine.property("NRestarts")
        assert machine.run("systemctl", "restart", "avatard", check=False).returncode != 0
        assert machine.property("ExecMainStatus") == "78"
        assert (machine.property("ActiveState"), machine.property("NRestarts")) == ("failed", restarts)
    finally:
        config.write_text(good)
        machine.run("systemctl", "restart", "avatard")


def test_rights_that_are_missing_are_named(machine: Machine) -> None:
    # Given a file that only anna may read / When she drops a job with it / Then that job says so, and nothing else suffers
    script = (
        "umask 077; cd /srv/avatard/inbox; cp /opt/avatard/current/share/examples/portrait.png private.png; "
        "cat > .part; chmod 640 .part; mv .part private.yaml"
    )
    machine.run("sh", "-c", script, user="anna", stdin="text: Hello.\nimage: private.png\n")
    error = finished(machine, "private")["error"]
    assert (error["code"], error["fault"]) == ("file-unreadable", "job")
    assert "private.png" in error["message"]
    # Given an outbox that the service may not write / When it starts / Then it names the setting, and is not tried again
    machine.run("chown", "root:root", "/srv/avatard/outbox")
    machine.run("chmod", "2755", "/srv/avatard/outbox")
    try:
        assert machine.run("systemctl", "restart", "avatard", check=False).returncode != 0
        assert machine.property("ExecMainStatus") == "78"
        said = machine.run("journalctl", "--unit=avatard", "--lines=15", "--no-pager", "--output=cat").stdout
        assert "paths.outbox: /srv/avatard/outbox may not be written" in said
    finally:
        machine.run("systemd-tmpfiles", "--create", "avatard.conf")
        machine.run("systemctl", "restart", "avatard")


def test_stop_gives_the_job_back_and_start_takes_it_up(machine: Machine) -> None:
    drop(machine, "stopped", LONG)
    job = in_stage(machine, "stopped", "encode")["job"]
    machine.run("systemctl", "stop", "avatard")
    assert machine.property("Result") == "success"
    assert machine.path(f"/var/lib/avatard/spool/encode/ready/{job}").is_dir()
    machine.run("systemctl", "start", "avatard")
    done = finished(machine, "stopped")
    assert done["state"] == "done"
    assert "attempts" not in done
