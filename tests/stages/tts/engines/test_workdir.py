"""Folders of engines' programs: gone with the process they were for, however it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stages.tts.engines.external.workdir import WorkDir

pytestmark = pytest.mark.usefixtures("processes")

CODE = (
    "import sys; from pathlib import Path; from stages.tts.engines.external.workdir import WorkDir; "
    "room = WorkDir(Path(sys.argv[1]), 'x'); "
)


def other(root: Path, then: str) -> subprocess.Popen[bytes]:
    """Another process with a folder of its own; it has been made when this returns."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"{CODE}(room.path / 'left.wav').touch(); print('made', flush=True); {then}", str(root)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"made\n"
    return process


def test_a_folder_goes_with_its_process_and_leftovers_with_the_next(tmp_path: Path) -> None:
    # Given a process that ends by itself; then its folder is gone
    assert other(tmp_path, "pass").wait() == 0
    assert list(tmp_path.iterdir()) == []
    # Given one that is killed, and one that still works; when a third folder is made
    killed, working = other(tmp_path, "input()"), other(tmp_path, "input()")
    killed.kill()
    killed.wait()
    before = set(tmp_path.iterdir())
    mine = WorkDir(tmp_path, "x")
    # Then what the killed one left is cleared, and the other's is not touched
    assert len(before) == 2
    assert len(before & set(tmp_path.iterdir())) == 1
    working.communicate(b"\n")
    mine.close()
    assert list(tmp_path.iterdir()) == []
