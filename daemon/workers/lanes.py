"""The lanes of a daemon: makes one for each GPU, for voices, for the processor and for each slot on a cluster."""

from __future__ import annotations

import os
from collections import Counter
from functools import partial

from daemon.config import Settings
from daemon.errors import MachineError
from daemon.events import Events
from daemon.jobs.stages import LaneName, Stage
from daemon.queue.pauses import Pauses
from daemon.queue.state_machine import StateMachine
from daemon.workers.devices import (
    Device,
    DeviceWatch,
    cards_that_answer,
    find_devices,
    visible_to_drawers,
    visible_to_voices,
)
from daemon.workers.lane import Lane, MakeWorker, SlotWatch
from daemon.workers.process import WorkerProcess
from daemon.workers.remote.pool import CLUSTER_CODES, RayPool
from daemon.workers.remote.portable import REMOTE_CPU, REMOTE_GPU
from daemon.workers.remote.worker import RemoteWatch, RemoteWorker
from daemon.workers.routes import Routes
from daemon.workers.scheduler import Scheduler


class Lanes:
    """Makes all lanes of a daemon and tells how many jobs they run at once.

    Attributes:
        gpus: one for each GPU, or one without a GPU of its own.
        voice, cpu: the lanes of this machine's processor.
        ray: the cluster; None where the configuration names none.
        remote: one for each slot on the cluster.
        all: all of these lanes.
    """

    def __init__(
        self, settings: Settings, state_machine: StateMachine, pauses: Pauses, routes: Routes, events: Events
    ) -> None:
        self._settings, self._state_machine, self._routes = settings, state_machine, routes
        self._scheduler = Scheduler(settings, state_machine.ready_queue, pauses)
        wanted = settings.lanes.gpu.devices
        devices = find_devices(wanted, os.environ, cards_that_answer())
        self.gpus = self._make_gpu_lanes(devices)
        speaks = partial(WorkerProcess, cuda_devices=visible_to_voices(wanted, devices))
        self.voice = self._make_lane("voice", 1, make_worker=speaks)
        draws = partial(WorkerProcess, cuda_devices=visible_to_drawers(wanted, devices))
        self.cpu = self._make_lane("cpu", settings.lanes.cpu.slots, make_worker=draws)
        self.ray = RayPool(settings, events, self._cluster_changed) if settings.lanes.ray.is_used else None
        self.remote = self._make_remote_lanes()
        self.all = [*self.gpus, self.voice, self.cpu, *self.remote]

    @property
    def slot_names(self) -> list[str]:
        """The names of all slots."""
        return [name for lane in self.all for name in lane.slot_names]

    def start(self) -> None:
        """Let all lanes take jobs."""
        if self.ray is not None:
            self.ray.start()
        for lane in self.all:
            lane.start()

    def slots_by_lane(self) -> Counter[LaneName]:
        """Return how many jobs each lane works on at once; each of several GPUs is a lane of its own, of one name. Those of the
        cpu lane run short stages, too.
        """
        return Counter(lane.name for lane in self._at_work() if not _draws_only(lane) for _ in lane.slots)

    def slots_for_long_stages(self) -> int:
        """Return how many slots run long stages of the cpu lane only."""
        return sum(len(lane.slots) for lane in self._at_work() if _draws_only(lane))

    def _at_work(self) -> list[Lane]:
        """Return the lanes without those on a cluster that is gone."""
        return [lane for lane in self.all if not (lane.is_remote and lane.pause)]

    def _make_gpu_lanes(self, devices: list[Device]) -> list[Lane]:
        return [
            self._make_lane(
                "gpu", 1, f"gpu {device.label}" if len(devices) > 1 else "gpu",
                partial(WorkerProcess, cuda_devices=device.visible), DeviceWatch(device) if device.label else None,
            )
            for device in devices
        ]  # fmt: skip

    def _make_remote_lanes(self) -> list[Lane]:
        """Return a lane for each slot on the cluster, so that one whose machine has a fault pauses alone."""
        if self.ray is None:
            return []
        wanted: list[tuple[LaneName, int, frozenset[Stage]]] = [
            ("gpu", self._settings.lanes.ray.gpus, REMOTE_GPU), ("cpu", self._settings.lanes.ray.cpus, REMOTE_CPU),
        ]  # fmt: skip
        lanes = []
        for name, count, stages in wanted:
            for number in range(1, count + 1):
                title = f"ray {name} {number}"
                device = Device(f"ray {number}", name="a machine of the Ray cluster", stages=stages)
                make_worker = partial(RemoteWorker, pool=self.ray, slot=title)
                lanes.append(
                    self._make_lane(name, 1, title, make_worker, RemoteWatch(device, self.ray), is_remote=True)
                )
        return lanes

    def _make_lane(
        self, name: LaneName, slots: int, title: str = "", make_worker: MakeWorker = WorkerProcess,
        watch: SlotWatch | None = None, *, is_remote: bool = False,
    ) -> Lane:  # fmt: skip
        lane = Lane(
            name, slots, self._state_machine, partial(self._scheduler.next_ticket, name), self._routes, make_worker,
            list if is_remote else partial(self._routes.preloads, name), self._scheduler.costs, title, watch, is_remote,
            reads_ahead=not is_remote,
        )  # fmt: skip
        self._scheduler.slots.setdefault(name, []).extend(lane.slots)
        return lane

    def _cluster_changed(self, error: MachineError | None) -> None:
        """Let the slots on the cluster stand still while it cannot be used, and go on when it can."""
        for lane in self.remote:
            if error is None:
                lane.end_pause_of(*CLUSTER_CODES)
            else:
                lane.begin_pause(error)


def _draws_only(lane: Lane) -> bool:
    return lane.is_remote and lane.name == "cpu"
