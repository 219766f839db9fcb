"""What a benchmark starts ends with it, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PATIENCE_S = 60.0
#: Holds standard output open as long as it lives.
PROGRAM = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
BENCHMARK = f"""
import sys
from benchmarks.programs import start_program
program = start_program([sys.executable, "-c", {PROGRAM!r}])
try:
    program.wait()
finally:
    open(sys.argv[1], "w").close()
"""


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_benchmark_that_is_ended_leaves_no_program_behind(tmp_path: Path, how: signal.Signals) -> None:
    cleared = tmp_path / "cleared"
    command = [sys.executable, "-c", BENCHMARK, str(cleared)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as benchmark:
        assert benchmark.stdout is not None
        program = int(benchmark.stdout.readline())
        benchmark.send_signal(how)
        try:
            # Then the other end of the pipe is closed, which the program held open, too
            assert benchmark.communicate(timeout=PATIENCE_S)[0] == b""
        except subprocess.TimeoutExpired:
            os.kill(program, signal.SIGKILL)
            raise
    assert cleared.exists() == (how is signal.SIGTERM)  # its own end was that of an exception
