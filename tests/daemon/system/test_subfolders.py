"""Folders below the outbox, which everybody in the drop group can exchange while they are made."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from daemon.system import fs, subfolders
from daemon.system.file_calls import Ops


def test_a_new_folder_that_is_exchanged_for_a_link_changes_no_permissions_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an outbox whose folders belong to the group, and a private folder of the daemon
    outbox, private = tmp_path / "outbox", tmp_path / "spool"
    for folder, mode in ((outbox, 0o2770), (private, 0o700)):
        folder.mkdir()
        folder.chmod(mode)

    class Exchanged(Ops):
        """A member puts a link in the place of the new folder at once."""

        def mkdir(self, path: Path) -> None:
            super().mkdir(path)
            path.rmdir()
            path.symlink_to(private)

    monkeypatch.setattr(fs, "OPS", Exchanged())
    # When a folder is made / Then that fails, and the private folder stays private
    with pytest.raises(subfolders.UnusableFolderError), subfolders.opened(outbox, "anna", make=True):
        pass
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert not list(outbox.iterdir())


def test_a_folder_whose_name_is_too_long_is_not_usable(tmp_path: Path) -> None:
    assert not subfolders.make_folder(tmp_path, "n" * 256)
    assert not subfolders.any_there(tmp_path, "n" * 256, ["hello.json"])
    assert not subfolders.any_there(tmp_path / "missing", "", ["hello.json"])
    assert subfolders.fallback_name(f"{'n' * 256}/hello", "job-1") == "hello-job-1"
