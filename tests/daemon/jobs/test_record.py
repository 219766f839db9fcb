"""The record of a job."""

from __future__ import annotations

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
