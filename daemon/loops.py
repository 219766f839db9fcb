"""The daemon's periodic tasks: scan the inbox, answer requests, end expired pauses, refresh queue positions.

Everything that touches users' files runs in the disk thread, because a file server may not answer; the event loop only waits.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from daemon.control.inbox_requests import InboxRequests
from daemon.control.spool_requests import SpoolRequests
from daemon.errors import MachineError, from_exception
from daemon.folders import inbox_access_error
from daemon.intake.admission import Admission
from daemon.intake.drop import Drop
from daemon.intake.watch_limits import Unwatched, unwatched_error
from daemon.intake.watcher import Watcher
from daemon.jobs.stages import STAGES
from daemon.outbox.status_file import StatusWriter
from daemon.queue.pauses import Pauses
from daemon.queue.ready_queue import ReadyQueue, Ticket
from daemon.queue.spool import Spool
from daemon.queue.state_machine import StateMachine
from daemon.system.disk_thread import DiskThread
from daemon.system.wakeup import Wakeup

log = structlog.get_logger()

#: Changes within this time, in s, cause one scan.
DEBOUNCE_S = 0.05
PAUSES_S = 1.0  # between two checks for expired pauses
#: An inbox that has not answered for this long is reported as stuck; how often that is checked; both in s.
STUCK_S, STUCK_LOOK_S = 120.0, 5.0
WATCH_START_S = 10.0
#: Number of jobs of each stage whose queue position is kept up to date, and the interval, in s.
POSITIONS, POSITIONS_S = 20, 5.0


class Loops:
    """Runs the daemon's periodic tasks.

    Args:
        wake: notified when something may have changed in the inbox or in `spool/control`.
    """

    def __init__(
        self,
        admission: Admission,
        inbox_requests: InboxRequests,
        spool_requests: SpoolRequests,
        pauses: Pauses,
        state_machine: StateMachine,
        wake: Wakeup,
        disk: DiskThread,
    ) -> None:
        self._admission = admission
        self._disk = disk
        # Watching anew goes through all folders of the inbox, so it has a thread of its own: the looks go on meanwhile.
        self._watch_disk = DiskThread("inbox-watch")
        self.inbox_requests = inbox_requests
        self.spool_requests = spool_requests
        self._pauses = pauses
        self._state_machine = state_machine
        self._wake = wake
        self._settings = admission.settings
        self._events = state_machine.events
        self._intake_delay = 0.0
        self._watching: asyncio.Task[None] | None = None
        self._watcher: Watcher | None = None
        self._unwatched: Unwatched | None = None

    async def begin_to_watch(self, watcher: Watcher) -> None:
        """Start inotify on the inbox; wait at most `WATCH_START_S`, because a slow file server must not delay the start."""
        inbox, mode = self._settings.paths.inbox, self._settings.intake.watch
        self._watcher = watcher

        def watch() -> None:
            watcher.watch(inbox, mode, recursive=True, writers=self._admission.writers)

        self._watching = asyncio.create_task(self._watch(watch))
        await asyncio.wait([self._watching], timeout=WATCH_START_S)

    async def open(self) -> None:
        """Resume claimed and waiting manifests; if the inbox is not mounted, the first successful scan does it."""
        try:
            await self._disk.run(self._admission.resume)
        except MachineError as exc:
            log.error("intake waits", code=exc.code, message=exc.message)
        except PermissionError as exc:
            raise inbox_access_error(exc) from exc
        except Exception as exc:  # such as no room to go on with what was claimed: the first look tries again
            self._intake_failed(exc)

    async def scan_inbox(self, watcher: Watcher) -> None:
        """Scan the inbox and take its jobs in, again after each change, until cancelled."""
        while True:
            heard = self._wake.notifications
            if not self._watch_disk.busy_s:
                self._watching = asyncio.create_task(self._watch(watcher.refresh, self._settings.paths.inbox))
            try:
                await self.scan_once()
                self._intake_recovered()
                next_look = self._until_next_look(watcher)
            except Exception as exc:  # whatever was dropped, the lanes go on and the next look comes
                self._intake_failed(exc)
                # Nothing cuts this short: who could make the intake fail could also make it fail again at once.
                await asyncio.sleep(self._intake_delay)
                continue
            await self._wake.wait(next_look, heard)
            await asyncio.sleep(DEBOUNCE_S)

    async def answer_requests(self) -> None:
        """Answer requests until cancelled. Separate from `scan_inbox`, so that neither waits for the other's disk."""
        while True:
            heard = self._wake.notifications
            await self.answer_spool_requests()
            await self._wake.wait(self._look_s(self.spool_requests.folder), heard)
            await asyncio.sleep(DEBOUNCE_S)

    async def answer_spool_requests(self) -> None:
        """Answer the requests in `spool/control` once; a failure is logged."""
        try:
            await self.spool_requests.answer_all()
        except Exception:
            log.exception("control failed")

    async def scan_once(self) -> None:
        """Scan the inbox once, take in what is complete, and answer its request files.

        Raises:
            MachineError: the inbox, the outbox or the spool's disk is at fault.
        """
        drops = await self._disk.run(self._admission.look)
        await self._disk.run(self._admission.outbox.check)
        try:
            if await self._disk.run(self._admission.resume):  # what a full disk has cut short
                self._state_machine.changed.notify()
            # Also where nothing was dropped: `/readyz` says what would become of it.
            await self._disk.run(self._admission.check_room)
            await self._take_drops(drops)
            await self._disk.run(self._admission.strays.answer)
            if self._admission.strays.unfinished:
                self._wake.notify()
        finally:  # whatever kept the drops: a cancelled job gives room
            await self.inbox_requests.answer_all()
            if self.inbox_requests.unfinished:
                self._wake.notify()

    async def _take_drops(self, drops: list[Drop]) -> None:
        batches = self._admission.scan(drops)
        while (batch := await self._disk.run(next, batches, None)) is not None:
            if self._pauses.active("intake"):
                continue  # nothing is taken, but people are told what waits
            await self._disk.run(self._admission.check_room)
            if await self._disk.run(self._admission.take, batch):
                self._state_machine.changed.notify()

    async def watch_disk(self) -> None:
        """Report the inbox as stuck after `STUCK_S` without an answer, and report its recovery. Have the inbox looked at when it
        is not watched any more.
        """
        told = False
        while True:
            if not self._watch_disk.busy_s:  # nothing waits for it here: a dead file server does not answer
                self._watching = asyncio.create_task(self._watch(self._check_watches))
            silent = self._disk.busy_s
            if silent >= STUCK_S and not told:
                error = MachineError(
                    "inbox-stuck",
                    f"The inbox {self._settings.paths.inbox} has not answered for {silent:.0f} s.",
                    "Look at its file server and at what is mounted in it; the work goes on by itself when it answers.",
                )
                self._events.lane_paused("intake", error, STUCK_LOOK_S)
                told = True
            elif told and silent < STUCK_S:
                told = False
                self._events.lane_resumed("intake")
            await asyncio.sleep(STUCK_LOOK_S)

    async def _watch(self, call: Callable[..., None], *args: object) -> None:
        """Run a call about the watches in their thread; a failure is logged, and the next look tries again."""
        try:
            await self._watch_disk.run(call, *args)
        except Exception:
            log.exception("watching failed")

    def _check_watches(self) -> None:
        watcher = self._watcher
        if watcher is not None and (not watcher.alive() or watcher.is_replaced(self._settings.paths.inbox)):
            self._wake.notify_threadsafe()  # the look makes the watches anew

    async def end_pauses(self) -> None:
        """End expired pauses, until cancelled."""
        while True:
            try:
                for scope in self._pauses.expire():
                    self._events.queue_resumed(scope)
                    self._state_machine.changed.notify()
                    self._wake.notify()
            except OSError as exc:  # no room to note it: it is over all the same, and noted later
                log.warning("end of a pause not noted", error=str(exc))
            await asyncio.sleep(PAUSES_S)

    def _until_next_look(self, watcher: Watcher) -> float:
        inbox = self._settings.paths.inbox
        look_s = self._look_s(inbox, self._admission.inbox.folders)
        self._tell_unwatched(watcher.unwatched(inbox))
        return min(self._admission.next_look(), look_s)

    def _look_s(self, folder: Path, below: Sequence[str] = ()) -> float:
        """Return seconds between two looks at a folder without notification: few where not all of its changes are announced."""
        announced = self._watcher is not None and self._watcher.trusted(folder, below)
        return self._settings.intake.scan_s if announced else self._settings.intake.poll_s

    def _tell_unwatched(self, unwatched: Unwatched | None) -> None:
        if unwatched == self._unwatched:
            return
        self._unwatched = unwatched
        error = unwatched_error(unwatched, self._settings.intake.poll_s) if unwatched else None
        self._events.inbox_watched(error, unwatched.folders if unwatched else 0)

    def _intake_failed(self, exc: Exception) -> None:
        if not isinstance(from_exception(exc), MachineError):
            log.error("intake failed", exc_info=exc)
        self._intake_delay = min(max(1.0, self._intake_delay * 2), self._settings.intake.scan_s)
        self._events.lane_paused("intake", from_exception(exc), self._intake_delay)

    def _intake_recovered(self) -> None:
        if self._intake_delay:
            self._intake_delay = 0.0
            self._events.lane_resumed("intake")


async def keep_queue_positions(ready_queue: ReadyQueue, spool: Spool, status: StatusWriter) -> None:
    """Update the queue position in the status files of the first `POSITIONS` jobs of each stage, until cancelled."""
    known: dict[Ticket, int] = {}
    while True:
        fresh: dict[Ticket, int] = {}
        for stage in STAGES:
            for place, ticket in enumerate(ready_queue.front(stage, POSITIONS), start=1):
                fresh[ticket] = place
                if known.get(ticket) != place:
                    with contextlib.suppress(ValueError, OSError):  # it moves on while we look
                        job = spool.load_job(spool.ready(stage) / ticket.id)
                        status.queue_position(job, place)
        known = fresh
        await asyncio.sleep(POSITIONS_S)
