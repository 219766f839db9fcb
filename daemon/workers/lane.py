"""Runs stages in a lane: a few slots, each with one worker process, that take jobs from the ready queue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

import structlog

from daemon.config import Settings
from daemon.errors import (
    AvatarError,
    JobError,
    MachineError,
    WorkerDied,
)
from daemon.jobs.record import Job
from daemon.jobs.stages import DELIVER, LaneName, Stage, stages_of_lane
from daemon.queue.ready_queue import Ticket
from daemon.queue.state_machine import StateMachine
from daemon.system.memory import is_short
from daemon.wire import ModelChange, Notice, Result, RunRequest
from daemon.workers.devices import Device
from daemon.workers.fault_pauses import FaultPause, FaultPauses
from daemon.workers.preloading import preload_next
from daemon.workers.process import KILLED_S, PIPES_S, WorkerProcess
from daemon.workers.putting_down import End, PuttingDown
from daemon.workers.read_ahead import ReadAhead
from daemon.workers.routes import Routes
from daemon.workers.slot import SOON_S, Slot
from daemon.workers.slot_models import ModelCosts, SlotModels
from daemon.workers.time_limits import stage_timeout_s
from daemon.workers.worker import ElsewhereError, Worker

log = structlog.get_logger()

#: Longest wait of a lane without work, and a margin so that an awaited moment has passed, in s.
REST_S, TICK_S = 30.0, 0.01
#: Longest wait of a slot while jobs wait that are left to others for now, in s.
LEFT_S = 1.0
#: At the end: the time in which a worker without a job ends by itself, and that in which the last jobs are put down, in s.
GRACE_S, SETTLE_S = 2.0, 10.0
#: What the end of a lane takes at most, beyond the time that running stages are given, in s.
END_S = GRACE_S + KILLED_S + PIPES_S + SETTLE_S
#: Rest of a slot after a bug of the daemon, in s.
AFTER_BUG_S = 1.0

#: Chooses the next ticket for a slot at a monotonic time; None: no job.
ChooseTicket = Callable[[Slot, float], Ticket | None]
#: Makes a worker, given its lane's name, the settings, and the receiver of its notices.
MakeWorker = Callable[[str, Settings, Callable[[Notice], None]], Worker]


class SlotWatch(Protocol):
    """Looks after what the slot of a lane runs on: a GPU (`devices.DeviceWatch`), or a cluster."""

    device: Device

    async def look(self) -> int | None:
        """Return the free memory of its GPU, in bytes; None where that is not known.

        Raises:
            MachineError: it does not answer.
        """


class Lane:
    """Runs stages in worker processes. The voice lane has one slot, the cpu lane several. Each GPU is a lane with one slot, so
    that one that is lost pauses alone; all of them take their jobs from the queues of the gpu lane.

    Args:
        title: what people call it, unique among the lanes; its name if it is empty.
        routes: learns which engines do the jobs' stages.
        make_worker: makes the worker process of a slot.
        costs: learns what loading models costs.
        preloads: stages that the first slot loads ahead of the first job.
        watch: looks after what its slot runs on; None: on nothing of its own.
        is_remote: its worker runs on another machine.
        reads_ahead: reads the files of the next job while its slots are busy.
    """

    def __init__(
        self,
        name: LaneName,
        slots: int,
        state_machine: StateMachine,
        choose: ChooseTicket,
        routes: Routes,
        make_worker: MakeWorker = WorkerProcess,
        preloads: Callable[[], list[Stage]] = list,
        costs: ModelCosts | None = None,
        title: str = "",
        watch: SlotWatch | None = None,
        is_remote: bool = False,
        *,
        reads_ahead: bool = False,
    ) -> None:
        self.name = name
        self.is_remote = is_remote
        self.title = title or name
        self.device = watch.device if watch else Device()
        self._watch = watch
        self._stages = self.device.stages if watch else frozenset(stages_of_lane(name))
        self._routes = routes
        self.state_machine = state_machine
        self._costs = costs or ModelCosts()
        #: Names of the slots in records of jobs: `voice`, `cpu-2`, and with several GPUs `gpu-1`, by the GPU's number.
        row = self.title.replace(" ", "-")
        self.slot_names = [row] if slots == 1 else [f"{row}-{number}" for number in range(1, slots + 1)]
        self.slots = [self._make_slot(f"{self.title} {number}", make_worker, number) for number in range(slots)]
        self._pauses = FaultPauses(
            self.title, self.slots, state_machine.settings, state_machine.events, self._tell_of_slots
        )
        self._putting_down = PuttingDown(self.title, state_machine, self._pauses)
        self._read_ahead = ReadAhead() if reads_ahead else None
        self.draining = False
        self._choose = choose
        self._preloads = preloads
        self._tasks: list[asyncio.Task[None]] = []

    def _make_slot(self, name: str, make_worker: MakeWorker, number: int) -> Slot:
        models = SlotModels(self._costs)
        on_notice = partial(self._on_notice, models, self.slot_names[number])
        worker = make_worker(self.name, self.state_machine.settings, on_notice)
        return Slot(name, worker, models, self._stages, is_remote=self.is_remote)

    def start(self) -> None:
        """Start one task for each slot."""
        self.slots[0].to_preload = self._to_preload()
        self._tasks = [asyncio.create_task(self._loop(slot), name=slot.name) for slot in self.slots]

    async def drain(self, grace_s: float) -> None:
        """Start no new job, let running stages continue for `grace_s` seconds, then end the workers and put their jobs back."""
        self.draining = True
        self.state_machine.changed.notify()
        ahead = [slot for slot in self.slots if slot.preloading_since is not None or slot.starting]  # they have no job
        ending = [asyncio.create_task(slot.worker.stop(0)) for slot in ahead]
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)
            await asyncio.gather(*ending, *(slot.worker.stop(0 if slot.job else GRACE_S) for slot in self.slots))
            _, late = await asyncio.wait([*self._tasks, asyncio.create_task(self._settle())], timeout=SETTLE_S)
            for task in late:
                task.cancel()

    async def _settle(self) -> None:
        """Wait until the slots have ended, and the last jobs are put down and flushed."""
        await asyncio.wait(self._tasks)
        await asyncio.gather(*(slot.putting_down for slot in self.slots if slot.putting_down is not None))
        await self.state_machine.durable.flushed()

    def restart_workers(self) -> None:
        """Use new processes for the next jobs, since the settings have changed."""
        for slot in self.slots:
            slot.worker.restart_before_next_job()
        self.slots[0].to_preload = self._to_preload()
        self.state_machine.changed.notify()

    async def cancel(self, job_id: str, by: str = "") -> bool:
        """Have the stage of a job end if it runs in this lane; returns whether it does. May be called again. `by`: who asked.

        Raises:
            JobError: `job-finished`, if the job is being delivered.
        """
        for slot in self.slots:
            if slot.job is not None and slot.job.id == job_id:
                if slot.job.stage == DELIVER:
                    raise JobError(
                        "job-finished", f"{job_id} is already being delivered.", "Remove the result instead."
                    )
                slot.cancelled, slot.cancelled_by = True, by
                await slot.worker.cancel(job_id)
                return True
        return False

    # -- one slot ----------------------------------------------------------------------------------------------

    async def _loop(self, slot: Slot) -> None:
        while not self.draining:
            try:
                await self._take_turn(slot)
            except Exception:  # a bug of the daemon's own must not end the lane
                log.exception("lane step failed", lane=self.title)
                await asyncio.sleep(AFTER_BUG_S)

    async def _take_turn(self, slot: Slot) -> None:
        """Run the next job; where there is none, load a stage ahead, or wait for a change."""
        ticket = self._next_ticket(slot)
        may_load = bool(slot.to_preload) and not self._pauses.is_active()
        if (ticket is not None or may_load) and not slot.worker.alive and self._watch is not None:
            await self._look_at_device(slot, starts=True)
            ticket = self._next_ticket(slot)  # others may have taken the one before
            may_load = may_load and not self._pauses.is_active()
        if ticket is not None:
            await self._run_ticket(slot, ticket)
        elif may_load:
            is_needed = partial(self._is_needed, slot)
            await preload_next(slot, self.title, is_needed, lambda: self.draining, self.state_machine.changed)
        else:
            await self._wait_for_change(slot)

    def _next_ticket(self, slot: Slot) -> Ticket | None:
        return None if self._pauses.is_active() else self._choose(slot, time.monotonic())

    def _to_preload(self) -> list[Stage]:
        stages = self._preloads()
        return stages if self._watch is None else [stage for stage in stages if stage in self._stages]

    async def _look_at_device(self, slot: Slot, *, starts: bool = False) -> None:
        """Read the free memory of a slot's GPU; pause if it does not answer. A process that starts without its GPU would
        compute on the processor.

        Args:
            starts: whether to start a worker that is to be started before it is given a job.
        """
        if self._watch is None:
            return
        try:
            slot.free_bytes = await self._watch.look()
            if starts and slot.worker.starts_first and not self.draining:
                slot.starting = True
                await slot.worker.start()
        except MachineError as exc:
            self._pauses.begin(exc)
        except WorkerDied:  # it was told to end
            pass
        finally:
            slot.starting = False

    async def _run_ticket(self, slot: Slot, ticket: Ticket) -> None:
        slot.begin(ticket.stage)
        try:
            try:
                if (end := await self._run_job(slot, ticket)) is not None:
                    await self._putting_down.begin(slot, ticket, end)
            except Exception as exc:
                # A bug in the daemon, or a job's folder removed by hand, must not end the lane.
                await self._putting_down.recover(slot.job, ticket, exc)
            slot.job = None
            if slot.may_have_loaded and not self.draining:  # the job has gone on: a driver may take a minute to answer
                await self._look_at_device(slot)
        finally:
            slot.end()
            self._tell_of_slots()

    def _read_next(self, slot: Slot) -> None:
        """Read the files of the job that a busy slot would run next."""
        if self._read_ahead is not None and (ticket := self._next_ticket(slot)) is not None:
            self._read_ahead.begin(self.state_machine.spool.ready(ticket.stage) / ticket.id)

    def _is_needed(self, slot: Slot) -> bool:
        """Return whether a job waits for a slot that loads a stage, since no other slot can take it."""
        if self._pauses.is_active() or any(other.is_free for other in self.slots if other is not slot):
            return False
        return self._choose(slot, time.monotonic()) is not None

    async def _wait_for_change(self, slot: Slot) -> None:
        """Wait for a change, a delayed job, or the end of a pause; end an idle worker."""
        if not self._pauses.is_active() and not any(other.job for other in self.slots) and not self._has_jobs():
            # The pause has expired, and no job is left whose success would end it.
            if self.pause is not None:
                await self._look_at_device(slot)
            if not self._pauses.is_active():
                self._pauses.end()
        due, pause = self.state_machine.ready_queue.next_due(), self.pause
        now = time.monotonic()
        moments = [REST_S, due - now if due else 0.0, pause.until - now if pause else 0.0]
        moments += [since + SOON_S - now for other in self.slots if (since := other.preloading_since) is not None]
        if (
            self._has_waiting()
        ):  # they are left to other slots, and some of the reasons for that end without a notification
            moments.append(LEFT_S)
        # A moment in the past needs no other check: this lane was checked after it.
        await self.state_machine.changed.wait(min(moment for moment in moments if moment > 0) + TICK_S)
        await self._end_or_preload(slot)

    async def _end_or_preload(self, slot: Slot) -> None:
        """End an idle worker that keeps no preloaded model; preload again after a worker that kept one has ended."""
        kept = slot is self.slots[0] and bool(self._to_preload())
        idle = time.monotonic() - slot.idle_since
        if slot.worker.alive:
            if idle > self.state_machine.settings.lanes.idle_s and not (kept and not is_short()):
                slot.succeeded = False
                await slot.worker.stop()
        elif kept and slot.succeeded and not self._pauses.is_active():
            # Only after a successful job: a model that ends the process while it loads would end each new one.
            slot.to_preload, slot.succeeded = self._to_preload(), False

    async def _run_job(self, slot: Slot, ticket: Ticket) -> End | None:
        """Run a stage. Returns how to put the job down; None if it was not started."""
        machine = self.state_machine
        taken = await machine.start_attempt(ticket, self._name_of(slot))
        if taken is None:
            return None
        job, directory = taken
        slot.job, began = job, time.monotonic()
        if self.draining:  # the start waited for the disk, or for a file, when the end began
            return partial(machine.put_back, job, directory, "returned")
        self._tell_of_slots()
        if len(self.slots) > 1 or self._watch is not None:
            machine.changed.notify()  # others may have left the next job to this slot
        came: Result | WorkerDied | AvatarError | ElsewhereError
        try:
            came = await self._run_stage(slot, job, directory, ticket, began)
        except (WorkerDied, AvatarError, ElsewhereError) as exc:
            came = exc
        if slot.cancelled:  # however its stage ended: its worker said so, or was killed
            return partial(machine.finish_cancelled, job, directory, slot.cancelled_by)
        if isinstance(came, ElsewhereError):
            self._routes.learn(job, ticket.stage, came.engine)
            return partial(machine.put_back, job, directory, "returned")
        if isinstance(came, Result):
            return partial(self._putting_down.advance, job, directory, came, slot.worker.take_results(directory))
        return self._putting_down.after(came, job, directory, draining=self.draining)

    async def _run_stage(self, slot: Slot, job: Job, directory: Path, ticket: Ticket, began: float) -> Result:
        request = RunRequest(
            job=job.id,
            name=job.name,
            stage=ticket.stage,
            dir=directory,
            manifest=job.manifest,
            still_s={name: source.still_s for name, source in job.facts.sources.items()},
            by=job.by,
        )
        asyncio.get_running_loop().call_soon(self._read_next, slot)  # when the stage has been told to run
        result = await slot.worker.run(
            request,
            stage_timeout_s(job, ticket.stage, directory, self.state_machine.settings.lanes.timeout),
            lambda value: self.state_machine.events.stage_progress(job, ticket.stage, value),
        )
        if self.pause is None or self.pause.began < began:
            self._pauses.end()
        slot.succeeded = True
        slot.models.done(ticket.stage, slot.worker.pid)
        slot.may_have_loaded = slot.models.run == 1
        self._routes.learn_from(job, ticket.stage, result.facts)
        return result

    def _name_of(self, slot: Slot) -> str:
        """Return the name of a slot, in records of jobs."""
        return self.slot_names[self.slots.index(slot)]

    def _has_jobs(self) -> bool:
        """Return whether a job waits for this lane, or is being started."""
        return self._has_waiting() or any(
            job.stage is not None and self._routes.lane_of(job) == self.name  # a batch that is put down has no stage
            for job in self.state_machine.running.values()
        )

    def _has_waiting(self) -> bool:
        return any(self.state_machine.ready_queue.count(stage, self.name) for stage in self._stages)

    # -- pauses ------------------------------------------------------------------------------------------------

    @property
    def pause(self) -> FaultPause | None:
        """Its pause after a fault of the machine; also one whose time is over, until a job succeeds."""
        return self._pauses.pause

    def begin_pause(self, error: MachineError) -> None:
        """Pause, unless it pauses already, for a fault that concerns it also while it has no job."""
        if self.pause is None:
            self._pauses.begin(error)

    def end_pause_of(self, *codes: str) -> None:
        """End a pause after a fault that is mended."""
        if self.pause is not None and self.pause.error.code in codes:
            self._pauses.end()
            self.state_machine.changed.notify()

    def _tell_of_slots(self) -> None:
        if self._watch is not None:
            self.state_machine.events.slots_changed()

    def _on_notice(self, models: SlotModels, slot: str, notice: Notice) -> None:
        if isinstance(notice, ModelChange):
            models.changed(notice)
            lane = {"lane": self.title} if self.title != self.name else {}
            self.state_machine.events.model_changed(notice.model_copy(update={**lane, "slot": slot}))
        else:
            self.state_machine.events.stage_left(notice.job, notice.value)
