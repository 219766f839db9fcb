"""A file is whole when its writer has closed it, as the kernel tells; and one that went on being written is copied again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon.config import Settings
from daemon.config.settings import Intake
from daemon.intake.claims import FIRST_RETRY_S
from daemon.intake.file_writers import FileWriters, Writing
from daemon.intake.scanner import InboxScanner
from daemon.intake.watcher import Watcher
from daemon.queue.copy_comparison import Content, compare_with_copy
from stages.media.ffmpeg import ffmpeg_path
from tests.conftest import Installation, wait_for
from tests.support.intake_room import DETECT, Room
from tests.support.ledger import sound
from tests.support.worker_seam import Gates

SETTLE_S, UNKNOWN_S, PATIENCE_S = 2.0, 10.0, 100.0


class Watched:
    """A folder under a real watch, whose inbox has its clock in the test's hand."""

    def __init__(self, root: Path) -> None:
        self.root, self.now, self.heard = root, 0.0, threading.Event()
        self.writers = FileWriters(str(root))
        limits = Intake(settle_s=SETTLE_S, settle_unknown_s=UNKNOWN_S, settle_mb_s=1.0, companion_wait_s=PATIENCE_S)
        self.inbox = InboxScanner(root, Settings(intake=limits), lambda: self.now, self.writers)
        self.watcher = Watcher(self.heard.set)
        self.watcher.watch(root, "inotify", recursive=True, writers=self.writers)
        self.watcher.start()

    def becomes(self, name: str, state: Writing) -> None:
        wait_for(f"{name} to be known as {state.value}", lambda: self.writers.of(name) is state)

    def whole(self, name: str, after_s: float = 0.0) -> bool:
        self.now += after_s
        self.inbox.look()
        return self.inbox.still(name)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    (tmp_path / "inbox").mkdir()
    one = Watched(tmp_path / "inbox")
    yield one
    one.watcher.stop()


def _is_watched(watched: Watched, folder: Path) -> bool:
    """Whether a change in a folder is told, which is asked by making one."""
    watched.heard.clear()
    (folder / ".probe").touch()
    told = watched.heard.wait(0.2)
    (folder / ".probe").unlink()
    return told


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
    assert not watched.inbox.is_open("p.png")


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
        monkeypatch.setattr("daemon.intake.scanner.is_written_below", lambda *_: None)
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
        one.watcher._lost()
        assert one.writers.of("b.png") is Writing.UNKNOWN
    finally:
        one.watcher.stop()


@pytest.mark.parametrize(
    ("copy", "file", "expected"),
    [
        (b"half", b"half and half", Content.GROWN),
        (b"half" + bytes(9), b"half and half", Content.GROWN),
        (b"half", b"half", Content.SAME),
        (b"halt", b"half and half", Content.OTHER),
        (b"half and half", b"half", Content.OTHER),
        (b"a" * 4096 + bytes(4096) + b"c" * 10, b"a" * 4096 + b"b" * 4096 + b"c" * 10, Content.GROWN),
        (b"a" * 4096 + bytes(4095) + b"x", b"a" * 4096 + b"b" * 4096, Content.OTHER),
        (b"", b"all of it", Content.GROWN),
    ],
)
def test_a_copy_of_a_part_is_told_from_one_of_another_file(
    tmp_path: Path, copy: bytes, file: bytes, expected: Content
) -> None:
    (tmp_path / "copy").write_bytes(copy)
    (tmp_path / "file").write_bytes(file)
    with (tmp_path / "copy").open("rb") as one, (tmp_path / "file").open("rb") as other:
        assert compare_with_copy(one.fileno(), other.fileno(), threading.Event()) is expected


