"""A lane in memory and in virtual time: real queues, shares and policy; jobs and loads only take the seconds that they cost."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from daemon.jobs.stages import LaneName, Stage
from daemon.queue.ready_queue import ReadyQueue, Ticket
from daemon.queue.steady_clock import SteadyClock
from daemon.workers.policy import Choice, Costs, SlotState, SlotView, Snapshot, choose
from daemon.workers.scheduler import heads_of, queue_of

STAGES: tuple[Stage, ...] = ("generate", "tts", "lipsync")


@dataclass
class PlayedSlot:
    """A GPU: what it holds, and until when it works. `room_bytes`: memory for models."""

    name: str
    stages: frozenset[Stage]
    room_bytes: int = 0
    resident: list[Stage] = field(default_factory=list)
    run: int = 0
    running: Ticket | None = None
    until: float = 0.0


@dataclass(frozen=True)
class Run:
    """One job that was run. Times in s; `began` includes the load, which took `load_s`."""

    job: str
    stage: Stage
    line: str
    slot: str
    began: float
    ended: float
    load_s: float
    waited: float


class Simulation:
    """Runs jobs by the policy. `load_s`, `size_bytes`: of the models of each stage."""

    def __init__(
        self,
        slots: int = 1,
        load_s: float = 10.0,
        room_bytes: int = 1,
        stick_jobs: int = 4,
        stick_s: float = 60.0,
        only: Sequence[frozenset[Stage]] = (),
    ) -> None:
        self.now = 0.0
        self.queue = ReadyQueue(SteadyClock(lambda: self.now, lambda: self.now))
        every = frozenset(STAGES)
        self.slots = [PlayedSlot(f"gpu {n}", only[n] if only else every, room_bytes) for n in range(slots)]
        self.costs = Costs(dict.fromkeys(STAGES, load_s), dict.fromkeys(STAGES, 1))
        self.load_s, self.stick_jobs, self.stick_s = load_s, stick_jobs, stick_s
        self.runs: list[Run] = []
        self.choices: list[tuple[Snapshot, Choice | None]] = []
        self.served: dict[str, float] = defaultdict(float)
        self._numbers = itertools.count()

    def drop(self, stage: Stage, cost_s: float = 1.0, line: str = "", priority: int = 0) -> str:
        """Let a job come now."""
        number = next(self._numbers)
        lane: LaneName = "gpu"
        ticket = Ticket(f"{number:06}", stage, priority, self.now, self.now, 0.0, lane, (line, ""), cost_s)
        self.queue.restore(ticket)
        return ticket.id

    def snapshot(self) -> Snapshot:
        """Return what the policy sees now."""
        queues = [queue_of(self.queue, head) for head in heads_of(self.queue, "gpu", self.now)]
        views = []
        for slot in self.slots:
            state: SlotState = "busy" if slot.running else "free"
            running = slot.running.stage if slot.running else None
            free = slot.room_bytes - len(slot.resident)
            views.append(SlotView(slot.name, slot.stages, state, running, frozenset(slot.resident), slot.run, free))
        return Snapshot(self.now, queues, views, self.costs, self.stick_jobs, self.stick_s)

    def step(self) -> bool:
        """Start what can start now, and go on to the next end of a job; returns False where nothing runs."""
        while choice := self._choose():
            self._start(choice)
        working = [slot for slot in self.slots if slot.running]
        if not working:
            return False
        # A lane looks again at least every second while jobs wait that were left to others (`LEFT_S`).
        until = min(slot.until for slot in working)
        self.now = min(until, self.now + 1.0) if len(self.queue) and len(working) < len(self.slots) else until
        for slot in working:
            if slot.until <= self.now:
                slot.running = None
        return True

    def finish(self) -> None:
        """Run until nothing is left."""
        while self.step():
            pass

    def run_until(self, end: float) -> None:
        """Run the lane until some time, in s."""
        while self.now < end and self.step():
            pass

    def _choose(self) -> Choice | None:
        seen = self.snapshot()
        choice = choose(seen)
        self.choices.append((seen, choice))
        return choice

    def _start(self, choice: Choice) -> None:
        slot = next(slot for slot in self.slots if slot.name == choice.slot)
        assert slot.running is None
        ticket = self.queue.take(choice.job)
        assert ticket is not None
        assert ticket.stage == choice.stage
        load_s = 0.0
        if ticket.stage not in slot.resident:
            load_s = self.load_s
            if len(slot.resident) >= slot.room_bytes:
                slot.resident.clear()
            slot.resident.append(ticket.stage)
            slot.run = 0
        slot.run += 1
        slot.running, slot.until = ticket, self.now + load_s + ticket.cost_s
        self.served[ticket.line[0]] += ticket.cost_s
        waited = self.now - ticket.since
        self.runs.append(Run(ticket.id, ticket.stage, ticket.line[0], slot.name, self.now, slot.until, load_s, waited))
