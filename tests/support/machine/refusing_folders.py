"""A folder of the outbox that takes no files: a subvolume, another quota project, a sticky one, one of somebody without quota."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from tests.support.daemon.queue import Unflushed

#: What such folders answer to whoever gives a file a name in them: EDQUOT where their owner has no quota left, EBUSY for a mount.
REFUSALS = [
    errno.EXDEV,
    errno.EPERM,
    errno.EACCES,
    errno.EDQUOT,
    errno.ENOSPC,
    errno.EBUSY,
    errno.EIO,
    errno.ENOENT,
]


def refuse(ops: Unflushed, number: int, folder: str = "anna") -> None:
    """Have the kernel refuse with an error every name in a folder that a file is to get."""

    def before(name: str, path: Path) -> None:
        if name in ("rename", "rename_new", "link") and Path(os.path.realpath(path.parent)).name == folder:
            raise OSError(number, os.strerror(number), str(path))

    ops.before = before
