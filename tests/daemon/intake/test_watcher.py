"""Notifications are used where they tell the whole truth, and nowhere else."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from watchdog.events import (
    DirCreatedEvent,
    DirModifiedEvent,
    FileClosedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileOpenedEvent,
)
from watchdog.observers.inotify_c import InotifyFD

from daemon.intake.file_writers import FileWriters, Writing
from daemon.intake.watch_limits import WATCHES, Unwatched
from daemon.intake.watcher import Watcher, _EventHandler, announces
from daemon.system.mounts import Mount, mount_of, parse_mountinfo
from tests.conftest import wait_for
from tests.support.daemon.watched_folder import kept_notifications
from tests.support.machine.disk import Disk

#: Lines as kernels write them: spaces and backslashes as octal digits, optional fields, bytes that are no UTF-8, a bind mount.
TABLE = b"""22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 22 0:40 / /srv/in\\040box rw,relatime shared:2 master:7 propagate_from:2 - cifs //server/a\\040share rw,vers=3.0
41 22 254:0 /data/in /srv/bind rw,relatime - ext4 /dev/vda rw
42 22 0:41 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw,lowerdir=/a:/b
43 22 0:42 / /mnt/\\134odd\\011tab\\012line rw - fuse.sshfs host:/ rw
44 22 0:43 / /mnt/caf\xe9 rw - nfs4 server:/x rw
45 22 0:44 / /mnt/minus-sign rw,noatime - - none rw
nonsense
46 22
"""


def test_mounts_are_read_as_the_kernel_writes_them() -> None:
    mounts = parse_mountinfo(TABLE)
    assert mounts == {
        22: Mount("/", "/", "ext4"),
        40: Mount("/srv/in box", "/", "cifs"),
        41: Mount("/srv/bind", "/data/in", "ext4"),
        42: Mount("/var/lib/docker/overlay2/x/merged", "/", "overlay"),
        43: Mount("/mnt/\\odd\ttab\nline", "/", "fuse.sshfs"),
        44: Mount(os.fsdecode(b"/mnt/caf\xe9"), "/", "nfs4"),
        45: Mount("/mnt/minus-sign", "/", "-"),
    }


TRUSTED = ("ext4", "xfs", "btrfs", "tmpfs", "overlay")
DISTRUSTED = ("nfs4", "cifs", "smb3", "fuse", "fuse.sshfs", "fuseblk", "9p", "virtiofs", "ceph", "unknown")


@pytest.mark.parametrize("kind", [*TRUSTED, *DISTRUSTED])
def test_who_is_trusted(kind: str) -> None:
    assert announces(kind) == (kind in TRUSTED)


@pytest.fixture
def mounts(tmp_path: Path) -> Iterator[Path]:
    """A small filesystem mounted under a name with a space, and a part of it bound elsewhere through a link."""
    point, bound = tmp_path / "a b\tc", tmp_path / "bound"
    point.mkdir()
    bound.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "tmpfs", point], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    (point / "part").mkdir()
    subprocess.run(["mount", "--bind", point / "part", bound], check=True)
    (tmp_path / "link").symlink_to(bound)
    yield tmp_path
    for path in (bound, point):
        subprocess.run(["umount", "-l", path], check=False)


@pytest.mark.usefixtures("processes")
def test_real_mounts_are_told_apart(mounts: Path) -> None:
    point = str(mounts / "a b\tc")
    assert mount_of(mounts / "a b\tc" / "part") == Mount(point, "/", "tmpfs")
    assert mount_of(mounts / "bound") == mount_of(mounts / "link") == Mount(str(mounts / "bound"), "/part", "tmpfs")
    # What does not exist would be made on the mount of the nearest folder that does
    assert mount_of(mounts / "bound" / "not" / "yet").point == str(mounts / "bound")
    assert mount_of(mounts).kind != "tmpfs" or mount_of(mounts).point != point


def test_a_folder_that_was_exchanged_is_watched_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a watched folder that is exchanged for another one
    monkeypatch.setattr("daemon.intake.watcher.DOUBT_S", 0.05)
    folder, news = tmp_path / "inbox", threading.Event()
    folder.mkdir()
    watcher = Watcher(news.set)
    watcher.watch(folder, "inotify", recursive=True)
    watcher.start()
    try:
        folder.rename(tmp_path / "old")
        folder.mkdir()
        assert watcher.is_replaced(folder)
        watcher.refresh(folder)
        assert not watcher.is_replaced(folder)
        # When something happens in the new one / Then it is told
        news.clear()
        (folder / "a.yaml").touch()
        wait_for("the news", news.is_set)
        # The library may have warned of the old folder's watch, which costs trust for a while
        wait_for("the trust", lambda: watcher.trusted(folder))
    finally:
        watcher.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # the library's fault
def test_a_folder_that_is_moved_away_and_removed_ends_no_notifications(tmp_path: Path) -> None:
    # Given a watched folder out of which one is moved, whose name is used again
    inbox, away, news = tmp_path / "inbox", tmp_path / "away", threading.Event()
    inbox.mkdir()
    watcher = Watcher(news.set)
    watcher.watch(inbox, "inotify", recursive=True)
    watcher.start()
    try:
        (inbox / "d").mkdir()
        wait_for("the folder to be told of", news.is_set)
        (inbox / "d").rename(away)
        wait_for("the move to be told of", lambda: watcher._stale)
        assert not watcher.trusted(inbox)
        # When both are removed, and the daemon looks, as it does when it is told of something
        (inbox / "d").mkdir()
        (inbox / "d").rmdir()
        away.rmdir()
        watcher.refresh(inbox)
        # Then what happens afterwards is told
        assert watcher.alive()
        news.clear()
        (inbox / "a.yaml").touch()
        wait_for("the news", news.is_set)
    finally:
        watcher.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_notifications_that_ended_begin_again(tmp_path: Path) -> None:
    # Given a watch whose thread has died of an error, as the library's does where folders come and go fast
    news = threading.Event()
    watcher = Watcher(news.set)
    watcher.watch(tmp_path, "inotify", recursive=True)
    watcher.start()
    try:
        assert watcher._observer is not None
        watcher._observer._inotify_fd.read_events = lambda **_: 1 / 0  # type: ignore[method-assign,assignment]
        (tmp_path / "a").touch()
        wait_for("the end of the thread", lambda: not watcher.alive())
        assert not watcher.trusted(tmp_path)
        # When the daemon looks / Then it is told again
        watcher.refresh(tmp_path)
        assert watcher.alive()
        news.clear()
        (tmp_path / "b").touch()
        wait_for("the news", news.is_set)
    finally:
        watcher.stop()


def test_an_inbox_that_is_a_link_is_watched(tmp_path: Path) -> None:
    # Given an inbox that is a symbolic link to a folder elsewhere
    (tmp_path / "real").mkdir()
    (tmp_path / "inbox").symlink_to("real")
    news, writers = threading.Event(), FileWriters(os.path.realpath(tmp_path / "inbox"))
    watcher = Watcher(news.set)
    watcher.watch(tmp_path / "inbox", "inotify", recursive=True, writers=writers)
    watcher.start()
    try:
        (tmp_path / "inbox" / "a.yaml").write_text("x")
        wait_for("the news", news.is_set)
        wait_for("the writer to be told of", lambda: writers.of("a.yaml") is Writing.CLOSED)
    finally:
        watcher.stop()


def test_a_filesystem_that_was_mounted_again_is_watched_anew(disk: Callable[[int], Disk]) -> None:
    # Given a watched folder that is a mount
    one, news = disk(16), threading.Event()
    watcher = Watcher(news.set)
    watcher.watch(one.root, "inotify", recursive=True)
    watcher.start()
    try:
        before = one.root.stat()
        one.unmount()
        one.mount()
        # When the same filesystem is mounted again, so that device and inode are as before
        assert one.root.stat().st_ino == before.st_ino
        wait_for("the end of the watch to be told", lambda: not watcher.trusted(one.root))
        watcher.refresh(one.root)
        # Then what happens there is told
        news.clear()
        (one.root / "a.yaml").touch()
        wait_for("the news", news.is_set)
    finally:
        watcher.stop()


def test_folders_that_the_kernel_refuses_to_watch_are_not_trusted_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a kernel that has no watch left but for the watched folder itself
    add = InotifyFD.add_callback

    def refusing(self: InotifyFD, path: bytes, *more: Any) -> Any:
        if path != os.fsencode(tmp_path):
            raise OSError(errno.ENOSPC, "inotify watch limit reached")
        return add(self, path, *more)

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    monkeypatch.setattr(InotifyFD, "add_callback", refusing)
    watcher = Watcher(lambda: None)
    watcher.watch(tmp_path, "inotify", recursive=True)
    watcher.start()
    try:
        # Then what is in it is not trusted, and it is named when two looks have found it so: a new folder is watched soon
        assert watcher.trusted(tmp_path)
        found = []
        for folders in (["a"], ["a"], ["a", "b"], ["a", "b"]):
            assert not watcher.trusted(tmp_path, folders)
            found.append(watcher.unwatched(tmp_path))
        one, both = Unwatched(WATCHES, 1, "a"), Unwatched(WATCHES, 2, "a")
        assert found == [None, one, one, both]
        assert watcher.trusted(tmp_path, [])
        assert watcher.unwatched(tmp_path) is None
    finally:
        watcher.stop()


#: Watches a folder; says when it is watched, and when notifications are not trusted any more.
WATCHING = """
import sys, threading
from pathlib import Path
from daemon.intake.watcher import Watcher
folder, news = Path(sys.argv[1]), threading.Event()
watcher = Watcher(news.set)
watcher.watch(folder, "inotify", recursive=True)
watcher.start()
print("watching", flush=True)
while watcher.trusted(folder):
    news.wait()
    news.clear()
