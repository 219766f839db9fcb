"""Reads the files of the job that a slot will probably run next into the page cache, while the slot is busy.

It changes nothing: which job runs next is chosen when the slot is free. Files of a job that waited for hours are not in memory
any more, and a slow disk would keep a GPU waiting for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

from daemon.system.disk_thread import DiskThread

#: No more than this much of one job is read ahead, in bytes: it must not push what runs now out of the memory.
MOST_BYTES = 512 * 2**20


class ReadAhead:
    """Reads ahead in a thread; what is asked for while it reads is passed over."""

    def __init__(self) -> None:
        self._disk = DiskThread("read-ahead")
        self._task: asyncio.Task[None] | None = None
        self._last: Path | None = None

    def begin(self, directory: Path) -> None:
        """Begin to read the files of a job's folder, unless they were read last. Call it in the event loop."""
        if directory != self._last and (self._task is None or self._task.done()):
            self._last = directory
            self._task = asyncio.create_task(self._read(directory))

    async def ended(self) -> None:
        """Wait until what was begun is read."""
        if self._task is not None:
            await self._task

    async def _read(self, directory: Path) -> None:
        with contextlib.suppress(OSError):  # the job went elsewhere, or no thread can be started
            await self._disk.run(read_ahead, directory)


def read_ahead(directory: Path) -> int:
    """Have the kernel read the files of a folder. Returns the bytes that were asked for.

    Raises:
        OSError: the folder cannot be read.
    """
    left = MOST_BYTES
    with os.scandir(directory) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if left > 0 and entry.is_file(follow_symlinks=False):
                    left -= _ask_for(entry.path, left)
    return MOST_BYTES - left


def _ask_for(path: str, most: int) -> int:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        size = min(os.fstat(fd).st_size, most)
        os.posix_fadvise(fd, 0, size, os.POSIX_FADV_WILLNEED)
        return size
    finally:
        os.close(fd)
