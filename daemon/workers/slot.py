"""A slot of a lane: a worker process and its present job."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from daemon.jobs.record import Job
from daemon.jobs.stages import Stage
from daemon.workers.process import WorkerProcess

#: How long a process that preloads counts as soon ready, in s; after that another slot takes the next job.
SOON_S = 5.0


@dataclass
class Slot:
    """A worker process and its present job.

    Attributes:
        run_length: jobs in a row for the same stage.
        cancelled: a person cancelled the present job; `cancelled_by`: who.
        to_preload: stages to load in the process while it has no job.
        preloading_since: when it began to load one, monotonic, in s; None: it loads none.
        succeeded: it has done a job since it was last told to preload.
    """

    worker: WorkerProcess
    job: Job | None = None
    run_length: int = 0
    cancelled: bool = False
    cancelled_by: str = ""
    to_preload: list[Stage] = field(default_factory=list)
    preloading_since: float | None = None
    succeeded: bool = False
    idle_since: float = field(default_factory=time.monotonic)

    @property
    def is_free(self) -> bool:
        """Whether it could take a job at once."""
        return self.job is None and self.preloading_since is None

    def is_ready(self, now: float) -> bool:
        """Return whether its process stands ready for a job, or will soon."""
        if self.preloading_since is not None:
            return now < self.preloading_since + SOON_S
        return self.job is None and self.worker.alive
