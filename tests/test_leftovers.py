"""Nothing that the tests start outlives a test run that is killed."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys

import pytest

from tests.conftest import PATIENCE_S, ROOT

STARTS = """
import sys
from tests.support.machine.server_process import server_process
server = server_process([sys.executable, "-c", "print('up', flush=True); import time; time.sleep(1000)"])
sys.stdin.read()
"""


@pytest.mark.usefixtures("processes")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
def test_a_server_ends_with_a_test_run_that_is_killed() -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", STARTS], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    assert run.stdout is not None
    assert run.stdout.readline() == b"up\n"
    run.kill()
    run.wait()
    # The pipe ends only when the server, which inherited it, has ended, too.
    assert select.select([run.stdout], [], [], PATIENCE_S)[0]
    assert os.read(run.stdout.fileno(), 1) == b""
