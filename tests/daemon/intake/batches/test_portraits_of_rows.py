"""The portraits of a batch's rows are looked at before a job is made of the first, each different one once."""

from __future__ import annotations

import csv
import json
from typing import Any

import pytest

import stages.face.measure
from daemon.errors import JobError
from daemon.jobs.batch.files import ERRORS, RESOLVED
from daemon.jobs.manifest import Manifest
from stages.check import portraits
from stages.check.rows import check_rows
from stages.context import Context
from tests.conftest import PORTRAIT
from tests.support.daemon.intake import Room

TABLE = "name,picture\none,good.png\ntwo,empty.png\nthree,good.png\nfour,torn.png\n"


def checked(room: Room, **keys: Any) -> Context:
    """A batch whose rows name these pictures, before its check."""
    room.put("people.csv", TABLE)
    room.put("people.yaml", json.dumps({
        "kind": "batch", "rows": "people.csv",
        "template": {"text": "Hello.", "image": "{{picture}}", "output": "{{name}}"}, **keys,
    }))  # fmt: skip
    (job,) = room.settle()
    folder = room.spool.ready("check") / job.id
    return Context(job.id, job.name, folder, Manifest.model_validate(job.manifest), room.settings)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The contents of the pictures that are looked at, instead of a look: `empty` shows no face."""
    seen: list[str] = []

    def look(ctx: Context) -> None:
        seen.append(ctx.source("image").read_text())
        if seen[-1] == "empty":
            raise JobError("no-face", "No face was found.", "Use another picture.")

    monkeypatch.setattr(stages.face.measure, "check_picture", look)
    return seen


def with_pictures(room: Room) -> Room:
    for name in ("good", "empty", "torn"):
        room.put(f"{name}.png", name.encode())
    return room


def test_a_row_whose_picture_shows_no_face_is_wrong_before_a_job_is_made(room: Room, looks: list[str]) -> None:
    ctx = checked(with_pictures(room))
    with pytest.raises(JobError, match=r"1 of 4 rows.*Row 2: No face was found"):
        check_rows(ctx)
    with ctx.path(ERRORS).open(encoding="utf-8-sig") as file:
        (wrong,) = csv.DictReader(file)
    assert (wrong["row"], wrong["column"], wrong["code"]) == ("2", "picture", "no-face")
    # And each picture was looked at once, of which nothing is left in the job's folder
    assert sorted(looks) == ["empty", "good", "torn"]
    assert not list(ctx.job_dir.glob(".portrait*"))


def test_the_other_rows_are_made_where_that_is_asked_for(room: Room, looks: list[str]) -> None:
    ctx = checked(with_pictures(room), accept_partial=True)
    assert check_rows(ctx)["rows"] == 3
    made = [json.loads(line)["row"] for line in ctx.path(RESOLVED).read_text().splitlines()]
    assert sorted(made) == [1, 3, 4]


def test_pictures_that_are_too_many_are_left_to_the_turn_of_their_rows(
    room: Room, looks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portraits, "MOST_PICTURES", 1)
    monkeypatch.setattr("stages.check.rows.MOST_PICTURES", 1)
    ctx = checked(with_pictures(room))
    assert check_rows(ctx)["rows"] == 4
    assert looks == ["good"]
    assert "1 were looked at before a job was made" in ctx.warnings[-1]


@pytest.mark.usefixtures("models")
def test_a_look_accepts_what_the_face_stage_accepts(room: Room) -> None:
    room.put("good.png", PORTRAIT.read_bytes())
    for name in ("empty", "torn"):
        room.put(f"{name}.png", PORTRAIT.read_bytes()[: 3000 if name == "torn" else None])
    ctx = checked(room)
    with pytest.raises(JobError, match=r"1 of 4 rows.*Row 4: "):
        check_rows(ctx)
