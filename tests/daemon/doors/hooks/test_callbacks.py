"""A host that jobs name in `notify` and that the running hooks do not know is waited for, and seen."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from daemon.doors.hooks import deliver, metrics
from tests.conftest import wait_for
from tests.daemon.doors.hooks.conftest import Place
from tests.support.daemon.receiver import Receiver

ALLOWED = {"127.0.0.1": {"allow": ["127.0.0.1"], "plain_http": True}}


@pytest.mark.parametrize("way", ["reload", "start"])
def test_a_host_that_the_hooks_do_not_know_yet_is_told_once_they_do(
    place: Place, receiver: Callable[..., Receiver], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    # Given hooks that run since before a host was allowed
    monkeypatch.setattr(deliver, "DELAYS_S", (3600.0,) * 10)
    monkeypatch.setattr(metrics, "FILE_S", 0.0)
    studio, textfile = receiver(), place.root / "hooks.prom"
    place.configure(textfile=str(textfile))
    with capture_logs() as logs, place.run() as running:
        # When a job ends that the daemon took in since
        job = place.end(stages=("tts",), manifest={"notify": studio.url})
        tried = wait_for("an attempt", lambda: [one for one in place.store.find(state="waiting") if one.attempts])[0]
        # Then it waits, and that is said in the queue, the log and the figures
        assert (tried.job, tried.hook) == (job, "notify:127.0.0.1")
        assert tried.note.startswith("Not allowed: `notify` names the host 127.0.0.1, which")
        assert "systemctl reload avatard-hooks" in tried.note
        assert [one["note"] for one in logs if one["event"] == "not delivered, is tried again"] == [tried.note]
        wait_for("its figure", lambda: ("notify:127.0.0.1", 1.0) in failing(textfile))
        assert studio.connections == 0
        # And it is told once the hooks know the host
        place.configure(callbacks=ALLOWED)
        if way == "reload":
            running.service.read_again()
            place.deliveries(1)
    if way == "start":
        with place.run():
            place.deliveries(1)
    (got,) = studio.received
    assert json.loads(got.body)["data"]["job"] == job


def failing(textfile: Path) -> set[tuple[str, float]]:
    """The hooks with messages that were tried in vain, and how many."""
    text = textfile.read_text() if textfile.exists() else ""
    return {
        (sample.labels["hook"], sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "avatar_hook_failing_deliveries"
    }


def test_a_message_to_a_host_that_is_never_allowed_is_given_up_in_the_end(
    place: Place, receiver: Callable[..., Receiver]
) -> None:
    studio = receiver()
    with place.run():
        place.end(stages=("tts",), manifest={"notify": studio.url})
        (given_up,) = place.deliveries(1, "dead")
    assert (given_up.attempts, studio.connections) == (len(deliver.DELAYS_S) + 1, 0)
    assert given_up.note.startswith("Not allowed: ")


def test_a_job_that_was_refused_calls_no_host_that_is_not_allowed_and_queues_nothing(place: Place) -> None:
    place.configure(callbacks=ALLOWED)
    error = {"code": "notify-not-allowed", "message": "…", "hint": None, "fault": "job", "stage": "accept"}
    with place.run():
        place.end("refused", "failed", error=error, manifest={"notify": "https://elsewhere.example/"})
        wait_for("its end to be seen", place.store.seen)
    assert place.store.counts() == {}
