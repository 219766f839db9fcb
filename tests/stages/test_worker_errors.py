"""What a worker does after a stage failed: whom the error concerns, and whether the process runs on."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace
from typing import Any, cast

import pytest

from daemon.config import Settings
from daemon.errors import AvatarError, JobError, LackingError, MachineError, ResultError
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


@pytest.mark.parametrize(("code", "runs_on"), [("gpu-lost", False), ("gpu-memory", True), ("gpu-unusable", True)])
def test_a_process_that_lost_the_gpu_ends_and_one_without_room_on_it_runs_on(
    code: str, runs_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise MachineError(code, "The GPU is of no use.", "")

    monkeypatch.setattr(worker, "run_stage", fails)
    sent = Sent()
    request = cast(RunRequest, SimpleNamespace(job="j"))
    assert worker.run_and_report(request, Settings(), cast(Any, sent), "gpu") is runs_on
    (report,) = sent.messages
    assert report.last is not runs_on


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (JobError("x", "/srv/a/models/piper/b.onnx.json cannot be used.", "See /srv/a/models."), "models/piper/b.onnx.json"),
        (FileNotFoundError(2, "No such file", "/srv/a/spool/tts/running/job-1/x"), "'spool/tts/running/job-1/x'"),
        (ResultError("x", "The file (/srv/a/spool/cache/x) is wrong."), "(cache/x)"),
        (JobError("x", "Not “/srv/a/models-2/x” or “my/srv/a/models/x”."), "“/srv/a/models-2/x” or “my/srv/a/models/x”"),
        # An operator needs the whole path, and no status shows this
        (MachineError("model-missing", "/srv/a/models/x does not exist."), "/srv/a/models/x"),
    ],
)  # fmt: skip
def test_what_people_read_names_no_folder_of_the_machine(
    error: Exception, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(worker, "run_stage", fails)
    sent = Sent()
    folders = {"models": "/srv/a/models", "spool": "/srv/a/spool", "cache": "/srv/a/spool/cache"}
    settings = Settings.model_validate({"paths": folders})
    worker.run_and_report(cast(RunRequest, SimpleNamespace(job="j")), settings, cast(Any, sent), "cpu")
    assert told in sent.messages[0].message


def test_a_failed_stage_keeps_no_memory_until_python_looks_for_cycles(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a stage whose frames hold much when it fails, for a reason that another process would not mend
    class Tensor:
        pass

    held: list[weakref.ref[Tensor]] = []

    def fails(*_: object) -> None:
        tensor = Tensor()
        held.append(weakref.ref(tensor))
        try:
            raise RuntimeError("CUDA error")
        except RuntimeError as exc:
            raise MachineError("gpu-unusable", "The GPU is of no use.") from exc

    monkeypatch.setattr(worker, "run_stage", fails)
    monkeypatch.setattr(worker, "preload_stage", fails)
    gc.disable()
    try:
        # When it has told the error, of a job or of a load ahead, then that is free
        worker.run_and_report(cast(RunRequest, SimpleNamespace(job="j")), Settings(), cast(Any, Sent()), "gpu")
        worker.preload_and_report("tts", Settings(), cast(Any, Sent()), "gpu")
    finally:
        gc.enable()
    assert [ref() for ref in held] == [None, None]


@pytest.mark.parametrize("gives_way", [True, False], ids=["others give way", "nobody gives way"])
def test_a_stage_that_can_do_without_the_gpu_does_when_no_memory_is_left_to_free(
    gives_way: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []

    def run(ctx: Any) -> dict[str, Any]:
        tries.append("with")
        ctx.warnings.append("The text has a word in capitals.")
        raise MachineError("gpu-memory", "It is full.")

    def without(ctx: Any, lacking: MachineError) -> dict[str, Any]:
        tries.append("without")
        ctx.warnings.append("The text has a word in capitals.")
        return {"why": lacking.message}

    monkeypatch.setattr(worker, "release_other_models", lambda stage: gives_way)
    monkeypatch.setattr(gc, "collect", lambda: 0)  # it would look at all that the tests before have left
    context = cast(Any, SimpleNamespace(report_model=lambda memory: None, warnings=["It was folded."]))
    # Given a stage that needs the GPU, then the error is told
    with pytest.raises(MachineError, match="It is full"):
        worker.run_with_room(SimpleNamespace(run=run), context, "generate")
    assert tries == ["with"] * (1 + gives_way)
    # Given one that does not, then it is done without, after the same tries
    tries.clear()
    able = SimpleNamespace(run=run, run_without_gpu=without)
    assert worker.run_with_room(able, context, "lipsync") == {"why": "It is full."}
    assert tries == [*["with"] * (1 + gives_way), "without"]
    # And what each try warned of is told once
    assert context.warnings == ["It was folded.", "The text has a word in capitals."]
