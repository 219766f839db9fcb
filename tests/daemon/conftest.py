"""What several tests of the daemon need."""

from __future__ import annotations

import functools
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from daemon.intake.jobs.companion_files import CompanionFiles
from daemon.system import fs
from tests.conftest import ROOT, Installation, made_once
from tests.support.daemon.known_faces import measure_apart
from tests.support.daemon.queue import QueueRoom, Unflushed
from tests.support.daemon.secret_file import CANARY
from tests.support.machine.disk import Disk, unavailable


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A running daemon with short waits for all tests of a file that neither end it nor change its settings.

    A test gives its jobs names that no other test uses, and leaves no pause.
    """
    one = Installation(tmp_path_factory.mktemp("shared"))
    one.start()
    yield one
    one.stop()


@pytest.fixture(scope="session", autouse=True)
def faces_known_to_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Faces that are measured once for all daemons, when the first one needs them."""

    @functools.cache
    def folder(which: str) -> Path:
        return made_once(tmp_path_factory, f"known-faces-{which}", lambda place: measure_apart(place, which))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.support.daemon.known_faces.folder_of", folder)
        yield


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Disk]]:
    """Makes small ext4 disks; skips where that is not allowed. What uses them must have ended before the test does."""
    if why := unavailable():
        pytest.skip(why)
    made: list[Disk] = []

    def make(size_mb: int) -> Disk:
        made.append(Disk(tmp_path / f"disk{len(made)}", size_mb))
        return made[-1]

    yield make
    for one in made:
        one.unmount()


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[Path], None]]:
    """Mounts small filesystems in memory; whatever is still mounted at the end is unmounted."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a filesystem")
    points: list[Path] = []

    def mount(point: Path) -> None:
        command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(point)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("mounting is not allowed here")
        points.append(point)

    yield mount
    for point in points:
        subprocess.run(["umount", "-l", str(point)], capture_output=True, check=False)


@pytest.fixture
def strangers_folder() -> Iterator[Path]:
    """A folder that every user can reach (pytest's own is closed to others)."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture
def foreground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a run in the foreground works, in a home of the test's own without any configuration."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("AVATAR_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache" / "avatard" / "foreground"


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A file outside that nobody may read into a result, nor write."""
    path = tmp_path / "outside" / "canary"
    path.parent.mkdir()
    path.write_bytes(CANARY)
    before = path.stat()
    yield path
    after = path.stat()
    assert path.read_bytes() == CANARY
    assert (after.st_ino, after.st_mtime_ns, after.st_mode) == (before.st_ino, before.st_mtime_ns, before.st_mode)
    assert [entry.name for entry in path.parent.iterdir()] == ["canary"]


@pytest.fixture(autouse=True)
def close_kept_copies(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Closes the copies of files that the intakes in this process keep at hand: at the end of the test, and when called."""
    closes: list[Callable[[], object]] = []
    make = CompanionFiles.__init__

    def noted(one: CompanionFiles) -> None:
        make(one)
        closes.append(one.close)

    def close() -> None:
        while closes:
            closes.pop()()

    monkeypatch.setattr(CompanionFiles, "__init__", noted)
    yield close
    close()


@pytest.fixture
def memory() -> Iterator[Path]:
    """An empty folder, in memory where there is such a place."""
    place = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=place if os.access(place, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture
def ops(monkeypatch: pytest.MonkeyPatch) -> Unflushed:
    """The calls that change files, noted and without flushes."""
    calls = Unflushed()
    monkeypatch.setattr(fs, "OPS", calls)
    return calls


@pytest.fixture
def room(memory: Path, ops: Unflushed) -> Iterator[QueueRoom]:
    """A queue without a daemon."""
    with capture_logs():  # printing a traceback takes a second
        yield QueueRoom(memory, ops)


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of modules that other processes import in place of the real ones; PyTorch, which takes them seconds, is broken."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "torch.py").write_text("raise ValueError('no GPU of its kind')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(ROOT)]))
    return folder
