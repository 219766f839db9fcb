"""A small disk of its own: ext4 in a file, mounted, whose power can be cut and which can be filled up."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import shutil
import struct
import subprocess
import tempfile
import time
from pathlib import Path

#: ioctl(2) that stops a filesystem as a power cut does, and its argument: what the journal has not written is lost.
FS_IOC_SHUTDOWN = 0x8004587D
NOLOGFLUSH = 2
#: How long killed processes may keep a mount busy, in s.
BUSY_S = 120.0


class Disk:
    """ext4 in the file `folder`/image, mounted on `folder`/mount."""

    def __init__(self, folder: Path, size_mb: int) -> None:
        self.image, self.root = folder / "image", folder / "mount"
        self.root.mkdir(parents=True)
        with self.image.open("wb") as file:
            file.truncate(size_mb * 2**20)
        # No blocks kept for root: the tests run as root, and full is to mean full.
        command = ["mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(self.image)]
        subprocess.run(command, check=True, capture_output=True)
        self.mount()

    def mount(self) -> None:
        """Mount the disk; needs root."""
        subprocess.run(["mount", "-o", "loop", str(self.image), str(self.root)], check=True, capture_output=True)

    def cut(self) -> None:
        """The power goes: nothing more reaches the disk, and what the journal holds back is gone."""
        fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, FS_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
        finally:
            os.close(fd)

    def unmount(self) -> None:
        """Unmount as soon as the processes that were killed have let go; at once what only this process still has open.

        That one lives on, without its power; so what the disk holds goes into another file, which can be mounted anew. So it is
        where a process with mounts of its own, such as a machine that another test starts, still has this one among them.
        """
        deadline = time.monotonic() + BUSY_S
        while subprocess.run(["umount", str(self.root)], capture_output=True, check=False).returncode:
            if self._is_open_here() or time.monotonic() > deadline:
                subprocess.run(["umount", "-l", str(self.root)], check=True)
                break
            time.sleep(0.02)
        if self._lives_on():
            self.image = Path(shutil.copyfile(self.image, self.image.with_name(f"{self.image.name}-again")))

    def _lives_on(self) -> bool:
        for device in Path("/sys/block").glob("loop*/loop/backing_file"):
            with contextlib.suppress(OSError):  # it has just been freed
                if device.read_text().strip() == str(self.image):
                    return True
        return False

    def _is_open_here(self) -> bool:
        for link in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):
                if Path(os.readlink(link)).is_relative_to(self.root):
                    return True
        return False

    def fill(self, leave_kb: int = 0) -> None:
        """Take all free space but `leave_kb` with one file of ballast."""
        ballast = self.root / "ballast"
        with ballast.open("ab", buffering=0) as file:
            size = shutil.disk_usage(self.root).free - leave_kb * 1024
            if size > 0:
                with contextlib.suppress(OSError):  # somebody else has taken a part of it since
                    os.posix_fallocate(file.fileno(), ballast.stat().st_size, size)
            with contextlib.suppress(OSError):  # blocks that the first request could not get in one go
                while not leave_kb:
                    file.write(bytes(1024))

    def free(self) -> None:
        """Remove what `fill` wrote."""
        (self.root / "ballast").unlink(missing_ok=True)


@functools.cache
def unavailable() -> str:
    """Return why disks cannot be made here; empty where they can."""
    if os.geteuid() != 0:
        return "only root can mount a disk"
    if not all(map(shutil.which, ("mkfs.ext4", "mount", "umount"))):
        return "mkfs.ext4 or mount is missing"
    with tempfile.TemporaryDirectory() as folder:
        try:
            disk = Disk(Path(folder), 8)
        except subprocess.CalledProcessError as exc:
            return f"a loop mount is refused: {exc.stderr.decode(errors='replace').strip()}"
        try:
            disk.cut()
        except OSError as exc:
            return f"FS_IOC_SHUTDOWN is refused: {exc.strerror}"
        finally:
            disk.unmount()
    return ""
