"""Programs end with the process that started them, however early it ends."""

from __future__ import annotations

import os
import select
import subprocess
import sys

import pytest

from tests.conftest import PATIENCE_S

#: Starts a program that takes very long, in the way of a first start. Then copies of it do so in the way of later ones, and each
#: is killed at once, while that program may still be on its way. All of them hold the pipe.
KILLED_AT_THE_START = """
import os, signal, sys
from daemon.system.process import start_program
pipe = int(sys.argv[1])
start = lambda: start_program(["/bin/sleep", "900"], pass_fds=(pipe,))
start()
for _ in range(60):
    copy = os.fork()
    if copy == 0:
        start()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(copy, 0)
"""


@pytest.mark.usefixtures("processes")
def test_a_program_ends_with_a_process_that_is_killed_right_after_its_start() -> None:
    reading, writing = os.pipe()
    try:
        subprocess.run([sys.executable, "-c", KILLED_AT_THE_START, str(writing)], pass_fds=(writing,), check=True)
        os.close(writing)
        # Then the pipe ends, since none of the programs is left
        assert select.select([reading], [], [], PATIENCE_S)[0]
    finally:
        os.close(reading)
