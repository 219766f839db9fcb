"""The daemon's periodic tasks: scan the inbox, answer requests, end expired pauses.

Everything that touches users' files runs in the disk thread, because a file server may not answer; the event loop only waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from daemon.control.inbox_requests import InboxRequests
from daemon.control.spool_requests import SpoolRequests
from daemon.errors import MachineError, from_exception
from daemon.events import Subscriber
from daemon.folders import inbox_access_error
from daemon.intake.admission import Admission
from daemon.intake.drop import Drop
from daemon.intake.watch_limits import Unwatched, unwatched_error
from daemon.intake.watcher import Watcher
from daemon.jobs.record import Job
from daemon.outbox.status_file import describe_intake_pause
from daemon.queue.pauses import Pauses
from daemon.queue.state_machine import StateMachine
from daemon.system.disk_thread import DiskThread
from daemon.system.wakeup import Wakeup

log = structlog.get_logger()

#: Changes within this time, in s, cause one scan.
DEBOUNCE_S = 0.05
#: Changes within so many times what the last scan took, and at least within this time, in s, cause one scan of the inbox, so that
#: scans take up at most a third of the time and a job in a small inbox is taken at once.
DEBOUNCE_SCANS, LEAST_DEBOUNCE_S = 2.0, 0.005
PAUSES_S = 1.0  # between two checks for expired pauses
#: An inbox that has not answered for this long is reported as stuck; how often that is checked; both in s.
STUCK_S, STUCK_LOOK_S = 120.0, 5.0
WATCH_START_S = 10.0
#: How long a start may wait for the inbox to be listed, and again for its request files to be carried out, s.
REQUESTS_START_S = 10.0


def debounce_s(scan_s: float) -> float:
    """Return within which time changes of the inbox cause one scan, s. `scan_s`: what the last scan took."""
    return min(DEBOUNCE_S, max(LEAST_DEBOUNCE_S, DEBOUNCE_SCANS * scan_s))


class Loops(Subscriber):
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
        # Renewing the watches visits all folders of the inbox. It has a thread of its own, so that scans go on meanwhile.
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

    def job_accepted(self, job: Job) -> None:
        """Look at the inbox when rows have become jobs, which they do between its scans: a request may wait for one."""
        if job.facts.row is not None and self._admission.inbox.requests:
            self._wake.notify()

    async def begin_to_watch(self, watcher: Watcher) -> None:
        """Start inotify on the inbox; wait at most `WATCH_START_S`, because a slow file server must not delay the start."""
        inbox, mode = self._settings.paths.inbox, self._settings.intake.watch
        self._watcher = watcher

        def watch() -> None:
            watcher.watch(inbox, mode, recursive=True, writers=self._admission.writers)

        self._watching = asyncio.create_task(self._run_watcher(watch))
        await asyncio.wait([self._watching], timeout=WATCH_START_S)

    async def resume_intake(self) -> None:
        """Resume claimed and waiting manifests; if the inbox is not mounted, the first successful scan does it."""
        try:
            await self._disk.run(self._admission.resume)
        except MachineError as exc:
            log.error("intake waits", code=exc.code, message=exc.message)
        except PermissionError as exc:
            raise inbox_access_error(exc) from exc
        except Exception as exc:  # such as a full disk: the first scan tries again
            self._intake_failed(exc)

    async def scan_inbox(self, watcher: Watcher) -> None:
        """Scan the inbox and take its jobs in, again after each change, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            heard, began = self._wake.notifications, loop.time()
            if not self._watch_disk.busy_s:
                self._watching = asyncio.create_task(self._run_watcher(watcher.refresh, self._settings.paths.inbox))
            try:
                await self.scan_once()
                self._intake_recovered()
                next_look = self._until_next_look(watcher)
            except Exception as exc:  # a faulty drop must stop neither the lanes nor the next scan
                self._intake_failed(exc)
                # No change in the inbox ends this wait: whoever made the intake fail could make it fail again at once.
                await asyncio.sleep(self._intake_delay)
                continue
            spent_s = loop.time() - began
            await self._wake.wait(next_look, heard)
            await asyncio.sleep(debounce_s(spent_s))

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

    async def answer_request_files(self) -> None:
        """Carry out the request files that are in the inbox at the start. A slow inbox, or very many of them, delay it by
        `REQUESTS_START_S` each; what is left then, and each failure, is the first scan's.
        """
        until = asyncio.get_running_loop().time() + 2 * REQUESTS_START_S
        try:
            await asyncio.wait_for(self._disk.run(self._admission.look), REQUESTS_START_S)
            failures = 0
            while asyncio.get_running_loop().time() < until:
                try:
                    await self.inbox_requests.answer_all()
                except MachineError:  # of one request; the next turn begins with the one behind it
                    failures += 1
                    if failures > len(self._admission.inbox.requests):
                        raise
                    continue
                if not self.inbox_requests.unfinished:
                    return
            log.warning("request files are left to the first scan of the inbox", limit_s=REQUESTS_START_S)
        except TimeoutError:
            log.warning("inbox not listed before the start", limit_s=REQUESTS_START_S)
        except Exception as exc:  # such as an inbox that is not mounted: the scan tries again, and tells it
            log.info("request files are left to the first scan of the inbox", why=str(exc))

    async def scan_once(self) -> None:
        """Scan the inbox once, take in what is complete, and answer its request files.

        Raises:
            MachineError: the inbox, the outbox or the spool's disk is at fault.
        """
        drops = await self._disk.run(self._admission.look)
        await self._disk.run(self._admission.outbox.check)
        try:
            if await self._disk.run(self._admission.resume):  # what a full disk has interrupted
                self._state_machine.changed.notify()
            # Also if nothing was dropped: `/readyz` reports the result.
            await self._disk.run(self._admission.check_room)
            await self._take_drops(drops)
            await self._disk.run(self._admission.strays.answer)
            if self._admission.strays.unfinished:
                self._wake.notify()
        finally:  # also after a failure: a cancelled job frees space
            await self.inbox_requests.answer_all()
            if self.inbox_requests.unfinished:
                self._wake.notify()

    async def _take_drops(self, drops: list[Drop]) -> None:
        batches = self._admission.scan(drops)
        while (batch := await self._disk.run(next, batches, None)) is not None:
            if (pause := self._pauses.active("intake")) is not None:
                # Nothing is taken, but the scan goes on, so that people are told what waits, and why.
                await self._disk.run(self._admission.keep_back, batch, describe_intake_pause(pause))
                continue
            await self._disk.run(self._admission.check_room)
            if await self._disk.run(self._admission.take, batch):
                self._state_machine.changed.notify()

    async def watch_disk(self) -> None:
        """Report the inbox as stuck after `STUCK_S` without an answer, and report its recovery. Start a scan when the inbox is no
        longer watched.
        """
        reported = False
        while True:
            if not self._watch_disk.busy_s:  # not awaited, because a dead file server does not answer
                self._watching = asyncio.create_task(self._run_watcher(self._check_watches))
            silent = self._disk.busy_s
            if silent >= STUCK_S and not reported:
                error = MachineError(
                    "inbox-stuck",
                    f"The inbox {self._settings.paths.inbox} has not answered for {silent:.0f} s.",
                    "Look at its file server and at what is mounted in it; the work goes on by itself when it answers.",
                )
                self._events.lane_paused("intake", error, STUCK_LOOK_S)
                reported = True
            elif reported and silent < STUCK_S:
                reported = False
                self._events.lane_resumed("intake")
            await asyncio.sleep(STUCK_LOOK_S)

    async def _run_watcher(self, call: Callable[..., None], *args: object) -> None:
        """Call the watcher in its own thread; a failure is logged, and the next scan tries again."""
        try:
            await self._watch_disk.run(call, *args)
        except Exception:
            log.exception("watching failed")

    def _check_watches(self) -> None:
        watcher = self._watcher
        if watcher is not None and (not watcher.alive() or watcher.is_replaced(self._settings.paths.inbox)):
            self._wake.notify_threadsafe()  # the scan renews the watches

    async def end_pauses(self) -> None:
        """End expired pauses, until cancelled."""
        while True:
            try:
                for scope in self._pauses.expire():
                    self._events.queue_resumed(scope)
                    self._state_machine.changed.notify()
                    self._wake.notify()
            except OSError as exc:  # the disk is full: the pause has ended all the same, and the file is written later
                log.warning("end of a pause not noted", error=str(exc))
            await asyncio.sleep(PAUSES_S)

    def _until_next_look(self, watcher: Watcher) -> float:
        inbox = self._settings.paths.inbox
        look_s = self._look_s(inbox, self._admission.inbox.folders)
        self._tell_unwatched(watcher.unwatched(inbox))
        return min(self._admission.next_look(), look_s)

    def _look_s(self, folder: Path, below: Sequence[str] = ()) -> float:
        """Return the seconds between two scans without a notification: few if the kernel does not announce all changes."""
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
