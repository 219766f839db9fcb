"""Distributes events to subscribers such as metrics, status files and logs, so that the queue depends on none of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog

from daemon.errors import AvatarError
from daemon.jobs.record import Job
from daemon.jobs.stages import Stage
from daemon.wire import ModelChange

if TYPE_CHECKING:
    from daemon.queue.pauses import Pause, Scope

log = structlog.get_logger()


class Subscriber:
    """Base class of event listeners. Every hook does nothing unless overridden.

    Only `before_finish` may raise: then the job stays in its queue, and the hook is called again.
    """

    def job_waiting(self, job: Job, missing: list[str]) -> None:
        """A manifest in the inbox waits for the files it names."""

    def job_withdrawn(self, job: Job) -> None:
        """A waiting manifest was removed from the inbox, or became jobs with other names."""

    def job_accepted(self, job: Job) -> None:
        """A job is durably in the spool; an invalid one is durably among the failed jobs."""

    def job_recovered(self, job: Job) -> None:
        """An interrupted job was found at start and put back into its queue."""

    def job_found_waiting(self, job: Job) -> None:
        """A job that waits was found in its queue at start; nothing of it has changed."""

    def job_changed(self, job: Job) -> None:
        """The state, queue or priority of a job changed in another way (held, released, retried, put back)."""

    def batch_begun(self, job: Job) -> None:
        """The rows of a batch are checked, and become jobs from now on."""

    def stage_started(self, job: Job, stage: Stage, wait_s: float) -> None:
        """A stage starts, after the job waited for it for `wait_s` seconds in all."""

    def stage_progress(self, job: Job, stage: Stage, value: float) -> None:
        """The running stage reported its finished part, 0 to 1."""

    def stage_left(self, job_id: str, seconds: float) -> None:
        """A running stage reported its remaining time, in s."""

    def stage_ended(self, job: Job, stage: Stage, result: str, seconds: float) -> None:
        """A stage ended after `seconds`.

        Args:
            result: `done`, `failed`, `retried`, `crashed`, `timeout`, `paused`, `cancelled` or `returned`.
        """

    def job_ending(self, job: Job) -> None:
        """A job is about to be moved to the finished jobs; `before_finish` follows."""

    def before_finish(self, job: Job) -> None:
        """A job is about to be moved to the finished jobs. May be called in a thread, while the event loop goes on."""

    def job_finished(self, job: Job) -> None:
        """A job is durably done, failed or cancelled."""

    def results_removed(self, jobs: list[str], names: list[str]) -> None:
        """The retention removed records of jobs from the spool, by their ids, and results from the outbox, by their names."""

    def lane_paused(self, lane: str, error: AvatarError, delay_s: float) -> None:
        """A lane pauses for `delay_s` seconds because of a fault of the machine."""

    def lane_resumed(self, lane: str) -> None:
        """A paused lane resumed."""

    def queue_paused(self, scope: Scope, pause: Pause) -> None:
        """A person paused the lanes or the intake."""

    def queue_resumed(self, scope: Scope) -> None:
        """A pause that a person ordered ended."""

    def model_changed(self, change: ModelChange) -> None:
        """A worker loaded or unloaded a model."""

    def slots_changed(self) -> None:
        """A slot with a GPU of its own began or ended a job, or pauses or goes on."""

    def worker_died(self, lane: str, reason: str) -> None:
        """A worker ended during a job. `reason`: code of the error."""

    def late_result_refused(self, slot: str) -> None:
        """A worker on another machine has reported a result after it had been given up."""

    def scanned(self, seconds: float, found: int) -> None:
        """The whole inbox was scanned, in `seconds`. `found`: manifests in it."""

    def inbox_watched(self, error: AvatarError | None, folders: int) -> None:
        """Whether the kernel announces changes in the inbox has changed. With an error, it does not in `folders` of its folders,
        since a limit is reached.
        """

    def config_read(self, error: AvatarError | None, applied: list[str], waiting: list[str]) -> None:
        """config.yaml was reloaded. With an error, nothing was changed; `waiting` settings need a restart."""


class Events(Subscriber):
    """Passes every event to all subscribers, in the order in which they were added. An error of a subscriber is logged."""

    def __init__(self, *subscribers: Subscriber) -> None:
        self._subscribers = list(subscribers)

    def add(self, subscriber: Subscriber) -> None:
        """Add a subscriber; it receives all later events."""
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
