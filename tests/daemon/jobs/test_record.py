"""The record of a job."""

from __future__ import annotations

import json
from typing import Any

import pytest

from daemon.jobs.facts import JobFacts
from daemon.jobs.record import Job, new_job_id, unreadable_record


def test_a_failed_job_tells_what_was_wrong_whose_fault_it_was_and_what_to_do() -> None:
    job = Job(id=new_job_id(), name="hello", source="hello.yaml")
    job.set_error(unreadable_record("it is empty"), "tts")
    assert job.to_json()["error"] == {
        "code": "job-unreadable",
        "message": "The job's record cannot be read: it is empty.",
        "hint": "Drop the manifest again.",
        "fault": "machine",
        "stage": "tts",
    }


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"tts": {"audio_s": 2.0}, "sources": {"source.audio": {"path": "a.wav", "file": [1, 2], "still_s": 3.0}}},
        {"sources": {"source.audio": {"path": "a.wav", "file": None, "still_s": 3.0}}, "restart": ["source.audio"]},
        {"restart": True},  # of an earlier version
        {"path": "in/a.yaml", "missing": ["p.png"], "waits_since": {"boot": "b", "at": 7.5}},
    ],
)
def test_facts_are_stored_as_earlier_versions_read_them(stored: dict[str, Any]) -> None:
    job = Job(id=new_job_id(), name="hello", source="hello.yaml", facts=JobFacts.parse(stored))
    record = json.loads(json.dumps(job.to_json()))
    assert record["facts"] == stored
    assert Job.from_bytes(json.dumps(record).encode()) == job


def test_keys_of_another_version_are_neither_refused_nor_lost() -> None:
    job = Job(id=new_job_id(), name="hello", source="hello.yaml", held={"by": "anna", "reason": "", "since": 1.0})
    job.set_error(unreadable_record("it is empty"), "tts")
    job.note("error", code="no-face")
    record = job.to_json()
    # Given a record with keys that this version does not know, and without one that it writes
    for part in (record["error"], record["history"][0], record["held"], record["outputs"]):
        part["later"] = {"more": [1]}
    record["facts"]["tts"] = {"later": 2}
    del record["error"]["hint"]
    stored = json.loads(json.dumps(record))
    # When it is read and written, then it is the same
    assert json.loads(json.dumps(Job.from_bytes(json.dumps(stored).encode()).to_json())) == stored


@pytest.mark.parametrize("stored", [[], {"sources": {"x": {}}}, {"waits_since": {"boot": "b"}}, {"tts": 3}])
def test_a_record_with_damaged_facts_is_no_record(stored: object) -> None:
    record = Job(id=new_job_id(), name="hello", source="hello.yaml").to_json() | {"facts": stored}
    with pytest.raises(ValueError, match="facts"):
        Job.from_bytes(json.dumps(record).encode())
