"""Writes the status file beside each result: the state of a job for people and programs, from acceptance to the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from daemon.errors import MACHINE_ERRNOS, AvatarError, MachineError
from daemon.events import Subscriber
from daemon.jobs.facts import BatchCounts
from daemon.jobs.iso_time import iso
from daemon.jobs.kinds import KINDS
from daemon.jobs.record import FINISHED, Job
from daemon.jobs.stages import DELIVER, Stage
from daemon.jobs.untrusted import printable
from daemon.jobs.waits import wait_of
from daemon.outbox.estimator import Estimator
from daemon.outbox.latest_writes import LatestWrites
from daemon.outbox.outbox import Outbox
from daemon.outbox.way_back import how_to_go_on, how_to_mend, how_to_release, put_request, returned_manifest
from daemon.system.subfolders import UnusableFolderError, fallback_name

if TYPE_CHECKING:
    from daemon.queue.pauses import Pause, Scope

log = structlog.get_logger()

SCHEMA = 1
#: Least time between two progress writes of one job, in s. The outbox may be a network folder.
WRITE_S = 1.0
#: Characters of the text of a job that its last status holds, by which it is found when its record is gone.
TEXT_CHARS = 2000
#: Most warnings that are told in `next` of a manifest that waits: they say where its files are looked for.
NEXT_WARNINGS = 3

NO_REASON = "no reason given"

NEXT = {
    "waiting": "It starts automatically when the files that it waits for are there and completely written.",
    "queued": "It starts automatically when its turn comes, unless the queue is paused.",
    "running": "It is being processed.",
    "held": "It waits until it is released.",
    "done": "Nothing: the result is ready.",
    "failed": "Correct what the error says, and drop it again.",
    "cancelled": "Drop it again if you still want it.",
}


def kind_of(job: Job) -> str | None:
    """Return the kind of a job; None where its manifest could not be read."""
    kind = job.manifest.get("kind") if job.manifest else None
    return str(kind) if kind else ("video" if job.manifest else None)


def _makes_jobs(job: Job) -> bool:
    kind = KINDS.get(kind_of(job) or "")
    return kind is not None and kind.makes_jobs


def text_of(job: Job) -> str:
    """Return the beginning of the text of a job; empty if it has none."""
    text = job.manifest.get("text")
    return text[:TEXT_CHARS] if isinstance(text, str) else ""


def describe_pause(by: str, since: float, until: float | None, reason: str) -> str:
    """Return what a pause of the queue means for a job that waits in it, as sentences. Times are seconds since the epoch."""
    return f"The queue was paused by {by} at {iso(since)}: {reason or NO_REASON}. It starts {_end_of_pause(until)}."


def describe_intake_pause(pause: Pause) -> str:
    """Return what a pause of the intake (`avatar drain`) means for a manifest that waits in the inbox, as sentences."""
    who = f"{pause.by} at {iso(pause.since)}: {pause.reason or NO_REASON}"
    return (
        f"Nothing is taken out of the inbox, which was stopped by {who}. It is taken in {_end_of_pause(pause.until)}."
    )


def _end_of_pause(until: float | None) -> str:
    return f"at {iso(until)}" if until is not None else "when somebody ends the pause (`avatar resume`)"


def status_of(
    job: Job, progress: float = 0.0, eta_s: float | None = None, position: int | None = None, pause: str = ""
) -> dict[str, Any]:
    """Return the content of a job's status file.

    Args:
        pause: what the pause of the queue means for it (`describe_pause`); empty if there is none, or it is not known.
        progress: finished part of the whole job, 0 to 1.
        eta_s: estimated seconds until it is done.
        position: place in its queue; 1 is next.
    """
    status: dict[str, Any] = {
        "schema": SCHEMA,
        "job": job.id,
        "name": job.name,
        "state": job.told_state,
        "stage": job.stage,
        "progress": 1.0 if job.state == "done" else round(progress, 3),
        "eta_s": None if eta_s is None or _awaited(job) else round(eta_s, 1),
        "queue_position": position,
        "source": job.source,
        "document": job.document,
        "by": job.by or None,
        "accepted": iso(job.accepted),
        "updated": iso(time.time()),
        "finished": iso(job.finished),
        "next": _next_step(job, pause),
    }
    optional: dict[str, Any] = {
        "waiting_for": job.facts.missing if job.state == "waiting" else None,
        "error": job.error,
        "held": job.held and {**job.held, "since": iso(job.held.get("since"))},
        "warnings": [*job.manifest_warnings, *job.warnings],
        "outputs": job.outputs.get("outputs"),
        "stages": {name: facts for name, facts in job.facts.stages.items() if name != DELIVER},
        "timings": {stage: {k: round(v, 3) for k, v in t.items()} for stage, t in job.timings.items()},
        "attempts": {stage: n for stage, n in job.attempts.items() if n > 1},
        "defaults": job.facts.defaults,
        "base": job.facts.base,
        "batch": _counts(job),
        "row": job.facts.row and {"batch": job.facts.row.name, "number": job.facts.row.number},
        "metadata": job.manifest.get("metadata"),
        "kind": kind_of(job),
        "text": text_of(job) if job.state in FINISHED else None,
    }
    return status | {key: value for key, value in optional.items() if value}


def _counts(job: Job) -> dict[str, Any] | None:
    """Return how far a batch has come; None for other jobs."""
    counts = job.facts.batch
    if counts is None:
        return None
    return {
        "rows": counts.rows,
        "taken": counts.made,
        "done": counts.done,
        "failed": counts.failed,
        "cancelled": counts.cancelled,
        "held": counts.held,
        "left": counts.rows - counts.ended,
        "report": counts.report or None,
    }


def next_step(job: Job, outbox: Path, pause: str = "") -> str:
    """Return what happens next to a job or what to do, with what lies in the folder `outbox`. `pause`: as in `status_of`."""
    file = returned_manifest(outbox, job)
    return _next_step(job, pause) if file is None else how_to_mend(file, job)


def _next_step(job: Job, pause: str) -> str:
    if job.state in ("failed", "cancelled"):
        return how_to_go_on(job)
    if job.state == "queued" and pause:
        return pause
    if job.state == "waiting":
        return " ".join([_start_of_waiting(job), *job.warnings[:NEXT_WARNINGS]])
    if job.told_state == "held" or (job.facts.batch is not None and job.held):
        return how_to_release(job)
    if job.facts.batch is not None and job.state == "running":
        return _next_of_batch(job, job.facts.batch)
    if files := _awaited(job):
        return f"It waits for the rest of {', '.join(map(printable, files))}. Close the program that writes it."
    if job.state == "queued" and job.not_before > time.time():
        return f"It is retried after {iso(job.not_before)}."
    return NEXT[job.state]


def _next_of_batch(job: Job, counts: BatchCounts) -> str:
    """Return what happens next to a batch of which rows go on."""
    held = ""
    if counts.held:
        rows = f"{counts.held} of its rows {'is' if counts.held == 1 else 'are'} held"
        held = f" {rows}: to let {'it' if counts.held == 1 else 'them'} go on, {put_request(job, 'release')}."
    if not (left := counts.rows - counts.made):
        return f"It ends when the jobs of its rows have.{f' {counts.waits}' if counts.waits else ''}{held}"
    when = f"as soon as they can. {counts.waits}" if counts.waits else "when it is their turn."
    becomes = f"{left} of its rows become jobs {when} Leave the files that they name where they are until then."
    return f"{becomes}{held}"


def _start_of_waiting(job: Job) -> str:
    """Return when a manifest that waits starts; what it waits for beside files is in its warnings."""
    if job.held:
        who = job.held.get("by") or "somebody"
        return f"It is held by {who}, and is taken in when it can be. {how_to_release(job)}"
    lacks_files = job.facts.missing or not job.warnings
    return NEXT["waiting"] if lacks_files else "It is taken in automatically as soon as it can be."


def _awaited(job: Job) -> list[str]:
    """Return the files whose rest a queued job waits for."""
    return list(wait_of(job).get("files", ())) if job.state == "queued" else []


class Turn(NamedTuple):
    """When the turn of a queued job comes.

    Attributes:
        position: place in its queue; 1 is next; None where it is not known.
        wait_s: how long it waits for others from now on, in all its queues together, s.
    """

    position: int | None
    wait_s: float


class StatusWriter(Subscriber):
    """Keeps the status files in the outbox up to date. A failed write is logged, and the next one replaces it; only the last
    write, in `before_finish`, raises.

    Args:
        turn_of: says when the turn of a job comes that waits, or will wait again after the stage that runs; the second argument
            as `behind` of `describe_new`.
        batch_s: says in how many seconds a batch is expected to have ended.
        beside: makes the writes that no slot should wait for; None: they are made at once.
        is_put_down: tells whether a job's stage is over, and the job is on its way to its next place.
    """

    def __init__(
        self,
        outbox: Outbox,
        estimator: Estimator,
        turn_of: Callable[[Job, int], Turn] = lambda job, behind: Turn(None, 0.0),
        beside: LatestWrites | None = None,
        is_put_down: Callable[[str], bool] = lambda job_id: False,
        batch_s: Callable[[Job], float | None] = lambda job: None,
    ) -> None:
        self._beside, self._is_put_down = beside, is_put_down
        self._outbox = outbox
        self._estimator = estimator
        self._turn_of, self._batch_s = turn_of, batch_s
        self._written_at: dict[str, float] = {}
        self._pause = ""

    def queue_paused(self, scope: Scope, pause: Pause) -> None:
        """From now on the status of a job that waits names the pause. Those that are written already say "unless"."""
        if scope == "lanes":
            self._pause = describe_pause(pause.by, pause.since, pause.until, pause.reason)

    def queue_resumed(self, scope: Scope) -> None:
        if scope == "lanes":
            self._pause = ""

    def describe(self, job: Job, part: float = 0.0, turn: Turn | None = None) -> dict[str, Any]:
        """Return the content of a job's status file.

        Args:
            part: finished part of its running stage, 0 to 1.
            turn: when its turn comes, where that is known better than by `turn_of`.
        """
        progress, eta, position = self._estimator.progress(job, part), self._estimator.eta_s(job, part), None
        if (counts := job.facts.batch) is not None:
            progress = counts.ended / max(1, counts.rows)
            eta = None if job.held or counts.rests else self._batch_s(job)
        elif job.state in ("queued", "running") and job.stage is not None:
            position, wait_s = turn or self._turn_of(job, 0)
            # How long the rows of a batch take is known when they have been checked, and are jobs.
            eta = None if eta is None or _makes_jobs(job) else eta + wait_s
        return status_of(job, progress, eta, position, self._pause)

    def describe_new(self, job: Job, behind: int) -> dict[str, Any]:
        """Return the content of the first status file of a job. `behind`: jobs before it that are not in the queue yet either."""
        if job.state != "queued":
            return status_of(job)
        return self.describe(job, turn=self._turn_of(job, behind))

    def _write(self, job: Job, part: float = 0.0, turn: Turn | None = None, *, durable: bool = False) -> None:
        self._outbox.write_status(job.name, self.describe(job, part, turn), durable=durable)

    def _write_or_warn(self, job: Job, part: float = 0.0, turn: Turn | None = None) -> None:
        if self._beside is not None:
            self._beside.discard(job.id)
        self._try(job, lambda: self._write(job, part, turn))

    @staticmethod
    def _try(job: Job, write: Callable[[], None]) -> None:
        try:
            write()
        except (OSError, MachineError) as exc:
            log.warning("status not written", job_id=job.id, error=str(exc))

    def _write_beside(self, job: Job, part: float = 0.0, turn: Turn | None = None) -> None:
        """Write soon what is so by then; at once if nothing writes beside."""
        if self._beside is None:
            self._write_or_warn(job, part, turn)
            return

        def make() -> Callable[[], None]:
            name, status = job.name, self.describe(job, part, turn)
            return lambda: self._try(job, partial(self._outbox.write_status, name, status, durable=False))

        self._beside.put(job.id, make)

    def queue_position(self, job: Job, turn: Turn) -> None:
        """Write the place of a waiting job in its queue, and when it is expected to be done."""
        self._write_beside(job, turn=turn)

    def job_waiting(self, job: Job, missing: list[str]) -> None:
        self._write_or_warn(job)

    def job_recovered(self, job: Job) -> None:
        self._write_or_warn(job)

    def job_changed(self, job: Job) -> None:
        if self._is_put_down(job.id):
            self._write_beside(job)
        else:  # somebody asked for it, and is told so when it is done
            self._write_or_warn(job)

    def stage_started(self, job: Job, stage: Stage, wait_s: float) -> None:
        self._write_beside(job)

    def stage_progress(self, job: Job, stage: Stage, value: float) -> None:
        now = time.monotonic()
        if now - self._written_at.get(job.id, 0.0) >= WRITE_S:
            self._written_at[job.id] = now
            self._write_beside(job, value)

    def before_finish(self, job: Job) -> None:
        """Write the last status, durably: where its place refuses it, in the outbox itself, under a name with the job's id.

        Raises:
            MachineError: `outbox-missing`; `outbox-unusable`: the outbox itself refuses every status.
            OSError: the disk is at fault.
        """
        if self._beside is not None:
            self._beside.discard(job.id)
        name = job.name
        try:
            self._write(job, durable=True)
        except OSError as exc:
            if not isinstance(exc, UnusableFolderError) and exc.errno in MACHINE_ERRNOS:
                raise
            job.name = fallback_name(name, job.id)
            log.warning("place of a status not usable", job_id=job.id, name=name, instead=job.name, why=exc.strerror)
            try:
                self._write_in_outbox(job)
            except (OSError, MachineError):
                job.name = name
                raise

    def _write_in_outbox(self, job: Job) -> None:
        try:
            self._write(job, durable=True)
        except (FileNotFoundError, PermissionError, NotADirectoryError) as exc:
            raise MachineError(
                "outbox-unusable",
                f"{exc.filename}: {exc.strerror}.",
                "Make the outbox available again; work resumes automatically.",
            ) from exc
        except OSError as exc:
            if exc.errno in MACHINE_ERRNOS:
                raise
            log.warning("status not written", job_id=job.id, error=str(exc))  # people put a folder in this place, too

    def job_finished(self, job: Job) -> None:
        self._written_at.pop(job.id, None)

    def lane_paused(self, lane: str, error: AvatarError, delay_s: float) -> None:
        """Write nothing: jobs of a paused lane stay queued, and `avatar status` shows the pause."""
