"""Memory limits: the lowest that holds, as the kernel tells it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.system.memory import available_mb, limit_mb, machine_mb, memory_mb, process_memory_mb

LIMIT = 512 * 2**20
ASK = "from daemon.system.memory import memory_mb; print(round(memory_mb() * 1e6))"


def groups(root: Path, membership: str, files: dict[str, str]) -> tuple[Path, Path]:
    for name, content in files.items():
        path = root / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (root / "cgroup").write_text(membership)
    return root / "cgroup", root / "groups"


@pytest.mark.parametrize(
    ("membership", "files", "limit"),
    [
        # Version 2: the service's own limit is wider than the slice's above it
        (
            "0::/a.slice/b.service\n",
            {"a.slice/memory.max": "300000000\n", "a.slice/b.service/memory.max": "max\n"},
            300,
        ),
        # Both versions, memory still in version 1, and a container that sees the host's path
        ("4:cpu,memory:/host/path\n0::/x\n", {"memory/memory.limit_in_bytes": "200000000\n"}, 200),
        ("4:memory:/a\n0::/\n", {"memory/a/memory.limit_in_bytes": "9223372036854771712\n"}, None),
        ("0::/\n", {"unified/memory.max": "max\n"}, None),
    ],
)
def test_the_lowest_limit_of_all_groups_counts(
    tmp_path: Path, membership: str, files: dict[str, str], limit: float | None
) -> None:
    where = groups(tmp_path, membership, files)
    found = limit_mb(*where)
    assert (found if found and found < 1e9 else None) == limit
    assert memory_mb(*where) == min(machine_mb(), limit or machine_mb())


#: Maps a file of 64 MB, reads all of it, and waits; with "hold" it copies the file to memory of its own, with "share" to memory
#: that it could share. Prints what it thinks it holds, in MB.
MAPS = """
import mmap, sys
from daemon.system.memory import own_memory_bytes
with open(sys.argv[1], "rb") as file:
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
if sys.argv[2] == "hold":
    held = bytearray(mapped)
elif sys.argv[2] == "share":
    held = mmap.mmap(-1, len(mapped))
    held.write(mapped)
else:
    held = sum(mapped[::4096])
print(own_memory_bytes() / 1e6, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def on_disk() -> Iterator[Path]:
    """A folder on a disk, also where tests have theirs in memory: only then the kernel can take back the pages of a file."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)


@pytest.mark.usefixtures("processes")
def test_what_a_process_maps_of_files_is_not_its_memory(on_disk: Path) -> None:
    # Given processes of which one has read a mapped file, as a worker reads a model, and one holds as much
    path = on_disk / "model"
    path.write_bytes(bytes(64_000_000))
    found, own = {}, {}
    for how in ("map", "hold", "share"):
        with subprocess.Popen(
            [sys.executable, "-c", MAPS, str(path), how], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            own[how] = float(process.stdout.readline())
            found[how] = process_memory_mb(process.pid)
            process.communicate()
    # Then only what the kernel cannot take back counts
    for held in (found, own):
        assert held["map"] < 40
        assert held["hold"] > 64
        assert held["share"] > 64


@pytest.fixture
def group() -> Iterator[Path]:
    """A real control group with a limit (version 1 or 2)."""
    for root, name in (
        (Path("/sys/fs/cgroup"), "memory.max"),
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
    ):
        folder = root / "avatard-test"
        if not (root / "cgroup.procs").exists():
            continue  # another filesystem stands there, or nothing
        with contextlib.suppress(OSError):
            folder.mkdir()
            try:
                (folder / name).write_text(str(LIMIT))
                yield folder
                return
            finally:
                folder.rmdir()
    pytest.skip("no control group can be made here")


@pytest.mark.usefixtures("processes")
def test_a_real_group_is_believed(group: Path) -> None:
    join = f"import os; open('{group}/cgroup.procs', 'w').write(str(os.getpid())); {ASK}"
    result = subprocess.run([sys.executable, "-c", join], capture_output=True, text=True, check=True)
    assert int(result.stdout) == LIMIT


def test_what_is_left_is_the_least_of_the_machine_and_the_groups(tmp_path: Path) -> None:
    group = tmp_path / "a.slice"
    group.mkdir()
    (tmp_path / "membership").write_text("0::/a.slice\n")
    (tmp_path / "meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable:  2000000 kB\n")
    where = (tmp_path / "membership", tmp_path, tmp_path / "meminfo")
    assert available_mb(*where) == 2048
    # Given a group with a limit / Then pages of files that nobody uses now count as free
    (group / "memory.max").write_text("1000000000\n")
    (group / "memory.current").write_text("900000000\n")
    (group / "memory.stat").write_text("anon 500000000\ninactive_file 300000000\n")
    assert available_mb(*where) == 400


#: A process with 200 MB, and a copy of it that shares them.
SHARING = """
import os, sys
memory = bytearray(os.urandom(1)) * 200_000_000
if not os.fork():
    sys.stdin.read()
    os._exit(0)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.usefixtures("processes")
def test_memory_that_a_process_shares_with_its_copy_counts_once() -> None:
    with subprocess.Popen([sys.executable, "-c", SHARING], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        found = process_memory_mb(process.pid)
    assert 200 < found < 300


_HOLES = """
from daemon.system.memory import process_memory_mb, return_large_blocks
import os

return_large_blocks()
large = b"." * 30_000_000
del large
before = process_memory_mb(os.getpid())
blocks, small = [], []
for _ in range(20):
    blocks.append(b"." * 4_000_000)
    small.append(b"." * 100_000)
blocks.clear()
print(process_memory_mb(os.getpid()) - before)
"""


@pytest.mark.usefixtures("processes")
def test_large_blocks_go_back_to_the_system_as_soon_as_they_are_freed() -> None:
    # Given a process that has freed a large block before, and whose small blocks lie between its large ones
    made = subprocess.run([sys.executable, "-c", _HOLES], capture_output=True, text=True, check=True)
    # Then of 80 MB that it has freed, hardly any is left
    assert float(made.stdout) < 20
