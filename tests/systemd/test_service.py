"""The service as an administrator meets it: installed by its one command, under a real systemd, used by people of a group."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator

import pytest

from daemon.outbox.outbox import VOICES
from tests.conftest import PATIENCE_S, wait_for
from tests.support.machine.nspawn import SOURCE, Machine, unavailable
from tests.support.machine.service import (
    bring_rsync,
    children,
    drop,
    finished,
    in_stage,
    smaller_source,
    status,
    writable_mounts,
)

pytestmark = [pytest.mark.usefixtures("processes"), pytest.mark.timeout(2400)]

CONFIG = "/etc/avatard/config.yaml"
#: The only capability of the service, as a mask.
CAP_LEASE = 1 << 28
#: Short waits, beside the paths of the installed file; and the service starts often, mostly without a job for all its models.
FAST = """
intake: {settle_s: 0.2, reserve_mb: 1}
retry: {first_delay_s: 0.1}
lanes: {drain_s: 0, preload: false}
"""
#: Interval of looks that start a process in the machine, in s.
LOOK_S = 0.25
LONG = "This is a rather long text, so that there is time to look. " * 4


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """Booted and installed once for all tests here, which run in the order of a service's life."""
    if why := unavailable():
        pytest.skip(why)
    one = Machine()
    try:
        one.run("useradd", "--create-home", "anna")
        one.run("useradd", "--create-home", "bob")
        one.run("make", "-C", SOURCE, "install", "OPTIONS=--languages --api --hooks --no-voices", network=True)
        one.run("usermod", "--append", "--groups", "avatar", "anna")
        config = one.path(CONFIG)
        config.write_text(config.read_text() + FAST)
        one.run("systemctl", "restart", "avatard")
        yield one
    finally:
        one.close()


def test_a_member_of_the_group_drops_a_job_and_takes_the_video(machine: Machine) -> None:
    # Given the service, installed, enabled and ready
    assert machine.run("systemctl", "is-enabled", "avatard").stdout.strip() == "enabled"
    assert machine.property("ActiveState") == "active"
    # When anna drops a job / Then she gets the video, can read it and take it away
    drop(machine, "hello")
    assert finished(machine, "hello")["state"] == "done"
    head = machine.run("head", "-c", "12", "/srv/avatard/outbox/hello.mp4", user="anna").stdout
    assert "ftyp" in head
    machine.run("rm", "/srv/avatard/outbox/hello.mp4", user="anna")
    # And bob, who is not in the group, sees nothing of it
    assert machine.run("ls", "/srv/avatard/outbox", user="bob", check=False).returncode != 0
    # And the command means the service, also in a folder with a configuration of its own
    shown = machine.run("sh", "-c", f"cd {SOURCE} && test -e config.yaml && avatar jobs list")
    assert "hello" in shown.stdout
    # And the status line says what there is
    assert wait_for("the line", lambda: machine.property("StatusText") == "0 waiting; 0 running", every_s=LOOK_S)


def test_members_of_the_group_cannot_spoil_each_others_files_and_see_voices_and_jobs(machine: Machine) -> None:
    # Given two members, and what one of them has dropped
    machine.run("useradd", "--create-home", "--groups", "avatar", "carl")
    machine.run("systemctl", "stop", "avatard")
    drop(machine, "annas", kind="speech")
    # When the other tries to replace or remove it / Then the inbox does not let him
    assert machine.run("stat", "--format=%a %U:%G", "/srv/avatard/inbox").stdout.strip() == "3770 avatard:avatar"
    for attempt in (
        "rm -f annas.yaml",
        "mv portrait.png mine.png",
        "cp /dev/null mine.png && mv -f mine.png portrait.png",
    ):
        told = machine.run("sh", "-c", f"cd /srv/avatard/inbox && {attempt}", user="carl", check=False)
        assert "Operation not permitted" in told.stderr, attempt
    # But the service takes it
    machine.run("systemctl", "start", "avatard")
    assert finished(machine, "annas")["state"] == "done"
    # And a member sees and hears the voices, and sees the jobs
    wait_for("the list", machine.path(f"/srv/avatard/outbox/{VOICES}").exists)
    assert "hibari/heart" in machine.run("avatar", "voice", "list", user="carl").stdout
    machine.run("avatar", "voice", "speak", "heart", "Hello.", "--output", "/home/carl/hello.wav", user="carl")
    assert machine.path("/home/carl/hello.wav").stat().st_size > 1000
    assert "annas" in machine.run("avatar", "jobs", "list", user="carl").stdout
    assert "answers: ok" in machine.run("avatar", "status", user="carl").stdout
    # And the doctor tells everybody in sentences what fits this installation
    for user in ("carl", None):
        told = machine.run("avatar", "doctor", user=user, check=False)
        for wrong in ("Errno", "Traceback", "pip install", "make setup"):
            assert wrong not in told.stdout + told.stderr, told.stdout
        assert "bad " not in told.stdout, told.stdout
    # And a configuration that is named goes before the command's own
    told = machine.run("avatar", "-c", "/nowhere.yaml", "run", check=False)
    assert (told.returncode, "/nowhere.yaml" in told.stderr) == (78, True)


