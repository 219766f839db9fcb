"""Copies of the files that jobs name: how many are kept at hand, and for how long."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from daemon.intake.jobs.companion_files import KEPT, CompanionFiles


def open_below(folder: Path) -> int:
    """How many files below a folder this process has open."""
    count = 0
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the descriptor that lists them
            count += Path(os.readlink(f"/proc/self/fd/{fd}")).is_relative_to(folder)
    return count


def test_a_few_copies_are_kept_open_and_none_when_their_intake_is_gone(tmp_path: Path) -> None:
    # Given more files than copies are kept at hand
    files = CompanionFiles()
    for number in range(KEPT + 2):
        source = tmp_path / f"{number}.png"
        source.write_bytes(b"picture")
        with source.open("rb") as file:
            files.copy_file(file.fileno(), tmp_path / f"{number}.copy", 100, source.name, lambda size: None)
    assert open_below(tmp_path) == KEPT
    # When nobody has the intake any more / Then nothing of it is open
    del files
    assert open_below(tmp_path) == 0
