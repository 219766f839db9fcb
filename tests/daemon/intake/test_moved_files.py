"""A file that was renamed or moved in is whole when no writer of it is left, as the kernel tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.intake.file_writers import Writing
from tests.conftest import wait_for
from tests.support.daemon.watched_folder import PATIENCE_S, SETTLE_S, UNKNOWN_S, Watched


def _is_watched(watched: Watched, folder: Path) -> bool:
    """Whether a change in a folder is told, which is asked by making one."""
    watched.heard.clear()
    (folder / ".probe").touch()
    told = watched.heard.wait(0.2)
    (folder / ".probe").unlink()
    return told


def test_a_rename_keeps_what_is_known_of_the_writer(watched: Watched) -> None:
    # Given a file that is renamed while it is open, one that is renamed when it is closed, and one that comes from outside
    outside = watched.root.parent / "c.png"
    outside.write_bytes(b"c")
    with (watched.root / ".a.tmp").open("wb") as file:
        file.write(b"a")
        file.flush()
        (watched.root / ".b.tmp").write_bytes(b"b")
        watched.becomes(".a.tmp", Writing.OPEN)
        (watched.root / ".a.tmp").rename(watched.root / "a.png")
        (watched.root / ".b.tmp").rename(watched.root / "b.png")
        outside.rename(watched.root / "c.png")
        watched.becomes("c.png", Writing.MOVED_IN)
        watched.becomes("a.png", Writing.OPEN)
        watched.becomes("b.png", Writing.RENAMED)
    watched.becomes("a.png", Writing.CLOSED)


@pytest.fixture(params=["its owner", "another user"])
def asked_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whose files the daemon finds: the kernel tells it of the writers of its own only."""
    if request.param == "another user":
        monkeypatch.setattr("daemon.intake.scanner.is_written_below", lambda *_, **__: None)
    return str(request.param)


def test_a_file_that_was_closed_and_renamed_is_whole_at_once(watched: Watched, asked_by: str) -> None:
    # Given files that were closed and renamed, as programs do that want nobody to read half of one
    for name in ("a.yaml", "p.png"):
        (watched.root / f".{name}.tmp").write_bytes(b"all of it")
        watched.becomes(f".{name}.tmp", Writing.CLOSED)
        (watched.root / f".{name}.tmp").rename(watched.root / name)
        watched.becomes(name, Writing.RENAMED)
    # Then there is nothing to wait for, for the manifest as for the file that it names
    assert [drop.name for drop in watched.inbox.look() if drop.settled] == ["a.yaml"]
    assert watched.inbox.still("p.png")
    # Until somebody writes to it
    with (watched.root / "p.png").open("ab") as file:
        file.write(b" and more")
        file.flush()
        watched.becomes("p.png", Writing.OPEN)
        assert not watched.whole("p.png", PATIENCE_S - 1)
    watched.becomes("p.png", Writing.CLOSED)
    assert not watched.whole("p.png")
    assert watched.whole("p.png", SETTLE_S + 0.1)


def test_a_file_moved_in_from_elsewhere_is_whole_when_the_kernel_knows_of_no_writer(
    watched: Watched, asked_by: str
) -> None:
    outside = watched.root.parent / "p.png"
    outside.write_bytes(b"all of it")
    outside.rename(watched.root / "p.png")
    watched.becomes("p.png", Writing.MOVED_IN)
    # Where the daemon cannot ask, the writer that nobody saw may go on: the file settles as one that was closed here
    assert watched.whole("p.png") == (asked_by == "its owner")
    assert watched.whole("p.png", SETTLE_S + 0.1)


