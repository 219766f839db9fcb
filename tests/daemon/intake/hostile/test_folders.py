"""Outbox and inbox are folders in which people can write: what is planted there is neither followed nor overwritten."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.outbox.name_choice import NameRequest
from tests.support.daemon.intake import SPEECH, Room
from tests.support.daemon.secret_file import unread


@pytest.fixture
def room(tmp_path: Path) -> Room:
    one = Room(tmp_path, empty_wait_s=0.0)
    one.look()
    return one


def test_nothing_planted_in_the_outbox_is_followed_or_overwritten(room: Room, canary: Path) -> None:
    # Given links, folders, pipes and files without meaning under the names that the next results would have
    outbox = room.outbox
    (outbox / "link.json").symlink_to(canary)
    (outbox / "video.mp4").symlink_to(canary)
    (outbox / "folder.json").mkdir()
    os.mkfifo(outbox / "pipe.json")
    (outbox / "deep.json").write_text("[" * 100_000)
    (outbox / "list.json").write_text("[1]")
    (outbox / ".mine.json.tmp").symlink_to(canary)
    os.link(canary, outbox / ".other.json.tmp")
    planted = {path.name: path.lstat().st_ino for path in outbox.iterdir()}
    for name in ("link", "video", "folder", "pipe", "deep", "list", "mine", "other"):
        room.put(f"{name}.yaml")
    jobs = {job.source: job for job in room.settle()}
    # Then the jobs have other names, and what was there is there
    for name in ("link", "video", "folder", "pipe", "deep", "list"):
        job = jobs[f"{name}.yaml"]
        assert job.name == f"{name}-v2"
    assert jobs["mine.yaml"].name == "mine"
    assert {name: (outbox / name).lstat().st_ino for name in planted} == planted
    (outbox / ".other.json.tmp").unlink()
    unread(outbox, room.spool.root)


def test_a_status_that_claims_to_be_another_jobs_gains_nothing(room: Room) -> None:
    # Given a waiting job, and a file that says it were its status
    room.put("a.yaml", "kind: detect\nimage: p.png\n")
    room.settle()
    waiting = json.loads((room.outbox / "a.json").read_bytes())
    (room.outbox / "b.json").write_text(json.dumps({"job": waiting["job"], "state": "done"}))
    # When a job of that name comes, and the other one is withdrawn
    room.put("b.yaml")
    (job,) = room.settle()
    (room.inbox / "a.yaml").unlink()
    room.settle()
    # Then the file is left alone, and each job has its own
    assert job.name == "b-v2"
    assert json.loads((room.outbox / "b.json").read_bytes())["state"] == "done"
    assert not (room.outbox / "a.json").exists()


def test_a_name_that_somebody_takes_in_the_last_moment_is_left_to_them(room: Room) -> None:
    # Given somebody who takes the first names as soon as they are chosen
    taken: list[str] = []
    names = room.service.outbox._names
    choose = names.choose

    def chosen(request: NameRequest) -> str:
        name = choose(request)
        if len(taken) < 3:
            (room.outbox / f"{name}.json").write_text("mine")
            taken.append(name)
        return name

    names.choose = chosen  # type: ignore[method-assign]
    room.put("a.yaml")
    (job,) = room.settle()
    assert (taken, job.name) == (["a", "a-v2", "a-v3"], "a-v4")
    assert all((room.outbox / f"{name}.json").read_text() == "mine" for name in taken)
    assert json.loads((room.outbox / f"{job.name}.json").read_bytes())["job"] == job.id
    assert room.spool.load_job(room.spool.folder_of(job)).name == job.name


def test_a_folder_for_claims_that_was_exchanged_for_a_link_is_made_anew(room: Room, canary: Path) -> None:
    (room.inbox / ".claimed").rmdir()
    (room.inbox / ".claimed").symlink_to(canary.parent)
    room.put("a.yaml")
    assert [job.name for job in room.settle()] == ["a"]
    assert not (room.inbox / ".claimed").is_symlink()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users reach as well; pytest's own are closed to them."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def test_a_claim_that_is_somebody_elses_stops_nobody(open_folder: Path) -> None:
    # Given folders among the claims, one with a manifest, that the daemon's user may not read, or may read but not empty
    room = Room(open_folder, empty_wait_s=0.0)
    room.look()
    assert (room.inbox / ".claimed").stat().st_mode & 0o777 == 0o700
    closed, open_one, fixed = (room.inbox / ".claimed" / f"job-20260102T030405Z-0000000{n}" for n in range(3))
    (closed / "deep").mkdir(parents=True)
    (open_one / "deep" / "er").mkdir(parents=True)
    fixed.mkdir()
    (fixed / "manifest.yaml").write_text(SPEECH)
    for folder, mode in ((closed, 0o000), (open_one / "deep", 0o555), (fixed, 0o555)):
        folder.chmod(mode)
    room.put("a.yaml")
    try:
        with as_nobody(open_folder):
            # Then what others drop is taken all the same
            assert [job.name for job in room.settle()] == ["a"]
            assert room.look() == []
            assert [path.name for path in room.outbox.glob("*.json")] == ["a.json"]
    finally:
        for folder in (closed, open_one / "deep", fixed):
            folder.chmod(0o700)


@contextlib.contextmanager
def as_nobody(root: Path) -> Iterator[None]:
    """Without root's power over rights, where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    for path in [root, *root.rglob("*")]:
        os.chown(path, 65534, 65534, follow_symlinks=False)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("source", [b"\0", b"../../outside/x.yaml", b"/etc/x.yaml", b"x" * 100_000, b"", b"\xff.yaml"])
def test_a_planted_claim_reads_nothing_outside(room: Room, canary: Path, source: bytes) -> None:
    # Given a claim that no daemon made, with a picture named beside a manifest that is said to have lain outside
    claim = room.inbox / ".claimed" / "job-20260102T030405Z-0a1b2c3d"
    claim.mkdir()
    (claim / "manifest.yaml").write_text("kind: detect\nimage: canary\n")
    (claim / "source").write_bytes(source)
    (room.inbox / ".claimed" / "job-20260102T030405Z-00000000").symlink_to(canary.parent)
    assert room.settle() == []
    # Then it became a failed job
    (failed,) = room.spool.job_folders(room.spool.resting("failed"))
    assert room.spool.load_job(failed).error["code"] in ("file-missing", "file-outside")  # type: ignore[index]
    assert not claim.exists()
    unread(room.outbox, room.spool.root)
