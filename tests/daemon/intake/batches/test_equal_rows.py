"""Rows that ask for the same are rendered once, so that none of them gets less than it would alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from daemon.config.hooks import Callback
from tests.support.daemon.begun_batch import begun
from tests.support.daemon.intake import Room

RECEIVER = "https://studio.example.com/jobs"


def priorities(room: Room, template: str, table: str, more: str = "") -> dict[str, int]:
    """Make a batch; returns its jobs by name, with their priorities."""
    begun(room, template, more, table)
    asyncio.run(room.service.batches.carry_on())
    places = room.spool.ready("info").iterdir()
    return {job.name: job.priority for job in map(room.spool.load_job, places)}


@pytest.mark.parametrize(
    ("own", "of_batch", "first"), [("0,90,5", 0, 90), ("-5,,-20", 0, 0), ("-5,,-20", 3, 3), ("7,,2", 3, 7)]
)
def test_the_job_of_equal_rows_has_the_highest_of_their_priorities(
    room: Room, own: str, of_batch: int, first: int
) -> None:
    table = "name,rank\n" + "".join(f"n{at},{rank}\n" for at, rank in enumerate(own.split(",")))
    template = '{kind: info, image: p.png, output: "{{name}}", priority: "{{rank|}}"}'
    assert priorities(room, template, table, f"priority: {of_batch}") == {"talk/n0": first}


def test_rows_of_whose_end_somebody_is_told_have_jobs_of_their_own(tmp_path: Path) -> None:
    # Given rows that are equal, of which two name a receiver, who hears of ends of jobs only
    room = Room(tmp_path)
    room.settings.hooks.callbacks["studio.example.com"] = Callback()
    room.look()
    table = f"name,told\nn0,{RECEIVER}/0\nn1,\nn2,{RECEIVER}/0\nn3,\n"
    template = '{kind: info, image: p.png, output: "{{name}}", notify: "{{told|}}"}'
    assert set(priorities(room, template, table)) == {"talk/n0", "talk/n1", "talk/n2"}
