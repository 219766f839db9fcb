"""Shares the speech of pieces between jobs, so that rows of a batch which say the same sentence speak it once.

A job that says a piece gives its file another name in the cache. The name follows from the piece, the voice, the settings, and
what made the sound: the stage's code and the installed packages. `retention.cache_mb` and `done_days` bound the cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from functools import cache
from pathlib import Path

import numpy as np

from daemon.jobs.record import SPOKEN
from daemon.system import fs
from daemon.system.permissions import make_folder, remove_other_permissions
from stages.kept import code_digest


class SharedSpeech:
    """The shared files.

    Args:
        cache: the cache folder of the installation.
    """

    def __init__(self, cache: Path) -> None:
        self._folder = cache / SPOKEN

    def fetch(self, key: str, target: Path) -> None:
        """Give a job the file of a piece, if there is one. `target`: in the job's folder; `key`: of the piece."""
        with contextlib.suppress(OSError):
            fs.link_path(self._path(key), target)
            os.utime(target)  # its last use

    def keep(self, key: str, source: Path) -> None:
        """Share the file of a piece that a job has in its folder, in place of one that was damaged."""
        path = self._path(key)
        with contextlib.suppress(OSError):  # without it, the piece is spoken again
            if not self._folder.parent.is_dir() or (path.exists() and path.samefile(source)):
                return  # a command without a service makes no cache
            make_folder(path.parent)
            remove_other_permissions(path.parent)
            temporary = fs.temporary_name(path)
            fs.remove(temporary)
            fs.link_path(source, temporary)
            fs.rename(temporary, path)
            fs.remove(temporary)  # it stays where another job gave the same file that name meanwhile

    def _path(self, key: str) -> Path:
        return self._folder / hashlib.sha256("/".join((key, *_makers())).encode()).hexdigest()[:32]


@cache
def _makers() -> tuple[str, ...]:
    """Return what makes the sound: the stage's code, and the names and versions of the packages that are installed."""
    packages = sorted(path.name for path in Path(np.__file__).parents[1].glob("*.dist-info"))
    return code_digest("tts"), *packages
