"""A worker that cannot be started is the machine's fault, however the start fails: no job is charged for it."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from daemon.config import Settings
from daemon.errors import MachineError, WorkerDied
from daemon.wire import RunRequest
from daemon.workers.process import WorkerProcess
from stages.media.ffmpeg import FfmpegProcess

FACE = RunRequest(job="j", name="hello", stage="face", dir=Path("/nowhere"), manifest={})


def no_program(path: Path) -> Path:
    path.write_text("This is no program.\n")
    path.chmod(0o755)
    return path


def not_executable(path: Path) -> Path:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o644)
    return path


BROKEN: dict[str, Callable[[Path], Path]] = {
    "missing": lambda path: path,
    "a folder": lambda path: path.parent,
    "not executable": not_executable,
    "no program": no_program,
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.usefixtures("processes")
def test_a_program_that_cannot_be_started_is_the_machines_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    program = str(BROKEN[kind](tmp_path / "python"))
    # Given an interpreter that cannot be run / When a stage is to run / Then the machine is at fault, and it says why
    monkeypatch.setattr(sys, "executable", program)
    child = WorkerProcess("cpu", Settings(), lambda _: None)
    with pytest.raises(MachineError) as caught:
        asyncio.run(child.run(FACE, 60.0, lambda _: None))
    assert caught.value.code == "worker-broken"
    assert program in caught.value.message
    # And an ffmpeg that cannot be run is too
    with pytest.raises(MachineError) as caught:
        FfmpegProcess([program], tmp_path)
    assert caught.value.code == "ffmpeg-missing"


def test_so_is_a_machine_that_allows_no_more_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: Any, **__: Any) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(asyncio, "create_subprocess_exec", refuse)
    child = WorkerProcess("cpu", Settings(), lambda _: None)
    with pytest.raises(MachineError) as caught:
        asyncio.run(child.run(FACE, 60.0, lambda _: None))
    assert caught.value.code == "worker-broken"


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("when", ["while its process is made", "before it is ready"])
def test_a_worker_that_is_told_to_end_while_it_starts_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    # Given a worker that never becomes ready
    program = tmp_path / "worker"
    program.write_text("#!/bin/sh\nread settings; read nothing\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    child = WorkerProcess("cpu", Settings(), lambda _: None)
    make, made = asyncio.create_subprocess_exec, []

    async def live() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def make_slowly(*args: Any, **more: Any) -> asyncio.subprocess.Process:
            if when == "before it is ready":
                go_on.set()
            begun.set()
            await go_on.wait()
            made.append(await make(*args, **more))
            return made[0]

        monkeypatch.setattr(asyncio, "create_subprocess_exec", make_slowly)
        running = asyncio.create_task(child.run(FACE, 60.0, lambda _: None))
        await begun.wait()
        while when == "before it is ready" and not child.alive:
            await asyncio.sleep(0)
        # When it is told to end / Then it does, and no fault of the machine is seen in that
        await child.stop(0)
        go_on.set()
        with pytest.raises(WorkerDied):
            await running

    asyncio.run(live())
    assert not child.alive
    assert made[0].returncode is not None


@pytest.mark.usefixtures("processes")
def test_a_worker_whose_message_is_invalid_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a worker that is ready, and whose result lacks the facts
    worker = tmp_path / "worker"
    worker.write_text(
        """#!/bin/sh\necho '{"event": "ready"}'\necho '{"event": "result", "warnings": []}'\nexec cat >/dev/null\n"""
    )
    worker.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(worker))
    child = WorkerProcess("cpu", Settings(), lambda _: None)
    # When a stage runs / Then that costs the worker, and the daemon does not take the message for a result
    with capture_logs() as logs, pytest.raises(WorkerDied):
        asyncio.run(child.run(FACE, 60.0, lambda _: None))
    assert not child.alive
    assert [line["error"] for line in logs if line["log_level"] == "error"] == [
        "the message result is invalid: facts: Field required"
    ]


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("last", [False, True])
def test_a_worker_that_lost_what_it_computes_with_gets_no_other_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: bool
) -> None:
    # Given a worker that does a stage, and asks for a new process for the next one, or not
    result = json.dumps({"event": "result", "warnings": [], "facts": {}, "last": last})
    worker = tmp_path / "worker"
    worker.write_text(
        f"""#!/bin/sh\nread settings\necho '{{"event": "ready"}}'\nwhile read request; do echo '{result}'; done\n"""
    )
    worker.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(worker))
    child = WorkerProcess("cpu", Settings(), lambda _: None)

    async def live() -> list[int | None]:
        pids = []
        for _ in range(2):
            await child.run(FACE, 60.0, lambda _: None)
            pids.append(child.pid)
        await child.stop(0)
        return pids

    first, second = asyncio.run(live())
    # Then both stages are done, by two processes or by one
    assert (first != second) is last
