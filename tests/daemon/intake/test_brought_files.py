"""Files that doors brought into the inbox: they go a day after they were last used, and only they, and only then."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from daemon.doors import hand_in as door
from daemon.doors.shared_files import temporary_name
from daemon.intake.doors.hand_ins import LITTER_S
from daemon.intake.doors.handed_in_drops import LITTER_AGAIN_S, LITTER_EVERY_S
from daemon.system import fs
from tests.conftest import PORTRAIT
from tests.support.daemon.intake import Room


def hand_in(room: Room, picture: Path = PORTRAIT) -> str:
    """Hand in a job with a picture by a door; returns the picture's name in the inbox."""
    before = set(files(room))
    door.hand_in({"text": "Hello."}, {"image": picture}, "", "", paths=room.settings.paths)
    found = set(files(room)) - before
    return next((name for name in found if not name.endswith(".yaml")), "")


def files(room: Room) -> list[str]:
    return sorted(path.name for path in room.inbox.iterdir() if path.is_file() and not path.name.startswith("."))


def let_age(room: Room) -> None:
    """Let all files of the inbox be as old as one that nobody needs, and look as late as the daemon looks for such."""
    old = time.time() - LITTER_S - 60
    for name in files(room):
        os.utime(room.inbox / name, (old, old))


def test_a_file_goes_a_day_after_its_last_job_which_keeps_its_own_copy(room: Room, tmp_path: Path) -> None:
    other = shutil.copy(PORTRAIT, tmp_path / "other.png")
    with Path(other).open("ab") as file:
        file.write(b"\0")
    brought, waited_for = hand_in(room), hand_in(room, Path(other))
    job, _ = room.look()
    mine = [room.put(name, b"mine").name for name in ("mine.png", "mine-0123abcd.png")]
    waits = room.put("waits.yaml", f"text: Hello.\nimage: {waited_for}\naudio: never.wav\n").name
    let_age(room)
    room.look(LITTER_EVERY_S)  # the new manifest has not been read yet
    assert brought in files(room)
    room.look(LITTER_AGAIN_S)
    assert brought not in files(room)
    assert {*mine, waits, waited_for} <= set(files(room))
    assert room.copy_of(job) == PORTRAIT.read_bytes()  # of which a retry is made


def test_a_file_that_is_handed_in_with_again_stays(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    brought = hand_in(room)
    room.look()
    let_age(room)
    # A door that finds the file there while the daemon is about to remove it
    real = fs.rename

    def rename(source: Path, target: Path) -> None:
        if source.name == brought:
            os.utime(source)
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(fs, "rename", rename)
        room.look(LITTER_EVERY_S)
    assert brought in files(room)
    # and one that found it before that
    let_age(room)
    assert hand_in(room) == ""
    (again,) = room.look()
    room.look(LITTER_EVERY_S)
    assert brought in files(room)
    assert room.copy_of(again) == PORTRAIT.read_bytes()


def test_a_file_stays_as_long_as_rows_of_a_batch_may_need_it(room: Room) -> None:
    upload = "up-0123456789abcdef"
    room.put(upload, PORTRAIT.read_bytes())
    room.put("names.csv", f"text,image\nHello.,{upload}\n")
    room.put("many.yaml", "kind: batch\nrows: names.csv\n")
    (batch,) = room.settle()
    (room.inbox / "names.csv").unlink()
    let_age(room)
    room.look(LITTER_EVERY_S)
    assert upload in files(room)
    os.rename(room.spool.folder_of(batch), room.spool.resting("done") / batch.id)
    room.look(LITTER_EVERY_S)
    assert upload not in files(room)


def test_what_a_killed_door_was_writing_goes_a_day_later_also_where_a_manifest_stays_unread(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given what a door wrote and has not named, and a manifest that somebody still writes
    left = temporary_name(room.inbox)
    left.write_bytes(b"half")
    room.put("unfinished.yaml")
    room.look(LITTER_EVERY_S)
    assert left.exists()
    # When a day has passed
    late = time.time() + LITTER_S + 60
    monkeypatch.setattr(time, "time", lambda: late)
    room.put("unfinished.yaml", "text: more\n")
    room.look(LITTER_EVERY_S)
    # Then it is gone
    assert not left.exists()
