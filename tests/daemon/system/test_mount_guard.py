"""A folder is known by its mark, its mount and its inode; who may write in it cannot make it look like another."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.errors import MachineError
from daemon.system.file_calls import Ops
from daemon.system.mount_guard import MARK, MountGuard


@pytest.fixture
def guarded(tmp_path: Path) -> Callable[[], MountGuard]:
    """Makes guards of one folder, as each start of the daemon does."""
    folder = tmp_path / "outbox"
    folder.mkdir()

    def make() -> MountGuard:
        return MountGuard(folder, tmp_path / "outbox.json", "outbox")

    make().check()
    return make


def put_folder(mark: Path) -> None:
    mark.unlink()
    mark.mkdir()
    (mark / "file").touch()


def put_pipe(mark: Path) -> None:
    mark.unlink()
    os.mkfifo(mark)


def put_link(mark: Path) -> None:
    mark.unlink()
    mark.symlink_to("/etc/passwd")


SPOILT: dict[str, Callable[[Path], object]] = {
    "removed": Path.unlink,
    "empty": lambda mark: mark.write_bytes(b""),
    "other": lambda mark: mark.write_text("x"),
    "folder": put_folder,
    "pipe": put_pipe,
    "link": put_link,
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_mark_that_somebody_spoils_is_made_anew(guarded: Callable[[], MountGuard], tmp_path: Path, how: str) -> None:
    running, folder = guarded(), tmp_path / "outbox"
    before = (folder / MARK).read_text()
    SPOILT[how](folder / MARK)
    # The daemon that runs goes on, and so does the next one, with a mark of its own
    running.check()
    assert (folder / MARK).is_file()
    assert not (folder / MARK).is_symlink()
    assert (folder / MARK).read_text() not in ("", "x", before)
    guarded().check()
    assert [path.name for path in folder.iterdir() if path.name.endswith(".tmp")] == []


@pytest.mark.parametrize("times", [1, 99])
def test_a_folder_that_comes_in_the_way_of_the_mark_at_the_last_moment_stops_nothing(
    guarded: Callable[[], MountGuard], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    # Given somebody who puts a folder in the place of the mark just before it is written, once or each time
    running, mark, rename = guarded(), tmp_path / "outbox" / MARK, Ops.rename
    left = times

    def renaming(self: Ops, source: Path, target: Path) -> None:
        nonlocal left
        if target == mark and left:
            left -= 1
            mark.mkdir(exist_ok=True)
        rename(self, source, target)

    mark.unlink()
    monkeypatch.setattr(Ops, "rename", renaming)
    # Then the daemon goes on, since the folder is the one it knows
    running.check()
    running.check()
    # And when it is let, the mark is there, and nothing else is left
    monkeypatch.undo()
    running.check()
    assert [path.name for path in mark.parent.iterdir()] == [MARK]
    assert mark.is_file()


def test_another_folder_in_its_place_is_still_told(guarded: Callable[[], MountGuard], tmp_path: Path) -> None:
    # Given another folder with a mark of its own where the outbox was
    (tmp_path / "outbox").rename(tmp_path / "old")
    (tmp_path / "outbox").mkdir()
    ((tmp_path / "outbox") / MARK).write_text("another")
    with pytest.raises(MachineError, match="another folder is in its place"):
        guarded().check()
