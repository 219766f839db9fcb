"""The messages of docs/worker.md: their form on the wire, and what is refused, and what is not, where they are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from daemon.config import Settings
from daemon.errors import AvatarError, JobError, MachineError, ResultError, UnknownError
from daemon.wire import (
    AllowTime,
    Elsewhere,
    ErrorReport,
    Heartbeat,
    InitRequest,
    LogMessage,
    Message,
    ModelChange,
    Preloaded,
    Progress,
    Ready,
    Request,
    Result,
    RunRequest,
    TimeLeft,
    read_message,
    read_request,
)

MESSAGES: list[tuple[Message, dict[str, Any]]] = [
    (Ready(pid=7, ops=("run", "preload")), {"event": "ready", "pid": 7, "ops": ["run", "preload"]}),
    (Heartbeat(), {"event": "heartbeat"}),
    (Progress(job="j", value=0.5), {"event": "progress", "job": "j", "value": 0.5}),
    (TimeLeft(job="j", value=9.0), {"event": "left", "job": "j", "value": 9.0}),
    (AllowTime(job="j", value=60.0), {"event": "allow", "job": "j", "value": 60.0}),
    (
        ModelChange(stage="tts", model="kokoro", seconds=2.0),
        {"event": "model", "stage": "tts", "model": "kokoro", "seconds": 2.0, "change": "loaded"},
    ),
    (LogMessage(level="warning", text="so"), {"event": "log", "level": "warning", "text": "so"}),
    (
        LogMessage(level="debug", text="so", job="j", stage="tts"),
        {"event": "log", "level": "debug", "text": "so", "job": "j", "stage": "tts"},
    ),
    (
        Result(job="j", facts={"why": None, "seed": 1}, warnings=["slow"]),
        {"event": "result", "job": "j", "facts": {"why": None, "seed": 1}, "warnings": ["slow"], "last": False},
    ),
    (Elsewhere(job="j", engine="coqui"), {"event": "elsewhere", "job": "j", "engine": "coqui"}),
    (
        Preloaded.failed(MachineError("models-missing", "None.", "Fetch."), "tts", 0.5, "Traceback"),
        {
            "event": "preloaded", "stage": "tts", "seconds": 0.5, "fault": "machine", "code": "models-missing",
            "message": "None.", "hint": "Fetch.", "traceback": "Traceback", "result": False,
        },
    ),
    (
        ErrorReport.of(ResultError("speech-invalid", "Noise.", "Try."), "j", "Traceback", last=True),
        {
            "event": "error", "job": "j", "fault": "machine", "code": "speech-invalid", "message": "Noise.", "hint": "Try.",
            "traceback": "Traceback", "last": True, "result": True,
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("message", "form"), MESSAGES, ids=[str(form["event"]) for _, form in MESSAGES])
def test_a_workers_message_has_the_form_of_the_contract(message: Message, form: dict[str, Any]) -> None:
    assert json.loads(message.to_line()) == form
    # And is read back, also with what a later version adds
    assert read_message(json.dumps({**form, "later": [1]}).encode()) == message


def test_the_daemons_requests_have_the_form_of_the_contract() -> None:
    settings = Settings.model_validate({"retry": {"attempts": 7}})
    run = {
        "job": "j",
        "name": "hello",
        "stage": "tts",
        "dir": "/spool/j",
        "manifest": {"text": "a"},
        "still_s": {"a": 3.0},
        "by": "otto",
    }
    requests: list[tuple[Request, dict[str, Any]]] = [
        (InitRequest(settings=settings), {"op": "init", "settings": settings.model_dump(mode="json")}),
        (RunRequest.model_validate({**run, "dir": Path("/spool/j")}), {"op": "run", **run}),
    ]
    for request, form in requests:
        assert json.loads(request.to_line()) == form
        assert read_request(json.dumps({**form, "later": [1]}).encode()) == request


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "Expecting"),
        ('["event"]', "has no event"),
        ('{"value": 0.5}', "has no event"),
        ('{"event": "ready", "pid": "me"}', "ready is invalid: pid: "),
        ('{"event": "progress", "job": "j"}', "progress is invalid: value: "),
        ('{"event": "left", "value": 9}', "left is invalid: job: "),
        ('{"event": "allow", "value": "long"}', "allow is invalid: value: "),
        ('{"event": "model", "stage": "tts", "model": "kokoro"}', "model is invalid: seconds: "),
        ('{"event": "result", "warnings": []}', "result is invalid: facts: "),
        ('{"event": "result", "facts": {}, "warnings": [{}]}', r"result is invalid: warnings\.0: "),
    ],
)
def test_a_message_that_lacks_what_the_daemon_needs_is_refused_with_its_field(line: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_message(line.encode())


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"op": "stop"}', "of no known kind"),
        ('{"op": "init", "settings": {"retry": {"attempts": -1}}}', r"init is invalid: settings\.retry\.attempts: "),
        ('{"op": "run", "job": "j", "name": "hello", "stage": "tts", "manifest": {}}', "run is invalid: dir: "),
    ],
)
def test_a_request_that_a_worker_cannot_serve_is_refused_with_its_field(line: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_request(line.encode())


def test_an_event_of_a_later_version_is_passed_over() -> None:
    assert read_message(b'{"event": "temperature", "value": 60}') is None


@pytest.mark.parametrize(
    ("report", "kind", "code"),
    [
        ({"fault": "job", "code": "no-face"}, JobError, "no-face"),
        ({"fault": "machine", "code": "disk-full"}, MachineError, "disk-full"),
        ({"fault": "machine", "code": "speech-invalid", "result": 1}, ResultError, "speech-invalid"),
        ({"fault": ["nobody"], "message": 7, "hint": None, "traceback": {}}, UnknownError, "internal-error"),
        ({}, UnknownError, "internal-error"),
    ],
)
def test_an_error_of_any_form_is_an_error_of_the_right_class(
    report: dict[str, Any], kind: type[AvatarError], code: str
) -> None:
    message = read_message(json.dumps({"event": "error", **report}).encode())
    assert isinstance(message, ErrorReport)
    error = message.to_exception()
    assert (type(error), error.code) == (kind, code)
