"""Names in the outbox: each is given once, to one job, and never over something that people put there."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from daemon.errors import MachineError
from daemon.outbox import name_choice, stored_status
from daemon.outbox.name_choice import NameRequest
from daemon.outbox.names import ENDINGS, MAX_STEM_BYTES, clean_stem
from daemon.outbox.outbox import VOICES_PAGE, Outbox
from daemon.system.mount_guard import MARK
from tests.support.daemon.queue import Unflushed

ONE, OTHER = "job-20260101T000000Z-00000001", "job-20260101T000000Z-00000002"


@pytest.fixture
def outbox(memory: Path, ops: Unflushed) -> Outbox:
    return Outbox(memory)


def reserve(outbox: Outbox, job_id: str, name: str = "hello") -> str:
    return outbox.reserve_name(name, job_id, {"job": job_id, "state": "queued"})


def files(outbox: Outbox) -> list[str]:
    return sorted(path.name for path in outbox.root.iterdir())


def test_a_name_is_given_once_and_the_second_of_that_name_gets_its_own(outbox: Outbox) -> None:
    assert reserve(outbox, ONE) == "hello"
    assert reserve(outbox, OTHER) == "hello-v2"
    # Then each has its status, which says under what name it will find its results
    assert files(outbox) == ["hello-v2.json", "hello.json"]
    assert outbox.read_status("hello") == {"job": ONE, "state": "queued", "name": "hello"}
    assert outbox.read_status("hello-v2") == {"job": OTHER, "state": "queued", "name": "hello-v2"}
    assert (outbox.owner_of("hello"), outbox.name_of(OTHER), outbox.name_of("job-3")) == (ONE, "hello-v2", None)


def test_asked_again_after_a_crash_it_gives_the_same_name(outbox: Outbox) -> None:
    for _ in range(2):
        assert reserve(outbox, ONE) == "hello"
        assert reserve(outbox, OTHER) == "hello-v2"
    assert len(files(outbox)) == 2


def test_the_jobs_of_one_batch_get_different_names(outbox: Outbox) -> None:
    requests = [NameRequest("hello", job_id, {"job": job_id}) for job_id in (ONE, OTHER)]
    assert outbox.reserve_names(requests) == ["hello", "hello-v2"]
    assert (outbox.owner_of("hello"), outbox.owner_of("hello-v2")) == (ONE, OTHER)


def test_versions_follow_each_other_without_a_look_at_each(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a name that has been dropped for years / When it is dropped again
    for number in range(2, 40):
        (outbox.root / f"hello-v{number}.mp4").touch()
    (outbox.root / "hello.json").touch()
    looked_at: list[str] = []
    read = stored_status.read_head

    def noted(root: Path, name: str) -> dict[str, Any] | None:
        looked_at.append(name)
        return read(root, name)

    monkeypatch.setattr(name_choice, "read_head", noted)
    assert reserve(outbox, ONE) == "hello-v40"
    assert 0 < len(looked_at) < 20
    # And a name that is a version by itself goes on from there
    assert reserve(outbox, OTHER, "hello-v7") == "hello-v41"


@pytest.mark.parametrize(
    ("there", "wanted", "name"),
    [
        ("Report", "report", "report-v2"),
        ("report", "Report", "Report-v2"),
        ("REPORT", "rePort", "rePort-v2"),
        ("Zo\u00eb", "zo\u00eb", "zo\u00eb-v2"),
        ("Stra\u00dfe", "STRASSE", "STRASSE-v2"),
        ("Report", "reports", "reports"),
    ],
)
@pytest.mark.parametrize("by", ["batch", "daemon", "people"])
def test_two_results_are_never_one_file_on_another_system(
    memory: Path, outbox: Outbox, by: str, there: str, wanted: str, name: str
) -> None:
    first, second = (NameRequest(one, job, {"job": job}) for one, job in ((there, ONE), (wanted, OTHER)))
    if by == "batch":
        assert outbox.reserve_names([first, second]) == [there, name]
        return
    if by == "daemon":
        assert outbox.reserve_names([first]) == [there]
    else:
        (memory / f"{there}.mp4").touch()
    assert outbox.reserve_names([second]) == [name]
    # And the next daemon knows it as well
    again = Outbox(memory)
    assert again.choose_name(NameRequest(wanted, "job-20260101T000000Z-00000003", {})) != wanted


def test_a_result_whose_letters_were_taken_apart_keeps_its_name(outbox: Outbox) -> None:
    (outbox.root / "Zoe\u0308.mp4").touch()
    assert reserve(outbox, ONE, "Zo\u00eb") == "Zo\u00eb-v2"


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_the_name_of_a_job_without_results_is_free_again(outbox: Outbox, ops: Unflushed, state: str) -> None:
    outbox.reserve_name("hello", ONE, {"job": ONE, "state": state, "source": "hello.yaml"})
    ops.calls.clear()
    assert outbox.reserve_name("hello", OTHER, {"job": OTHER, "state": "queued", "source": "hello.yaml"}) == "hello"
    # In one step: at no moment there is no status, and a crash leaves one of the two
    assert [name for name, _ in ops.calls] == ["write", "sync_all", "rename", "sync_dir"]
    assert outbox.owner_of("hello") == OTHER


@pytest.mark.parametrize(
    ("state", "source", "document", "result", "resting"),
    [
        ("done", "hello.yaml", 0, False, True),
        ("running", "hello.yaml", 0, False, True),
        ("failed", "hello.yaml", 0, True, True),
        ("failed", "hello.yaml", 1, False, True),  # another video of the same manifest
        ("failed", "anna/hello.yaml", 0, False, True),
        ("failed", "hello.yaml", 0, False, False),  # anybody can write that into a status
    ],
)
def test_no_other_name_is_free_again(
    memory: Path, state: str, source: str, document: int, result: bool, resting: bool
) -> None:
    outbox = Outbox(memory, is_resting=lambda job: resting)
    outbox.reserve_name("hello", ONE, {"job": ONE, "state": state, "source": source, "document": document})
    if result:
        (memory / "hello.jpg").touch()
    status = {"job": OTHER, "state": "queued", "source": "hello.yaml", "document": 0}
    assert outbox.reserve_name("hello", OTHER, status) == "hello-v2"
    assert outbox.owner_of("hello") == ONE


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_name_under_which_anything_lies_is_taken(outbox: Outbox, ending: str) -> None:
    theirs = outbox.root / f"hello{ending}"
    theirs.symlink_to("nowhere")
    (outbox.root / f"hello-v2{ending}").write_text("theirs")
    assert reserve(outbox, ONE) == "hello-v3"
    assert theirs.is_symlink()
    assert (outbox.root / f"hello-v2{ending}").read_text() == "theirs"


def test_a_file_that_comes_in_the_last_moment_is_not_overwritten(outbox: Outbox, ops: Unflushed) -> None:
    def come_first(name: str, path: Path) -> None:
        if name == "rename_new" and path.name == "hello.json":
            path.write_text("theirs")

    ops.before = come_first
    name = reserve(outbox, ONE)
    assert name == "hello-v2"
    assert (outbox.root / "hello.json").read_text() == "theirs"
    status = outbox.read_status(name)
    assert status is not None
    assert status["name"] == name


def test_a_full_outbox_is_left_as_it_was(outbox: Outbox, ops: Unflushed) -> None:
    def full(name: str, path: Path) -> None:
        if name == "sync_all":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    ops.before = full
    with pytest.raises(OSError, match="No space"):
        reserve(outbox, ONE)
    assert files(outbox) == []


def test_a_name_is_durable_before_the_job_is_told_it(outbox: Outbox, ops: Unflushed) -> None:
    reserve(outbox, ONE)
    calls = [name for name, _ in ops.calls]
    assert calls == ["write", "sync_all", "rename_new", "sync_dir"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000], ids=["empty", "cut", "list", "binary", "deep"]
)
def test_what_people_put_in_a_status_files_place_is_nobodys(outbox: Outbox, content: bytes) -> None:
    (outbox.root / "hello.json").write_bytes(content)
    assert outbox.read_status("hello") is None
    assert reserve(outbox, ONE) == "hello-v2"


def test_a_link_or_a_pipe_in_a_status_files_place_is_not_read(outbox: Outbox, tmp_path: Path) -> None:
    (tmp_path / "outside.json").write_text(json.dumps({"job": ONE}))
    (outbox.root / "link.json").symlink_to(tmp_path / "outside.json")
    os.mkfifo(outbox.root / "pipe.json")
    assert (outbox.owner_of("link"), outbox.owner_of("pipe")) == (None, None)


def test_a_status_is_replaced_whole_and_never_through_a_link(outbox: Outbox, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("theirs")
    (outbox.root / "hello.json").symlink_to(outside)
    outbox.write_status("hello", {"job": ONE, "state": "done"}, durable=True)
    assert outbox.read_status("hello") == {"job": ONE, "state": "done"}
    assert (outside.read_text(), files(outbox)) == ("theirs", ["hello.json"])


def test_only_ones_own_name_is_withdrawn(outbox: Outbox) -> None:
    reserve(outbox, ONE)
    outbox.withdraw_status("hello", OTHER)
    assert outbox.owner_of("hello") == ONE
    outbox.withdraw_status("hello", ONE)
    assert files(outbox) == []


def test_a_sentence_for_people_overwrites_nothing(outbox: Outbox) -> None:
    (outbox.root / "hello.txt").write_text("theirs")
    outbox.publish_notes([("hello", "There is no such job.")])
    assert (outbox.root / "hello.txt").read_text() == "theirs"
    (told,) = outbox.root.glob("hello-*.txt")
    assert told.read_text().startswith("There is no such job.\n")


def test_the_list_of_voices_for_people_comes_goes_and_replaces_no_other_file(outbox: Outbox) -> None:
    page = outbox.root / VOICES_PAGE
    for text in (b"one", b"two"):
        outbox.write_voices(b"{}", text)
        assert page.read_bytes().endswith(b"\n\n" + text)
    outbox.write_voices(b"{}", None)
    assert not page.exists()
    # Given a file of somebody's, or a link
    page.write_text("theirs")
    replaced: tuple[bytes | None, ...] = (b"one", None)
    for one in replaced:
        outbox.write_voices(b"{}", one)
        assert page.read_text() == "theirs"
    page.unlink()
    page.symlink_to(outbox.root / "gone")
    outbox.write_voices(b"{}", b"one")
    assert page.is_symlink()


def test_leftovers_are_what_no_running_delivery_needs(outbox: Outbox) -> None:
    parts = [f".{ONE}.mp4.part", f".{OTHER}.mp4.part"]
    for name in (*parts, f".{ONE}.0123456789ab.json.tmp", ".avatard", ".their-own", "hello.mp4"):
        (outbox.root / name).touch()
    for name in (".job-folder.0123456789ab.tmp", ".job-their-own.tmp"):
        (outbox.root / name).mkdir()
    leftovers = {path.name for path in outbox.temporary_files(frozenset({ONE}))}
    assert leftovers == {f".{OTHER}.mp4.part", f".{ONE}.0123456789ab.json.tmp", ".job-folder.0123456789ab.tmp"}


def test_nothing_is_written_where_another_folder_stands_in_the_outboxs_place(memory: Path, ops: Unflushed) -> None:
    # Given an outbox that the spool knows / When another one, with a mark of its own, is in its place
    root, known = memory / "outbox", memory / "outbox.json"
    root.mkdir()
    Outbox(root, known).check()
    root.rename(memory / "old")
    root.mkdir()
    (root / MARK).write_text("of another spool\n")
    outbox = Outbox(root, known)
    # Then whatever is to be written there is refused
    for attempt in (
        lambda: reserve(outbox, ONE),
        lambda: outbox.write_status("hello", {"job": ONE}, durable=False),
        lambda: outbox.publish_notes([("hello", "There is no such job.")]),
        lambda: outbox.write_voices(b"{}", b""),
    ):
        with pytest.raises(MachineError) as refused:
            attempt()
        assert refused.value.code == "outbox-missing"
    assert files(outbox) == [MARK]


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("Grüße an alle", "Grüße an alle"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("a\nb\x1b[31m", "a_b_[31m"),
        (" .. ", "job"),
        ("", "job"),
        ("e\u0301", "é"),
        ("\udcff", "_"),
        ("con", "_con"),  # a device to Windows, as are the next two
        ("COM1.old", "_COM1.old"),
        ("nul ", "_nul"),
        ("console", "console"),
    ],
)
def test_a_name_is_one_that_people_and_filesystems_can_live_with(name: str, stem: str) -> None:
    assert clean_stem(name) == stem


def test_a_long_name_leaves_room_for_a_job_id_and_an_ending() -> None:
    stem = clean_stem("ü" * 500)
    assert len(stem.encode()) <= MAX_STEM_BYTES
    assert set(stem) == {"ü"}
