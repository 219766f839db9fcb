"""A job whose sound file is still being written, in a queue without a daemon."""

from __future__ import annotations

import asyncio
from pathlib import Path

from daemon.errors import JobError
from daemon.jobs.facts import JobFacts
from daemon.jobs.record import Job
from tests.support.daemon.queue import QueueRoom

#: How long a file of unknown writers must stand still, and how long is waited at all, in s.
STILL_S, PATIENCE_S = 30.0, 900.0
TRUNCATED = JobError("audio-truncated", "The sound file is incomplete.")
NAME = "a.wav"


class Case:
    """A job with one sound, of which `half` was there when it was copied."""

    def __init__(self, room: QueueRoom, stage: str) -> None:
        room.set(intake={"settle_unknown_s": STILL_S, "settle_mb_s": 0.0, "companion_wait_s": PATIENCE_S})
        self.error = TRUNCATED
        self.room, self.file = room, room.settings.paths.inbox / NAME
        source = room.put_source(NAME, b"half", still_s=2.0)
        self.job = room.accept(stage=stage, facts=JobFacts(sources={"source.audio": source}))
        (room.spool.folder_of(self.job) / "source.audio").write_bytes(b"half")

    def write(self, more: bytes = b" and half") -> None:
        """Append to the sound file."""
        with self.file.open("ab") as file:
            file.write(more)

    def take(self) -> tuple[Job, Path] | None:
        """Start an attempt of the job's stage, if the job is whole; returns the job and its folder, or None."""
        return asyncio.run(self.room.try_to_take(self.job))

    def go_on(self) -> None:
        """Start the job, unless it waits: it is delivered, or its stage finds that the file ends early."""

        async def live() -> None:
            taken = await self.room.try_to_take(self.job)
            if taken is not None and taken[0].stage != "deliver":
                await self.room.state_machine.fail_attempt(*taken, self.error)

        asyncio.run(live())

    def finish_stages(self) -> None:
        """Run the stages before the delivery."""

        async def live() -> None:
            await self.room.state_machine.advance(*await self.room.take(self.job), {}, [])

        asyncio.run(live())

    @property
    def where(self) -> str:
        """Return the folder of the spool in which the job is."""
        return self.room.where(self.job)

    @property
    def copy(self) -> bytes:
        """Return the content of the job's own copy of the sound file."""
        directory = self.room.spool.find_job(self.job.id)
        assert directory is not None
        return (directory / "source.audio").read_bytes()

    @property
    def record(self) -> Job:
        """Return the job's record as it is on disk."""
        return self.room.on_disk(self.job)

    @property
    def events(self) -> list[str]:
        """Return the names of the events in the job's history, oldest first."""
        return [entry["event"] for entry in self.record.history]
