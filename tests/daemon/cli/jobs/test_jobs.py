"""The commands about jobs: what they find, what they answer, and what they say to people without a right."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.cli.job_lookup import which_is_meant
from daemon.history.database import FILE
from tests.conftest import Installation, wait_for
from tests.support.daemon.intake import DETECT, SPEECH
from tests.support.daemon.worker_seam import Gates
from tests.support.machine.people import ANNA, avatar_as


def listed(one: Installation, *args: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(one.avatar("jobs", "list", "--json", *args).stdout)
    return found


def test_a_manifest_that_waits_is_listed_shown_and_cancelled(shared: Installation) -> None:
    # Given a manifest whose picture is not there
    shared.drop("patient.yaml", DETECT)
    shared.reaches("patient", "waiting")

    # Then the commands know it, and what it waits for
    def known() -> dict[str, Any] | None:  # the index is written a moment after the status
        (job,) = listed(shared, "--state", "waiting")
        return job if job["job"] else None

    job = wait_for("the index", known)
    assert (job["name"], job["waiting_for"]) == ("patient", ["p.png"])
    assert "waits for p.png" in shared.avatar("jobs", "list").stdout
    assert json.loads(shared.avatar("jobs", "show", job["job"], "--json").stdout)["waiting_for"] == ["p.png"]
    assert "starts when it is released" in shared.avatar("jobs", "hold", "patient").stdout
    # And it can be cancelled
    shared.avatar("jobs", "cancel", "patient")
    assert shared.finished("patient")["job"] == job["job"]
    assert [other["state"] for other in listed(shared) if other["job"] == job["job"]] == ["cancelled"]
    assert not list(shared.inbox.glob("*.yaml"))


def test_a_job_that_was_handed_in_while_no_daemon_runs_is_known_by_the_id_that_submit_told(
    installation: Callable[..., Installation],
) -> None:
    # Given a job handed in, and a record of an id for it that somebody else wrote
    one = installation()
    job = json.loads(one.avatar("submit", "Hello.", "--set", "kind=speech", "--name", "hello", "--json").stdout)["job"]
    forged = job[:-8] + ("0" * 8 if job[-8:] != "0" * 8 else "1" * 8)
    (one.inbox / f".{forged}.handin").write_bytes(
        (one.inbox / f".{job}.handin").read_bytes().replace(job.encode(), forged.encode())
    )
    os.chown(one.inbox / f".{forged}.handin", ANNA, -1)

    # Then the commands know it by its own id
    assert json.loads(one.avatar("jobs", "show", job, "--json").stdout)["name"] == "hello"
    assert "There is no job" in one.avatar("jobs", "show", forged, code=3).stderr
    assert "is still in the inbox" in one.avatar("jobs", "hold", job, code=1).stderr
    assert "it will obey when it starts" in one.avatar("jobs", "cancel", job).stdout
    # And a daemon that starts cancels it
    one.start()
    assert one.finished("hello")["state"] == "cancelled"


def test_the_list_takes_the_state_words_of_other_systems_and_words_of_the_text(
    installation: Callable[..., Installation], tmp_path: Path
) -> None:
    # Given a job that is done, one that failed, one that runs, one that waits its turn, one that is held and one without its file
    one = installation()
    gates = Gates(one, tmp_path / "seam")
    one.start()
    one.drop("done.yaml", {"kind": "speech", "text": "Good morning."})
    one.drop("failed.yaml", {"kind": "speech", "text": "?!"})
    one.finished("done")
    one.finished("failed")
    gates.shut("tts")
    one.drop("running.yaml", {"kind": "speech", "text": "Good evening."})
    wait_for("the stage", lambda: (now := one.status("running")) and (now["state"], now["stage"]) == ("running", "tts"))
    one.avatar("pause")
    for name in ("queued", "held"):
        one.drop(f"{name}.yaml", {"kind": "speech", "text": "Good night."})
        one.reaches(name, "queued")
    one.avatar("jobs", "hold", "held")
    one.drop("waiting.yaml", DETECT)
    one.reaches("waiting", "waiting")

    def names(*args: str) -> list[str]:
        return sorted(job["name"] for job in listed(one, *args))

    wait_for("the index", lambda: names() == ["done", "failed", "held", "queued", "running", "waiting"])
    # Then each word finds what it means, also beside a state of ours and under the other name of the option
    assert names("--state", "pending") == ["held", "queued", "waiting"]
    assert names("--status", "processing") == ["running"]
    assert names("--status", "Completed", "--state", "FAILED") == ["done", "failed"]
    # And words of the text find what has them all, in a pipe as in JSON
    assert names("--search", "good EVENING") == ["running"]
    assert names("--search", "good", "--status", "pending") == ["held", "queued"]
    assert [line.split("\t")[1] for line in one.avatar("jobs", "list", "--search", "morn").stdout.splitlines()] == [
        "done"
    ]
    gates.open("tts")


def test_a_manifest_nobody_has_looked_at_is_listed_and_cancelled(installation: Callable[..., Installation]) -> None:
    # Given a manifest that was dropped while the daemon is down
    one = installation()
    one.start()
    one.stop()
    one.drop("early.yaml", SPEECH)
    (job,) = listed(one)
    assert (job["name"], job["state"], job["job"]) == ("early", "waiting", None)
    # When it is cancelled by its name / Then the daemon obeys when it starts
    assert "when it starts" in one.avatar("jobs", "cancel", "early").stdout
    one.start()
    assert one.finished("early")["state"] == "cancelled"
    assert one.events("stage started") == []


def test_a_job_is_shown_with_its_next_step_while_the_daemon_is_down(installation: Callable[..., Installation]) -> None:
    # Given a failed job whose manifest came back, and one that waits, when the daemon ends
    one = installation()
    one.start()
    one.drop("bad.yaml", "kind: speech\ntxet: Hello.\n")
    wait_for("the manifest", (one.outbox / "bad.yaml").exists)
    one.avatar("pause")
    one.drop("hello.yaml", SPEECH)
    one.reaches("hello", "queued")
    one.stop()
    # Then the one is shown with the file to mend, as in its status, and the other with what starts it
    shown = {name: json.loads(one.avatar("jobs", "show", name, "--json").stdout)["next"] for name in ("bad", "hello")}
    assert shown["bad"] == (one.status("bad") or {})["next"]
    assert shown["bad"].startswith("bad.yaml, beside this job's status in the outbox, is your manifest")
    assert shown["hello"].startswith("The daemon does not run. Start it with `avatar run`. The queue was paused by ")


def test_of_several_jobs_each_is_tried_and_answered(shared: Installation) -> None:
    # Given two jobs that can be cancelled, between two that cannot
    shared.avatar("pause")
    for name in ("a", "b"):
        shared.drop(f"{name}.yaml", SPEECH)
        shared.reaches(name, "queued")
    told = shared.avatar("jobs", "cancel", "nobody", "a", "nothing", "b", code=3)
    # Then each of the four is answered, and the exit code says that not all went well
    assert [shared.finished(name)["state"] for name in ("a", "b")] == ["cancelled", "cancelled"]
    assert told.stdout.count("is cancelled") == 2
    assert "no job nobody" in told.stderr
    assert "no job nothing" in told.stderr
    answers = json.loads(shared.avatar("jobs", "retry", "nobody", "a", "--json", code=3).stdout)
    assert [(answer["for"], answer["ok"]) for answer in answers] == [("nobody", False), ("a", True)]
    shared.avatar("resume")


def test_a_name_without_its_folder_is_told_with_it() -> None:
    names = ["anna/long", "ben/other", "short"]
    assert which_is_meant("Long", names) == "Did you mean anna/long?"
    assert which_is_meant("shrt", names) == "Did you mean short?"
    assert "jobs list" in which_is_meant("zzz", names)


def test_who_looks_for_a_command_that_is_an_option_is_told_the_option(
    installation: Callable[..., Installation],
) -> None:
    assert "`avatar jobs list --search WORDS`" in installation().avatar("jobs", "search", "hello", code=2).stderr


@pytest.mark.parametrize("words", [("jobs", "list", "--json"), ("top", "--once")], ids=" ".join)
def test_a_reader_that_went_away_ends_a_command_without_a_word(
    installation: Callable[..., Installation], words: tuple[str, ...]
) -> None:
    one = installation()
    one.drop("early.yaml", SPEECH)
    end, ours = os.pipe()
    os.close(end)
    command = [sys.executable, "-m", "daemon.cli", "--config", str(one.config), *words]
    result = subprocess.run(command, stdout=ours, stderr=subprocess.PIPE, cwd=one.root, check=False)
    os.close(ours)
    assert (result.returncode, result.stderr) == (141, b"")


def test_a_text_from_a_closed_standard_input_is_refused(house: Installation) -> None:
    # As `avatar submit - <&-` in a shell
    call = [sys.executable, "-m", "daemon.cli", "--config", str(house.config), "submit", "-", "--set", "kind=speech"]
    script = "import os, sys; os.close(0); os.execv(sys.argv[1], sys.argv[1:])"
    result = subprocess.run(
        [sys.executable, "-c", script, *call], capture_output=True, text=True, cwd=house.root, check=False
    )
    assert (result.returncode, "standard input is closed" in result.stderr) == (2, True), result.stderr


def test_jobs_are_counted_in_the_folders_where_the_index_cannot_be_used(house: Installation) -> None:
    house.avatar("submit", "Hello.", "--set", "kind=speech", "--name", "hello", "--wait")
    house.drop("wrong.yaml", "kind: speech\ntext: Hello.\nvoice: nobody\n")
    house.finished("wrong")
    known = json.loads(house.avatar("jobs", "stats", "--json").stdout)
    assert (known["states"], known["kinds"]) == ({"done": 1, "failed": 1}, {"speech": 2})
    house.stop()
    (house.spool / "history" / FILE).write_bytes(b"no index")
    told = house.avatar("jobs", "stats", "--json")
    assert json.loads(told.stdout) == known
    assert "this was read from the folders" in told.stderr


def test_the_list_takes_any_number_for_its_length(house: Installation) -> None:
    result = house.avatar("jobs", "list", "--limit", "9" * 30)
    assert (result.returncode, "Traceback" in result.stderr) == (0, False), result.stderr


def test_somebody_without_a_name_or_a_right_gets_a_sentence(strangers_folder: Path) -> None:
    # Given a spool in which everybody may ask, and a user whom the machine knows only by number
    one = Installation(strangers_folder)
    control = one.spool / "control"
    control.mkdir(parents=True)
    control.chmod(0o777)

    def avatar(*args: str) -> subprocess.CompletedProcess[str]:
        return avatar_as(ANNA, one, *args)

    # When they ask / Then the request says who
    told = avatar("pause")
    assert told.returncode == 0, told.stderr
    (request,) = control.glob("*.json")
    assert json.loads(request.read_bytes())["by"] == "uid 54321"
    # And where they may not look, that is what is said, and not that nothing runs
    lock = one.spool / "lock"
    lock.touch(0o600)
    told = avatar("status")
    assert told.returncode == 77
    assert "cannot be told" in told.stderr
    # And where they may not write, they are told in one sentence
    control.chmod(0o755)
    told = avatar("pause")
    assert told.returncode == 77
    assert str(control) in told.stderr
    assert "belongs to root:root (mode 755)" in told.stderr
    assert "Traceback" not in told.stderr


def test_who_may_not_read_what_was_measured_is_not_told_that_nothing_was(strangers_folder: Path) -> None:
    one = Installation(strangers_folder)
    one.spool.mkdir(mode=0o700, exist_ok=True)
    one.spool.chmod(0o700)
    manifest = strangers_folder / "hello.yaml"
    manifest.write_text("kind: speech\ntext: Hello.\n")
    told = avatar_as(ANNA, one, "capacity")
    assert "You may not read the spool" in told.stderr
    assert "is known: these are first guesses" in told.stdout
    told = avatar_as(ANNA, one, "validate", str(manifest))
    assert "as nothing that was measured here is known" in told.stdout


@pytest.mark.parametrize(
    ("closed", "right", "command"),
    [
        ("spool", "read", ("jobs", "stats")),
        ("inbox", "write into", ("submit", "Hi.", "--set", "kind=speech")),
        ("outbox", "read", ("submit", "Hi.", "--set", "kind=speech")),
        ("spool outbox", "read", ("jobs", "show", "nothing")),
        ("spool inbox", "write into", ("pipeline", "run", "Hi.", "--avatar", "anna", "-o", "@/made.mp4")),
        ("own", "write into", ("pipeline", "run", "Hi.", "--avatar", "anna", "-o", "@/own/made.mp4")),
        ("own", "write into", ("avatar", "check", "@/pictures", "-o", "@/own/sheet.jpg")),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else None,
)
def test_a_command_says_which_right_on_which_folder_is_missing(
    strangers_folder: Path, closed: str, right: str, command: tuple[str, ...]
) -> None:
    # Given an installation with folders that are closed to Anna
    one = Installation(strangers_folder)
    strangers_folder.chmod(0o777)
    (strangers_folder / "pictures").mkdir()
    (strangers_folder / "pictures" / "a.png").touch()
    for name in ("inbox", "outbox", "spool", "own"):
        (strangers_folder / name).mkdir(exist_ok=True)
        (strangers_folder / name).chmod(0o700 if name in closed.split() else 0o777)
    # When she calls the command / Then it says so in one sentence
    told = avatar_as(ANNA, one, *(word.replace("@", str(strangers_folder)) for word in command))
    folder = strangers_folder / closed.split()[-1]
    assert told.returncode == 77, told.stderr
    sentence = told.stderr.splitlines()[-2]
    assert re.match(
        rf"avatar: uid {ANNA} may not (use|{right}) {re.escape(str(folder))}\b.*: {folder} belongs to", sentence
    )
