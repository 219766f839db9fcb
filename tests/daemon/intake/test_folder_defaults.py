"""A folder's `_defaults.yaml` holds for every manifest that is dropped there and below, and is never a job itself."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from daemon.errors import JobError, Postponed
from daemon.intake import manifest_contents
from daemon.intake.folder_defaults import DefaultsFile
from daemon.intake.jobs.claimed import Claimed
from daemon.jobs.record import REFUSED
from daemon.outbox.way_back import how_to_go_on, how_to_mend
from tests.support.daemon.intake import COMPANION_WAIT_S, SETTLE_S, SPEECH, Room

TOP, ANNA = "_defaults.yaml", "anna/_defaults.yaml"


def test_the_manifest_wins_over_the_nearest_folder_and_that_over_the_inbox_key_by_key(room: Room) -> None:
    # Given defaults at the top, and nearer ones whose file lies beside them
    room.put(
        TOP, "speed: 0.9\nvoice: heart\nimage: nobody.png\nformat: mov\nmotion: {head: 0, blink: 0}\nsize: 256x256\n"
    )
    room.put(ANNA, "voice: adam\nimage: portrait.png\nmotion: {blink: 2}\n")
    room.put("anna/portrait.png", b"Anna's picture")
    # When manifests are dropped at the top and below; one says more itself
    room.put("hello.yaml")
    room.put("anna/films/new.yaml", "text: Hello.\nvoice: bella\naspect: 1:1\nmotion: {gaze: 0}\n")
    jobs = {job.name: job for job in room.settle()}
    # Then there are two jobs and no third one, and each has what is nearest to it
    assert set(jobs) == {"hello", "anna/films/new"}
    speech, video = jobs["hello"].manifest, jobs["anna/films/new"].manifest
    assert (speech["kind"], speech["voice"], speech["speed"]) == ("speech", "heart", 0.9)
    assert (speech["format"], video["format"]) == (None, "mov")  # a sound can be no MOV
    assert (video["voice"], video["speed"], video["image"]) == ("bella", 0.9, "portrait.png")
    assert {key: video["motion"][key] for key in ("head", "blink", "gaze", "brow")} == {
        "head": 0, "blink": 2, "gaze": 0, "brow": 1,
    }  # fmt: skip
    # And a default that does not go with what the manifest says is left out
    assert (video["aspect"], video["size"]) == ("1:1", None)
    assert room.copy_of(jobs["anna/films/new"]) == b"Anna's picture"
    # And the status says what was applied, and warns of nothing that the manifest does not say itself
    assert room.status("anna/films/new")["defaults"] == [TOP, ANNA]
    assert room.status("hello")["defaults"] == [TOP]
    assert "warnings" not in room.status("hello")
    assert not list(room.outbox.glob("**/_defaults*"))


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "unknown key": (lambda path: path.write_text("speed: 1\nvoise: adam\n"), r"line 2, column 1.*did you mean `voice`"),
    "wrong value": (lambda path: path.write_text("speed: 1\nfps: 31\n"), r"`fps` must be one of .*line 2, column 6"),
    "two documents": (lambda path: path.write_text("speed: 1\n---\nspeed: 2\n"), "several documents"),
    "a list": (lambda path: path.write_text("- speed: 1\n"), "list"),
    "comment": (lambda path: path.write_text("background: #ffffff\n"), "has no value"),
    "deep": (lambda path: path.write_text("metadata: " + "[" * 5000), "nested too deeply"),
    "large": (lambda path: path.write_bytes(b"#" * 10_000_000), "larger than"),
    "not text": (lambda path: path.write_bytes(b"\0\1\2"), "not a text file"),
    "link": (lambda path: path.symlink_to("/etc/hostname"), "link"),
    "fifo": (os.mkfifo, "not a file"),
    "hard link": (lambda path: os.link(path.parent / "other", path), "hard link"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_defaults_that_cannot_be_used_fail_the_manifests_they_hold_for_and_no_others(wrong: str, room: Room) -> None:
    (room.inbox / "anna").mkdir()
    (room.inbox / "anna" / "other").write_text("speed: 1\n")
    make, said = WRONG[wrong]
    make(room.inbox / ANNA)
    room.put("anna/hello.yaml")
    room.put("hello.yaml")
    assert sorted(job.state for job in room.settle()) == ["failed", "queued"]
    error = room.status("anna/hello")["error"]
    assert error["code"] == "defaults-wrong"
    text = f"{error['message']} {error['hint']}".replace("Did you", "did you")
    assert ANNA in text
    assert re.search(said, text), text
    # And nobody is sent to the manifest, which is right
    assert "Your manifest is not the cause" in room.status("anna/hello")["next"]


def test_a_file_that_has_nearly_the_name_of_defaults_is_told_the_right_one(room: Room) -> None:
    room.put("anna/_default.yaml", "voice: heart\n")
    room.settle()
    assert "it must be called _defaults.yaml" in room.status("anna/_default")["error"]["hint"]


def test_two_files_of_defaults_in_one_folder_are_refused(room: Room) -> None:
    room.put(TOP, "speed: 1\n")
    room.put("_Defaults.yml", "speed: 2\n")
    room.put("hello.yaml")
    room.settle()
    assert "two files of defaults" in room.status("hello")["error"]["message"]


def test_defaults_are_not_read_while_they_are_written_and_a_change_is_for_later_drops(room: Room) -> None:
    # Given a manifest that has settled, and defaults that are still being written
    room.put("first.yaml")
    room.look()
    room.put(TOP, "speed: 0.")
    assert room.look(SETTLE_S) == []
    room.put(TOP, "speed: 0.8\n")
    assert room.look(SETTLE_S / 2) == []
    # When they stand still, then they hold
    (first,) = room.look(SETTLE_S)
    assert first.manifest["speed"] == 0.8
    # And what is changed later is for later drops only: a restart in between changes nothing
    room.put(TOP, "speed: 1.2\n")
    room.put("second.yaml")
    (second,) = room.settle()
    assert second.manifest["speed"] == 1.2
    assert room.spool.load_job(room.spool.folder_of(first)).manifest["speed"] == 0.8


def test_a_manifest_never_does_without_defaults_that_somebody_holds(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given defaults that cannot be opened, as where a file server's client holds them
    def held(root: Path, path: str, limit: int) -> DefaultsFile:
        raise Postponed("file-changing", f"Another program is writing {path}.", "Close that program.")

    monkeypatch.setattr(manifest_contents, "read_defaults_file", held)
    room.put(TOP, "speed: 0.8\n")
    room.put("hello.yaml")
    # Then the manifest waits, and fails when it has waited for long enough
    assert room.settle() == []
    assert [job.state for job in room.look(COMPANION_WAIT_S + SETTLE_S)] == ["failed"]
    error = room.status("hello")["error"]
    assert (error["code"], TOP in error["message"]) == ("defaults-wrong", True)


def test_a_claim_that_a_crash_interrupted_keeps_the_defaults_it_was_taken_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a manifest that was claimed, and a daemon that died before its job was made
    room = Room(tmp_path)
    room.look()
    room.put(TOP, "speed: 0.8\n")
    room.put("hello.yaml", SPEECH)
    make = room.admission.claims.builder.make

    def die(claimed: Sequence[Claimed], **options: bool) -> object:
        if claimed:
            raise KeyboardInterrupt
        return make(claimed, **options)

    monkeypatch.setattr(room.admission.claims.builder, "make", die)
    with pytest.raises(KeyboardInterrupt):
        room.settle()
    # When the defaults are changed before the next daemon goes on
    room.put(TOP, "speed: 1.2\n")
    again = Room(tmp_path)
    again.admission.resume()
    # Then the job has those it was dropped with
    status = again.status("hello")
    assert status["defaults"] == [TOP]
    folder = next(again.spool.root.glob("check/ready/*"))
    assert again.spool.load_job(folder).manifest["speed"] == 0.8


def test_what_only_a_job_finds_wrong_in_the_defaults_is_told_with_their_file(room: Room) -> None:
    # Given defaults that are right by themselves
    room.put(ANNA, "voice: nobody\nspeed: 1.1\nimage: gone.png\nexpressions: [{at: welcome, name: smile}]\n")
    room.put("anna/films/hello.yaml", "kind: speech\ntext: Hi.\n")
    room.put("anna/films/film.yaml", "text: Hi.\n")
    room.put("anna/films/shown.yaml", "kind: detect\n")
    jobs = {os.path.basename(job.name): job for job in (*room.settle(), *room.look(COMPANION_WAIT_S))}
    # Then a conflict with the manifest is one of the defaults
    error = room.status("anna/films/film")["error"]
    assert error["code"] == "defaults-wrong"
    assert f"“welcome”, which `text` does not contain (in {ANNA})" in error["message"]
    assert "What a manifest says itself of `expressions` goes first." in error["hint"]
    # And a file is missed where the defaults lie
    assert f"Put it next to {ANNA}, which names it" in room.status("anna/films/shown")["error"]["hint"]
    # And what a stage finds wrong is named with the file that it comes from
    jobs["hello"].state = "failed"
    jobs["hello"].set_error(JobError("voice-unknown", "There is no voice 'nobody'.", ""), REFUSED)
    assert f"from the folder's defaults: `voice` from {ANNA}." in how_to_go_on(jobs["hello"])
    # Also where the manifest is given back, and the message names no key: the cause comes first
    for code, message, key in (("voice-unknown", "There is no such voice.", "voice"), ("no-face", "No face.", "image")):
        jobs["hello"].facts.inherited = {"voice": ANNA, "speed": ANNA, "image": ANNA}
        jobs["hello"].set_error(JobError(code, message, ""), REFUSED)
        told = how_to_mend("hello.yaml", jobs["hello"])
        assert told.startswith(f"The cause is not in your manifest, but in the folder's defaults: `{key}` from {ANNA}.")
        assert "with what is wrong marked in it" not in told