print("doubting", flush=True)
watcher.stop()
"""


@pytest.mark.usefixtures("processes")
def test_lost_notifications_are_told_and_not_trusted_for_a_while(tmp_path: Path) -> None:
    # Given a watcher that is asleep while more happens than the kernel keeps for it
    with subprocess.Popen([sys.executable, "-c", WATCHING, tmp_path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "watching\n"
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        for number in range(kept_notifications() // 3 + 10):  # made, opened, closed
            (tmp_path / f"{number}.yaml").touch()
        # When it wakes / Then it is told of the loss, and knows that it cannot rely on what it hears
        process.send_signal(signal.SIGCONT)
        assert process.stdout.readline() == "doubting\n"


def test_what_the_daemon_does_itself_is_no_news() -> None:
    heard: list[str] = []
    hint = _EventHandler(lambda: heard.append("news"))
    hint.on_any_event(FileMovedEvent("/in/a.yaml", "/in/.claimed/job-1/manifest.yaml"))
    hint.on_any_event(FileDeletedEvent("/in/.claimed/job-1/source"))
    hint.on_any_event(DirCreatedEvent("/in/.claimed/job-1"))
    for folder in ("/in", "/in/.claimed", "/in/.claimed/job-1"):
        hint.on_any_event(DirModifiedEvent(folder))
    hint.on_any_event(FileOpenedEvent("/in/a.yaml"))
    assert heard == []
    hint.on_any_event(FileMovedEvent("/in/.a.yaml.tmp", "/in/a.yaml"))
    hint.on_any_event(FileClosedEvent("/in/b.yaml"))
    assert heard == ["news", "news"]
