"""Files in the inbox of which nothing is made: their owners are told once what to do, and other people's files are left alone."""

from __future__ import annotations

import pytest

from daemon.intake.inbox_names import ignored
from daemon.intake.strays import TABLE_S, remark
from tests.conftest import PORTRAIT, Installation, wait_for
from tests.support.daemon.intake import SETTLE_S, SPEECH, Room

CONFLICT_COPIES = [
    "hello (Anna's conflicted copy 2026-01-02).yaml",  # Dropbox
    "hello (In Konflikt stehende Kopie von Anna 2026-01-02).yaml",
    "hello (Case Conflict).yaml",
    "hello (conflicted copy 2026-01-02 120000).yml",  # Nextcloud
    "hello_conflict-20260102-120000.yaml",  # ownCloud
    "hello-DESKTOP-1A2B3C4.yaml",  # OneDrive
    "hello-LAPTOP-1A2B3C4D.yaml",
    "hello.sync-conflict-20260102-030405-ABCDEFG.yaml",  # Syncthing
]
OF_PROGRAMS = ["._hello.yaml", ".~lock.hello.yaml#", "~lock.hello.yaml", "~$hello.yaml", "#hello.yaml#", ".#hello.yaml"]


def answers(room: Room) -> dict[str, str]:
    room.admission.strays.answer()
    return {path.name: path.read_text() for path in room.outbox.rglob("*.txt")}


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("greeting.yaml.txt", "Rename it to greeting.yaml in"),
        ("greeting.YML.TXT", "Rename it to greeting.YML in"),
        ("greeting.yaml.docx", "Rename it to greeting.yaml in"),
        ("greeting.json", "Rename it to greeting.yaml;"),
        ("greeting.yaml.json", "Rename it to greeting.yaml;"),
        ("greeting.yam", "Rename it to greeting.yaml;"),
        ("greeting.txt", "a file greeting.yaml into the inbox, which says"),
        ("anna/Rede.docx", "a file Rede.yaml into the inbox, which says"),
        ("job.toml", "a file job.yaml into the inbox, which says"),
        ("people.XLSX", "Save it as people.csv"),
        ("all.zip", "packed"),
        (CONFLICT_COPIES[0], "synchroniser"),
    ],
)
def test_what_is_no_manifest_is_answered_once_with_what_to_do(room: Room, name: str, remedy: str) -> None:
    # Given a file that still changes: nothing is said / When it is whole
    path = room.put(name)
    room.look()
    assert answers(room) == {}
    assert room.look(SETTLE_S) == []
    told = answers(room)
    # Then one answer says what to do, and the file is its owner's still
    assert list(told) == [f"{path.name}.txt"]
    assert remedy in told[f"{path.name}.txt"]
    assert path.read_text() == SPEECH
    # And it is never answered again, also when the answer was read and removed, and the daemon started anew
    (room.outbox / path.parent.relative_to(room.inbox) / f"{path.name}.txt").unlink()
    again = Room(room.inbox.parent)
    for one in (room, again):
        one.settle()
        assert answers(one) == {}
    # But when it is put there once more after it was gone
    path.unlink()
    again.settle()
    assert answers(again) == {}
    path.write_text(SPEECH)
    again.settle()
    assert list(answers(again)) == [f"{path.name}.txt"]


def test_a_table_that_nothing_names_is_answered_after_a_minute(room: Room) -> None:
    # Given a table whose columns are no keys, and one that a manifest names which is taken
    room.put("people.csv", "name\nAnna\n")
    room.put("used.csv", "kind\ninfo\n")
    room.put("used.yaml", 'kind: batch\nrows: used.csv\ntemplate: {kind: "{{kind}}", image: p.png}\n')
    room.put("p.png", b"picture")
    assert [job.name for job in room.settle()] == ["used"]
    assert answers(room) == {}
    # When a minute has passed, only the first one is answered, with a manifest for it
    room.look(TABLE_S)
    told = answers(room)
    assert list(told) == ["people.csv.txt"]
    assert "rows: people.csv" in told["people.csv.txt"]


def test_pictures_sounds_and_files_of_programs_are_not_answered(room: Room) -> None:
    for name in ("p.png", "Portrait.JPG", "s.m4a", "Thumbs.db", "desktop.ini.bak", *OF_PROGRAMS):
        room.put(name)
    room.put("p (Anna's conflicted copy 2026-01-02).png")
    room.put("hello.YML")
    assert [job.name for job in room.settle()] == ["hello"]
    assert answers(room) == {}


@pytest.mark.parametrize("name", [*CONFLICT_COPIES, *OF_PROGRAMS])
def test_copies_of_conflicts_and_locks_are_no_jobs(room: Room, name: str) -> None:
    assert ignored(name)
    room.put(name)
    assert room.settle() == []


@pytest.mark.parametrize(
    "name", ["conflict.yaml", "the conflicted copy.yaml", "hello-desktop.yaml", "hello - Copy.yaml", "a (2).yaml"]
)
def test_names_that_people_give_are_jobs(room: Room, name: str) -> None:
    room.put(name)
    assert len(room.settle()) == 1
    assert remark(name) is None


def test_a_folder_that_lies_too_deep_is_answered(room: Room) -> None:
    room.put("1/2/3/4/5/hello.yaml")
    assert room.settle() == []
    assert "1/2/3/4/5" in answers(room)["5.txt"]


def test_the_daemon_answers(house: Installation) -> None:
    house.drop("hello.yaml.txt", SPEECH, **{"p.png": PORTRAIT})
    wait_for("the answer", (house.outbox / "hello.yaml.txt.txt").exists)
