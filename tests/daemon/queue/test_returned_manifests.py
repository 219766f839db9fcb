"""The manifest of a failed or cancelled job lies beside its status, and runs when it is moved back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from daemon.intake.claims import claim_contents
from daemon.outbox.outbox import Outbox
from daemon.queue import returned_manifests
from daemon.queue.returned_manifests import with_error
from daemon.system.permissions import owner_name
from tests.conftest import PATIENCE_S, Installation, wait_for
from tests.support.daemon.intake import Room
from tests.support.daemon.queue import Unflushed

ERROR = "`x` is wrong (line {}, column 1). Mend it."


@pytest.fixture
def outbox(memory: Path, ops: Unflushed) -> Outbox:
    return Outbox(memory)


@pytest.mark.parametrize(
    ("data", "document", "line", "marked"),
    [
        ("kind: speech\nimgae: x\n", 0, 2, "kind: speech\n# avatard: {}\nimgae: x\n"),
        ("kind: speech\r\nimgae: x\r\n", 0, 2, "kind: speech\n# avatard: {}\nimgae: x\n"),
        # In a text, a comment would be spoken
        ("text: |\n  One.\n  Two.\nfps: 3\n", 0, 3, "# avatard: {}\ntext: |\n  One.\n  Two.\nfps: 3\n"),
        ('fps: 3\ntext: "One.\nTwo."\n', 0, 3, '# avatard: {}\nfps: 3\ntext: "One.\nTwo."\n'),
        # Of several documents only the one that failed comes back
        ("text: One.\n---\ntext: Two.\nfps: 999\n---\ntext: Three.\n", 1, 4, "text: Two.\n# avatard: {}\nfps: 999\n"),
        # A second error replaces the first
        ("# avatard: Old. See line 1.\nfps: 3\nfsp: 4\n", 0, 3, "fps: 3\n# avatard: {}\nfsp: 4\n"),
        ("text: [\n", 0, 99, "# avatard: {}\ntext: [\n"),
    ],
)
def test_the_line_is_marked_and_nothing_else_is_changed(data: str, document: int, line: int, marked: str) -> None:
    error = ERROR.format(line)
    assert with_error(data.encode(), document, error) == marked.format(error).encode()


def test_a_file_that_was_not_parted_comes_back_whole() -> None:
    data = b"# avatard: Old.\ntext: One.\n---\ntext: Two.\n"
    assert (
        with_error(data, None, "anna cancelled it.") == b"# avatard: anna cancelled it.\ntext: One.\n---\ntext: Two.\n"
    )


def test_what_is_no_text_is_not_marked() -> None:
    assert with_error(b"\xff\xfe\x00", 0, "Broken.") is None
    assert with_error(b"text: One.\n", 1, "Broken.") is None
    # And the line of another file is none of its own
    assert (
        with_error(b"text: a\nfps: 25\n", 0, "Line 2.", of_manifest=False) == b"# avatard: Line 2.\ntext: a\nfps: 25\n"
    )


def test_a_manifest_of_many_jobs_is_read_once_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a manifest of a thousand mistakes / When the last one comes back
    data = "---\nx\n" * 1000
    read: list[int] = []
    is_empty = returned_manifests._is_empty

    def noted(text: str) -> bool:
        read.append(len(text))
        return is_empty(text)

    monkeypatch.setattr(returned_manifests, "_is_empty", noted)
    assert with_error(data.encode(), 999, "Broken. See line 2000.") == b"# avatard: Broken. See line 2000.\nx\n"
    # Then it was read through once, not once for each job before it
    assert sum(read) <= len(data)


def test_giving_back_does_not_hold_up_the_loop(tmp_path: Path) -> None:
    # Given a manifest of two faulty jobs that has just been taken in
    room = Room(tmp_path)
    room.put("hello.yaml", "kind: speech\n---\nkind: speech\n")
    room.settle()
    # Then nothing has been given back by whoever took it in; that is left to a task of its own
    assert list(room.outbox.glob("*.yaml")) == []

    async def until_all_are_there() -> None:
        task = asyncio.create_task(room.service.returner.loop())
        async with asyncio.timeout(PATIENCE_S):
            while len(list(room.outbox.glob("*.yaml"))) < 2:
                await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(until_all_are_there())


def test_cancelled_and_long_manifests_come_back_and_what_its_sender_cleared_does_not(tmp_path: Path) -> None:
    # Given two documents that are cancelled while they wait for a picture, a long text in Cyrillic with a mistake (two bytes a
    # letter), a file with more documents than are allowed, and one whose status is gone by the time it would be given back
    room = Room(tmp_path, max_documents=2)
    two = "kind: detect\nimage: p.png\n---\nkind: speech\ntext: Two.\n"
    long = f"kind: speech\ntext: {'Добрый день. ' * 4000}\nfpps: 3\n"
    many = "kind: speech\n---\n" * 2 + "kind: speech\n"
    room.put("anna/two.yaml", two)
    room.put("anna/two.cancel", "")
    room.put("long.yaml", long)
    room.put("many.yaml", many)
    room.put("cleared.yaml", "kind: speech\n")
    room.settle()
    asyncio.run(room.service.loops.inbox_requests.answer_all())
    (room.outbox / "cleared.json").unlink()
    # When all are given back
    while room.service.returner.give_back_next():
        pass
    # Then each is whole, with the reason above it, and the status says what to do with it
    texts = {path.name: path.read_text() for path in room.outbox.rglob("*.yaml")}
    assert set(texts) == {"two.yaml", "long.yaml", "many.yaml"}
    for name, content in (("two.yaml", two), ("long.yaml", long), ("many.yaml", many)):
        assert [x for x in texts[name].splitlines() if not x.startswith("# avatard: ")] == content.splitlines(), name
        assert "# avatard: " in texts[name]
    step = room.status("anna/two")["next"]
    assert "two.yaml, beside this job's status in the outbox, is your manifest." in step
    assert "If you still want it, move it into the folder anna of the inbox" in step


def test_what_cannot_be_marked_comes_back_as_it_was(tmp_path: Path) -> None:
    # Given a text in an encoding of Windows, a document of a word processor, and a file of comments only
    room = Room(tmp_path)
    files = {
        "latin.yaml": "text: Grüße\n".encode("cp1252"),
        "rich.yaml": rb"{\rtf1\ansi text: a}",
        "comments.yaml": b"# text: Hello.\n# image: a.png\n",
    }
    for name, data in files.items():
        room.put(name, data)
    room.settle()
    # When all are given back
    while room.service.returner.give_back_next():
        pass
    # Then each is there, byte for byte, and the status says so
    assert {path.name: path.read_bytes() for path in room.outbox.glob("*.yaml")} == files
    assert (
        "latin.yaml, beside this job's status in the outbox, is your manifest, as you handed it in."
        in (room.status("latin")["next"])
    )


def test_a_manifest_that_was_given_back_stays_its_authors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a job of another user, which failed
    room = Room(tmp_path)
    with monkeypatch.context() as foreign:
        foreign.setattr(claim_contents, "_owner", lambda path: ("anna", False))
        room.put("hello.yaml", "kind: speech\n")
        room.settle()
    while room.service.returner.give_back_next():
        pass
    # When somebody hands in the name as the service's own user / Then it is that user's
    room.put("hello.yaml")
    assert [job.by for job in room.settle()] == [owner_name(room.inbox.stat())]
    # But what the service gave back, mended and moved, is its author's
    room.put("bye.yaml", "kind: speech\n")
    with monkeypatch.context() as foreign:
        foreign.setattr(claim_contents, "_owner", lambda path: ("anna", False))
        room.settle()
    while room.service.returner.give_back_next():
        pass
    returned = room.outbox / "bye.yaml"
    returned.write_text(returned.read_text() + "text: Bye.\n")
    returned.rename(room.inbox / "bye.yaml")
    (job,) = room.settle()
    assert (job.name, job.state, job.by) == ("bye", "queued", "anna")
    assert {entry["by"] for entry in job.history if entry["event"] == "handed in"} == {"anna"}


def test_the_status_of_a_job_that_goes_on_is_left_alone(outbox: Outbox) -> None:
    status = {"job": "job-20260101T000000Z-00000001", "state": "failed"}
    outbox.reserve_name("hello", status["job"], {**status, "state": "queued"})
    outbox.amend_status("hello", {**status, "next": "Mend it."})
    assert (outbox.read_status("hello") or {})["state"] == "queued"


def test_a_failed_manifest_is_mended_and_dropped_again(house: Installation) -> None:
    house.drop("hello.yaml", "kind: speech\ntext: Good morning.\nspeeed: 1.1\n")
    assert house.finished("hello")["state"] == "failed"
    returned = house.outbox / "hello.yaml"
    wait_for("the manifest", returned.exists)
    lines = returned.read_text().splitlines()
    assert lines[2].startswith("# avatard: `speeed` is not a known key (line 3, column 1).")
    assert lines[3] == "speeed: 1.1"
    # And the status says where it is, and where to move it
    wait_for("the way back", lambda: "hello.yaml, beside this job's status" in (house.status("hello") or {})["next"])
    assert "move it into the inbox" in (house.status("hello") or {})["next"]
    # When the key is mended and the file moved into the inbox / Then the job has the same name, and succeeds
    returned.write_text(returned.read_text().replace("speeed", "speed"))
    returned.rename(house.inbox / "hello.yaml")
    wait_for("the end", lambda: (house.status("hello") or {}).get("state") == "done")
    assert (house.outbox / "hello.wav").exists()
    assert not returned.exists()


def test_one_document_of_a_file_comes_back_once_however_often_it_fails(house: Installation) -> None:
    # Given a file of two jobs of which the second asks for a voice that is not there
    house.drop("two.yaml", "kind: speech\ntext: One.\n---\nkind: speech\ntext: Two.\nvoice: nobody\n")
    returned = house.outbox / "two-2.yaml"
    wait_for("the manifest", returned.exists)
    assert "# avatard: There is no voice and no voice profile named 'nobody'." in returned.read_text()
    assert "One." not in returned.read_text()
    wait_for("the first", lambda: (house.status("two-1") or {}).get("state") == "done")
    # When it is tried again and fails in the same way / Then no second copy of it is put there
    (house.inbox / "two-2.retry").touch()
    wait_for("the second failure", lambda: len(house.events("job finished")) == 3)
    wait_for("the way back", lambda: "beside this job's status" in (house.status("two-2") or {})["next"])
    assert [path.name for path in house.outbox.glob("two-2*.yaml")] == ["two-2.yaml"]


def test_the_status_of_another_job_that_took_the_name_is_left_alone(outbox: Outbox) -> None:
    # Given a failed job whose name another job took before its manifest was given back
    failed, other = ({"job": f"job-20260101T000000Z-0000000{n}", "state": "failed"} for n in (1, 2))
    for status in (failed, other):
        assert outbox.reserve_name("anna/hello", status["job"], status) == "anna/hello"
    outbox.amend_status("anna/hello", {**failed, "next": "Mend it."})
    assert outbox.read_status("anna/hello") == {**other, "name": "anna/hello"}
    outbox.amend_status("anna/hello", {**other, "next": "Mend it."})
    assert (outbox.read_status("anna/hello") or {})["next"] == "Mend it."
