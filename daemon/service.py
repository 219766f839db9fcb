"""The daemon: builds its parts, connects them, and runs until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from daemon.config import Settings
from daemon.config.reload import Change, reload
from daemon.control.inbox_requests import InboxRequests
from daemon.control.operations import Operations
from daemon.control.spool_requests import SpoolRequests
from daemon.errors import AvatarError, ConfigError
from daemon.events import Events
from daemon.folders import prepare_folders
from daemon.intake.admission import Admission
from daemon.intake.watcher import Watcher
from daemon.jobs.stages import stages_of
from daemon.loops import Loops, keep_queue_positions
from daemon.outbox.estimator import Estimator
from daemon.outbox.outbox import Outbox
from daemon.outbox.status_file import StatusWriter
from daemon.outbox.voice_list import VoiceList
from daemon.queue.lock import SpoolLock
from daemon.queue.pauses import SCOPES, Pauses
from daemon.queue.ready_queue import Board
from daemon.queue.recovery import recover
from daemon.queue.retention import keep_trimmed
from daemon.queue.spool import Spool
from daemon.queue.state_machine import Flow
from daemon.system.disk_thread import DiskThread
from daemon.system.wakeup import Bell
from daemon.telemetry.canary import Heartbeat
from daemon.telemetry.endpoints import MetricsServer, keep_file, serve
from daemon.telemetry.logs import LogWriter, configure
from daemon.telemetry.metrics import Metrics
from daemon.telemetry.sd_notify import Notifier
from daemon.telemetry.state_file import StateFile
from daemon.telemetry.systemd import Overseer
from daemon.workers.lane import Lane
from daemon.workers.scheduler import Chooser

log = structlog.get_logger()

LOOP_CHECK_S = 0.5  # between two records that the event loop runs
STUCK_S = 60.0  # an event loop that has not run for this long counts as stuck


class Service:
    """One daemon on one spool. `config`: the file that SIGHUP reads again."""

    def __init__(self, settings: Settings, config: Path | None = None) -> None:
        settings = settings.model_copy(deep=True)  # a reload changes them in place; defaults are shared otherwise
        self.settings = settings
        self._config = config
        self.spool = Spool(settings.paths.spool)
        self.outbox = Outbox(settings.paths.outbox, self.spool.root / "outbox.json")
        # Asked each time, as a reload may change it.
        self.board = Board(longest_delay_s=lambda: max(2 * settings.retry.max_delay_s, settings.lanes.pause_s))
        self.events = Events()
        self.flow = Flow(settings, self.spool, self.board, self.events)
        self._disk = DiskThread("inbox")
        self.admission = Admission(settings, self.spool, self.outbox, self.board, self.events, self._disk.post)
        cpus = settings.lanes.cpu.processes or max(2, (os.cpu_count() or 2) // 2)
        self.pauses = Pauses(self.spool.root / "paused.json")
        chooser = Chooser(settings, self.board, self.pauses)
        self.gpu = Lane("gpu", 1, self.flow, stages_of("gpu"), chooser.gpu)
        self.cpu = Lane("cpu", cpus, self.flow, stages_of("cpu"), chooser.cpu)
        self.lanes = [self.gpu, self.cpu]
        chooser.cpu_slots = self.cpu.slots
        operations = Operations(self.flow, self.admission, self.lanes, self.pauses, self.events, self._disk)
        self._wake = Bell()
        self.loops = Loops(
            self.admission,
            InboxRequests(self.admission, self.outbox, operations, self._disk),
            SpoolRequests(self.spool.control, operations),
            self.pauses,
            self.flow,
            self._wake,
            self._disk,
        )
        self.metrics = Metrics(self.board, {"spool": settings.paths.spool, "outbox": settings.paths.outbox})
        self.heartbeat = Heartbeat(settings, self.admission.anchor, self.metrics.registry)
        estimator = Estimator()
        self.status = StatusWriter(self.outbox, estimator)
        self.state = StateFile(self.spool.root / "state.json")
        self.overseer = Overseer(Notifier(), settings, self.board, self.lanes, self.pauses)
        for subscriber in (
            estimator,
            self.status,
            self.metrics,
            LogWriter(),
            self.state,
            self.overseer,
            self.heartbeat,
        ):
            self.events.add(subscriber)
        self._stop = asyncio.Event()
        self._loop_ran_at = time.monotonic()

    # -- life ----------------------------------------------------------------------------------------------------

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
        if claims.is_dir() and paths.inbox.stat().st_dev != claims.stat().st_dev:
            raise ConfigError(
                "inbox-split",
                f"paths.inbox: {claims} is on another filesystem than the inbox.",
                "Unmount it.",
            )

    async def _serve(self, ready: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: self.overseer.reload(self._reload))
        self._wake.bind()
        self.state.write()
        for scope in SCOPES:
            if (pause := self.pauses.active(scope)) is not None:
                self.events.queue_paused(scope, pause)
        watcher = Watcher(self._wake.ring_threadsafe)
        # Watching begins before the first scan, so nothing can fall between the two.
        watcher.watch(self.spool.control, "auto", recursive=False)
        watcher.start()
        await self.loops.begin_to_watch(watcher)
        server: MetricsServer | None = None
        loop_check = asyncio.create_task(self._record_loop_turns())
        try:
            # Before recovery, which waits for room where the disk is full: people must be able to see why.
            server = serve(
                self.settings.metrics,
                self.metrics.registry,
                self.healthy,
                self.overseer.claims,
                self.spool.root / "metrics.json",
            )
            starting = asyncio.create_task(self.overseer.starting())
            await asyncio.sleep(0)  # let it speak before the work begins
            try:
                interrupted = await recover(self.flow, self.outbox)
                await self.loops.open()
                await (
                    self.loops.answer_spool_requests()
                )  # before anything runs: what was paused or cancelled meanwhile must not start
            finally:
                starting.cancel()
            log.info(
                "ready",
                pid=os.getpid(),
                waiting=len(self.board),
                recovered=interrupted,
                inbox=str(self.settings.paths.inbox),
                notified=watcher.trusted(self.settings.paths.inbox),
            )
            for lane in self.lanes:
                lane.start()
            self.overseer.ready()
            ready()
            await self._work(watcher)
        finally:
            loop_check.cancel()
            watcher.stop()
            if server is not None:
                server.stop()

    async def _work(self, watcher: Watcher) -> None:
        loops = (
            self.loops.scan_inbox(watcher),
            keep_queue_positions(self.board, self.spool, self.status),
            keep_trimmed(self.settings, self.spool),
            self.loops.end_pauses(),
            self.loops.answer_requests(),
            self.loops.watch_disk(),
            self.overseer.watch(),
            self.heartbeat.loop(),
            VoiceList(self.settings, self.outbox).loop(),
            keep_file(self.metrics.registry, self.settings.metrics.textfile),
        )
        tasks = [asyncio.create_task(loop) for loop in loops]
        stopping: asyncio.Task[Any] = asyncio.create_task(self._stop.wait())
        done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
        log.info("stopping", running=len(self.flow.running))
        self.overseer.stopping(self.settings.lanes.drain_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*(lane.drain(self.settings.lanes.drain_s) for lane in self.lanes))
        for task in done - {stopping}:
            task.result()  # a loop that ended by itself ended by a fault: let it be seen
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
        change, error = Change(), None
        try:
            if self._config is not None:
                change = reload(self.settings, self._config)
        except AvatarError as exc:
            error = exc
        self.events.config_read(error, change.applied, change.waiting)
        if change.applied:
            configure(self.settings.log)
            for slot in (slot for lane in self.lanes for slot in lane.slots):
                slot.child.renew()
            self._wake.ring()

    def healthy(self) -> tuple[bool, str]:
        """Return whether the event loop runs, and one line for people. Callable from any thread."""
        late = time.monotonic() - self._loop_ran_at
        if late >= STUCK_S:
            return False, f"stuck: the daemon's loop last turned {late:.0f} s ago"
        paused = [lane.name for lane in self.lanes if lane.pause]
        return True, f"ok, paused: {', '.join(paused)}" if paused else "ok"
