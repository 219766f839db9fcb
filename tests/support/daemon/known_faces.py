"""Gives daemons of tests what was measured in the example portrait, which takes each half a second of processor time, or two.

It is measured once for all processes that run tests, by the face stage itself. Run as a program, it measures.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon.system.permissions import make_folder

if TYPE_CHECKING:
    from tests.conftest import Installation

_ROOT = Path(__file__).resolve().parents[3]
#: What jobs of tests ask for. A new avatar is measured at full size, as a video without a size is, and at half of it.
_MANIFESTS: dict[str, tuple[dict[str, Any], ...]] = {
    "small": ({"size": "256x256"},),
    "full": ({}, {"quality": "draft"}),
}
#: Returns the folder with what was measured, which is made once for all processes that run tests; only in tests of the daemon.
folder_of: Callable[[str], Path] | None = None


def give_known_faces(one: Installation, which: str = "small") -> None:
    """Put what was measured in the portrait into the cache of a daemon: `small` is for videos of 256x256, `full` for those whose
    size nobody names, and for avatars.

    Nothing is done before the daemon has started, whose folders are its own to make, and for one of another user.
    """
    if folder_of is None or not one.knows_faces or one.process is None or one.user:
        return
    for path in folder_of(which).glob("*/*"):
        make_folder(folder := one.spool / "cache" / path.parent.name)
        try:
            os.link(path, folder / path.name)
        except OSError as exc:  # it is there, or the folders are on another disk: then the daemon measures by itself
            if exc.errno not in (errno.EEXIST, errno.EXDEV):
                raise


def measure_apart(folder: Path, which: str) -> None:
    """Measure the portrait in a process of its own, with the cache in a folder."""
    command = [sys.executable, "-m", __name__, str(folder), which]
    subprocess.run(command, cwd=_ROOT, check=True, capture_output=True)


def _measure(folder: Path, which: str) -> None:
    from stages.face import run
    from tests.support.stages import picture_jobs

    picture_jobs.known_faces = folder
    for manifest in _MANIFESTS[which]:
        with tempfile.TemporaryDirectory() as work:
            run(picture_jobs.job(Path(work) / "job", picture_jobs.PORTRAIT.read_bytes(), **manifest))


if __name__ == "__main__":
    _measure(Path(sys.argv[1]), sys.argv[2])