def test_a_program_hands_in_by_http_through_a_process_that_may_write_little_else(machine: Machine) -> None:
    # Given the HTTP door, started, and a key
    added = machine.run("avatar", "key", "add", "studio", "--role", "submit").stdout
    (key,) = re.findall(r"avk_\w+", added)
    machine.run("systemctl", "start", "avatard-api")
    curl = ("curl", "--silent", "--show-error", "--retry", "60", "--retry-connrefused", "--retry-delay", "1")
    ask = (*curl, "--header", f"Authorization: Bearer {key}")
    url = "http://127.0.0.1:8000"
    # When a program hands in a job with a file, under an idempotency key / Then it is done, and is the key's
    portrait = f"image=@{SOURCE}/examples/portrait.png"
    fields = (
        "-F",
        portrait,
        "-F",
        "text=Hello.",
        "-F",
        "size=256x256",
        "-F",
        "name=by-http",
        "-H",
        "Idempotency-Key: 1",
    )
    told = json.loads(machine.run(*ask, f"{url}/jobs", *fields).stdout)
    assert told.get("name") == "by-http", told
    done = finished(machine, "by-http")
    assert (done["state"], done["by"], done["job"]) == ("done", "studio", told["job"])
    video = machine.run(*ask, "--output", "/root/by-http.mp4", f"{url}/jobs/{told['job']}/result")
    assert video.returncode == 0
    assert b"ftyp" in machine.path("/root/by-http.mp4").read_bytes()[:12]
    assert json.loads(machine.run(*ask, f"{url}/jobs/{told['job']}/rerun", "-X", "POST").stdout)["job"] != told["job"]
    # And the door reads the index of jobs
    jobs = json.loads(machine.run(*ask, f"{url}/jobs").stdout)["jobs"]
    assert "by-http" in [job["name"] for job in jobs]
    assert json.loads(machine.run(*ask, f"{url}/status").stdout)["jobs"]["done"] >= 1
    # And the key was noted as used, by a process that holds nothing, although the daemon is down
    assert "last used: 2" in machine.run("avatar", "key", "list").stdout
    machine.run("systemctl", "stop", "avatard")
    waits = json.loads(
        machine.run(*ask, f"{url}/jobs", "-F", "kind=speech", "-F", "text=Hello.", "-F", "name=later").stdout
    )
    # And it changes jobs through the spool, of which it may write that one folder alone
    held = machine.run(*ask, "-X", "DELETE", f"{url}/jobs/{waits['job']}").stdout
    assert "will obey" in held, held
    assert list(machine.path("/var/lib/avatard/spool/control").glob("*.json"))
    pid = machine.property("MainPID", "avatard-api")
    places = writable_mounts(machine.run("cat", f"/proc/{pid}/mountinfo").stdout)
    look = ["find", *places, "-xdev", "!", "-type", "l", "!", "-type", "s", "-writable", "-print"]
    user = ["setpriv", "--reuid=avatard-api", "--regid=avatard-api", "--groups", "avatar,avatard"]
    found = machine.run("nsenter", "-t", pid, "-m", *user, *look, check=False).stdout.splitlines()
    own = ("/srv/avatard/inbox", "/var/lib/avatard/spool/control", "/run/avatard-api", "/tmp", "/var/tmp")
    assert "/srv/avatard/inbox" in found
    assert [path for path in found if not path.startswith(own)] == []
    state = machine.run("cat", f"/proc/{pid}/status").stdout
    assert re.search(r"^CapBnd:\s+0+$", state, re.MULTILINE)
    score = machine.run("systemd-analyze", "security", "--no-pager", "avatard-api").stdout
    assert float(re.findall(r"exposure level for avatard-api.service: ([\d.]+)", score)[0]) <= 1.3
    # And what was asked for is obeyed when the daemon is there again
    machine.run("systemctl", "start", "avatard")
    assert finished(machine, "later")["state"] == "cancelled"


