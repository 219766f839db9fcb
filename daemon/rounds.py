"""What the daemon does again and again: look into the inbox, obey requests, end the pauses whose time is over."""

from __future__ import annotations

import asyncio

import structlog

from daemon.bell import Bell
from daemon.control import Control
from daemon.errors import MachineError, from_exception
from daemon.flow import Flow
from daemon.folders import inbox_refused
from daemon.inbox import Drop
from daemon.intake import Intake
from daemon.pauses import Pauses
from daemon.watcher import Watcher
from daemon.wishes import Wishes

log = structlog.get_logger()

#: A burst of notifications is answered by one look, this long after the first, in s.
DEBOUNCE_S = 0.05
PAUSES_S = 1.0  # between two looks at the pauses' ends


class Rounds:
    """Args:
    wake: rings when something may have changed in the inbox or among the requests.
    """

    def __init__(
        self, intake: Intake, wishes: Wishes, control: Control, pauses: Pauses, flow: Flow, wake: Bell
    ) -> None:
        self._intake = intake
        self.wishes = wishes
        self.control = control
        self._pauses = pauses
        self._flow = flow
        self._wake = wake
        self._settings = intake.settings
        self._events = flow.events
        self._intake_delay = 0.0

    def open(self) -> None:
        """Go on with what lies claimed or waiting in the inbox; where it is not mounted, when it is."""
        try:
            self._intake.resume()
        except MachineError as exc:
            log.error("intake waits", code=exc.code, message=exc.message)
        except PermissionError as exc:
            raise inbox_refused(exc) from exc
        except OSError as exc:  # no room to go on with what was claimed: the first look tries again
            if not isinstance(from_exception(exc), MachineError):
                raise
            self._intake_ill(exc)

    async def look(self, watcher: Watcher) -> None:
        while True:
            heard = self._wake.rings
            watcher.refresh(self._settings.paths.inbox)
            try:
                await self.look_once()
                self._intake_well()
            except Exception as exc:  # whatever was dropped, the lanes go on and the next look comes
                if not isinstance(from_exception(exc), MachineError):
                    log.exception("intake failed")
                self._intake_ill(exc)
            await self._wake.wait(self._until_next_look(watcher), heard)
            await asyncio.sleep(DEBOUNCE_S)

    async def listen(self) -> None:
        """Obey requests, apart from the intake: one that waits for the disk must not keep drops waiting, nor the other way."""
        while True:
            heard = self._wake.rings
            await self.obey()
            await self._wake.wait(self._settings.intake.scan_s, heard)
            await asyncio.sleep(DEBOUNCE_S)

    async def obey(self) -> None:
        try:
            await self.control.obey()
        except Exception:
            log.exception("control failed")

    async def look_once(self) -> None:
        # In a thread: a file server may take its time to answer, and a burst takes a while to look at.
        drops = await asyncio.to_thread(self._intake.look)
        self._intake.outbox.check()
        try:
            if self._intake.resume():  # what a full disk has cut short
                self._flow.changed.ring()
            self._intake.check_room()  # also where nothing was dropped: `/readyz` says what would become of it
            await self._take_drops(drops)
        finally:  # whatever kept the drops: a cancelled job gives room
            await self.wishes.grant()

    async def _take_drops(self, drops: list[Drop]) -> None:
        for batch in self._intake.scan(drops):
            if self._pauses.active("intake"):
                return
            self._intake.check_room()
            if self._intake.take(batch):
                self._flow.changed.ring()
            await asyncio.sleep(0)  # a big burst must not keep the lanes waiting

    async def end_pauses(self) -> None:
        """End the pauses whose time is over."""
        while True:
            try:
                for scope in self._pauses.expire():
                    self._events.queue_resumed(scope)
                    self._flow.changed.ring()
                    self._wake.ring()
            except OSError as exc:  # no room to note it: it is over all the same, and noted later
                log.warning("end of a pause not noted", error=str(exc))
            await asyncio.sleep(PAUSES_S)

    def _until_next_look(self, watcher: Watcher) -> float:
        if self._intake_delay:
            return self._intake_delay
        announced = watcher.trusted(self._settings.paths.inbox)
        return min(
            self._intake.next_look(), self._settings.intake.scan_s if announced else self._settings.intake.poll_s
        )

    def _intake_ill(self, exc: Exception) -> None:
        self._intake_delay = min(max(1.0, self._intake_delay * 2), self._settings.intake.scan_s)
        self._events.lane_paused("intake", from_exception(exc), self._intake_delay)

    def _intake_well(self) -> None:
        if self._intake_delay:
            self._intake_delay = 0.0
            self._events.lane_resumed("intake")
