"""A manifest that names an earlier job as its `base` makes it again, with what it says otherwise."""

from __future__ import annotations

import asyncio
import os
import re

import pytest

from daemon.jobs.record import DRAWN, HEARD, SAID, Job, seed_of
from daemon.queue.retention import Retention
from tests.support.daemon.intake import Room

VIDEO = "text: Good morning.\nimage: p.png\nvoice: heart\nmotion: {head: 0}\nmetadata: {tags: [a], to: b}\nbackground: b.png\n"


def made(room: Room, name: str, manifest: str, state: str = "done") -> Job:
    """A job that has ended, whose manifest and files are gone from the inbox."""
    room.put("p.png", b"the portrait")
    room.put("b.png", b"the background")
    room.put(f"{name}.yaml", manifest)
    (job,) = room.settle()
    directory = room.spool.folder_of(job)
    (directory / SAID).mkdir()
    (directory / SAID / "a.npz").write_bytes(b"a spoken sentence")
    (directory / DRAWN).mkdir()
    (directory / DRAWN / "video.mp4").write_bytes(b"a video")
    (directory / HEARD).write_bytes(b"words")
    asyncio.run(room.service.state_machine.finish(job, directory, "done" if state == "done" else "cancelled"))
    for file in room.inbox.glob("*.png"):
        file.unlink()
    return job


def again(room: Room, name: str, manifest: str) -> Job:
    room.put(f"{name}.yaml", manifest)
    (job,) = room.settle()
    return job


@pytest.mark.parametrize("state", ["done", "cancelled"])
def test_what_the_manifest_does_not_say_is_as_it_was_with_the_same_files_and_seed(room: Room, state: str) -> None:
    first = made(room, "hello", VIDEO, state)
    # When a manifest says only what is new, its folder has other defaults, and the earlier job's files are gone from the inbox
    room.put("_defaults.yaml", "voice: adam\ncaptions: srt\n")
    job = again(room, "second", "base: hello\ntext: Good evening.\nmetadata: {to: c}\n")
    # Then all else is as it was, key by key
    assert job.state == "queued"
    assert job.manifest["text"] == "Good evening."
    assert job.manifest["metadata"] == {"tags": ["a"], "to": "c"}
    assert job.manifest["motion"]["head"] == 0
    assert job.manifest["motion"]["seed"] == seed_of(first.id)
    assert (job.manifest["voice"], job.manifest["captions"], job.manifest["base"]) == ("heart", "none", None)
    assert (room.copy_of(job), room.copy_of(job, "source.background")) == (b"the portrait", b"the background")
    kept = [room.copy_of(job, name) for name in (f"{SAID}/a.npz", f"{DRAWN}/video.mp4", HEARD)]
    assert kept == [b"a spoken sentence", b"a video", b"words"]
    assert room.status("second")["base"] == first.id
    # And one that is based on that has the same seed still, and its own picture
    room.put("q.png", b"another portrait")
    third = again(room, "third", f"base: {job.id}\nimage: q.png\n")
    assert third.manifest["motion"] == job.manifest["motion"]
    assert (room.copy_of(third), third.manifest["text"]) == (b"another portrait", "Good evening.")


def test_what_does_not_go_with_the_manifest_is_left_out(room: Room) -> None:
    made(room, "hello", VIDEO + "aspect: 1:1\n")
    job = again(room, "sound", "base: hello.mp4\nkind: speech\nformat: mp3\n")
    assert (job.manifest["text"], job.stages) == ("Good morning.", ("check", "tts", "deliver"))
    assert not list(room.spool.folder_of(job).glob("source.*"))
    other = again(room, "wide", "base: hello\nsize: 640x360\n")
    assert (other.manifest["size"], other.manifest["aspect"]) == ("640x360", None)
    # And what is not used is told by the kind of job that it is
    told = again(room, "told", "base: sound\nfps: 30\n")
    assert "`fps: 30` is not used" in " ".join(told.manifest_warnings)


