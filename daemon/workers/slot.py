"""A slot of a lane: a worker, the models in it, and its present job.

A slot is where work can be sent, and all that the lane and the policy know of it: a `Worker` starts, runs, cancels and ends, and
says by `WorkerDied` that it is gone. It is a child process, or runs on another machine.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from daemon.jobs.record import Job
from daemon.jobs.stages import Stage
from daemon.workers.policy import SlotState, SlotView
from daemon.workers.slot_models import SlotModels
from daemon.workers.worker import Worker

#: How long a process that preloads counts as soon ready, in s; after that another slot takes the next job.
SOON_S = 5.0


@dataclass
class Slot:
    """A worker process and its present job.

    Attributes:
        name: unique in its lane.
        stages: those that it may run.
        models: what its process has loaded.
        stage: what it runs, or is about to; None if it has no job. `job`: the job, once it was started.
        paused_until: it takes no job before this monotonic time, after a fault of the machine, s.
        cancelled: a person cancelled the present job; `cancelled_by`: who.
        to_preload: stages to load in the process while it has no job.
        preloading_since: when it began to load one, monotonic, in s; None: it loads none.
        starting: its worker is being started ahead of a job, which may take long (`Worker.starts_first`).
        may_have_loaded: its job, which has ended, may have loaded models, so that its GPU has less free memory.
        succeeded: it has done a job since it was last told to preload.
        free_bytes: free memory of its GPU when it was last looked at; None: not known.
        is_remote: its worker runs on another machine, which not every job can go to (`Ticket.portable`).
        putting_down: brings its last job to its next place, while the slot takes another one.
    """

    name: str
    worker: Worker
    models: SlotModels
    stages: frozenset[Stage]
    stage: Stage | None = None
    job: Job | None = None
    paused_until: float = 0.0
    cancelled: bool = False
    cancelled_by: str = ""
    to_preload: list[Stage] = field(default_factory=list)
    preloading_since: float | None = None
    starting: bool = False
    may_have_loaded: bool = False
    succeeded: bool = False
    free_bytes: int | None = None
    is_remote: bool = False
    putting_down: asyncio.Task[None] | None = None
    #: Seconds of all jobs that have ended, and when the present one began; in one value, as other threads read it.
    _work: tuple[float, float | None] = (0.0, None)
    idle_since: float = field(default_factory=time.monotonic)

    def begin(self, stage: Stage) -> None:
        """Note that it takes a job."""
        self.stage, self._work = stage, (self._work[0], time.monotonic())
        self.models.begin(stage)

    def end(self) -> None:
        """Note that it has no job any more."""
        self.idle_since = now = time.monotonic()
        self._work = self.busy_s(now), None
        self.stage, self.job, self.cancelled, self.may_have_loaded = None, None, False, False

    def busy_s(self, now: float) -> float:
        """Return how long it had a job until the monotonic time `now`, in s. Safe to call from any thread."""
        ended_s, began = self._work
        return ended_s + (now - began if began is not None else 0.0)

    @property
    def is_free(self) -> bool:
        """Whether it could take a job at once."""
        return self.stage is None and self.preloading_since is None

    def state(self, now: float) -> SlotState:
        """Return what it is doing, as far as the choice of a job depends on it."""
        if self.stage is not None:
            return "busy"
        if self.preloading_since is not None:
            return "soon" if now < self.preloading_since + SOON_S else "busy"
        return "free" if self.worker.alive else "none"

    def view(self, state: SlotState, *, costs_nothing: bool) -> SlotView:
        """Return what the policy sees of it. `costs_nothing`: its models are so small that all count as loaded."""
        loaded = frozenset(self.models.resident) if self.worker.alive else frozenset[Stage]()
        return SlotView(
            self.name, self.stages, state, self.stage, self.stages if costs_nothing else loaded, self.models.run,
            self.free_bytes,
        )  # fmt: skip
