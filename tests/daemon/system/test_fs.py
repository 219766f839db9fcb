"""The seam: a name is never taken twice, and what the disk says counts."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path
from typing import ClassVar
from unittest.mock import Mock

import pytest

from daemon.jobs.record import Job
from daemon.jobs.stages import STAGES, Stage
from daemon.queue.spool import Spool
from daemon.system import fs
from daemon.system.file_calls import Ops
from tests.support.machine.deep_folders import deep_folder


def test_publish_never_replaces_what_is_there(tmp_path: Path) -> None:
    # Given a name that is taken
    (tmp_path / "taken").write_text("theirs")
    (tmp_path / "part").write_text("ours")
    # When we publish / Then theirs stays and ours is still there to be named otherwise
    assert not fs.publish(tmp_path / "part", tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "theirs"
    assert fs.publish(tmp_path / "part", tmp_path / "free")
    assert sorted(os.listdir(tmp_path)) == ["free", "taken"]


@pytest.mark.usefixtures("processes")
def test_what_is_discarded_is_a_file_or_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "full")
    for folder in ("empty", "full", "full/inside"):
        (tmp_path / folder).mkdir()
    with deep_folder(tmp_path / "deep"):
        for name in ("file", "link", "empty", "full", "deep", "missing"):
            fs.discard(tmp_path / name)
        assert sorted(os.listdir(tmp_path)) == ["deep", "full"]
    assert os.listdir(tmp_path / "full") == ["inside"]


@pytest.mark.parametrize("no_links", [0, errno.EPERM, errno.EOPNOTSUPP])
def test_publish_works_where_a_rename_may_replace_and_where_there_are_no_hard_links_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_links: int
) -> None:
    class Poor(Ops):
        def rename_new(self, source: Path, target: Path) -> None:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

        def link(self, source: Path, target: Path) -> None:
            if no_links:
                raise OSError(no_links, os.strerror(no_links))
            super().link(source, target)

    monkeypatch.setattr(fs, "OPS", Poor())
    (tmp_path / "part").write_text("ours")
    assert fs.publish(tmp_path / "part", tmp_path / "free")
    (tmp_path / "part").write_text("again")
    assert not fs.publish(tmp_path / "part", tmp_path / "free")
    assert (tmp_path / "free").read_text() == "ours"


def test_a_rename_that_happened_but_was_reported_failed_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a filesystem that does the rename and then answers with an error, as NFS does after a lost reply
    class Nfs(Ops):
        def rename(self, source: Path, target: Path) -> None:
            super().rename(source, target)
            raise OSError(errno.ENOENT, "gone")

    monkeypatch.setattr(fs, "OPS", Nfs())
    (tmp_path / "a").write_text("x")
    # When we rename / Then it counts as done
    fs.rename(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "x"


def test_an_exchange_that_happened_but_was_reported_failed_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a filesystem that lets two files change names and then answers as one that cannot
    class Liar(Ops):
        def exchange(self, one: Path, other: Path) -> None:
            super().exchange(one, other)
            raise OSError(errno.EINVAL, "cannot")

    monkeypatch.setattr(fs, "OPS", Liar())
    (tmp_path / "spare").write_text("new")
    (tmp_path / "record").write_text("old")
    # When they change names / Then it counts as done: a rename in its place would bring the old record back
    assert fs.exchange(tmp_path / "spare", tmp_path / "record")
    assert (tmp_path / "record").read_text() == "new"


def test_a_record_is_written_over_only_when_its_exchange_was_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a job on its way, with a spare record beside the record
    class Flaky(Ops):
        fails = False
        over: ClassVar[list[str]] = []

        def sync_dir(self, path: Path) -> None:
            if self.fails:
                raise OSError(errno.EIO, "not flushed")
            super().sync_dir(path)

        def rewrite(self, path: Path, data: bytes, sync: bool = True) -> None:
            self.over.append(path.parent.parent.name)
            super().rewrite(path, data, sync)

    monkeypatch.setattr(fs, "OPS", Flaky())
    spool = Spool(tmp_path)
    spool.create()
    job = Job("job-20260101T000000Z-00000000", "a", "a.yaml", stages=STAGES, stage="face")
    place = spool.folder_of(job)
    place.mkdir()
    spool.save_job(job, place)

    def hop(stage: Stage) -> None:
        nonlocal place
        job.stage = stage
        place = spool.move_job(job, place)

    hop("tts")
    hop("lipsync")
    assert len(Flaky.over) == 1
    # When the disk does not say whether an exchange has reached it
    Flaky.fails = True
    with pytest.raises(OSError, match="not flushed"):
        hop("encode")
    Flaky.fails, place = False, spool.folder_of(job)
    # Then the next record is a new file, for the spare may still be the one that a power cut brings back
    hop("deliver")
    assert len(Flaky.over) == 2
    hop("deliver")
    assert len(Flaky.over) == 3


def test_a_rename_that_failed_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").mkdir()
    with pytest.raises(OSError, match="directory"):
        fs.rename(tmp_path / "a", tmp_path / "b")
    with pytest.raises(FileNotFoundError):
        fs.rename(tmp_path / "never", tmp_path / "c")


def test_an_artifact_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def fail() -> None:
        with fs.artifact(tmp_path / "speech.wav") as path:
            path.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert os.listdir(tmp_path) == []
    with fs.artifact(tmp_path / "speech.wav") as path:
        path.write_bytes(b"whole")
    assert os.listdir(tmp_path) == ["speech.wav"]


@pytest.mark.usefixtures("processes")
def test_a_copy_has_the_same_bytes_and_the_same_holes(tmp_path: Path) -> None:
    # Given files with holes at the beginning, in the middle and at the end, one of a size alone, and an empty one
    plain = os.urandom(3 << 20)
    for name, pieces, size in (
        ("a", {0: plain}, len(plain)),
        ("b", {8 << 20: plain, 16 << 20: b"x"}, 20 << 20),
        ("c", {}, 50 << 20),
        ("d", {}, 0),
    ):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
            for at, piece in pieces.items():
                file.seek(at)
                file.write(piece)
        # When they are copied / Then nothing differs, and what takes no room takes none
        with (tmp_path / name).open("rb") as file:
            assert fs.OPS.copy(file.fileno(), tmp_path / f"{name}2", size) == size
        assert (tmp_path / f"{name}2").stat().st_size == size
        same = subprocess.run(["cmp", tmp_path / name, tmp_path / f"{name}2"], check=False)
        assert same.returncode == 0
        assert (tmp_path / f"{name}2").stat().st_blocks <= (
            tmp_path / name
        ).stat().st_blocks + 2 * 2048  # read by the MiB


def test_a_copy_without_holes_asks_for_no_other_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a share on which an open file gets no other size, as smbnetfs has it
    monkeypatch.setattr(os, "ftruncate", Mock(side_effect=OSError(errno.EIO, "Input/output error")))
    for size in (0, 5000, 3 << 20):
        (tmp_path / "one").write_bytes(plain := os.urandom(size))
        # When a file is copied there / Then it is whole
        with (tmp_path / "one").open("rb") as file:
            assert fs.OPS.copy(file.fileno(), tmp_path / f"copy{size}", size) == size
        assert (tmp_path / f"copy{size}").read_bytes() == plain