@pytest.mark.parametrize(
    ("manifest", "code", "says"),
    [
        ("base: nobody\ntext: Hi.\n", "base-not-found", "`base` names nobody, and no job of yours"),
        ("base: job-20200101T000000Z-0123abcd\n", "base-not-found", "no job of yours"),
        ("base: wrong\n", "base-not-found", "wrong, which was refused before it was taken in"),
        ("base: ../hello\n", "manifest-invalid", "must be the name of an earlier result"),
        (
            "base: hello\nexpressions: [{at: evening, name: smile}]\n",
            "manifest-invalid",
            "its base, hello: .*“evening”",
        ),
        ("base: hello\nformat: webm\ncodec: h264\n", "manifest-invalid", "its base, hello"),
    ],
)
def test_a_base_that_cannot_be_used_is_told(room: Room, manifest: str, code: str, says: str) -> None:
    made(room, "hello", VIDEO)
    again(room, "wrong", "kind: speech\n")
    job = again(room, "second", manifest)
    assert job.error is not None
    assert job.error["code"] == code
    assert re.search(says, job.error["message"]), job.error["message"]
    assert job.error["hint"]


def test_jobs_of_others_are_not_there(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given jobs of one user, and of one who shares that user by having a folder of their own
    monkeypatch.setattr("daemon.intake.claims.claim_contents.owner_name", lambda info: "anna")
    made(room, "hello", VIDEO)
    room.put("bob/p.png", b"Bob")
    room.put("bob/secret.yaml", VIDEO.replace("background: b.png\n", ""))
    room.settle()
    # Then from a folder only jobs of that folder can be named, from the inbox itself all of the user
    codes = {}
    for name, base in [("anna/a", "bob/secret"), ("bob/b", "secret"), ("c", "bob/secret"), ("bob/d", "hello")]:
        room.put(f"{name}.yaml", f"base: {base}\n")
        (job,) = room.settle()
        codes[name] = job.error and job.error["code"]
    assert codes == {"anna/a": "base-not-found", "bob/b": None, "c": None, "bob/d": "base-not-found"}
    # And another user's not at all, but for the operator
    monkeypatch.setattr("daemon.intake.claims.claim_contents.owner_name", lambda info: "eve")
    job = again(room, "e", "base: hello\n")
    assert job.error is not None
    assert job.error["code"] == "base-not-found"
    monkeypatch.setattr("daemon.intake.claims.claim_contents.owner_name", lambda info: "root")
    assert again(room, "f", "base: hello\n").error is None


def test_files_of_finished_jobs_go_before_their_records_and_then_a_base_is_not_found(room: Room) -> None:
    first = made(room, "hello", VIDEO)
    place = room.spool.folder_of(first)
    (place / SAID / "a.npz").write_bytes(b"x" * 3_000_000)
    room.settings.retention.__dict__["sources_mb"] = 2
    assert Retention(room.settings, room.spool).clear() > 0
    assert sorted(os.listdir(place)) == ["job.json", "manifest.yaml"]
    job = again(room, "second", "base: hello\n")
    assert job.error is not None
    assert job.error["code"] == "base-not-found"
    assert "The file in `image` of hello is not kept any more" in job.error["message"]
    # But what needs no file still works
    assert again(room, "third", "base: hello\nkind: speech\n").error is None


def test_videos_of_finished_jobs_go_before_what_cannot_be_made_again(room: Room) -> None:
    # Given an older job with a picture, and a newer one with a video, which are too much together
    older, newer = made(room, "hello", VIDEO), made(room, "bye", VIDEO)
    video = room.spool.folder_of(newer) / DRAWN
    (video / "video.mp4").write_bytes(b"x" * 3_000_000)
    room.settings.retention.__dict__["sources_mb"] = 2
    assert Retention(room.settings, room.spool).clear() > 0
    assert not video.exists()
    assert all((room.spool.folder_of(job) / "source.image").exists() for job in (older, newer))


def test_a_base_is_no_default(room: Room) -> None:
    made(room, "hello", VIDEO)
    room.put("_defaults.yaml", "base: hello\n")
    job = again(room, "second", "text: Hi.\n")
    assert job.error is not None
    assert job.error["code"] == "defaults-wrong"
    assert "`base` cannot be a default" in job.error["message"]
