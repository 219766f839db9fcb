"""A file is whole when its writer has closed it, as the kernel tells."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
import structlog

from daemon.intake import scanner
from daemon.intake.claims.claims import FIRST_RETRY_S
from daemon.intake.drop import Look
from daemon.intake.file_writers import Writing
from tests.conftest import wait_for
from tests.support.daemon.intake import COMPANION_WAIT_S, DETECT, Room
from tests.support.daemon.watched_folder import PATIENCE_S, SETTLE_S, UNKNOWN_S, Watched


def test_a_file_is_not_whole_until_it_is_closed_however_still_it_stands(watched: Watched) -> None:
    # Given a writer that stands still for longer than any file must
    with (watched.root / "p.png").open("wb") as file:
        file.write(b"half")
        file.flush()
        watched.becomes("p.png", Writing.OPEN)
        assert not watched.whole("p.png")
        assert not watched.whole("p.png", PATIENCE_S - 1)
        # Also after somebody has read it, or changed its times, meanwhile
        (watched.root / "p.png").read_bytes()
        os.utime(watched.root / "p.png")
        assert not watched.whole("p.png", 1)
        assert not watched.whole("p.png", PATIENCE_S - 1)
        file.write(b" and half")
    # When it is closed / Then it is whole a settle time later
    watched.becomes("p.png", Writing.CLOSED)
    assert not watched.whole("p.png")
    assert not watched.whole("p.png", SETTLE_S * 0.9)
    assert watched.whole("p.png", SETTLE_S * 0.2)


def test_a_writer_that_never_closes_is_waited_for_only_so_long(watched: Watched) -> None:
    with (watched.root / "p.png").open("wb") as file:
        file.write(b"half")
        file.flush()
        watched.becomes("p.png", Writing.OPEN)
        assert not watched.whole("p.png")
        assert watched.whole("p.png", PATIENCE_S)


@pytest.mark.parametrize("read", [False, True])
def test_a_writer_whose_opening_was_not_heard_is_noticed_when_it_writes(watched: Watched, read: bool) -> None:
    # Given a file that comes from outside while a program has it open, and may be read here meanwhile
    outside = watched.root.parent / "p.png"
    with outside.open("wb") as file:
        outside.rename(watched.root / "p.png")
        watched.becomes("p.png", Writing.MOVED_IN)
        if read:
            (watched.root / "p.png").read_bytes()
        # When the program writes / Then the file is not whole before it is closed
        file.write(b"half")
        file.flush()
        watched.becomes("p.png", Writing.OPEN)
        assert not watched.whole("p.png")
        assert not watched.whole("p.png", PATIENCE_S - 1)
    watched.becomes("p.png", Writing.CLOSED)


def test_lost_notifications_end_no_wait_for_a_writer(watched: Watched) -> None:
    # Given a file that is being written
    with (watched.root / "p.png").open("wb") as file:
        file.write(b"half")
        file.flush()
        watched.becomes("p.png", Writing.OPEN)
        # When anybody has all notifications be lost / Then it is still known to be open, until its close is heard
        watched.writers.doubt()
        assert not watched.whole("p.png")
        watched.writers.forget()
        assert not watched.whole("p.png")
        assert not watched.whole("p.png", PATIENCE_S - 1)
    watched.becomes("p.png", Writing.CLOSED)
    # And what is not there any more is not remembered
    (watched.root / "p.png").unlink()
    watched.inbox.look()
    watched.inbox.look()
    assert watched.writers.of("p.png") is Writing.UNKNOWN


def test_a_second_writer_keeps_a_file_from_being_whole(watched: Watched) -> None:
    # Given two programs that open a file at the same moment, which the kernel reports as one
    first, second = (watched.root / "p.png").open("wb"), (watched.root / "p.png").open("ab")
    with second:
        with first:
            first.write(b"half")
        # When one has closed it / Then the file is not whole while the other has it open, where the kernel may be asked
        assert watched.inbox.is_open("p.png")
    # And when both have, it is not open once that was heard
    wait_for("the second to be heard to close it", lambda: not watched.inbox.is_open("p.png"))


def test_a_companion_is_looked_at_again_after_the_claim(tmp_path: Path) -> None:
    # Given a job whose picture is written to after the look that found it whole
    room = Room(tmp_path)
    picture = room.put("p.png", b"half")
    room.put("a.yaml", DETECT)
    assert room.look() == []
    room.now += SETTLE_S
    batches = list(room.admission.scan())
    with picture.open("ab") as file:
        file.write(b" and half")
    # Then no job is made of it now
    assert [room.admission.take(batch) for batch in batches] == [[]]
    # And not while it settles
    room.admission.look()
    for wait_s in (SETTLE_S - 0.1, 2 * FIRST_RETRY_S):
        assert not list(room.spool.ready("face").iterdir())
        room.now += wait_s
        room.admission.look()
        room.admission.resume()
    # But then, with all of it
    (job,) = room.spool.ready("face").iterdir()
    assert (job / "source.image").read_bytes() == b"half and half"


def test_a_companion_that_stays_open_is_taken_as_it_is_when_the_wait_is_over(tmp_path: Path) -> None:
    # Given a job whose picture a program holds open, without writing to it
    room = Room(tmp_path)
    with room.put("p.png", b"all of it").open("ab"):
        room.put("a.yaml", DETECT)
        assert room.look() == []
        room.look(SETTLE_S)
        assert room.admission.inbox.whole_in("p.png", Look.of(os.stat(room.inbox / "p.png"))) == math.inf
        assert room.look(COMPANION_WAIT_S - SETTLE_S - 1) == []
        # When as long has passed as such a file is waited for / Then it is taken, and not waited for a second time
        (job,) = room.look(2)
    assert room.copy_of(job) == b"all of it"


def test_a_second_opener_does_not_close_for_the_first(watched: Watched) -> None:
    # Given a writer, and somebody else who opens the same file for writing and closes it
    with (watched.root / "p.png").open("wb") as file:
        file.write(b"half")
        file.flush()
        watched.becomes("p.png", Writing.OPEN)
        os.close(os.open(watched.root / "p.png", os.O_WRONLY))
        # Then nobody knows whether it is whole, and time must tell
        watched.becomes("p.png", Writing.UNKNOWN)
        assert not watched.whole("p.png")
        assert not watched.whole("p.png", SETTLE_S + 0.1)
        file.write(b" and half")
        file.flush()
        watched.becomes("p.png", Writing.OPEN)
    watched.becomes("p.png", Writing.CLOSED)
    # The same with a reader who goes on reading when the writer is done
    with (watched.root / "p.png").open("ab") as file:
        # (Of two equal events in a row the kernel tells once.)
        wait_for("the writer to be told of", lambda: watched.writers._known["p.png"].opens)
        with (watched.root / "p.png").open("rb"):
            file.write(b"more")
            file.flush()
            watched.becomes("p.png", Writing.OPEN)
            file.close()
            watched.becomes("p.png", Writing.UNKNOWN)
    watched.becomes("p.png", Writing.CLOSED)


def test_what_is_cut_by_its_name_is_not_waited_for_as_if_it_were_open(watched: Watched) -> None:
    # Given a file that was closed / When it is cut without being opened / Then nobody will close it
    (watched.root / "p.png").write_bytes(b"all of it")
    watched.becomes("p.png", Writing.CLOSED)
    os.truncate(watched.root / "p.png", 3)
    watched.becomes("p.png", Writing.UNKNOWN)
    assert not watched.whole("p.png")
    assert watched.whole("p.png", UNKNOWN_S + 0.1)


def test_where_nobody_tells_a_file_must_stand_still_longer_and_longer_with_its_size(tmp_path: Path) -> None:
    # Given files that lay there before the watch began: nobody knows whether their writers are done
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "small.png").write_bytes(b"x")
    with (tmp_path / "inbox" / "large.png").open("wb") as file:
        file.truncate(25 * 10**6)
    one = Watched(tmp_path / "inbox")
    try:
        assert not one.whole("small.png")
        assert not one.whole("small.png", UNKNOWN_S - 1)
        assert one.whole("small.png", 1.1)
        assert not one.whole("large.png", 24.0)
        assert one.whole("large.png", 1.1)
        # And after notifications were lost, what was known is not believed any more
        (one.root / "b.png").write_bytes(b"b")
        one.becomes("b.png", Writing.CLOSED)
        one.watcher._on_loss()
        assert one.writers.of("b.png") is Writing.UNKNOWN
    finally:
        one.watcher.stop()


def test_a_file_that_was_opened_before_the_watch_is_not_whole_while_its_writer_has_it_open(tmp_path: Path) -> None:
    # Given a table whose writer has opened it before the daemon started, and stands still
    (tmp_path / "inbox").mkdir()
    with (tmp_path / "inbox" / "people.csv").open("wb") as file:
        file.write(b"half")
        file.flush()
        one = Watched(tmp_path / "inbox")
        try:
            # When it has settled / Then it is not whole, as the kernel tells of the writer
            with structlog.testing.capture_logs() as logs:
                assert not one.whole("people.csv")
                assert not one.whole("people.csv", UNKNOWN_S + 1)
                assert not one.whole("people.csv", PATIENCE_S - UNKNOWN_S - 2)
            # And the log says once why it waits
            assert [(entry["event"], entry["file"]) for entry in logs] == [
                ("file still open in another program", "people.csv")
            ]
            # And not when the writer goes on / Then it is whole a settle time after it is closed
            file.write(b" and half")
            file.close()
            one.becomes("people.csv", Writing.CLOSED)
            assert not one.whole("people.csv")
            assert one.whole("people.csv", SETTLE_S * 1.1)
        finally:
            one.watcher.stop()


def test_of_unknown_writers_the_kernel_is_asked_once_when_the_file_has_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a file that lay there before, on a filesystem that tells nothing
    asked: list[str] = []
    monkeypatch.setattr(scanner, "is_written_below", lambda root, name, **_: asked.append(name))
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "people.csv").write_bytes(b"x")
    one = Watched(tmp_path / "inbox")
    try:
        assert not one.whole("people.csv")
        assert not one.whole("people.csv", UNKNOWN_S - 1)
        assert asked == []
        # When it has settled / Then it is whole, and is asked for no more while it lies there
        assert one.whole("people.csv", 1.1)
        assert one.whole("people.csv", 1.0)
        assert asked == ["people.csv"]
    finally:
        one.watcher.stop()
