"""The daemon: builds its parts, connects them, and runs until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import structlog

from daemon.config import Settings
from daemon.config.reload import ReloadedSettings, reload_settings
from daemon.control.inbox_requests import InboxRequests
from daemon.control.operations import Operations
from daemon.control.spool_requests import SpoolRequests
from daemon.errors import AvatarError, ConfigError
from daemon.events import Events
from daemon.folders import inbox_access_error, prepare_folders
from daemon.history.keeper import HistoryKeeper
from daemon.intake.admission import Admission
from daemon.intake.batches.keeper import BatchKeeper
from daemon.intake.watcher import Watcher
from daemon.jobs.record import Job
from daemon.loops import Loops
from daemon.outbox.backlog import Backlog
from daemon.outbox.estimates.estimate_errors import EstimateErrors
from daemon.outbox.estimator import Estimator
from daemon.outbox.latest_writes import GATHER_S, LatestWrites
from daemon.outbox.outbox import Outbox
from daemon.outbox.status_file import StatusWriter
from daemon.outbox.voice_list import VoiceList
from daemon.queue.lock import SpoolLock
from daemon.queue.pauses import SCOPES, Pauses
from daemon.queue.ready_queue import ReadyQueue
from daemon.queue.recovery import recover_spool
from daemon.queue.retention import run_retention
from daemon.queue.returned_manifests import ManifestReturner
from daemon.queue.source_files import SourceFiles
from daemon.queue.spool import Spool
from daemon.queue.state_machine import StateMachine
from daemon.queue.turns import Turns, keep_turns
from daemon.stopping import CLUSTER_S, INTAKE_S, LANES_S, LOOPS_S, MARGIN_S, STATUS_S, STOP_S, THREADS_S, within
from daemon.system.disk_thread import DiskThread, threads_ended
from daemon.system.keep_running import keep_running
from daemon.system.wakeup import Wakeup
from daemon.telemetry.canary import Canary
from daemon.telemetry.cluster import ClusterCollector
from daemon.telemetry.collectors import EstimateCollector
from daemon.telemetry.endpoints import MetricsServer, keep_metrics_file, serve_metrics
from daemon.telemetry.lane_log import LANE_LOG, LaneLog
from daemon.telemetry.logs import LogWriter, configure_logging
from daemon.telemetry.metrics import Metrics
from daemon.telemetry.sd_notify import SystemdNotifier
from daemon.telemetry.slots import SlotCollector, gpu_slots
from daemon.telemetry.state_file import ERRORS, StateFile, learned_times, read_state
from daemon.telemetry.systemd import SystemdReporter
from daemon.workers.abandoned_files import remove_abandoned_files
from daemon.workers.lanes import Lanes
from daemon.workers.remote.portable import is_portable
from daemon.workers.routes import Routes

log = structlog.get_logger()

LOOP_CHECK_S = 0.5  # between two records that the event loop runs
STUCK_S = 60.0  # an event loop that has not run for this long counts as stuck


class Service:
    """One daemon on one spool. `config`: the file that SIGHUP reads again."""

    def __init__(self, settings: Settings, config: Path | None = None) -> None:
        self.settings = settings
        self._config = config
        self.spool = Spool(settings.paths.spool)
        self.outbox = Outbox(
            settings.paths.outbox,
            self.spool.root / "outbox.json",
            self.spool.is_resting,
            lambda: settings.intake.subfolders,
        )
        # Asked each time, as a reload may change it.
        self.routes = Routes(settings)
        self.ready_queue = ReadyQueue(
            longest_delay_s=lambda: max(
                2 * settings.retry.max_delay_s, settings.lanes.pause_s, settings.intake.companion_wait_s
            ),
            lane_of=self.routes.lane_of,
            is_portable=is_portable,
        )
        self.events = Events()
        self._disk = DiskThread("inbox")
        self.admission = Admission(settings, self.spool, self.outbox, self.ready_queue, self.events, self._disk.post)
        sources = SourceFiles(
            settings,
            lambda path: self.admission.inbox.is_open(path),
            mounted=partial(self.admission.mount_guard.held, adopt=False),
        )
        self.state_machine = StateMachine(settings, self.spool, self.ready_queue, self.events, sources)
        self.pauses = Pauses(self.spool.root / "paused.json")
        self.lanes = Lanes(settings, self.state_machine, self.pauses, self.routes, self.events)
        self.batches = BatchKeeper(
            settings, self.spool, self.outbox, self.state_machine, self.admission.claims.builder, self._disk
        )
        operations = Operations(
            self.state_machine, self.admission, self.lanes.all, self.pauses, self.events, self._disk, self.batches
        )
        self.batches.run = operations.run_request
        self._wake = Wakeup()
        self._reloaded = Wakeup()
        self.loops = Loops(
            self.admission,
            InboxRequests(self.admission, self.outbox, operations, self._disk),
            SpoolRequests(self.spool.control, operations),
            self.pauses,
            self.state_machine,
            self._wake,
            self._disk,
        )
        self.metrics = Metrics(self.ready_queue, {"spool": settings.paths.spool, "outbox": settings.paths.outbox})
        self.metrics.registry.register(SlotCollector(self.lanes.all))
        if (ray := self.lanes.ray) is not None:
            self.metrics.registry.register(ClusterCollector(ray))
        for lane in self.lanes.all:
            self.metrics.paused.labels(lane.title)  # at zero, until it pauses
        self.canary = Canary(settings, self.admission.mount_guard, self.metrics.registry)
        state_json = self.spool.root / "state.json"
        before = read_state(state_json)
        estimator = Estimator(learned_times(before))
        backlog = Backlog(estimator, self.lanes.slots_by_lane, self.lanes.slots_for_long_stages)
        self.turns = Turns(self.ready_queue, backlog)
        self.status_writes = LatestWrites(GATHER_S)
        self.status = StatusWriter(
            self.outbox,
            estimator,
            self.turns.of,
            self.status_writes,
            self.state_machine.durable.uses_threads,
            self.turns.batch_s,
        )
        self.admission.claims.builder.describe = self.status.describe_new
        errors = EstimateErrors(partial(_expected_s, estimator, self.turns), before.get(ERRORS))
        self.metrics.registry.register(EstimateCollector(errors))
        self.state_writes = LatestWrites()
        slots = partial(gpu_slots, [*self.lanes.gpus, *self.lanes.remote])
        self.state = StateFile(state_json, estimator, errors, slots, self.state_writes)
        self.lane_log = LaneLog(self.spool.root / LANE_LOG)
        self.systemd = SystemdReporter(SystemdNotifier(), settings, self.ready_queue, self.lanes.all, self.pauses)
        self.returner = ManifestReturner(self.outbox, self.spool, lambda: settings.intake.max_manifest_bytes)
        self.history = HistoryKeeper(settings.paths.history, self.spool, self.outbox)
        for subscriber in (
            estimator,
            backlog,
            errors,
            self.history,  # before the status: who has read it finds the same in the index
            self.status,
            self.returner,
            self.batches,
            self.loops,
            self.metrics,
            LogWriter(),
            self.state,
            self.lane_log,
            self.systemd,
            self.canary,
        ):
            self.events.add(subscriber)
        self._stop = asyncio.Event()
        self._loop_ran_at = time.monotonic()

    # -- run and stop --------------------------------------------------------------------------------------------

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Run until SIGTERM or SIGINT. `ready` is called when recovery is over and work is taken.

        Raises:
            AvatarError: the spool is locked by another daemon, or a folder cannot be used.
        """
        self._make_folders()
        lock = SpoolLock(self.spool.lock)
        lock.acquire()
        try:
            await self._serve(ready)
        finally:
            lock.release()

    def _make_folders(self) -> None:
        paths = self.settings.paths
        prepare_folders(self.settings, self.spool)
        claims = self.admission.claims.folder.path
        try:
            split = claims.is_dir() and paths.inbox.stat().st_dev != claims.stat().st_dev
        except PermissionError as exc:
            raise inbox_access_error(exc) from exc
        if split:
            raise ConfigError(
                "inbox-split",
                f"paths.inbox: {claims} is on another filesystem than the inbox.",
                "Unmount it.",
            )

    async def _serve(self, ready: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: self.systemd.reload(self._reload))
        self._wake.bind()
        self.state.write()
        self.lane_log.began(self.lanes.slot_names)
        for scope in SCOPES:
            if (pause := self.pauses.active(scope)) is not None:
                self.events.queue_paused(scope, pause)
        watcher = Watcher(self._wake.notify_threadsafe)
        # Watching begins before the first scan, so nothing can fall between the two.
        watcher.watch(self.spool.control, "auto", recursive=False)
        watcher.start()
        server: MetricsServer | None = None
        loop_check = asyncio.create_task(self._record_loop_turns())
        try:
            # Before recovery, which waits while the disk is full: people must be able to see why.
            server = serve_metrics(
                self.settings.metrics,
                self.metrics.registry,
                self.healthy,
                self.systemd.readiness,
                self.spool.root / "metrics.json",
            )
            if (interrupted := await self._recover(watcher)) is not None:
                log.info(
                    "ready",
                    pid=os.getpid(),
                    waiting=len(self.ready_queue),
                    recovered=interrupted,
                    inbox=str(self.settings.paths.inbox),
                    notified=watcher.trusted(self.settings.paths.inbox),
                )
                self.lanes.start()
                self.systemd.ready()
                ready()
                await self._work(watcher)
            await self._end()
        finally:
            loop_check.cancel()
            watcher.stop()
            if server is not None:
                server.stop()

    async def _recover(self, watcher: Watcher) -> int | None:
        """Bring the spool in order, and go on with what was being taken in. Returns the number of interrupted jobs; None where
        the daemon was told to stop meanwhile: what is left is done at the next start.
        """
        starting = asyncio.create_task(self.systemd.starting())
        await asyncio.sleep(0)  # it notifies systemd before the work begins
        recovering = asyncio.create_task(self._put_in_order(watcher))
        stopped = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([recovering, stopped], return_when=asyncio.FIRST_COMPLETED)
        finally:
            starting.cancel()
            stopped.cancel()
        if not self._stop.is_set():
            return recovering.result()
        log.info("stopping", running=0)
        self.systemd.stopping(STOP_S + MARGIN_S)
        recovering.cancel()
        return None

    async def _put_in_order(self, watcher: Watcher) -> int:
        await self.loops.begin_to_watch(watcher)
        remove_abandoned_files(self.settings.paths.cache)  # of workers that were killed
        interrupted = await recover_spool(self.state_machine, self.outbox)
        await self.loops.resume_intake()
        await self.batches.resume()  # a request for a batch is one for all its rows
        # Before anything runs: jobs that were paused or cancelled meanwhile must not start.
        await self.loops.answer_spool_requests()
        await self.loops.answer_request_files()
        return interrupted

    async def _work(self, watcher: Watcher) -> None:
        loops: dict[str, Callable[[], Awaitable[None]]] = {
            "inbox": partial(self.loops.scan_inbox, watcher),
            "queue-positions": partial(keep_turns, self.turns, self.spool, self.status, self.batches.all_running),
            "retention": partial(run_retention, self.settings, self.spool, self.events, self._reloaded),
            "history": self.history.loop,
            "batches": self.batches.loop,
            "pauses": self.loops.end_pauses,
            "requests": self.loops.answer_requests,
            "inbox-disk": self.loops.watch_disk,
            "systemd": self.systemd.watch,
            "heartbeat": self.canary.loop,
            "returned-manifests": self.returner.loop,
            "lane-log": self.lane_log.loop,
            "voices": VoiceList(self.settings, self.outbox, lambda: bool(self.state_machine.running)).loop,
            "metrics-file": partial(keep_metrics_file, self.metrics.registry, self.settings.metrics.textfile),
        }
        tasks = [asyncio.create_task(keep_running(name, loop), name=name) for name, loop in loops.items()]
        await self._stop.wait()
        log.info("stopping", running=len(self.state_machine.running))
        grace_s = self.settings.lanes.drain_s
        self.systemd.stopping(grace_s + STOP_S + MARGIN_S)
        for task in tasks:
            task.cancel()
        # What they leave is recovered at the next start. An empty call ends after those before it, so that the manifests that are
        # being taken in become jobs.
        ends = [within(grace_s + LANES_S, lane.title, lane.drain(grace_s)) for lane in self.lanes.all]
        ends.append(within(INTAKE_S, "intake", self._disk.run(int)))
        ends.append(within(LOOPS_S, "loops", asyncio.gather(*tasks, return_exceptions=True)))
        await asyncio.gather(*ends)
        if self.lanes.ray is not None:
            await within(CLUSTER_S, "ray", self.lanes.ray.close())

    async def _end(self) -> None:
        """Write down what is known; each part gets a bounded time."""
        if left := await threads_ended(THREADS_S):
            log.error("not waited for any longer at the stop", what=", ".join(left), limit_s=THREADS_S)
        remove_abandoned_files(self.settings.paths.cache)
        await within(STATUS_S, "statuses", self.status_writes.written())
        await self.history.close()
        self.state.write()
        self.lane_log.ended()
        log.info("stopped")

    async def _record_loop_turns(self) -> None:
        """Record that the event loop runs. Separate from all work, because a silent file server is no reason for a restart."""
        while True:
            self._loop_ran_at = time.monotonic()
            await asyncio.sleep(LOOP_CHECK_S)
            self.metrics.loop_turned(max(0.0, time.monotonic() - self._loop_ran_at - LOOP_CHECK_S))

    def stop(self) -> None:
        """End `run` after the running jobs have had `lanes.drain_s` to finish."""
        self._stop.set()

    def _reload(self) -> None:
        change, error = ReloadedSettings(), None
        try:
            if self._config is not None:
                change = reload_settings(self.settings, self._config)
        except AvatarError as exc:
            error = exc
        self.events.config_read(error, change.applied, change.waiting)
        if change.applied:
            configure_logging(self.settings.log)
            self.routes.forget()
            for lane in self.lanes.all:
                lane.restart_workers()
            self._wake.notify()
            # What waits for a moment that the old settings gave asks the new ones.
            self._reloaded.notify()
            self.state_machine.changed.notify()

    def healthy(self) -> tuple[bool, str]:
        """Return whether the event loop runs, and one line for people. Callable from any thread."""
        late = time.monotonic() - self._loop_ran_at
        if late >= STUCK_S:
            return False, f"stuck: the daemon's loop last turned {late:.0f} s ago"
        paused = [lane.title for lane in self.lanes.all if lane.pause]
        return True, f"ok, paused: {', '.join(paused)}" if paused else "ok"


def _expected_s(estimator: Estimator, turns: Turns, job: Job) -> float | None:
    """Return in how many seconds a queued job is expected to be done, with its wait."""
    work_s = estimator.eta_s(job, 0.0)
    return None if work_s is None else work_s + turns.of(job).wait_s
