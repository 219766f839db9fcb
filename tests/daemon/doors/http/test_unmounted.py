"""While a share is not mounted nothing is taken in that would be hidden when it is back, and nothing is called gone."""

from __future__ import annotations

import errno
import http.client
import json
import shutil
from pathlib import Path
from typing import Any, Literal

import pytest

from daemon.cli.common import exit_code
from daemon.doors.client import client as python_client
from daemon.doors.client.client import Client
from daemon.doors.http import results
from daemon.errors import AvatarError, JobError
from daemon.jobs.record import new_job_id
from daemon.system.mount_guard import MARK, MountGuard
from tests.conftest import PATIENCE_S, PORTRAIT
from tests.daemon.doors.http.conftest import Door

SPEECH = {"kind": "speech", "text": "Good morning."}
Kind = Literal["inbox", "outbox"]


def mount(door: Door, kind: Kind) -> Path:
    """Let a folder be used by a daemon, on a mount of its own."""
    folder: Path = getattr(door.settings.paths, kind)
    MountGuard(folder, door.settings.paths.spool / f"{kind}.json", kind).check()
    return folder


def unmount(door: Door, kind: Kind) -> None:
    """Leave what is below a mount: an empty folder on another one."""
    folder = mount(door, kind)
    memory = door.settings.paths.spool / f"{kind}.json"
    known = json.loads(memory.read_text())
    memory.write_text(json.dumps({**known, "mount": {**known["mount"], "point": str(folder)}}))
    folder.rename(folder.with_name(f"{kind}-away"))
    folder.mkdir()


def mount_again(door: Door, kind: Kind) -> None:
    """Put the folder back."""
    folder: Path = getattr(door.settings.paths, kind)
    shutil.rmtree(folder)
    folder.with_name(f"{kind}-away").rename(folder)


def finished(door: Door) -> str:
    """Let a job be done, as its status in the outbox says; returns its id."""
    job, data = new_job_id(), b"sound"
    (door.settings.paths.outbox / "hello.wav").write_bytes(data)
    status: dict[str, Any] = {"schema": 1, "job": job, "name": "hello", "state": "done", "source": "hello.yaml"}
    status["outputs"] = [{"file": "hello.wav", "bytes": len(data), "sha256": "0" * 64}]
    (door.settings.paths.outbox / "hello.json").write_text(json.dumps(status))
    return job


def test_what_is_sent_while_the_inbox_is_not_mounted_is_refused_and_hides_nothing(door: Door) -> None:
    mount(door, "inbox")
    job = door.open.post("/jobs", SPEECH).json["job"]
    # When the inbox is not mounted, and somebody hands in by each of the ways
    unmount(door, "inbox")
    picture = PORTRAIT.read_bytes()
    answers = [
        door.open.post("/jobs", SPEECH),
        door.open.post("/jobs", {**SPEECH, "name": "hello"}),
        door.open.post("/jobs", SPEECH, Idempotency_Key="k1"),
        door.open.post_parts("/jobs", ("image", "anna.png", picture), ("text", None, b"Hello.")),
        door.open.send("POST", "/uploads?filename=anna.png", picture),
    ]
    # Then each is told to come again, and no place of this machine, and nothing was written
    for answer in answers:
        assert (answer.status, answer.code) == (503, "inbox-missing"), answer.body
        assert str(door.root) not in answer.body.decode()
        assert "retry-after" in answer.headers
    assert list(door.inbox.iterdir()) == []
    assert door.open.get("/health").json["wrong"] == ["inbox-missing"]
    # And a job that waits in it is not said to be unknown
    assert door.open.get(f"/jobs/{job}").code == "inbox-missing"
    # And all is as before when it is back
    mount_again(door, "inbox")
    assert door.open.get(f"/jobs/{job}").json["state"] == "waiting"
    assert door.open.post("/jobs", SPEECH, Idempotency_Key="k1").status == 202


def test_an_inbox_that_was_removed_is_made_again(door: Door) -> None:
    shutil.rmtree(mount(door, "inbox"))
    assert door.open.post("/jobs", SPEECH).status == 202
    assert len(door.manifests) == 1