def test_a_hook_starts_its_program_from_a_unit_that_may_write_its_queue_alone(machine: Machine) -> None:
    # Given a hook whose program says in the journal what it reads, and a secret that the unit alone may read
    config, before = machine.path(CONFIG), machine.path(CONFIG).read_text()
    config.write_text(
        before + "hooks: {targets: [{name: tell, command: [cat]}, {name: in, url: 'http://127.0.0.1:1/'}]}\n"
    )
    machine.run("systemctl", "start", "avatard-hooks")
    machine.path("/etc/avatard/studio.secret").write_text("whsec_" + "A" * 43 + "=")
    machine.run("chown", "root:avatard-hooks", "/etc/avatard/studio.secret")
    machine.run("chmod", "0640", "/etc/avatard/studio.secret")
    queue = machine.path("/var/lib/avatard/spool/hooks/hooks.db")
    wait_for("the queue", queue.exists, every_s=LOOK_S)
    # When a job ends / Then the program is told
    drop(machine, "hooked", kind="speech")
    job = finished(machine, "hooked")["job"]
    read = ("journalctl", "--output=json", "--no-pager", "--unit=avatard-hooks")
    wait_for("the program", lambda: f"{job}-done" in machine.run(*read).stdout, every_s=LOOK_S)
    # And what did not get through is seen by the operators, who try it again
    told = json.loads(machine.run("avatar", "hooks", "list", "--json").stdout)
    assert {one["hook"]: one["state"] for one in told["deliveries"]} == {"in": "dead"}, told
    operator = ("setpriv", "--reuid=avatard", "--regid=avatard", "--clear-groups")
    machine.run(*operator, "avatar", "hooks", "retry", "--hook", "in")
    # And the process may write nothing else, listens nowhere, and holds nothing
    pid = machine.property("MainPID", "avatard-hooks")
    places = writable_mounts(machine.run("cat", f"/proc/{pid}/mountinfo").stdout)
    look = ["find", *places, "-xdev", "!", "-type", "l", "!", "-type", "s", "-writable", "-print"]
    user = ["setpriv", "--reuid=avatard-hooks", "--regid=avatard-hooks", "--groups", "avatar,avatard"]
    found = machine.run("nsenter", "-t", pid, "-m", *user, *look, check=False).stdout.splitlines()
    own = ("/var/lib/avatard/spool/hooks", "/run/avatard-hooks", "/tmp", "/var/tmp")
    assert "/var/lib/avatard/spool/hooks" in found
    assert [path for path in found if not path.startswith(own)] == []
    machine.run("nsenter", "-t", pid, "-m", *user, "cat", "/etc/avatard/studio.secret")
    state = machine.run("cat", f"/proc/{pid}/status").stdout
    assert re.search(r"^CapBnd:\s+0+$", state, re.MULTILINE)
    score = machine.run("systemd-analyze", "security", "--no-pager", "avatard-hooks").stdout
    assert float(re.findall(r"exposure level for avatard-hooks.service: ([\d.]+)", score)[0]) <= 1.6
    # And the daemon's own unit stays closed to the network
    assert "IPAddressDeny=any" in machine.run("systemctl", "cat", "avatard").stdout.split()
    machine.run("systemctl", "stop", "avatard-hooks")
    config.write_text(before)


def test_the_journal_finds_exactly_one_jobs_lines(machine: Machine) -> None:
    # Given two jobs done
    drop(machine, "one")
    drop(machine, "two", kind="speech")
    ids = {name: finished(machine, name)["job"] for name in ("one", "two")}
    # When one is asked for by its field
    read = ("journalctl", "--output=json", "--no-pager")
    asked = machine.run(*read, f"JOB_ID={ids['one']}").stdout.splitlines()
    lines = [json.loads(line) for line in asked]
    # Then all its lines are there, from acceptance to the end, and none of another
    every = [json.loads(line) for line in machine.run(*read, "--unit=avatard").stdout.splitlines()]
    assert [x["MESSAGE"] for x in lines] == [x["MESSAGE"] for x in every if ids["one"] in x["MESSAGE"]]
    assert {line["JOB_ID"] for line in lines} == {ids["one"]}
    assert lines[0]["AVATAR_EVENT"] == "accepted"
    assert lines[-1]["AVATAR_EVENT"] == "job finished"
    assert {line.get("STAGE") for line in lines} >= {"face", "tts", "lipsync", "encode", "deliver"}
    assert {line["SYSLOG_IDENTIFIER"] for line in lines} == {"avatard"}


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
            good.replace("reserve_mb: 1", "reserve_mb: 1, max_text_chars: 20") + "heartbeat: {every_s: 1}\n"
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


