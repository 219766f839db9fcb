"""Removes the temporary files of processes that died while they wrote: a worker that is killed cannot."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Final

from daemon.system import fs

#: The names that `fs.temporary_name` makes.
_TEMPORARY: Final = re.compile(r"\.(\d{1,9})\.tmp\.")


def remove_abandoned_files(folder: Path) -> None:
    """Remove the temporary files below a folder whose processes do not exist any more. A folder that is missing holds none."""
    for path in folder.rglob(".*.tmp.*"):
        found = _TEMPORARY.match(path.name)
        if found and not _exists(int(found[1])):
            with contextlib.suppress(OSError):  # people's own, or taken away meanwhile
                fs.remove(path)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        pass
    return True
