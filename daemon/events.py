"""What happens to jobs, told to whoever listens. Metrics, status files and logs are listeners; the queue knows none of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog

from daemon.errors import AvatarError
from daemon.jobs.record import Job
from daemon.jobs.stages import Stage

if TYPE_CHECKING:
    from daemon.queue.pauses import Pause, Scope

log = structlog.get_logger()


class Subscriber:
    """Every hook does nothing until overridden. Only `before_finish` may raise: the job then stays where it is."""

    def job_waiting(self, job: Job, missing: list[str]) -> None:
        """A manifest in the inbox waits for the files it names."""

    def job_withdrawn(self, job: Job) -> None:
        """A waiting manifest was taken out of the inbox again, or goes on under other names."""

    def job_accepted(self, job: Job) -> None:
        """A job is durably in the spool (or, when it is wrong, durably among the failed)."""

    def job_recovered(self, job: Job) -> None:
        """A job was found interrupted at start and put back into its queue."""

    def job_changed(self, job: Job) -> None:
        """State or queue of an accepted job changed in another way (held, released, retried, put back)."""

    def stage_started(self, job: Job, stage: Stage, wait_s: float) -> None:
        """A stage begins, after standing in its queue for `wait_s`."""

    def stage_progress(self, job: Job, stage: Stage, value: float) -> None:
        """The finished part of the running stage, 0 to 1."""

    def stage_left(self, job_id: str, seconds: float) -> None:
        """A running stage measured how long it still takes."""

    def stage_ended(self, job: Job, stage: Stage, result: str, seconds: float) -> None:
        """A stage ended: `done`, `failed`, `retried`, `crashed`, `timeout`, `paused`, `cancelled` or `returned`."""

    def before_finish(self, job: Job) -> None:
        """The job is about to be moved among the finished ones."""

    def job_finished(self, job: Job) -> None:
        """The job is durably done, failed or cancelled."""

    def lane_paused(self, lane: str, error: AvatarError, delay_s: float) -> None:
        """A lane takes no jobs for a while because of a fault of the machine."""

    def lane_resumed(self, lane: str) -> None:
        """A paused lane works again."""

    def queue_paused(self, scope: Scope, pause: Pause) -> None:
        """A person stopped the lanes or the intake."""

    def queue_resumed(self, scope: Scope) -> None:
        """Such a pause is over."""

    def model_loaded(self, stage: str, model: str, seconds: float) -> None:
        """A child loaded a model."""

    def worker_died(self, lane: str, reason: str) -> None:
        """A child process ended that should not have."""

    def scanned(self, seconds: float, found: int) -> None:
        """The inbox was read from end to end."""

    def config_read(self, error: AvatarError | None, applied: list[str], waiting: list[str]) -> None:
        """config.yaml was read anew. With an error nothing was changed; `waiting` settings need a new start."""


class Events(Subscriber):
    """Passes every event to all subscribers, in the order they were added. A failing subscriber never stops the queue."""

    def __init__(self, *subscribers: Subscriber) -> None:
        self._subscribers = list(subscribers)

    def add(self, subscriber: Subscriber) -> None:
        self._subscribers.append(subscriber)

    def __getattribute__(self, name: str) -> Any:
        if name in _HOOKS:
            return object.__getattribute__(self, "_teller")(name)
        return object.__getattribute__(self, name)

    def _teller(self, hook: str) -> Callable[..., None]:
        def tell(*args: Any) -> None:
            for subscriber in self._subscribers:
                try:
                    getattr(subscriber, hook)(*args)
                except Exception:
                    if hook == "before_finish":
                        raise
                    log.exception("subscriber failed", hook=hook, subscriber=type(subscriber).__name__)

        return tell


_HOOKS = frozenset(name for name in vars(Subscriber) if not name.startswith("_"))
