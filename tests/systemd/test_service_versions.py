"""The end of an installed service's life: it is copied to another machine, upgraded, and removed."""

from __future__ import annotations

import json
import time

import pytest

from tests.conftest import wait_for
from tests.support.machine.nspawn import SOURCE, Machine
from tests.support.machine.service import (
    CONFIG,
    bring_rsync,
    doctor,
    drop,
    finished,
    smaller_source,
    status,
)

pytestmark = [pytest.mark.usefixtures("processes"), pytest.mark.timeout(2400)]


def test_a_backup_is_put_back_on_a_machine_with_other_ids(machine: Machine) -> None:
    # Given a job of anna that waits, and two copies, of which one is to be kept
    bring_rsync(machine)
    machine.run("avatar", "pause")
    drop(machine, "kept", kind="speech")
    wait_for("the job", lambda: status(machine, "kept").get("state") == "queued")
    backup, settings = "/opt/avatard/current/share/backup.sh", machine.path(CONFIG).read_text()
    machine.run(backup, "save", "/root/backup")
    time.sleep(1.1)  # a copy is named by its second
    machine.run(backup, "save", "/root/backup", "--keep", "1")
    assert len(list(machine.path("/root/backup").iterdir())) == 1
    assert machine.property("ActiveState") == "active"
    # When it is put back where all of it is lost, the users have other ids, and one is not there
    root = machine.path("/").stat().st_mode
    lost = (
        "systemctl stop avatard; rm -r /srv/avatard /var/*/avatard /etc/avatard/config.yaml; "
        "userdel anna; groupadd --gid 4501 other; groupmod --gid 4502 avatard; groupmod --gid 4503 avatar; "
        "usermod --uid 4504 avatard; systemd-tmpfiles --create avatard.conf"
    )
    machine.run("sh", "-c", lost)
    machine.run(backup, "restore", "/root/backup")
    # Then files, settings and people are as they were, and nothing above them is touched
    assert machine.path(CONFIG).read_text() == settings
    assert machine.run("stat", "-c", "%U:%G", "/srv/avatard/inbox/portrait.png").stdout.strip() == "anna:avatar"
    assert "avatar" in machine.run("id", "-nG", "anna").stdout.split()
    assert machine.path("/").stat().st_mode == root
    # And the job waits for whoever looks first, and then runs
    machine.run("systemctl", "start", "avatard")
    assert "restored from /root/backup" in machine.run("avatar", "status").stdout
    assert status(machine, "kept")["state"] == "queued"
    machine.run("avatar", "resume")
    assert finished(machine, "kept")["state"] == "done"
    # And a second time would mix two histories
    assert "there are jobs here" in machine.run(backup, "restore", "/root/backup", check=False).stderr


def test_an_upgrade_that_does_not_fit_leaves_the_old_one_running_and_one_that_fits_loses_no_job(
    machine: Machine,
) -> None:
    # Given a version that says by its doctor, to root, what was asked for when it was installed
    asked = ["--languages", "--api", "--hooks", "--no-voices"]
    assert " ".join(asked) in doctor(machine)
    config, pid = machine.path(CONFIG), machine.property("MainPID")
    current = machine.run("readlink", "/opt/avatard/current").stdout
    good = config.read_text()
    config.write_text(good + "nonsense: true\n")
    # Of packages only what reads the configuration, and nothing compiled, as this version is thrown away.
    smaller = smaller_source(machine, "/usr/src/smaller")
    refused = machine.run(
        "env",
        "PIP_COMPILE=0",
        "make",
        "-C",
        smaller,
        "upgrade",
        "OPTIONS=--no-languages --no-api",
        network=True,
        check=False,
    )
    config.write_text(good)
    assert refused.returncode != 0
    assert "nonsense" in refused.stderr
    assert (machine.property("MainPID"), machine.run("readlink", "/opt/avatard/current").stdout) == (pid, current)
    time.sleep(1.1)  # a version is named by its second
    # A job that is accepted before, and may not run before
    machine.run("avatar", "pause")
    drop(machine, "across", kind="speech")
    wait_for("the job", lambda: status(machine, "across").get("state") == "queued")
    # Of this one only two processes start: they compile less than pip would.
    machine.run("env", "PIP_COMPILE=0", "make", "-C", SOURCE, "upgrade", network=True)
    assert machine.run("readlink", "/opt/avatard/current").stdout != current
    assert status(machine, "across")["state"] == "queued"
    machine.run("avatar", "resume")
    assert finished(machine, "across")["state"] == "done"
    # And what was asked for at the first installation is there again, and in the record that the doctor reads
    machine.run("/opt/avatard/current/bin/python", "-c", "import espeakng_loader")
    record = json.loads(machine.path("/etc/avatard/install.json").read_bytes())
    assert record["options"] == asked


def test_uninstall_keeps_what_people_made_unless_told_otherwise(machine: Machine) -> None:
    machine.run("make", "-C", SOURCE, "uninstall")
    assert machine.property("LoadState") == "not-found"
    assert not machine.path("/opt/avatard").exists()
    assert machine.path("/srv/avatard/outbox/across.wav").stat().st_size > 1000
    assert machine.path(CONFIG).exists()
    machine.run("make", "-C", SOURCE, "uninstall", "OPTIONS=--purge")
    for folder in ("/srv/avatard", "/var/lib/avatard", "/etc/avatard"):
        assert not machine.path(folder).exists()
    for user in ("avatard", "avatard-api", "avatard-hooks"):
        assert machine.run("id", user, check=False).returncode != 0, user