def test_a_file_that_is_moved_in_while_it_is_written_is_not_whole_until_it_is_closed(watched: Watched) -> None:
    # Given a file whose writer was never seen, since it began elsewhere
    outside = watched.root.parent / "p.png"
    with outside.open("wb") as file:
        file.write(b"half")
        file.flush()
        outside.rename(watched.root / "p.png")
        watched.becomes("p.png", Writing.MOVED_IN)
        # Then the kernel knows that somebody has it open, however still it stands
        assert not watched.whole("p.png")
        assert not watched.whole("p.png", PATIENCE_S - 1)
    # When it is closed / Then it settles
    watched.becomes("p.png", Writing.CLOSED)
    assert not watched.whole("p.png")
    assert watched.whole("p.png", SETTLE_S + 0.1)


def test_a_renamed_file_that_changes_before_it_is_told_is_not_whole(watched: Watched, asked_by: str) -> None:
    (watched.root / ".p.tmp").write_bytes(b"all of it")
    watched.becomes(".p.tmp", Writing.CLOSED)
    (watched.root / ".p.tmp").rename(watched.root / "p.png")
    watched.becomes("p.png", Writing.RENAMED)
    assert watched.whole("p.png")
    # Given notifications that are late
    watched.writers.hear = lambda event: False  # type: ignore[method-assign]
    with (watched.root / "p.png").open("ab") as file:
        file.write(b" and half of something else")
        file.flush()
        assert watched.writers.of("p.png") is Writing.RENAMED
        assert not watched.whole("p.png")


def test_a_file_that_was_there_before_the_watch_is_not_whole_by_a_rename(tmp_path: Path) -> None:
    # Given a file of which one writer was never seen, while another one closes it
    (tmp_path / "inbox").mkdir()
    with (tmp_path / "inbox" / ".p.tmp").open("wb") as file:
        one = Watched(tmp_path / "inbox")
        try:
            (one.root / ".p.tmp").open("ab").close()
            one.becomes(".p.tmp", Writing.CLOSED)
            (one.root / ".p.tmp").rename(one.root / "p.png")
            (one.root / "last").touch()
            one.becomes("last", Writing.CLOSED)
            assert one.writers.of("p.png") is not Writing.RENAMED
            file.write(b"half")
        finally:
            one.watcher.stop()


def test_a_folder_that_is_moved_in_is_whole_although_its_files_are_read(watched: Watched) -> None:
    # Given a folder that is moved in as a whole: its files appear without anybody who writes them
    away = watched.root.parent / "away"
    away.mkdir()
    (away / "a.yaml").write_text("kind: detect")
    away.rename(watched.root / "folder")
    wait_for("the folder to be told of", lambda: "folder/a.yaml" in watched.writers._known)
    assert not watched.whole("folder/a.yaml")
    # When somebody reads one, as the daemon itself does / Then that is no writer, and it is whole when its time is over
    with (watched.root / "folder" / "a.yaml").open():
        wait_for("the reader to be told of", lambda: watched.writers._known["folder/a.yaml"].opens)
        assert watched.whole("folder/a.yaml", UNKNOWN_S + 0.1)


def test_a_folder_that_was_moved_away_tells_nothing_of_its_successor(watched: Watched) -> None:
    # Given a folder that somebody moved away, and another one of its name, in which a file is being written
    away = watched.root.parent / "away"
    (watched.root / "anna").mkdir()
    wait_for("the folder to be watched", lambda: _is_watched(watched, watched.root / "anna"))
    (watched.root / "anna").rename(away)
    wait_for("the move to be told of", lambda: watched.watcher._stale)
    (watched.root / "anna").mkdir()
    with (watched.root / "anna" / "p.wav").open("wb") as file:
        # When somebody closes a file of that name in the folder that is away / Then it is not taken for the closing of this one
        (away / "p.wav").write_bytes(b"x")
        watched.watcher.refresh(watched.root)
        (away / "p.wav").write_bytes(b"y")
        assert not watched.watcher._stale
        file.write(b"half")
        file.flush()
        watched.becomes("anna/p.wav", Writing.OPEN)
        (away / "p.wav").write_bytes(b"z")
        (watched.root / "last").touch()
        watched.becomes("last", Writing.CLOSED)
        assert watched.writers.of("anna/p.wav") is Writing.OPEN
