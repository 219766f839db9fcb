"""The seam: a name is never taken twice, and what the disk says counts."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from daemon import fs


def test_publish_never_replaces_what_is_there(tmp_path: Path) -> None:
    # Given a name that is taken
    (tmp_path / "taken").write_text("theirs")
    (tmp_path / "part").write_text("ours")
    # When we publish / Then theirs stays and ours is still there to be named otherwise
    assert not fs.publish(tmp_path / "part", tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "theirs"
    assert fs.publish(tmp_path / "part", tmp_path / "free")
    assert sorted(os.listdir(tmp_path)) == ["free", "taken"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
def test_publish_works_where_there_are_no_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    class NoLinks(fs.Ops):
        def link(self, source: Path, target: Path) -> None:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fs, "OPS", NoLinks())
    (tmp_path / "part").write_text("ours")
    assert fs.publish(tmp_path / "part", tmp_path / "free")
    (tmp_path / "part").write_text("again")
    assert not fs.publish(tmp_path / "part", tmp_path / "free")
    assert (tmp_path / "free").read_text() == "ours"


def test_a_rename_that_happened_but_was_reported_failed_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a filesystem that does the rename and then answers with an error, as NFS does after a lost reply
    class Nfs(fs.Ops):
        def rename(self, source: Path, target: Path) -> None:
            super().rename(source, target)
            raise OSError(errno.ENOENT, "gone")

    monkeypatch.setattr(fs, "OPS", Nfs())
    (tmp_path / "a").write_text("x")
    # When we rename / Then it counts as done
    fs.rename(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "x"


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
