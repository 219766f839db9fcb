"""The service as an administrator meets it: installed, under a real systemd, used by people of a group."""

from __future__ import annotations

import json
import re

import pytest

from daemon.outbox.outbox import VOICES
from tests.conftest import PATIENCE_S, wait_for
from tests.support.machine.nspawn import SOURCE, Machine
from tests.support.machine.service import (
    CONFIG,
    LONG,
    LOOK_S,
    children,
    doctor,
    drop,
    finished,
    in_stage,
    status,
    writable_mounts,
)

pytestmark = [pytest.mark.usefixtures("processes"), pytest.mark.timeout(2400)]

#: The only capability of the service, as a mask.
CAP_LEASE = 1 << 28


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
    # And the doctor tells members, too, in sentences what fits this installation; root asks it in test_service_versions.py
    doctor(machine, "carl")
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
    # And it serves the page, with its styles
    assert "</form>" in machine.run(*curl, "--fail", f"{url}/ui/login").stdout
    machine.run(*curl, "--fail", f"{url}/ui/static/app.css")
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
    assert [machine.property("CPUWeight", unit) for unit in ("avatard-api", "avatard")] == ["500", "[not set]"]
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
    assert {one["hook"]: one["state"] for one in told["deliveries"]} == {"in": "waiting"}, told
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


def test_no_job_begins_while_a_member_has_its_file_open_for_writing(machine: Machine) -> None:
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
        # When the service starts / Then it does not take the job while the picture is open, and says why
        machine.run("systemctl", "start", "avatard")
        wait_for("the job to wait", lambda: status(machine, "slow").get("state") == "waiting")
        assert "has it open for writing" in status(machine, "slow")["next"]
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
