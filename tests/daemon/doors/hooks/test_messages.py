"""A message says what its template wants, and no value of a job can say more."""

from __future__ import annotations

import json
from typing import Any

import pytest

from daemon.config import Settings
from daemon.config.hooks import Hook, Hooks
from daemon.doors.hooks.message import message_of, receivers
from daemon.errors import ConfigError
from daemon.jobs.facts import RowOf
from daemon.jobs.record import Job, new_job_id
from daemon.outbox import looks
from tests.daemon.doors.hooks.conftest import Place

SLACK = '{"text": "{name} is {state}: {error.message}"}'
MAIL = "To: anna@example.com\nSubject: {name} is {state}\n\n{error.message}\n"
#: What people, and whoever wants to harm them, write.
HOSTILE = 'a", "channel": "#all\\ {state}\n\r\n.\nBcc: all@example.com \u2028\x1b[31m\udcff'


def ended(state: Any = "failed", **manifest: Any) -> Job:
    job = Job(new_job_id(), "hello", "hello.yaml", by="anna", state=state, manifest={"kind": "speech", **manifest})
    job.accepted = job.finished = 1_800_000_000.0
    if state != "done":
        job.error = {"code": "text-too-long", "message": HOSTILE, "hint": "", "fault": "job", "stage": "tts"}
    return job


def told(job: Job, place: Place, **keys: Any) -> bytes:
    message = message_of(job, place.root / "outbox")
    assert message is not None
    return message.body(Hook(name="a", url="https://a.example/", **keys))


def test_a_value_stays_in_its_place_in_json_and_in_one_line_of_text(place: Place) -> None:
    # In JSON it is a part of its string
    assert json.loads(told(ended(), place, body=SLACK)) == {"text": f"hello is failed: {HOSTILE}"}
    # In a mail it begins no line of its own
    mail = told(ended(), place, body=MAIL, content_type="text/plain").decode()
    assert mail.splitlines()[:3] == ["To: anna@example.com", "Subject: hello is failed", ""]
    assert len(mail.splitlines()) == 4
    assert "\x1b" not in mail
    # And without a template the whole status is told, whatever is in it
    assert json.loads(told(ended(), place))["data"]["error"]["message"] == HOSTILE


def test_a_hook_hears_of_the_jobs_that_it_is_for(place: Place) -> None:
    url = "https://a.example/"
    hooks = Hooks(
        targets=[
            Hook(name="all", url=url),
            Hook(name="failures", url=url, when=["failed", "cancelled"]),
            Hook(name="batches", url=url, kinds=["batch"]),
            Hook(name="bob", url=url, by=["bob"]),
            Hook(name="tagged", url=url, tags=["news", "order=7"]),
            Hook(name="whole", url=url, kinds=["detect"], rows=False),
            Hook(name="looks", url=url, tags=[looks.TAG]),
        ]
    )

    def heard(job: Job) -> list[str]:
        message = message_of(job, place.root / "outbox")
        return [] if message is None else [name for name, *_ in receivers(message, None, hooks, was_accepted=True)]

    assert heard(ended("done")) == ["all"]
    assert heard(ended("cancelled")) == ["all", "failures"]
    assert heard(ended("done", kind="batch")) == ["all", "batches"]
    row = ended("done", kind="detect")
    assert heard(row) == ["all", "whole"]
    row.facts.row = RowOf("job-20260102T030405Z-0a1b2c3d", "names", 1)
    assert heard(row) == ["all"]
    assert heard(ended("done", metadata={"tags": ["news", "x"], "order": 7})) == ["all", "tagged"]
    assert heard(ended("running")) == []
    # And of the page's own looks only who asks for them; the tag alone makes none
    look = ended("failed", **looks.marked())
    assert heard(look) == ["all", "failures", "looks"]
    look.name = f"{looks.PREFIX}0a1b2c3d"
    assert heard(look) == ["looks"]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({}, "one of `command`, `url` and `url_file`"),
        ({"url": "https://a.example/", "command": ["true"]}, "one of `command`, `url` and `url_file`"),
        ({"url": "ftp://a.example/"}, "begins with https://"),
        ({"url": "https://anna:pw@a.example/"}, "token_file"),
        ({"url": "https://a.example/", "body": '{"text": "{nmae}"}'}, "unknown place {nmae}"),
        ({"url": "https://a.example/", "body": '{"text": {name}}'}, "is no JSON"),
        ({"url": "https://a.example/", "headers": {"X-A": "b\r\nHost: c"}}, "characters that a header may not have"),
        ({"url": "https://a.example/", "headers": {"webhook-id": "1"}}, "written by avatard itself"),
        ({"url": "https://a.example/", "allow": ["inner.example"]}, "no address or network"),
        ({"command": ["true"], "secret_file": "x"}, "does nothing beside `command`"),
    ],
)
def test_a_hook_that_cannot_work_is_refused_with_the_configuration(
    wrong: dict[str, Any], says: str, place: Place
) -> None:
    with pytest.raises(ConfigError) as refused:
        Settings.parse({"hooks": {"targets": [{"name": "a", **wrong}]}}, place.config)
    assert says in refused.value.message
