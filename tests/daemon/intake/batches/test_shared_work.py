"""Rows of one voice and one portrait come one after the other; what several of them say or show is spoken and measured once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import stages.face
import stages.tts
from daemon.jobs.manifest import Manifest
from daemon.jobs.record import Job
from stages.context import Context
from stages.face import measure
from tests.support.daemon.begun_batch import begun
from tests.support.daemon.intake import Room
from tests.support.stages.picture_jobs import drawn, encoded

#: A voice (of the one in the base install two spellings), a picture, and a name that is spoken, mixed.
ROWS = [
    "Hibari/Heart,two,Anna", "hibari/heart,one,Ben", "Hibari/Heart,one,Carl", "hibari/heart,two,Dora", "Hibari/Heart,two,Emil",
    "hibari/heart,one,Finn",
]  # fmt: skip
TEMPLATE = '{text: "Welcome. Hello {{name}}.", voice: "{{voice}}", image: "{{picture}}.png", output: "{{name}}"}'


def started(room: Room) -> Iterator[tuple[Job, Path]]:
    """Start the jobs of the rows, in the order in which a slot would."""
    while (ticket := room.service.ready_queue.head("face", 2e9)) is not None:
        taken = asyncio.run(room.service.state_machine.start_attempt(ticket))
        assert taken is not None
        yield taken


@pytest.mark.usefixtures("models")
def test_what_rows_share_is_spoken_and_measured_once(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a batch of rows that say one sentence, each beside one of its own, with two pictures
    measured: list[str] = []
    measure_found = measure.measure_found

    def counted(ctx: Context, *rest: Any) -> Any:
        measured.append(str(ctx.manifest.image))
        return measure_found(ctx, *rest)

    monkeypatch.setattr(measure, "measure_found", counted)
    for name, side in (("one", 400), ("two", 420)):
        room.put(f"{name}.png", encoded(drawn(side)))
    begun(room, TEMPLATE, more="", table="\n".join(["voice,picture,name", *ROWS]))
    asyncio.run(room.service.batches.carry_on())
    # When the stages of its rows run
    spoken, order = [], []
    for job, folder in started(room):
        ctx = Context(job.id, job.name, folder, Manifest.model_validate(job.manifest), room.settings)
        stages.face.run(ctx)
        spoken.append(str(stages.tts.run(ctx)["spoken"]))
        order.append((ctx.manifest.voice, ctx.manifest.image))
    # Then those of one voice, and of one portrait, come one after the other
    assert order == sorted(order)
    assert len(order) == len(ROWS)
    # And each picture was measured once, and the sentence of all spoken once
    assert measured == ["one.png", "two.png"]
    assert spoken == ["2 of 2 sentences new", *["1 of 2 sentences new"] * (len(ROWS) - 1)]
