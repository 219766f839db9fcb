"""A cancelled stage is asked to end, and its worker keeps its models; one that does not answer is killed after a bound."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.config import Settings
from daemon.errors import JobError, WorkerDied
from daemon.wire import CancelRequest, InitRequest, RunRequest
from daemon.workers.process import WorkerProcess
from stages.requests import Requests, StageCancelled
from tests.conftest import Installation
from tests.support.daemon.worker_seam import Gates


@pytest.fixture
def seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A job's folder; workers do what magic words in the text say."""
    gates = Gates(Installation(tmp_path), tmp_path / "seam")
    for key, value in (("PYTHONPATH", str(tmp_path / "seam")), ("TEST_GATES", str(gates.folder))):
        monkeypatch.setenv(key, value)
    (tmp_path / "job").mkdir()
    return tmp_path / "job"


def speech(folder: Path, text: str, job: str = "job-1") -> RunRequest:
    return RunRequest(job=job, name="a", stage="tts", dir=folder, manifest={"kind": "speech", "text": text})


def worker(cancel_s: float) -> WorkerProcess:
    return WorkerProcess("voice", Settings.model_validate({"lanes": {"cancel_s": cancel_s}}), lambda _: None)


async def begun(child: WorkerProcess, request: RunRequest) -> asyncio.Task[object]:
    """Return the run of a stage that has reported progress."""
    reported = asyncio.Event()
    run = asyncio.create_task(child.run(request, 600.0, lambda _: reported.set()))
    told = asyncio.create_task(reported.wait())
    await asyncio.wait({told, run}, return_when=asyncio.FIRST_COMPLETED)
    assert not run.done(), run.exception()
    return run


@pytest.mark.usefixtures("processes")
def test_a_cancelled_stage_ends_at_its_next_report_and_its_process_does_the_next_job(seam: Path) -> None:
    async def live() -> None:
        child = worker(cancel_s=10.0)
        try:
            run = await begun(child, speech(seam, "Be patient."))
            pid = child.pid
            # When its job is cancelled, as often as the daemon asks
            for _ in range(3):
                await child.cancel("job-1")
            # Then the stage ends
            with pytest.raises(JobError) as error:
                await run
            assert error.value.code == "cancelled"
            # And the same process runs the same job again, as after a retry, and another one
            for job in ("job-1", "job-2"):
                run = await begun(child, speech(seam, "Be patient.", job))
                assert child.pid == pid
                await child.cancel(job)
                with pytest.raises(JobError):
                    await run
        finally:
            await child.stop(0)

    asyncio.run(live())


@pytest.mark.usefixtures("processes")
def test_a_stage_that_never_reports_is_killed_after_the_bound(seam: Path) -> None:
    async def live() -> None:
        child = worker(cancel_s=0.1)
        run = asyncio.create_task(child.run(speech(seam, "This lasts forever."), 600.0, lambda _: None))
        try:
            while not child._running:  # its process has begun to work on it
                await asyncio.sleep(0.01)
            # When it is cancelled, and asked again and again, as the daemon does
            while not run.done():
                await child.cancel("job-1")
                await asyncio.sleep(0.01)
            with pytest.raises(WorkerDied):
                await run
            # Then no process is left
            assert child.pid is None
        finally:
            await child.stop(0)

    asyncio.run(live())


@pytest.mark.usefixtures("processes")
def test_with_a_bound_of_nothing_a_worker_is_killed_at_once(seam: Path) -> None:
    async def live() -> None:
        child = worker(cancel_s=0.0)
        run = await begun(child, speech(seam, "Be patient."))
        await child.cancel("job-1")
        with pytest.raises(WorkerDied):
            await run

    asyncio.run(live())


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in reversed(ends):  # the thread that reads sees the end first
        os.close(end)


def test_a_cancel_that_comes_too_late_does_not_end_a_later_run(pipe: tuple[int, int]) -> None:
    # Given a job that ended by itself just before its cancel, and is tried again
    inlet, outlet = pipe[1], Requests(pipe[0])
    requests = iter(outlet)
    run, cancel = speech(Path("/nowhere"), "Hello."), CancelRequest(job="job-1")
    os.write(inlet, run.to_line() + cancel.to_line())
    os.write(inlet, InitRequest(settings=Settings()).to_line())  # once it has come, so has the cancel
    assert next(requests) == run
    assert isinstance(next(requests), InitRequest)
    with pytest.raises(StageCancelled):
        outlet.check("job-1")
    outlet.check("job-2")
    # Then its next run goes on; a line may come in pieces
    line = run.to_line()
    os.write(inlet, line[:10])
    os.write(inlet, line[10:])
    assert next(requests) == run
    outlet.check("job-1")
