"""What a killed process was writing is removed, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

from daemon.system import fs
from daemon.workers.abandoned_files import remove_abandoned_files


def test_only_what_a_dead_process_was_writing_is_removed(tmp_path: Path) -> None:
    # Given a file that this process writes, one that a process wrote which is gone, and others with nearly such names
    (tmp_path / "rigs").mkdir()
    gone = int(Path("/proc/sys/kernel/pid_max").read_text())  # the largest that there is, and one that is never given
    own = fs.temporary_name(tmp_path / "rigs" / "a.npz")
    kept = [own, tmp_path / "rigs" / "a.npz", tmp_path / f".{gone}.tmp", tmp_path / f"x.{gone}.tmp.a"]
    for path in (*kept, abandoned := own.with_name(own.name.replace(str(os.getpid()), str(gone), 1))):
        path.touch()
    # When abandoned files are removed
    remove_abandoned_files(tmp_path)
    # Then that of the dead process is gone, and the others are there
    assert not abandoned.exists()
    assert all(path.exists() for path in kept)
    # And a folder that is missing is no error
    remove_abandoned_files(tmp_path / "missing")
