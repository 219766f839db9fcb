"""Jobs in a terminal: the list fits 80 columns with nothing cut, and one job is shown in words."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from daemon.cli.job_view import describe, job_table, with_iso_times
from daemon.jobs.record import Job
from daemon.outbox.status_file import status_of

ID = "job-20261128T130047Z-0a1b2c3d"
LONG = "a-name-that-is-longer-than-its-column-in-a-terminal"


def job(**more: Any) -> Job:
    return Job(id=ID, name="hello", source="hello.yaml", accepted=1_795_870_847.0, stages=("tts", "deliver"), **more)


def listed(*jobs: dict[str, Any], width: int = 80) -> list[str]:
    console = Console(width=width, force_terminal=False, color_system=None)
    with console.capture() as capture:
        console.print(job_table(jobs, width))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_at_80_columns_id_date_and_name_are_whole() -> None:
    # Given jobs with the longest state, a long name, brackets that are no colours, and something to tell of each
    waiting = status_of(job(state="waiting"))
    waiting["waiting_for"] = ["portrait-of-somebody-with-a-long-name.png"]
    rows = [status_of(job(state="cancelled", error={"code": "cancelled"})), {**waiting, "name": LONG}]
    lines = listed(*rows, {"job": None, "name": "[red]new", "state": "waiting", "accepted": None})
    # Then ids and dates stand in one piece, and the parts of a name that had to be folded are all there
    assert max(map(len, lines)) <= 80
    assert [line.startswith(f"{ID}  2026-11-28 13:00Z  ") for line in lines[1:4]] == [True, False, True]
    folded = "".join(line.split()[-1] for line in lines[3:])
    assert LONG in folded
    assert "portrait-of-somebody-with-a-long-name.png" in folded
    assert "[red]new" in lines[-1]
    # And on a wide terminal each job has one line
    assert len(listed(rows[0], width=120)) == 2


def test_a_failed_job_is_shown_in_sentences() -> None:
    failed = job(state="failed", finished=1_795_870_860.5, warnings=["The picture is small."])
    failed.error = {
        "code": "no-face",
        "message": "No face was found.",
        "hint": "Use another.",
        "fault": "job",
        "stage": "tts",
    }
    failed.manifest = {"metadata": {"order": 7, "note": "red\x1b[31m"}}
    failed.note("error", code="no-face", stage="tts", traceback="a\nb")
    history = [{**entry, "asked": {"head": 0.5}} for entry in with_iso_times(failed.history)]
    known = {**status_of(failed), "history": history, "new_key": [1]}
    text = "\n".join(describe(known, 80))
    # Then the reason and the remedy come first, in words, and nothing that is known is left out but the traceback
    assert text.startswith("hello: failed\nerror           No face was found. (no-face, fault: job in the stage tts)\n")
    assert "what to do      Use another." in text
    assert "warning         The picture is small." in text
    assert "accepted        2026-11-28 13:00:47Z" in text
    assert "  order             7" in text
    assert "new_key" in text
    assert "error code: no-face, stage: tts, asked: {head:" in text
    # And it is no Python, and nothing in it can control the terminal
    assert "{'" not in text
    assert "traceback" not in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_progress_and_a_hold_are_told() -> None:
    running = status_of(job(state="running", stage="tts"), progress=0.25, eta_s=12.0)
    assert any("25%, in the stage tts, about 12 s of work left" in line for line in describe(running, 80))
    held = status_of(
        job(state="held", stage="tts", held={"by": "ann", "reason": "wrong voice", "since": 1_795_870_847.0})
    )
    assert "held            by ann since 2026-11-28 13:00:47Z: wrong voice" in list(describe(held, 80))
