"""A folder of the outbox that refuses files costs nobody a job, and holds up nobody else."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.jobs.record import Job
from daemon.outbox import alike_names
from daemon.outbox.estimator import Estimator
from daemon.outbox.name_choice import NameRequest
from daemon.outbox.outbox import Outbox
from daemon.outbox.status_file import StatusWriter
from daemon.outbox.stored_status import HEAD_BYTES
from daemon.system import fs, subfolders
from daemon.system.mount_guard import MARK
from tests.support.daemon.queue import Unflushed
from tests.support.machine.refusing_folders import REFUSALS, refuse

ONE, OTHER = "job-20260101T000000Z-00000001", "job-20260101T000000Z-00000002"
#: Only ends a test that hangs, in s.
PATIENCE_S = 60.0


@pytest.fixture
def outbox(memory: Path, ops: Unflushed) -> Outbox:
    return Outbox(memory)


def files(outbox: Outbox) -> list[str]:
    return sorted(str(path.relative_to(outbox.root)) for path in outbox.root.rglob("*") if path.is_file())


@pytest.mark.parametrize("number", REFUSALS, ids=errno.errorcode.get)
def test_a_job_whose_folder_refuses_its_status_has_its_name_in_the_outbox_itself(
    outbox: Outbox, ops: Unflushed, number: int
) -> None:
    refuse(ops, number)
    requests = [NameRequest("anna/hello", ONE, {"job": ONE}), NameRequest("ben/hello", OTHER, {"job": OTHER})]
    assert outbox.reserve_names(requests) == [f"hello-{ONE}", "ben/hello"]
    assert files(outbox) == ["ben/hello.json", f"hello-{ONE}.json"]
    assert outbox.read_status(f"hello-{ONE}") == {"job": ONE, "name": f"hello-{ONE}"}
    # And after a crash it is the same one
    assert outbox.reserve_names(requests) == [f"hello-{ONE}", "ben/hello"]


@pytest.mark.parametrize("number", REFUSALS, ids=errno.errorcode.get)
def test_a_folder_that_refuses_folders_has_the_files_itself(outbox: Outbox, ops: Unflushed, number: int) -> None:
    (outbox.root / "anna").mkdir()
    refuse(ops, number)
    assert outbox.choose_name(NameRequest("anna/films/hello", ONE, {"job": ONE})) == "anna/hello"


@pytest.mark.parametrize("number", REFUSALS, ids=errno.errorcode.get)
def test_a_sentence_that_a_folder_refuses_lies_in_the_outbox_itself(
    outbox: Outbox, ops: Unflushed, number: int
) -> None:
    refuse(ops, number)
    outbox.publish_notes([("anna/x.cancel", "No such job."), ("ben/y.cancel", "Nor this.")])
    assert files(outbox) == ["ben/y.cancel.txt", "x.cancel.txt"]


@pytest.mark.parametrize("number", REFUSALS, ids=errno.errorcode.get)
def test_a_report_and_the_copies_of_a_batch_that_a_folder_refuses_lie_in_the_outbox_itself(
    outbox: Outbox, ops: Unflushed, number: int
) -> None:
    (outbox.root / "first.txt").write_text("result")
    refuse(ops, number)
    table = outbox.publish_table("anna/talk", ONE, ".report.csv", [ONE])
    assert outbox.publish_table("anna/talk", ONE, ".report.csv", [ONE])["file"] == table["file"]
    copied = outbox.copy_result("first.txt", "anna/second", ".txt", OTHER)
    assert files(outbox) == ["first.txt", copied, table["file"]]
    assert [copied, table["file"]] == [f"second-{OTHER}.txt", f"talk-{ONE}.report.csv"]


@pytest.mark.parametrize("number", REFUSALS, ids=errno.errorcode.get)
def test_a_job_whose_folder_refuses_its_last_status_ends_all_the_same(
    outbox: Outbox, ops: Unflushed, number: int
) -> None:
    job = Job(ONE, "anna/hello", "anna/hello.yaml", state="done")
    outbox.reserve_name("anna/hello", ONE, {"job": ONE})
    refuse(ops, number)
    StatusWriter(outbox, Estimator()).before_finish(job)
    assert job.name == f"hello-{ONE}"
    assert (outbox.read_status(job.name) or {})["state"] == "done"


def test_a_full_disk_is_no_fault_of_a_folder(outbox: Outbox, ops: Unflushed) -> None:
    # Given a disk on which nothing can be written any more, in whatever folder
    job = Job(ONE, "anna/hello", "anna/hello.yaml", state="done")

    def full(name: str, path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    ops.before = full
    with pytest.raises(OSError, match="No space left"):
        StatusWriter(outbox, Estimator()).before_finish(job)
    with pytest.raises(OSError, match="No space left"):
        outbox.reserve_name("anna/hello", ONE, {"job": ONE})
    assert job.name == "anna/hello"


def test_a_status_that_cannot_be_withdrawn_stops_nothing(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    class Sticky(Unflushed):
        def unlink(self, path: Path) -> None:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(path))

    outbox.reserve_name("anna/hello", ONE, {"job": ONE})
    monkeypatch.setattr(fs, "OPS", Sticky())
    outbox.withdraw_status("anna/hello", ONE)
    assert files(outbox) == ["anna/hello.json"]


def test_temporary_files_that_people_take_away_cost_no_status(outbox: Outbox, ops: Unflushed) -> None:
    # Given somebody who removes the first temporary files that come
    taken: list[Path] = []

    def take(name: str, path: Path) -> None:
        if name in ("rename", "rename_new") and path.name == "hello.json":
            for left in list(outbox.root.glob(".job-*.tmp"))[: 3 - len(taken)]:
                left.unlink()
                taken.append(left)

    ops.before = take
    assert outbox.reserve_name("hello", ONE, {"job": ONE, "state": "queued"}) == "hello"
    outbox.write_status("hello", {"job": ONE, "state": "done"}, durable=True)
    assert len(taken) == 3
    assert (outbox.read_status("hello") or {})["state"] == "done"
    assert files(outbox) == ["hello.json"]


def test_files_in_the_way_of_every_version_lead_to_a_name_that_is_its_own(outbox: Outbox) -> None:
    # Given a name of the greatest length, and files at all the versions that a search looks at
    stem = "n" * 180
    for file in (f"{stem}.json", *(f"{stem}-v{2**power}.json" for power in range(230))):
        if len(file) <= 255:
            (outbox.root / file).touch()
    name = outbox.reserve_name(stem, ONE, {"job": ONE})
    assert name == f"{stem}-{ONE}"
    # Then there is room for its longest ending, and in the outbox itself for the name it has if its folder refuses it
    assert len(f"{subfolders.fallback_name(name, ONE)}-01234567.voice.json") <= 255


def test_what_a_status_says_of_its_job_is_an_id_or_nothing(outbox: Outbox) -> None:
    for job in ('"x"', '"' + "x" * 10**6 + '"', "[1]", "null", f'"{ONE}x"'):
        (outbox.root / "hello.json").write_text(f'{{"job": {job}}}')
        assert outbox.owner_of("hello") is None
    (outbox.root / "hello.json").write_text(f'{{"job": "{ONE}"}}')
    assert outbox.owner_of("hello") == ONE


def test_whose_a_status_is_is_known_from_its_beginning(outbox: Outbox) -> None:
    # Given a status with as much metadata as a manifest may have, and a file of the same size that is none
    outbox.write_status("hello", {"job": ONE, "state": "failed", "metadata": ["x" * 70] * 20_000}, durable=True)
    (outbox.root / "forged.json").write_text(f'{{"a": [{"{}," * 600_000}0], "job": "{ONE}"}}')
    assert (outbox.root / "hello.json").stat().st_size > HEAD_BYTES
    assert (outbox.owner_of("hello"), outbox.owner_of("forged")) == (ONE, None)
    assert (outbox.read_head("hello") or {})["state"] == "failed"
    assert len((outbox.read_status("hello") or {})["metadata"]) == 20_000


def test_any_number_of_folders_is_looked_at_for_names_that_are_one_elsewhere(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alike_names, "KEPT", 2)
    for folder in ("anna", "ben", "carla", "dora"):
        assert outbox.reserve_name(f"{folder}/Hello", ONE, {"job": ONE}) == f"{folder}/Hello"
    for folder in ("anna", "ben", "carla", "dora"):
        assert outbox.reserve_name(f"{folder}/hello", OTHER, {"job": OTHER}) == f"{folder}/hello-v2"
    assert len(outbox._names._alike._known) == 2


# -- what does not answer ----------------------------------------------------------------------------------------


@pytest.fixture
def mute(tmp_path: Path) -> Iterator[list[Path]]:
    """An outbox in use, and mount points of a file server that never answers; whoever asks it waits until the end of the test."""
    points = [tmp_path / "server", *(tmp_path / "outbox" / name for name in ("carla", "film.json", MARK))]
    fds: list[int] = []
    points[1].parent.mkdir()
    Outbox(points[1].parent, tmp_path / "outbox.json").check()
    (points[1].parent / MARK).unlink()
    try:
        for point in points:
            point.mkdir(parents=True)
            try:
                fds.append(os.open("/dev/fuse", os.O_RDWR))
            except OSError as exc:
                pytest.skip(f"no FUSE here: {exc}")
            options = f"fd={fds[-1]},rootmode=40000,user_id=0,group_id=0,allow_other"
            mount = subprocess.run(
                ["mount", "-i", "-t", "fuse", "-o", options, "nothing", str(point)],
                pass_fds=fds[-1:], capture_output=True, check=False,
            )  # fmt: skip
            if mount.returncode:
                pytest.skip(f"no FUSE can be mounted here: {mount.stderr.decode().strip()}")
        yield points
    finally:
        for fd in fds:
            os.close(fd)  # wakes who waits
        for point in points:
            subprocess.run(["umount", "-l", str(point)], capture_output=True, check=False)


@pytest.mark.usefixtures("processes")
def test_nothing_that_does_not_answer_holds_up_a_name(tmp_path: Path, mute: list[Path]) -> None:
    # Given mounts in the place of a folder, of a file and of the outbox's mark, and a link that leads to one
    outbox = Outbox(tmp_path / "outbox", tmp_path / "outbox.json")
    (outbox.root / "anna").symlink_to(mute[0])
    names: list[str] = []
    temporary = outbox.root / ".temporary"
    temporary.touch()

    def reserve() -> None:
        wanted = ("anna/hello", "carla/films/hello", "film", "film.json")
        names.extend(outbox.reserve_name(name, ONE, {"job": ONE}) for name in wanted)
        names.extend(outbox.places_for("anna/films/hello.cancel", "hello"))
        names.extend(outbox.names())
        # And a result that comes in the moment in which somebody mounts something in its place
        fs.publish(temporary, outbox.root / "film.json", sync=False)

    thread = threading.Thread(target=reserve, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert not thread.is_alive(), names
    assert names[:4] == ["anna-v2/hello", "carla-v2/films/hello", "film-v2", "film.json"]