def test_nothing_outside_its_folders_can_be_written(machine: Machine) -> None:
    # Given the daemon's own view of the file system / When its user looks for all that it may write, wherever writing is allowed
    pid = machine.property("MainPID")
    places = writable_mounts(machine.run("cat", f"/proc/{pid}/mountinfo").stdout)
    look = ["find", *places, "-xdev", "!", "-type", "l", "!", "-type", "s", "-writable", "-print"]
    user = ["setpriv", "--reuid=avatard", "--regid=avatard", "--init-groups"]
    found = machine.run("nsenter", "-t", pid, "-m", *user, *look, check=False).stdout.splitlines()
    # Then there is something, and all of it is its own
    own = ("/srv/avatard", "/var/lib/avatard", "/var/cache/avatard", "/run/avatard", "/tmp", "/var/tmp")
    assert "/srv/avatard/inbox" in found
    assert [path for path in found if not path.startswith(own)] == []
    # And it holds nothing that it could become more with, and its workers nothing at all
    state = machine.run("cat", f"/proc/{machine.property('MainPID')}/status").stdout
    assert re.search(rf"^CapBnd:\s+0+{CAP_LEASE:x}$", state, re.MULTILINE)
    assert re.search(rf"^CapEff:\s+0+{CAP_LEASE:x}$", state, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s+1$", state, re.MULTILINE)
    drop(machine, "capless", LONG)
    in_stage(machine, "capless", "encode")
    for worker in children(machine):
        assert re.search(r"^CapPrm:\s+0+$", machine.run("cat", f"/proc/{worker}/status").stdout, re.MULTILINE)
    assert finished(machine, "capless")["state"] == "done"


def test_no_job_is_delivered_while_a_member_has_its_file_open_for_writing(machine: Machine) -> None:
    # Given a picture that anna has opened for writing when the service is not there to hear of it, and that stands still
    machine.run("systemctl", "stop", "avatard")
    script = (
        "umask 022; cd /srv/avatard/inbox; cp /opt/avatard/current/share/examples/portrait.png slow.png; "
        "exec 3>>slow.png; touch /home/anna/opened; while test ! -e /home/anna/done; do sleep 0.1; done"
    )
    with machine.start("sh", "-c", script, user="anna") as writer:
        wait_for("the picture to be opened", machine.path("/home/anna/opened").exists)
        manifest = "kind: detect\nimage: slow.png\n"
        machine.run("sh", "-c", "cd /srv/avatard/inbox && cat > .p && mv .p slow.yaml", user="anna", stdin=manifest)
        # When the service takes the job / Then it does not deliver it while the picture is open
        machine.run("systemctl", "start", "avatard")
        records = machine.path("/var/lib/avatard/spool/deliver/ready")
        waits = "waited for the rest of a file"
        wait_for("the job to wait", lambda: any(waits in path.read_text() for path in records.glob("*/job.json")))
        assert "outputs" not in status(machine, "slow")
        # But when anna has closed it
        machine.run("touch", "/home/anna/done", user="anna")
        assert writer.wait(PATIENCE_S) == 0
    done = finished(machine, "slow")
    assert done["state"] == "done"
    assert not any("incomplete" in warning or "unknown" in warning for warning in done.get("warnings", ()))


def test_the_units_are_as_hard_as_they_are_said_to_be(machine: Machine) -> None:
    def score() -> float:
        text = machine.run("systemd-analyze", "security", "--no-pager", "avatard").stdout
        return float(re.findall(r"exposure level for avatard.service: ([\d.]+)", text)[0])

    assert score() <= 1.7
    target = machine.path("/run/systemd/system/avatard.service.d")
    target.mkdir(parents=True, exist_ok=True)
    (target / "cpu-only.conf").write_bytes(machine.path(f"{SOURCE}/systemd/cpu-only.conf").read_bytes())
    machine.run("systemctl", "daemon-reload")
    assert score() <= 1.4
    # And it works like that
    machine.run("systemctl", "restart", "avatard")
    drop(machine, "cpu-only")
    assert finished(machine, "cpu-only")["state"] == "done"


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
    # And what was asked for at the first installation is there again
    machine.run("/opt/avatard/current/bin/python", "-c", "import espeakng_loader")
    record = json.loads(machine.path("/etc/avatard/install.json").read_bytes())
    assert record["options"] == ["--languages", "--api", "--hooks", "--no-voices"]
    assert "--languages --api --hooks --no-voices" in machine.run("avatar", "doctor", check=False).stdout


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
