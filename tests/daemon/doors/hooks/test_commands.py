"""A program that is started for a job is bounded in every way, and is told what happened."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import pytest

from daemon.doors.hooks.command import OUTPUT_BYTES, run_command
from tests.conftest import wait_for
from tests.daemon.doors.hooks.conftest import Place

pytestmark = pytest.mark.usefixtures("processes")


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


def test_a_program_gets_the_message_on_stdin_and_the_job_in_its_environment(place: Place) -> None:
    code = "import os, sys; open('told', 'w').write(os.environ['AVATAR_STATE'] + sys.stdin.read())"
    place.configure({"name": "tell", "command": python(code.replace("'told'", repr(str(place.root / "told"))))})
    with place.run():
        place.end("hello; touch x", "failed")
        (done,) = place.deliveries(1)
    told = (place.root / "told").read_text()
    assert told.startswith('failed{"type":"job.failed"')
    assert '"name":"hello; touch x"' in told
    assert done.attempts == 1


def test_a_program_that_fails_is_started_again(place: Place) -> None:
    mark = place.root / "mark"
    code = f"import os; d = os.path.exists({str(mark)!r}); open({str(mark)!r}, 'w'); print('no mail'); os._exit(0 if d else 3)"
    place.configure({"name": "mail", "command": python(code)})
    with place.run():
        place.end()
        (done,) = place.deliveries(1)
    assert done.attempts == 2


def test_a_program_that_hangs_is_killed_with_what_it_started(tmp_path: Any) -> None:
    # Given one that starts another, which holds the pipe open and ignores signals
    pid = tmp_path / "pid"
    code = f"import subprocess; p = subprocess.Popen(['sleep', '1000']); open({str(pid)!r}, 'w').write(str(p.pid)); p.wait()"
    ended = run_command(python(code), b"", {}, 2.0)
    assert ended.code is None
    wait_for("the other one to be gone", lambda: not os.path.exists(f"/proc/{pid.read_text()}/fd/0"))


def test_neither_a_flood_nor_a_program_that_reads_nothing_holds_anybody_up() -> None:
    # Given one that prints without end before its time is over
    flood = run_command(python("import sys\nwhile True: sys.stdout.write('x' * 65536)"), b"", {}, 1.0)
    assert (flood.code, len(flood.output), flood.cut) == (None, OUTPUT_BYTES, True)
    # And one that prints more than is kept and ends well, without reading a message larger than a pipe
    large = run_command(python("print('x' * 10**6)"), b"y" * 10**6, {}, 60.0)
    assert (large.code, len(large.output), large.cut) == (0, OUTPUT_BYTES, True)
    # And one that leaves a process behind that holds its output
    began = time.monotonic()
    left = run_command(["sh", "-c", "sleep 1000 & echo done"], b"", {}, 600.0)
    assert (left.code, left.output) == (0, "done\n")
    assert time.monotonic() - began < 600.0