def halves(seconds: float) -> tuple[bytes, bytes]:
    whole = sound(seconds)
    return whole[: len(whole) // 2], whole[len(whole) // 2 :]


@pytest.fixture
def polling(installation: Callable[..., Installation]) -> Installation:
    """A daemon that is told of nothing, as on a network mount."""
    return installation(intake={"watch": "poll", "poll_s": 0.1})


def test_a_sound_that_was_taken_in_the_middle_is_copied_again_and_delivered_whole(
    polling: Installation, tmp_path: Path
) -> None:
    # Given a narration of which only the first half has come when it has stood still for long enough
    first, second = halves(4.0)
    gates = Gates(polling, tmp_path / "seam")
    gates.shut("tts")
    polling.start()
    polling.drop("a.yaml", {"kind": "speech", "audio": "a.wav"}, a__wav=first)
    gates.reached("tts")
    # When the rest comes while the job is worked on
    with (polling.inbox / "a.wav").open("ab") as file:
        file.write(second)
    gates.open("tts")
    # Then the job begins anew with all of it
    status = polling.finished("a")
    assert status["state"] == "done"
    with wave.open(str(polling.outbox / "a.wav")) as result:
        assert result.getnframes() / result.getframerate() == pytest.approx(4.0, abs=0.05)
    record = polling.spool / "done" / status["job"] / "job.json"
    wait_for("the job to rest", record.exists)
    job = json.loads(record.read_bytes())
    assert "copied again" in [entry["event"] for entry in job["history"]]
    assert polling.stop() == 0


@pytest.mark.parametrize("ending", ["mp3", "wav"], ids=["would be delivered", "would fail"])
def test_a_job_waits_while_a_client_has_opened_its_file_again(
    installation: Callable[..., Installation], tmp_path: Path, ending: str
) -> None:
    # Given the first half of a narration, whose client closed it and opens it again while the job is worked on
    whole = sound(4.0) if ending == "wav" else _mp3(tmp_path, sound(4.0))
    half = len(whole) // 2
    one = installation()
    gates = Gates(one, tmp_path / "seam")
    gates.shut("tts")
    one.start()
    one.drop("a.yaml", {"kind": "speech", "audio": f"a.{ending}"}, **{f"a__{ending}": whole[:half]})
    gates.reached("tts")
    with (one.inbox / f"a.{ending}").open("r+b") as file:
        file.seek(half)
        file.write(whole[half : half + half // 2])
        file.flush()
        # When the result is ready, or the sound found to end early / Then the job waits
        gates.open("tts")
        wait_for(
            "the job to wait", lambda: one.events("job waits for the rest of a file") or one.events("job finished")
        )
        assert one.events("job finished") == []
        file.write(whole[half + half // 2 :])
    # And has all of it in the end
    status = one.finished("a")
    assert (status["state"], status.get("warnings", [])) == ("done", [])
    with wave.open(str(one.outbox / "a.wav")) as result:
        assert result.getnframes() / result.getframerate() == pytest.approx(4.0, abs=0.15)
    assert one.stop() == 0


def _mp3(folder: Path, wav: bytes) -> bytes:
    """An MP3 file that does not say how long it is, so that nothing in it tells that its end is missing."""
    (folder / "a.wav").write_bytes(wav)
    options = ["-write_xing", "0", "-id3v2_version", "0", "-b:a", "64k"]
    command = [ffmpeg_path(), "-v", "error", "-i", str(folder / "a.wav"), *options, str(folder / "a.mp3")]
    subprocess.run(command, check=True)
    return (folder / "a.mp3").read_bytes()


def test_a_picture_that_was_exchanged_meanwhile_changes_no_job(polling: Installation, tmp_path: Path) -> None:
    # Given a job whose sound is written over by another one while it is worked on
    gates = Gates(polling, tmp_path / "seam")
    gates.shut("tts")
    polling.start()
    polling.drop("a.yaml", {"kind": "speech", "audio": "a.wav"}, a__wav=sound(1.0))
    gates.reached("tts")
    (polling.inbox / "a.wav").write_bytes(sound(3.0))
    gates.open("tts")
    # Then it has the one of its time
    assert polling.finished("a")["state"] == "done"
    with wave.open(str(polling.outbox / "a.wav")) as result:
        assert result.getnframes() / result.getframerate() == pytest.approx(1.0, abs=0.05)
    assert polling.stop() == 0


def test_a_sound_that_ends_early_is_refused_unless_it_has_lain_there_long(
    installation: Callable[..., Installation],
) -> None:
    # Given the first half of a recording
    first, _ = halves(4.0)
    one = installation()
    one.start()
    one.drop("a.yaml", {"kind": "speech", "audio": "a.wav"}, a__wav=first)
    error = one.finished("a")["error"]
    assert (error["code"], error["fault"]) == ("audio-truncated", "job")
    assert one.stop() == 0
    # When it has lain still for as long as a manifest waits for its files / Then it is used, with a warning
    patient = installation(intake={"companion_wait_s": 0.5})
    shutil.copy(one.inbox / "a.wav", patient.inbox / "b.wav")
    patient.start()
    wait_for("a look at the inbox", lambda: (patient.inbox / ".claimed").exists())
    patient.drop("wait.yaml", {"kind": "speech", "audio": "missing.wav"})
    assert patient.finished("wait")["error"]["code"] == "file-missing"  # so long has b.wav been there, too
    patient.drop("b.yaml", {"kind": "speech", "audio": "b.wav"})
    status = patient.finished("b")
    assert status["state"] == "done", status
    assert any("ends early" in warning for warning in status["warnings"])
    assert patient.stop() == 0
