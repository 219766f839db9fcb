"""A table of many thousand rows takes little memory while it is checked, and while jobs are made of it slice by slice."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tracemalloc
from itertools import islice
from pathlib import Path

import pytest
import structlog

from daemon.intake import fair_queue
from daemon.intake.batches.resolved_rows import ResolvedRows
from daemon.intake.batches.running_batch import SLICE
from daemon.jobs.batch.files import INPUT, RESOLVED
from daemon.jobs.batch.rows import BatchInput
from tests.conftest import ROOT
from tests.support.daemon.begun_batch import begun
from tests.support.daemon.intake import Room
from tests.support.endurance import repeats

ROWS = 10_000
#: Rows that are checked, each of which takes a millisecond.
CHECKED_ROWS = repeats("AVATAR_ROWS", 4_000, 10_000)
#: Memory that a row may take until all are checked, kB: a part of what its manifest takes.
CHECKED_KB = 2.0
#: Memory that a row may take while it waits for its job, bytes; and one of the slice that jobs are made of.
WAITING_BYTES, SLICED_BYTES = 32.0, 3000.0
TEMPLATE = '{kind: speech, text: "Hello {{name}}. Welcome to the course.", output: "v{{row}}"}'


def peak_kb() -> int:
    """Return the largest resident memory of this process so far, kB."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])


def handle(root: Path, rows: int) -> None:
    """Take a table in, check it, and make the first jobs of it."""
    room = Room(root)
    room.look()
    begun(room, TEMPLATE, more="", table="name\n" + "".join(f"Person number {row}\n" for row in range(rows)))
    asyncio.run(room.service.batches.carry_on())
    assert len(room.service.ready_queue) > 0


def measure(root: Path) -> None:
    """Print how much more memory a large table takes than a small one, kB. A turn makes a few jobs only, to be quick."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    fair_queue.TURN_JOBS = 4
    handle(root / "small", 100)
    before = peak_kb()
    handle(root / "large", CHECKED_ROWS)
    print(peak_kb() - before)


@pytest.mark.usefixtures("processes")
def test_thousands_of_rows_take_little_memory_until_all_are_checked(tmp_path: Path) -> None:
    for name in ("small", "large"):
        (tmp_path / name).mkdir()
    # Given a process of its own, since one that has run other tests has memory to spare
    code = f"from pathlib import Path; from {__name__} import measure; measure(Path({str(tmp_path)!r}))"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert int(out.split()[-1]) / CHECKED_ROWS < CHECKED_KB


def test_of_ten_thousand_rows_one_slice_is_in_memory(tmp_path: Path) -> None:
    # Given a table that is checked
    (tmp_path / INPUT).write_text(json.dumps(BatchInput("", {}, {}).to_json()))
    values = {"kind": "speech", "text": "Hello Anna. Welcome to the course.", "output": "v1"}
    lines = (json.dumps({"row": row, "values": values}) + "\n" for row in range(1, ROWS + 1))
    (tmp_path / RESOLVED).write_text("".join(lines))
    # When its rows are read slice by slice
    tracemalloc.start()
    try:
        rows = ResolvedRows(tmp_path)
        read = sum(len(list(islice(rows.from_index(at), SLICE))) for at in range(0, ROWS, SLICE))
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Then what is held is where each row begins
    assert (read, len(rows)) == (ROWS, ROWS)
    assert held < WAITING_BYTES * ROWS
    assert peak - held < SLICED_BYTES * SLICE
