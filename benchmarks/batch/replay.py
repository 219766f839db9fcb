"""A real queue with its lanes, whose workers only wait as long as engines would take to load and to run."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import yaml

from daemon.config import Settings
from daemon.jobs.kinds import KINDS
from daemon.jobs.manifest import Manifest
from daemon.jobs.record import Job
from daemon.queue.ready_queue import Ticket
from daemon.service import Service
from daemon.telemetry.logs import configure_logging
from daemon.wire import ModelChange, Notice, Result, RunRequest
from daemon.workers.process import WorkerProcess
from daemon.workers.slot import Slot

#: The default of `lanes.gpu.stick_s`.
STICK_S: Final = 120.0

Choose = Callable[[Slot, float], Ticket | None]


@dataclass(frozen=True)
class Costs:
    """What stages cost, s. `load`: before the first run and after another stage's run in the same slot; 0 where missing."""

    load: Mapping[str, float]
    run: Mapping[str, float]
    #: Whether the model is loaded for every job.
    each_job: bool = False


class ReplayedWorker(WorkerProcess):
    """Waits as long as the stages take; starts no process."""

    def __init__(self, lane: str, settings: Settings, on_notice: Callable[[Notice], None], costs: Costs) -> None:
        super().__init__(lane, settings, on_notice)
        self._costs = costs
        self.loads = 0

    @property
    def alive(self) -> bool:
        """Always."""
        return True

    @property
    def pid(self) -> int | None:
        """That of this process."""
        return os.getpid()

    async def preload(self, stage: str) -> float:
        """Load nothing."""
        return 0.0

    async def run(self, request: RunRequest, timeout_s: float, on_progress: Callable[[float], None]) -> Result:
        """Wait for the load, if one is needed, and for the run."""
        if (load_s := self._costs.load.get(request.stage, 0.0)) and (
            self._costs.each_job or self.last_stage != request.stage
        ):
            self.loads += 1
            self._tell("unloaded", request.stage, self.last_stage or "", 0.0)  # it has room for one
            await asyncio.sleep(load_s)
            self._tell("loaded", request.stage, request.stage, load_s)
        self.last_stage = request.stage
        if run_s := self._costs.run.get(request.stage, 0.0):
            await asyncio.sleep(run_s)
        return Result(facts={}, warnings=[])

    def _tell(self, change: Literal["loaded", "unloaded"], stage: str, model: str, seconds: float) -> None:
        self._on_notice(ModelChange(stage=stage, model=model, seconds=seconds, change=change, pid=self.pid))

    async def stop(self, grace_s: float = 5.0) -> None:
        """Do nothing."""


@dataclass
class Replay:
    """A service of its own in a folder, with replayed workers.

    Attributes:
        folder: new.
        costs: of the stages.
        choose_gpu: chooses the jobs of the gpu lane; None: as the product does.
        priority: of the jobs that are added.
        speed: so many times as fast as real time: `lanes.gpu.stick_s` is shortened as the costs are.
    """

    folder: Path
    costs: Costs
    choose_gpu: Callable[[Service], Choose] | None = None
    priority: int = 0
    speed: float = 1.0
    service: Service = field(init=False)
    _number: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        raw = {
            "paths": {name: name for name in ("inbox", "outbox", "spool", "cache")},
            "metrics": {"enabled": False},
            "lanes": {
                "preload": False,
                "gpu": {"devices": "none", "stick_s": STICK_S / self.speed},
            },
            "stages": {"lipsync": {"engine": "musetalk"}},
            "log": {"level": "error"},
        }
        (self.folder / "config.yaml").write_text(yaml.safe_dump(raw))
        settings = Settings.parse(raw, self.folder / "config.yaml")
        configure_logging(settings.log)
        for path in (settings.paths.inbox, settings.paths.outbox):
            path.mkdir()
        self.service = Service(settings)
        self.service._make_folders()
        for lane in self.service.lanes.all:
            for slot in lane.slots:
                slot.worker = ReplayedWorker(lane.name, settings, slot.worker._on_notice, self.costs)
        if self.choose_gpu is not None:
            self.service.lanes.gpus[0]._choose = self.choose_gpu(self.service)

    def add(self, stage: str = "check", name: str = "n") -> Job:
        """Put a video whose voice and mouth need the GPU into the queue of a stage, as if it had been dropped."""
        manifest = Manifest.model_validate({"text": "A short sentence.", "image": "p.png", "voice": "xtts/anna"})
        self._number += 1
        now = time.time()
        job = Job(
            f"job-20260101T000000Z-{self._number:08x}", f"{name}{self._number}", "n.yaml", accepted=now, since=now, stage=stage,
            priority=self.priority, stages=KINDS["video"].stages, manifest=manifest.model_dump(mode="json"),
        )  # fmt: skip
        place = self.service.spool.ready(stage) / job.id
        place.mkdir()
        self.service.spool.save_job(job, place, durable=False)
        self.service.ready_queue.add(job)
        self.service.events.job_accepted(job)
        self.service.state_machine.changed.notify()
        return job

    async def until_done(self, number: int) -> None:
        """Wait until so many jobs are done."""
        done = self.service.spool.resting("done")
        while sum(1 for _ in done.iterdir()) < number:
            await self.service.state_machine.changed.wait(1.0)

    def start(self) -> None:
        """Start the lanes."""
        self.service.lane_log.began(self.service.lanes.slot_names)
        for lane in self.service.lanes.all:
            lane.start()

    async def stop(self) -> None:
        """End the lanes."""
        for lane in self.service.lanes.all:
            await lane.drain(0)
        self.service.lane_log.ended()