def test_a_result_is_not_called_gone_while_the_outbox_is_not_mounted(door: Door) -> None:
    mount(door, "outbox")
    job = finished(door)
    assert door.open.get(f"/jobs/{job}/result").body == b"sound"
    unmount(door, "outbox")
    for path in (f"/jobs/{job}", f"/jobs/{job}/result", f"/jobs/{job}/result/hello.wav"):
        answer = door.open.get(path)
        assert (answer.status, answer.code) == (503, "outbox-missing"), (path, answer.body)
        assert str(door.root) not in answer.body.decode()
    mount_again(door, "outbox")
    assert door.open.get(f"/jobs/{job}/result").body == b"sound"
    # And one that was removed is gone
    (door.settings.paths.outbox / "hello.wav").unlink()
    assert door.open.get(f"/jobs/{job}/result").code == "cleared"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (JobError("file-unreadable", "The service has no permission.", ""), "result-unreadable"),
        (OSError(errno.EMFILE, "Too many open files"), "io-error"),
    ],
)
def test_a_result_that_cannot_be_read_now_is_not_called_gone(
    door: Door, monkeypatch: pytest.MonkeyPatch, fault: Exception, code: str
) -> None:
    def refuse(*_: object) -> None:
        raise fault

    job = finished(door)
    assert door.open.get(f"/jobs/{job}/result").status == 200
    monkeypatch.setattr(results, "open_inside", refuse)
    answer = door.open.get(f"/jobs/{job}/result")
    assert (answer.status, answer.code) == (503, code)
    assert "retry-after" in answer.headers


def test_events_say_that_the_outbox_is_not_mounted_and_no_place_of_this_machine(door: Door) -> None:
    mount(door, "inbox")
    job = door.open.post("/jobs", SPEECH).json["job"]
    connection = http.client.HTTPConnection("127.0.0.1", door.open.port, timeout=PATIENCE_S)
    connection.request("GET", f"/jobs/{job}/events")
    answer = connection.getresponse()
    while answer.readline().strip() != b"event: status":
        pass
    unmount(door, "inbox")
    rest = answer.read()
    connection.close()
    assert b"event: error" in rest
    assert b"inbox-missing" in rest
    assert str(door.root).encode() not in rest


def test_a_job_of_the_client_is_not_called_unknown_while_its_folder_is_not_mounted(door: Door) -> None:
    (door.root / "config.yaml").write_text("paths: {inbox: inbox, outbox: outbox, spool: spool}\n")
    client = Client(door.root / "config.yaml")
    mount(door, "inbox")
    job = client.submit(text="Good morning.", kind="speech")
    assert job.status.state == "waiting"
    unmount(door, "inbox")
    with pytest.raises(AvatarError) as caught:
        job.status  # noqa: B018
    assert caught.value.code == "inbox-missing"
    with pytest.raises(AvatarError) as caught:
        client.submit(text="Good morning.", kind="speech")
    assert (caught.value.code, exit_code(caught.value)) == ("inbox-missing", 74)


def test_the_python_client_puts_no_request_file_below_the_mount(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    mount(door, "inbox")
    finished(door)
    unmount(door, "inbox")
    (door.root / "config.yaml").write_text("paths: {inbox: inbox, outbox: outbox, spool: spool}\n")
    client = Client(door.root / "config.yaml")
    # Given a user who may not write the spool, and therefore asks by files in the inbox
    monkeypatch.setattr(python_client, "access_error", lambda _: PermissionError(errno.EACCES, "no"))
    with pytest.raises(AvatarError) as caught:
        client.cancel("hello")
    assert (caught.value.code, list(door.inbox.iterdir())) == ("inbox-missing", [])


@pytest.mark.parametrize("mark", ["removed", "of somebody"])
def test_a_server_whose_unit_mounts_the_inbox_anew_knows_it_without_its_mark(door: Door, mark: str) -> None:
    # Given the folder that the daemon knows, on a mount that only the server's unit has, and a mark that somebody spoilt
    folder = mount(door, "inbox")
    memory = door.settings.paths.spool / "inbox.json"
    known = json.loads(memory.read_text())
    memory.write_text(json.dumps({**known, "mount": {**known["mount"], "point": "/elsewhere"}}))
    (folder / MARK).unlink()
    if mark != "removed":
        (folder / MARK).write_text("x")
    # When something is sent, then it is taken
    assert door.open.post("/jobs", SPEECH).status == 202
    assert door.open.send("POST", "/uploads?filename=anna.png", PORTRAIT.read_bytes()).status == 201
