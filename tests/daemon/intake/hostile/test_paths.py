"""Paths and names made to do harm: nothing outside the inbox is read, and every name becomes a result."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from daemon.errors import JobError
from daemon.system.safe_open import open_inside
from tests.conftest import PATIENCE_S
from tests.support.daemon.intake import SPEECH, Room
from tests.support.daemon.secret_file import unread

ROOT = os.geteuid() == 0


@pytest.fixture
def room(tmp_path: Path) -> Room:
    one = Room(tmp_path, empty_wait_s=0.0)
    one.look()
    return one


PATHS = [
    "/etc/passwd", "../canary", "../outside/canary", "a/../../outside/canary", "~/canary", "~root/canary", "..\\outside\\canary",
    "\\\\server\\share\\p.png", "C:\\p.png", "file:///etc/passwd", "http://127.0.0.1/p.png", "concat:p.png|canary", "data:,x",
    "/dev/stdin", "/proc/self/fd/0", "/proc/self/environ", "p.png\0.yaml", "..", ".", "", "/", ".hidden/canary",
    ".claimed/x", "sub/", "link.png", "up/outside/canary", "hard.png", "pipe.png", "socket.png", "null.png",
    "x" * 256, "\u2025/outside/canary", "．．/outside/canary", "․․/outside/canary", "-rf", "p.png/", "./up/../outside/canary",
    "sub//../../outside/canary", "a" * 5000,
]  # fmt: skip


@pytest.fixture
def trapped(room: Room, canary: Path) -> Room:
    """An inbox with everything in it that is no file of its own."""
    inbox = room.inbox
    (inbox / "sub").mkdir()
    (inbox / "link.png").symlink_to(canary)
    (inbox / "up").symlink_to(room.inbox.parent)
    with contextlib.suppress(OSError):
        os.link(canary, inbox / "hard.png")
    os.mkfifo(inbox / "pipe.png")
    bind(inbox / "socket.png")
    if ROOT:
        os.mknod(inbox / "null.png", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    return room


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))  # a socket's path may be short only


def test_no_path_leads_out_of_the_inbox(trapped: Room, tmp_path: Path) -> None:
    # Given a manifest for every way out that is known
    for number, path in enumerate(PATHS):
        trapped.put(f"j{number}.yaml", yaml.safe_dump({"kind": "detect", "image": path}))
        trapped.put(f"a{number}.yaml", yaml.safe_dump({"kind": "speech", "audio": path}))
    jobs = trapped.settle()
    # Then each fails, or waits for a file of that name that never comes; and nothing of the canary is anywhere
    failed = {job.source for job in jobs}
    assert all(job.state == "failed" for job in jobs), [job.source for job in jobs if job.state != "failed"]
    codes = {job.error["code"] for job in jobs if job.error}
    assert codes <= {
        "manifest-invalid",
        "yaml-invalid",
        "file-is-link",
        "file-not-regular",
        "file-outside",
        "file-missing",
    }
    assert len(failed) >= 2 * 28
    unread(tmp_path / "spool", tmp_path / "outbox")
    os.unlink(trapped.inbox / "hard.png")


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("link.yaml", ["file-is-link"]),
        ("dangling.yml", ["file-is-link"]),
        ("pipe.yaml", ["file-not-regular"]),
        ("socket.yaml", ["file-not-regular"]),
        ("null.yaml", ["file-not-regular"]),
        ("folder.yaml", []),
    ],
)
def test_a_manifest_that_is_no_file_fails_and_nothing_waits_for_it(
    room: Room, canary: Path, name: str, codes: list[str]
) -> None:
    # Given something else under the name of a manifest, and a good one beside it
    if name == "null.yaml" and not ROOT:
        pytest.skip("only root can make a device node")
    path = room.inbox / name
    make: dict[str, Callable[[], Any]] = {
        "link.yaml": lambda: path.symlink_to(canary),
        "dangling.yml": lambda: path.symlink_to("/nowhere"),
        "pipe.yaml": lambda: os.mkfifo(path),
        "socket.yaml": lambda: bind(path),
        "null.yaml": lambda: os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3)),
        "folder.yaml": path.mkdir,
    }
    make[name]()
    room.put("good.yaml")
    # Then each is answered for itself
    jobs = {job.source: job for job in room.settle()}
    assert jobs.pop("good.yaml").state == "queued"
    assert [job.error["code"] for job in jobs.values() if job.error] == codes
    unread(room.outbox, room.spool.root)


def test_no_exchange_between_check_and_use_reads_the_file_outside(tmp_path: Path, canary: Path) -> None:
    # Given a name that is now a file, now a link out, now a folder behind a link, thousands of times a second
    inbox = tmp_path / "inbox"
    (inbox / "sub").mkdir(parents=True)
    (inbox / "out").symlink_to(canary.parent)
    over = threading.Event()

    def exchange() -> None:
        real, link = inbox / "sub" / ".real", inbox / "sub" / ".link"
        while not over.is_set():
            real.write_bytes(b"mine")
            real.rename(inbox / "sub" / "canary")
            link.symlink_to(canary)
            link.rename(inbox / "sub" / "canary")
            (inbox / "sub").rename(inbox / "real")
            (inbox / "sub").symlink_to(canary.parent)
            (inbox / "sub").unlink()
            (inbox / "real").rename(inbox / "sub")

    thread = threading.Thread(target=exchange)
    thread.start()
    seen: dict[str, int] = {}
    try:
        # When it is opened all the while / Then what is read is the file inside, or nothing
        # At least until the exchange was met in several of its steps
        ends_at = time.monotonic() + PATIENCE_S
        while sum(seen.values()) < 3000 or (len(seen) < 3 and time.monotonic() < ends_at):
            try:
                with open_inside(inbox, "sub/canary") as fd:
                    found = os.read(fd, 100).decode()
            except JobError as exc:
                found = exc.code
            seen[found] = seen.get(found, 0) + 1
    finally:
        over.set()
        thread.join()
    assert set(seen) <= {"mine", "", "file-is-link", "file-missing"}, seen
    assert len(seen) >= 3, f"the race was never close: {seen}"


NAMES = [
    b"\xff\xfe\x80", b"n" * 250, "é".encode() * 100, b"-rf", b"--help", b"new\nline", b"quote'\"", b"$(touch pwned)",
    b"`touch pwned`", b"; touch pwned;", b"| touch pwned", b"&& touch pwned", "😀 \u202e gpj".encode(), b" ", b"%s%n",
    b"con", b"a:b", b"*", b"\x1b[31mred",
]  # fmt: skip


def test_names_of_any_bytes_become_jobs_and_readable_results(room: Room) -> None:
    # Given manifests whose names no one would choose
    for name in NAMES:
        with open(os.fsencode(room.inbox) + b"/" + name + b".yaml", "wb") as file:
            file.write(SPEECH.encode())
    jobs = room.settle()
    # Then each is a job, with a result name that can be shown and typed, within what a file name may be
    assert [job.state for job in jobs] == ["queued"] * len(NAMES)
    assert len({job.name for job in jobs}) == len(NAMES)
    for job in jobs:
        assert job.name.isprintable()
        assert not job.name.startswith((".", " "))
        assert json.loads((room.outbox / f"{job.name}.json").read_bytes())["job"] == job.id
        assert len(f".{job.name}-{job.id}.face.json.part".encode()) <= 255
    # And a restart finds them all again
    assert {job.id for job in jobs} == {path.name for path in room.spool.job_folders(room.spool.ready("check"))}
