"""What a worker does after a stage failed: whom the error concerns, and whether the process runs on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from daemon.config import Settings
from daemon.errors import AvatarError, LackingError, MachineError, ResultError
from daemon.wire import ErrorReport, RunRequest
from stages import worker


class Sent:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def send(self, message: Any) -> None:
        self.messages.append(message)


@pytest.mark.parametrize(
    ("error", "runs_on"),
    [
        (LackingError("encoder-missing", "ffmpeg has no encoder libx265."), True),
        (ResultError("speech-invalid", "That is noise."), False),
    ],
    ids=["a part is lacking", "the result is wrong"],
)
def test_a_fault_that_concerns_one_job_stops_no_lane_and_only_a_wrong_result_ends_the_process(
    error: AvatarError, runs_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(worker, "run_stage", fails)
    sent = Sent()
    request = cast(RunRequest, SimpleNamespace(job="j"))
    assert worker.run_and_report(request, Settings(), cast(Any, sent), "cpu") is runs_on
    (report,) = sent.messages
    assert isinstance(report, ErrorReport)
    assert report.last is not runs_on
    told = report.to_exception()
    assert (type(told), told.fault, told.code) == (ResultError, "machine", error.code)
    assert not isinstance(told, MachineError)  # which pauses the lane for all jobs
